"""The event prototypes of any video, found without weights and without a question.

T-DPC (Eq. 1 and 4 of the paper) over cheap image features: the frames at density peaks
are the prototypes, every other frame belongs to the nearest of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dynfocus.methods.image_features import LOOK_PIXELS, fit_size, image_features
from dynfocus.methods.overview import Progress, read_overview
from dynfocus.methods.selectors.prototypes import find_events, stretches_of
from dynfocus.video import VideoReader


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
    frames, times = read_overview(
        reader, fit_size(reader.size, LOOK_PIXELS), fps=fps, progress=progress
    )
    if num_prototypes is not None and not 1 <= num_prototypes <= len(times):
        raise ValueError(
            f"num_prototypes must be from 1 to the {len(times)} frames looked at, got "
            f"{num_prototypes}; ask for fewer prototypes or look at more frames (fps)"
        )
    features = torch.from_numpy(image_features(frames))
    found = find_events(features, num_prototypes, reader.duration)
    centers = found.centers[0].numpy()
    size = fit_size(reader.size, tile_pixels)
    shown = reader.sample(times=times[centers], size=size)
    pictures = dict(zip(shown.times.tolist(), shown.frames, strict=True))
    stretches = stretches_of(found.assignment[0].numpy(), times, reader.duration)
    tiles = tuple(
        StoryboardTile(
            pts_seconds=float(times[center]),
            picture=pictures.get(float(times[center]), _enlarged(frames[center], size)),
            stretches=stretches[number],
            score=float(found.score[0, center]),
        )
        for number, center in enumerate(centers)
    )
    return Storyboard(
        name=Path(path).name,
        duration=float(reader.duration),
        num_frames=len(times),
        tiles=tiles,
    )


def _enlarged(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Enlarge a frame: of a damaged file, the second time it may not be decoded."""
    return np.asarray(Image.fromarray(frame).resize(size[::-1]))
