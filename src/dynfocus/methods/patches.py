"""Where every connector starts: the patches of a video, from the frozen tower."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoPatches:
    """The patches of every frame of a video, before anything is compressed."""

    patches: Tensor
    """Patch features on a square grid, shape ``[T, N, D]``."""
    pts_seconds: Tensor
    """Presentation time of every frame, shape ``[T]``, float64."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.patches)
