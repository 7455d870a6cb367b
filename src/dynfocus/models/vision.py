"""The frozen half: pixels become patch features, and frames read a question.

Frames of a window are clustered side by side by worker threads, one thread each.

Letters: F and T frames, H and W of a frame, S side of the model's frames, N patches per
frame, D_v width; B blocks, n query tokens, D_q width of the Q-Former.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, InstructBlipVisionConfig, InstructBlipVisionModel

from dynfocus.focus import VideoFeatures
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.methods.towers import TowerSizes, WrappedTower, build_tower_method

_Joined = TypeVar("_Joined", bound=Tensor | tuple[Tensor | None, ...])


def to_pixel_values(
    frames: NDArray[np.uint8],
    *,
    frame_size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Resize and normalise frames as the vision tower expects them.

    Args:
        frames: Frames of uint8, shape ``[T, H, W, 3]``.
        frame_size: Side of the model's frames, ``S``.
        mean: Mean of each colour, from 0 to 1.
        std: Standard deviation of each colour.

    Returns:
        Pixel values of float32, shape ``[T, 3, S, S]``.
    """
    side = (frame_size, frame_size)
    center = torch.tensor(mean).view(1, 3, 1, 1)
    spread = torch.tensor(std).view(1, 3, 1, 1)
    parts = []
    for start in range(0, len(frames), WINDOW_FRAMES):
        window = np.ascontiguousarray(frames[start : start + WINDOW_FRAMES])
        pixels = torch.from_numpy(window).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[-2:] != side:
            pixels = F.interpolate(pixels, side, mode="bilinear", antialias=True)
        parts.append((pixels - center) / spread)
    return torch.cat(parts)


class PatchFeatures(NamedTuple):
    """The two readings of a vision tower."""

    content: Tensor
    """Last hidden states before the final norm, class token dropped, ``[F, N, D_v]``."""
    normalised: Tensor
    """Those after it, with the class token if any, ``[F, N + 1, D_v]``, for a Q-Former."""


def build_vision_tower(config: Any) -> Any:
    """Build an untrained vision tower from its configuration, in the default dtype.

    What the configuration says of a dtype is that of the file it came with.
    """
    if isinstance(config, InstructBlipVisionConfig):
        return InstructBlipVisionModel(config)
    return AutoModel.from_config(config, dtype=torch.get_default_dtype())


def build_method(config: Any, name: str, options: Mapping[str, Any]) -> Any:
    """Build a tower method with fresh weights for a tower's configuration.

    Raises:
        ValueError: If the name or an option is not known, or the frames are not square.
    """
    (height, width), patch = _frame_and_patch(config)
    if height != width or patch[0] != patch[1]:
        raise ValueError(
            f"tower_method {name!r} needs square frames and patches, got frames of "
            f"{height} x {width} and patches of {patch[0]} x {patch[1]} pixels"
        )
    sizes = TowerSizes(
        frame_size=height,
        patch_size=patch[0],
        dim=config.hidden_size,
        num_layers=getattr(config, "num_hidden_layers", 0),
    )
    return build_tower_method(name, sizes, options)


def wrap_tower(config: Any, name: str, options: Mapping[str, Any]) -> WrappedTower:
    """Build an untrained vision tower behind a tower method."""
    method = build_method(config, name, options)
    tower = build_vision_tower(config) if method.needs_tower else None
    return WrappedTower(method, tower)


