"""Qwen2.5-VL and Qwen3-VL: pairs of frames, any size, positions in time, row and column."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from dynfocus.models.video_language_model import CACHE_NAME
from dynfocus.plugins.family import (
    Family,
    FramePlan,
    HostFeatures,
    StepTokens,
    pooled,
)
from dynfocus.plugins.host_pixels import (
    PixelPlan,
    check_patches,
    cut_patches,
    enlarge_to,
    fit_pixels,
    pixel_bounds,
)


class Qwen25VL(Family):
    """The time of a pair is its position; all pairs are one run of placeholders."""

    model_types = ("qwen2_5_vl",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"shortest_edge": 128 * 28 * 28, "longest_edge": 28 * 28 * 768},
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "max_video_tokens": 128000,
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    }

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Round both sides to whole merged patches, within the processor's pixels."""
        numbers = self.processor.numbers
        factor = numbers["patch_size"] * numbers["merge_size"]
        least, most = pixel_bounds(numbers)
        if numbers.get("cap_pixels_per_frame"):
            total = int(numbers["max_video_tokens"] * factor**2 * 0.9)
            share = total * self.frames_per_step // num_frames
            most = max(min(most, share), int(least * 1.05))
        height, width = fit_pixels(size, factor, least, most)
        return FramePlan(
            pixels=PixelPlan.of(numbers, ((height, width),)),
            grid=(height // factor, width // factor),
        )

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode pairs of frames."""
        patches, grid = cut_patches(pixels, self.processor.numbers)
        features = pooled(
            self.model.get_video_features(
                patches, video_grid_thw=grid.to(pixels.device)
            )
        )
        return StepTokens(tokens=features.view(int(grid[0, 0]), -1, features.shape[-1]))

    @property
    def video_start(self) -> str:
        """``<|vision_start|>``."""
        return word_of(self, "vision_start")

    def positions(self, ids: Tensor, videos: Sequence[HostFeatures]) -> Tensor:
        """Give the host's own positions, by the mean time between pairs."""
        depth = self.frames_per_step
        seconds = [step_seconds(video.frame_seconds, depth) for video in videos]
        return rope_positions(self, ids, videos, second_per_grid_ts=seconds)

    def timed_positions(self, ids: Tensor, videos: Sequence[HostFeatures]) -> Tensor:
        """Give the positions of DATE (2025): written times, not positions, tell the time.

        A pair stands one after what is before it, its rows and columns at the first one of
        its video; the words of a time run on from there. What follows the last pair,
        its time too, begins after the largest of its positions, as in the published code.
        """
        vision = torch.empty(3, ids.shape[1], dtype=torch.long)
        places = (ids[0] == self.placeholder).nonzero()[:, 0].tolist()
        end = after = first = 0
        for video in videos:
            rows, columns = video.grid
            grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).mT
            for step in range(video.num_steps):
                start, places = places[0], places[rows * columns :]
                vision[:, end:start] = after + torch.arange(start - end)
                now = after + start - end
                first = now if step == 0 else first
                end = start + rows * columns
                vision[0, start:end], vision[1:, start:end] = now, first + grid
                after = now + 1
            after = max(after, first + rows, first + columns)
        vision[:, end:] = after + torch.arange(ids.shape[1] - end)
        return with_text(ids, vision[:, None])

    def check(self) -> None:
        """Refuse patches of another size than the tower's."""
        check_patches(self.processor.numbers, self.model.config.vision_config)


