"""A video becomes the host's own tokens: read, prepared and encoded window by window.

Letters: T frames, S steps, H and W of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dynfocus.focus import HostBudget
from dynfocus.index import VideoIndex
from dynfocus.methods import FrameScorer
from dynfocus.methods.regions import encode_regions
from dynfocus.models.encoding import Progress, VideoSource, make_thumbnails
from dynfocus.plugins.family import Family, FramePlan, StepTokens
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.pixels import to_pixels
from dynfocus.video import SampledFrames

_WINDOW_FRAMES = 32

Thin = Callable[[HostBudget, int], int]
"""How many steps of so many to keep for a budget."""


class HostEncoder:
    """Encode videos with a host's own tower.

    Args:
        family: The host.
        scorer: What compares frames with questions, if anything does.
    """

    def __init__(self, family: Family, scorer: FrameScorer | None) -> None:
        self._family = family
        self._scorer = scorer

    def encode(
        self,
        video: Any,
        *,
        fps: float,
        max_frames: int | None,
        budget: Callable[[FramePlan], HostBudget] | None = None,
        thin: Thin | None = None,
        is_windowed: bool = True,
        progress: Progress | None = None,
    ) -> VideoIndex:
        """Read and encode a video.

        Args:
            video: A file or frames.
            fps: Frames per second to sample, or the rate that frames without times have.
            max_frames: At most so many frames, taken evenly.
            budget: Makes the budget for tokens of a kind.
            thin: How many steps to keep for it; frames that are left out are not read.
            is_windowed: Whether 32 frames at a time are encoded, so that memory does not
                grow with the tower's work. In one go, the numbers are the host's own to
                the last bit.
            progress: Called with the frames done and the frames in all.

        Returns:
            The video.
        """
        per_step = self._family.frames_per_step
        source = VideoSource.open(video, fps, max_frames)
        if budget is not None and thin is not None:
            plan = self._family.plan_frames(source.size, source.num_frames)
            num_steps = -(-source.num_frames // per_step)
            source = source.thin(thin(budget(plan), num_steps) * per_step)
        window = _WINDOW_FRAMES if is_windowed else source.num_frames
        plan = self._family.plan_frames(source.size, source.num_frames)
        encoded, times, regions, thumbnails = [], [], [], []
        for part in _regroup(source.stream(_WINDOW_FRAMES), window, per_step):
            encoded.append(self._encode(part, plan))
            times.append(part.times)
            thumbnails.append(make_thumbnails(part.frames, source.size))
            if self._scorer is not None:
                regions.append(encode_regions(self._scorer, part.frames, per_step))
            if progress is not None:
                progress(sum(map(len, times)), source.num_frames)
        frame_seconds = _by_step(np.concatenate(times), per_step)
        layers = [part.layers for part in encoded if part.layers is not None]
        features = HostVideo(
            tokens=torch.cat([part.tokens for part in encoded]),
            layers=torch.cat(layers) if layers else None,
            tail=self._family.tail().detach(),
            grid=plan.grid,
            num_front=plan.num_front,
            steps=torch.arange(len(frame_seconds)),
            frame_seconds=frame_seconds,
            duration=source.duration,
            regions=torch.cat(regions) if regions else None,
        )
        return VideoIndex(
            features=features,
            source=source.path,
            duration=source.duration,
            fps=fps,
            max_frames=max_frames,
            thumbnails=np.concatenate(thumbnails)[::per_step],
        )

    @torch.inference_mode()
    def _encode(self, part: SampledFrames, plan: FramePlan) -> StepTokens:
        weight = self._family.model.get_input_embeddings().weight
        pixels = to_pixels(part.frames, plan.pixels).to(weight.device, weight.dtype)
        steps = self._family.encode(pixels)
        if steps.tokens.shape[1] != plan.num_tokens:
            raise ValueError(
                f"the model makes {steps.tokens.shape[1]} tokens of a frame, the "
                f"processor expects {plan.num_tokens}; load both from one folder"
            )
        return steps


def _regroup(
    parts: Iterator[SampledFrames], window: int, frames_per_step: int
) -> Iterator[SampledFrames]:
    """Give frames in windows of whole steps, the last as long as it is."""
    window = -(-window // frames_per_step) * frames_per_step
    frames: list[Any] = []
    times: list[float] = []
    for part in parts:
        frames.extend(part.frames)
        times.extend(part.times.tolist())
        while len(frames) >= window:
            yield SampledFrames(np.stack(frames[:window]), np.array(times[:window]))
            frames, times = frames[window:], times[window:]
    if frames:
        yield SampledFrames(np.stack(frames), np.array(times))


def _by_step(times: Any, frames_per_step: int) -> Tensor:
    """Group times by step, the last doubled where a step is not full, ``[S, F]``."""
    missing = -len(times) % frames_per_step
    padded = np.concatenate([times, np.repeat(times[-1:], missing)])
    return torch.from_numpy(padded.astype(np.float64)).view(-1, frames_per_step)
