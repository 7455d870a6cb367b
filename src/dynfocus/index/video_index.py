"""A video encoded once: its features, where they came from, small pictures.

Letters: T frames, H and W of a thumbnail.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.index.pictures import Pictures


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """Hold an encoded video; it takes the place of a path in every question."""

    features: Any
    """The question-independent half, for DynFocus `VideoFeatures`."""
    source: str | None
    """The file it was read from."""
    duration: float
    """Length of the video in seconds."""
    fps: float
    """Frames sampled per second."""
    max_frames: int | None = None
    """At most so many frames were sampled."""
    thumbnails: NDArray[np.uint8] | Pictures | None = None
    """The sampled frames in small, ``[T, H, W, 3]``."""
    is_from_disk: bool = False
    """Whether it was opened from an index on disk; else the video was read."""
    entry: Path | None = None
    """The file that keeps it, if one does."""

    def __post_init__(self) -> None:
        if self.thumbnails is None:
            return
        shape = self.thumbnails.shape
        if len(shape) != 4 or shape[0] != self.features.num_frames or shape[3] != 3:
            raise ValueError(
                "thumbnails must have shape [T, H, W, 3] with one entry a frame "
                f"({self.features.num_frames}), got {shape}"
            )

    @property
    def num_frames(self) -> int:
        """Count the sampled frames."""
        return int(self.features.num_frames)
