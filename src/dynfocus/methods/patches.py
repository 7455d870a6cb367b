"""Where every connector starts: the patches of a video, from the frozen tower."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dynfocus.focus import uniform_indices


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoPatches:
    """The patches of every frame of a video, before anything is compressed."""

    patches: Tensor
    """Patch features on a square grid, shape ``[T, N, D]``."""
    pts_seconds: Tensor
    """Presentation time of every frame, shape ``[T]``, float64."""
    frame_indices: Tensor | None = None
    """Place of every frame among all that were sampled, ``[T]``; None if these are all."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.patches)

    def thin(self, num_keep: int | None) -> VideoPatches:
        """Keep some frames, evenly spaced.

        Args:
            num_keep: At most so many frames; all if None.
        """
        if num_keep is None or num_keep >= self.num_frames:
            return self
        frames = uniform_indices(self.num_frames, num_keep)
        return VideoPatches(
            patches=self.patches[frames],
            pts_seconds=self.pts_seconds[frames],
            frame_indices=self.number(frames),
        )

    def number(self, frames: Tensor) -> Tensor:
        """Give the places of some frames among all that were sampled."""
        return frames if self.frame_indices is None else self.frame_indices[frames]