def count_patches(config: Any) -> int:
    """Count the patches of one frame, ``N``."""
    (height, width), patch = _frame_and_patch(config)
    return (height // patch[0]) * (width // patch[1])


def _frame_and_patch(config: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give height and width of frames and of patches, in pixels."""
    sides = [
        (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        for side in (config.image_size, config.patch_size)
    ]
    return sides[0], sides[1]


def encode_pixels(tower: Any, pixel_values: Tensor) -> PatchFeatures:
    """Run the tower over some frames.

    InstructBLIP's tower is run piece by piece, so that the hidden states of its 39
    layers are not all kept in memory for the sake of the last one. CLIP's class applies
    its final norm to the class token alone; here it is applied to all of them. Of a
    convolutional tower every cell of its last map is a patch. A tower method gives
    content alone.

    Args:
        tower: What `build_vision_tower` or `wrap_tower` gave.
        pixel_values: Normalised frames, shape ``[F, 3, H, W]``; for a tower method all
            of one video, in order of time.

    Returns:
        Content features and normalised features.
    """
    pixels = pixel_values.to(device=tower.device, dtype=tower.dtype)
    if isinstance(tower, WrappedTower):
        tokens = tower(pixels)
        return PatchFeatures(content=tokens, normalised=tokens)
    if isinstance(tower, InstructBlipVisionModel):
        embeddings = tower.embeddings(pixels)
        hidden = tower.encoder(inputs_embeds=embeddings).last_hidden_state
        normalised = tower.post_layernorm(hidden)
    else:
        outputs = tower(pixels, output_hidden_states=True, return_dict=True)
        hidden = outputs.hidden_states[-1]
        if hidden.ndim == 4:  # the map of a convolutional tower, [F, D_v, H, W]
            hidden = hidden.flatten(2).mT
            return PatchFeatures(content=hidden, normalised=hidden)
        norm = getattr(_inner(tower), "post_layernorm", None)  # CLIP, SigLIP
        normalised = outputs.last_hidden_state if norm is None else norm(hidden)
    num_prefix = hidden.shape[1] - count_patches(tower.config)  # class token, registers
    return PatchFeatures(content=hidden[:, num_prefix:], normalised=normalised)


def _inner(tower: Any) -> Any:
    """Give the module that holds the layers; older classes wrap it once."""
    return getattr(tower, "vision_model", tower)


def ask_frames(
    text_encoder: Any,
    query_tokens: Tensor,
    videos: Sequence[VideoFeatures],
    *,
    input_ids: Tensor,
    attention_mask: Tensor,
    window: int,
    read: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Ask the Q-Former about every frame of every block.

    Args:
        text_encoder: The Q-Former.
        query_tokens: Its learned queries, shape ``[1, n, D_q]``.
        videos: The video of each block, with its patches.
        input_ids: The question of each block, shape ``[B, L]``.
        attention_mask: True at the questions' tokens, shape ``[B, L]``.
        window: Frames that go through the Q-Former together.
        read: Turns the patches of a video into those that the Q-Former reads; by default
            these are kept beside them.

    Returns:
        The answers of the queries, shape ``[B, T, n, D_q]``, zero after a block's end.
    """
    patches = torch.cat([v.spatial if read else _normalised(v) for v in videos])
    num_frames = [video.num_frames for video in videos]
    pairs = _pairs(num_frames).to(input_ids.device)
    num_queries = query_tokens.shape[1]
    answers = []
    for block, frame in (part.unbind(1) for part in torch.split(pairs, window)):
        mask = attention_mask[block]
        outputs = text_encoder(
            input_ids=input_ids[block],
            attention_mask=torch.cat(
                [mask.new_ones(len(mask), num_queries), mask], dim=1
            ),
            query_embeds=query_tokens.expand(len(mask), -1, -1),
            encoder_hidden_states=read(patches[frame]) if read else patches[frame],
        )
        answers.append(outputs.last_hidden_state[:, :num_queries])
    per_block = torch.split(torch.cat(answers), num_frames)
    return pad_sequence(list(per_block), batch_first=True)


def _normalised(video: VideoFeatures) -> Tensor:
    if video.patches is None:
        raise ValueError(
            'text_side "frame_queries" needs the patches of every frame, but the video '
            "features hold none; encode the video again with this model"
        )
    return video.patches


def _pairs(num_frames: Sequence[int]) -> Tensor:
    """List (block, place of the frame among the packed frames of all blocks)."""
    blocks = torch.arange(len(num_frames)).repeat_interleave(torch.tensor(num_frames))
    return torch.stack([blocks, torch.arange(len(blocks))], dim=1)


def map_parts(work: Callable[[Tensor], _Joined], x: Tensor) -> _Joined:
    """Apply ``work`` to parts of ``x``, as many as torch has threads, and join them.

    Many small operations each of which is split among threads, as torch does, lose a
    third of what the threads could do. Nothing is split where gradients or autocast are
    wanted, which workers would not know of, or away from the processor.

    Args:
        work: What to do to a part; what it gives has as many entries, or is a named
            tuple of what has.
        x: The batch, shape ``[F, ...]``.
    """
    num_threads = torch.get_num_threads()
    if (
        min(num_threads, len(x)) < 2
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
    ):
        return work(x)
    inference = torch.is_inference_mode_enabled()

    def alone(part: Tensor) -> _Joined:
        with torch.inference_mode(inference), torch.no_grad():
            return work(part)

    parts = torch.split(x, math.ceil(len(x) / num_threads))
    try:
        return _join(list(_workers(num_threads, os.getpid()).map(alone, parts)))
    finally:
        torch.set_num_threads(num_threads)  # new workers change a part of it for all


def _join(parts: Sequence[Any]) -> Any:
    """Join tensors, or each field of named tuples."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    fields = zip(*parts, strict=True)
    return type(parts[0])(*(None if f[0] is None else torch.cat(f) for f in fields))


@functools.cache
def _workers(num_threads: int, process: int) -> ThreadPoolExecutor:
    """Make workers that wait for more work; a forked process makes its own."""
    return ThreadPoolExecutor(
        num_threads, "dynfocus-worker", initializer=_use_one_thread
    )


def _use_one_thread() -> None:
    # the first look at its threads gives a new one the number of the whole process,
    # which must not come after its own was set
    torch.get_num_threads()
    torch.set_num_threads(1)