class Qwen3VL(Family):
    """Times are text; what the tower adds after the first layers is merged as tokens are."""

    tells_times = True
    model_types = ("qwen3_vl",)
    numbers: ClassVar[dict[str, Any]] = {
        "size": {"shortest_edge": 128 * 32 * 32, "longest_edge": 32 * 32 * 768},
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "max_video_tokens": 768,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
    }

    def plan_frames(self, size: tuple[int, int], num_frames: int) -> FramePlan:
        """Round both sides to whole merged patches; all frames share the pixels."""
        numbers = self.processor.numbers
        factor = numbers["patch_size"] * numbers["merge_size"]
        least, most = pixel_bounds(numbers)
        depth = max(num_frames, self.frames_per_step)
        if numbers.get("cap_pixels_per_frame"):
            share = min(numbers["max_video_tokens"] * factor**2, most // depth)
            most = max(share, int(least * 1.05)) * depth
        height, width = fit_pixels(enlarge_to(size, factor), factor, least, most, depth)
        return FramePlan(
            pixels=PixelPlan.of(numbers, ((height, width),)),
            grid=(height // factor, width // factor),
        )

    def encode(self, pixels: Tensor) -> StepTokens:
        """Encode pairs of frames, with the features of deeper layers."""
        patches, grid = cut_patches(pixels, self.processor.numbers)
        output = self.model.get_video_features(
            patches, video_grid_thw=grid.to(pixels.device)
        )
        steps = int(grid[0, 0])
        layers = [torch.cat(list(layer)) for layer in output.deepstack_features]
        rows = [x.view(steps, -1, x.shape[-1]) for x in (pooled(output), *layers)]
        return StepTokens(tokens=rows[0], layers=torch.stack(rows[1:], dim=2))

    def write(self, video: HostFeatures) -> str:
        """Write the placeholders of each pair behind the mean of its times."""
        inside = self.video_mark * video.tokens_per_step
        pair = f"{self.video_start}{inside}{word_of(self, 'vision_end')}"
        times = (video.frame_seconds[:, 0] + video.frame_seconds[:, -1]) / 2
        return "".join(f"<{time:.1f} seconds>{pair}" for time in times.tolist())

    @property
    def video_start(self) -> str:
        """``<|vision_start|>``."""
        return word_of(self, "vision_start")

    def positions(self, ids: Tensor, videos: Sequence[HostFeatures]) -> Tensor:
        """Give the host's own positions in time, height and width."""
        return rope_positions(self, ids, videos)

    @contextmanager
    def prefill(
        self, is_visual: Tensor, layers: Tensor | None
    ) -> Iterator[dict[str, Any]]:
        """Let the features of the video come with the prompt's cache.

        The host takes them from pixels alone, so a hook on its language model hands over
        those of the cache that a call brings. It holds nothing of a prompt itself: other
        prompts may be read at the same time.
        """
        if layers is None:  # words alone
            yield {}
            return
        language_model = self.model.model.language_model
        cache = _LayeredCache(language_model.config, is_visual, layers.unbind(1))
        with _hooks:  # handles of torch are numbered without a lock of its own
            handle = language_model.register_forward_pre_hook(
                _add_layers, with_kwargs=True
            )
        try:
            yield {CACHE_NAME: cache}
        finally:
            with _hooks:
                handle.remove()

    def check(self) -> None:
        """Refuse patches of another size than the tower's."""
        check_patches(self.processor.numbers, self.model.config.vision_config)


def word_of(family: Family, name: str) -> str:
    """Give a special word of a host by its name in the configuration."""
    token = getattr(family.model.config, f"{name}_token_id")
    return str(family.processor.tokenizer.convert_ids_to_tokens(token))


def step_seconds(frame_seconds: Tensor, depth: int) -> float:
    """Give the mean time from one pair to the next.

    Args:
        frame_seconds: Times of the frames of each pair, shape ``[S, depth]``.
        depth: Frames of a pair.
    """
    times = frame_seconds.numpy()
    if len(times) > 1:
        return float((times[-1, 0] - times[0, 0]) / (len(times) - 1))
    gaps = np.diff(times[0])
    return float(depth * gaps[0]) if len(gaps) and gaps[0] > 0 else float(depth)


def rope_positions(
    family: Family, ids: Tensor, videos: Sequence[HostFeatures], **more: Any
) -> Tensor:
    """Ask a host for the time, row and column of every token.

    Args:
        family: The host.
        ids: The prompt with every placeholder, shape ``[1, L]``.
        videos: The videos in it.
        **more: What else the host's function takes.

    Returns:
        Positions, shape ``[4, 1, L]``: that of the text first, as ``generate`` has it.
    """
    merge = family.processor.numbers["merge_size"]
    grids = [[v.num_steps, v.grid[0] * merge, v.grid[1] * merge] for v in videos]
    find = family.model.model.get_rope_index
    if "mm_token_type_ids" in inspect.signature(find).parameters:
        more["mm_token_type_ids"] = (ids == family.placeholder).int() * 2
    given = torch.tensor(grids, device=ids.device)
    vision, _ = find(ids, video_grid_thw=given, **more)
    return with_text(ids, vision)


def with_text(ids: Tensor, vision: Tensor) -> Tensor:
    """Put the numbers of all tokens before positions ``[3, 1, L]``."""
    text = torch.arange(ids.shape[1], device=ids.device).view(1, 1, -1)
    return torch.cat([text, vision.to(text)])


_hooks = threading.Lock()


class _LayeredCache(DynamicCache):  # type: ignore[misc]
    """The cache of one prompt, with what is added at its visual tokens."""

    def __init__(self, config: Any, is_visual: Tensor, added: Sequence[Tensor]) -> None:
        super().__init__(config=config)
        self.is_visual = is_visual
        self.added = added


def _add_layers(
    module: Any, arguments: Any, named: dict[str, Any] | None = None
) -> Any:
    """Name the features that a new cache brings as the host's language model does.

    A call in another thread may come without names, as its own hook was removed.
    """
    cache = named.get(CACHE_NAME) if named else None
    if not isinstance(cache, _LayeredCache) or cache.get_seq_length() > 0:
        return None
    assert named is not None  # it holds the cache
    count = named["inputs_embeds"].shape[0]
    return arguments, {
        **named,
        "visual_pos_masks": cache.is_visual.expand(count, -1),
        "deepstack_visual_embeds": [layer.repeat(count, 1) for layer in cache.added],
    }
