"""The event prototypes of any video, found without weights and without a question.

T-DPC (Eq. 1 and 4 of the paper) over cheap image features: the frames at density peaks
are the prototypes, every other frame belongs to the nearest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.methods import (
    distinct_frames,
    find_events,
    fit_size,
    image_features,
)
from dynfocus.methods.image_features import LOOK_PIXELS
from dynfocus.video import VideoReader

Progress = Callable[[int, int], None]

_NUM_LOOKS = (90, 300)
_LOOKS_PER_SECOND = 2.0


@dataclass(frozen=True, kw_only=True)
class StoryboardTile:
    """One event prototype and the part of the video that it stands for."""

    pts_seconds: float
    """When the prototype frame is shown."""
    picture: NDArray[np.uint8]
    """The prototype frame, ``[H, W, 3]``."""
    stretches: tuple[tuple[float, float], ...]
    """Half-open intervals in seconds that the prototype covers, in time order."""
    score: float
    """Density times distance: how much the frame stands out."""

    @property
    def covered_seconds(self) -> float:
        """Length of all stretches together."""
        return sum(end - start for start, end in self.stretches)


@dataclass(frozen=True, kw_only=True)
class Storyboard:
    """The event prototypes of a video, in time order."""

    name: str
    """File name of the video."""
    duration: float
    """Seconds."""
    num_frames: int
    """How many frames were looked at."""
    tiles: tuple[StoryboardTile, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without the pictures."""
        return {
            "video": self.name,
            "duration": round(self.duration, 3),
            "num_frames": self.num_frames,
            "prototypes": [
                {
                    "time": round(tile.pts_seconds, 3),
                    "covered_seconds": round(tile.covered_seconds, 3),
                    "stretches": [
                        [round(start, 3), round(end, 3)]
                        for start, end in tile.stretches
                    ],
                    "score": round(tile.score, 4),
                }
                for tile in self.tiles
            ],
        }


def make_storyboard(
    path: str | Path,
    *,
    num_prototypes: int | None = None,
    fps: float | None = None,
    tile_pixels: int = 320,
    progress: Progress | None = None,
) -> Storyboard:
    """Find the event prototypes of a video.

    Args:
        path: Any video file.
        num_prototypes: How many; by default as many as stand out, 12 at most for up to
            three minutes and 30 at most for longer videos.
        fps: Frames looked at in a second; by default 2, but 90 to 300 frames in all.
        tile_pixels: Longer side of the pictures in the result.
        progress: Called with frames read and frames in all.

    Returns:
        The prototypes with the stretches that they cover.

    Raises:
        ValueError: There are fewer frames than prototypes wanted.
    """
    reader = VideoReader(path)
    frames, times = reader.sample(
        fps=fps if fps is not None else _choose_rate(reader),
        size=fit_size(reader.size, LOOK_PIXELS),
        progress=progress,
    )
    frames, times = distinct_frames(frames, times)
    if num_prototypes is not None and not 1 <= num_prototypes <= len(times):
        raise ValueError(
            f"num_prototypes must be from 1 to the {len(times)} frames looked at, got "
            f"{num_prototypes}; ask for fewer prototypes or look at more frames (fps)"
        )
    found = find_events(image_features(frames), num_prototypes, reader.duration)
    centers = found.centers[0].numpy()
    pictures = reader.sample(
        times=times[centers], size=fit_size(reader.size, tile_pixels)
    ).frames
    stretches = _stretches(found.assignment[0].numpy(), times, reader.duration)
    tiles = tuple(
        StoryboardTile(
            pts_seconds=float(times[center]),
            picture=picture,
            stretches=stretches[number],
            score=float(found.score[0, center]),
        )
        for number, (center, picture) in enumerate(zip(centers, pictures, strict=True))
    )
    return Storyboard(
        name=Path(path).name,
        duration=float(reader.duration),
        num_frames=len(times),
        tiles=tiles,
    )


def _choose_rate(reader: VideoReader) -> float:
    """Look twice a second, at 90 to 300 frames, and never faster than frames come."""
    least, most = _NUM_LOOKS
    wanted = min(max(_LOOKS_PER_SECOND * reader.duration, least), most)
    return min(wanted / reader.duration, reader.fps)


def _stretches(
    assignment: NDArray[np.int64], times: NDArray[np.float64], duration: float
) -> dict[int, tuple[tuple[float, float], ...]]:
    """Join neighbouring frames of one cluster into intervals of time."""
    starts = np.flatnonzero(np.diff(assignment, prepend=-1))
    ends = np.append(times[starts[1:]], max(duration, times[-1]))
    result: dict[int, tuple[tuple[float, float], ...]] = {}
    for index, end in zip(starts, ends, strict=True):
        cluster = int(assignment[index])
        stretch = (float(times[index]), float(end))
        result[cluster] = (*result.get(cluster, ()), stretch)
    return result
