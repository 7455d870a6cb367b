"""Videos and images that are decoded when a sample is asked for, and encoded in the step.

Letters: T frames of a video, C H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.training.sources import Sample, drawn_seconds, load_frames, medium_of


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """A video that is encoded in the training step."""

    pixel_values: Tensor
    """Normalised frames, ``[T, C, H, W]``."""
    pts_seconds: Tensor
    """Their times, ``[T]``."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.pixel_values)


@dataclass(frozen=True, kw_only=True)
class FrameReader:
    """Decode videos and images in the worker that asks for a sample."""

    processor: DynFocusProcessor
    fps: float = 1.0
    max_frames: int | None = None
    dtype: torch.dtype = torch.float32

    def load(self, medium: str, kind: str) -> Pixels:
        """Read a video or an image."""
        frames = load_frames(
            medium,
            kind,
            fps=self.fps,
            max_frames=self.max_frames,
            frame_size=self.processor.frame_size,
        )
        return Pixels(
            pixel_values=self.processor.pixel_values(frames.frames).to(self.dtype),
            pts_seconds=torch.from_numpy(frames.times),
        )

    def blank(self) -> Pixels:
        """Return a grey image."""
        side = self.processor.frame_size
        return Pixels(
            pixel_values=torch.zeros(1, 3, side, side, dtype=self.dtype),
            pts_seconds=torch.zeros(1, dtype=torch.float64),
        )

    def count_frames(self, sample: Sample) -> int:
        """Count the frames of a sample without opening its file.

        Raises:
            ValueError: If nothing says how long its video is.
        """
        kind, medium = medium_of(sample)
        if kind != "video":
            return int(bool(medium))
        drawn = drawn_seconds(medium)
        seconds = sample.get("duration") if drawn is None else drawn
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise ValueError(
                f"sample {sample.get('id', '?')} does not tell the 'duration' of its "
                "video, by which batches are grouped; let 'dynfocus data check' write "
                "it, or set schedule.group_by_length=false"
            )
        count = max(1, math.ceil(seconds * self.fps))
        return count if self.max_frames is None else min(count, self.max_frames)
