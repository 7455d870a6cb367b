"""All patch features of training videos, encoded once and kept on disk.

The systems that are compared start from the same patches, so none of them encodes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dynfocus.atomic import atomic_file
from dynfocus.methods import VideoPatches
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.dynfocus.vision import encode_pixels
from dynfocus.models.fingerprint import digest_weights
from dynfocus.training.features import medium_path
from dynfocus.training.sources import load_frames

_WINDOW = 64


class PatchCache:
    """Encode videos into patches, each at most once.

    Args:
        folder: Where the files stand, one a video, in half precision.
        model: The model whose vision tower encodes.
        processor: Its processor.
        fps: Frames a second.
        max_frames: At most so many frames a video.
    """

    def __init__(
        self,
        folder: str | Path,
        model: DynFocusForConditionalGeneration,
        processor: DynFocusProcessor,
        fps: float = 1.0,
        max_frames: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.tower = model.vision_tower.eval()
        self.processor = processor
        self.fps = fps
        self.max_frames = max_frames
        digest = hashlib.sha256(repr(processor.frame_size).encode())
        digest_weights(digest, self.tower)
        self._tower_digest = digest.hexdigest()

    def path(self, medium: str) -> Path:
        """Return the file of a video, whether or not it is there."""
        stamp = f"{self.fps}|{self.max_frames}|{self._tower_digest}"
        return medium_path(self.folder, medium, stamp)

    def fill(self, media: Sequence[str]) -> None:
        """Encode what is missing, with a progress bar; what is there is kept."""
        missing = [m for m in dict.fromkeys(media) if not self.path(m).is_file()]
        console = Console(stderr=True)
        for medium in track(
            missing, "Encoding", console=console, disable=not console.is_terminal
        ):
            self._encode(medium)

    def load(self, medium: str) -> VideoPatches:
        """Return the patches of a video in float32."""
        tensors = load_file(self.path(medium))
        return VideoPatches(
            patches=tensors["patches"].float(), pts_seconds=tensors["pts_seconds"]
        )

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a cached video without reading them."""
        with safe_open(self.path(medium), framework="pt") as file:
            return int(file.get_slice("pts_seconds").get_shape()[0])

    @torch.inference_mode()
    def _encode(self, medium: str) -> None:
        frames = load_frames(
            medium,
            "video",
            fps=self.fps,
            max_frames=self.max_frames,
            frame_size=self.processor.frame_size,
        )
        parts = [
            encode_pixels(self.tower, self.processor.pixel_values(window)).content
            for window in _windows(frames.frames)
        ]
        path = self.path(medium)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            "patches": torch.cat(parts).half(),
            "pts_seconds": torch.from_numpy(frames.times).double(),
        }
        with atomic_file(path) as part:
            save_file(tensors, part)


def _windows(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [frames[start : start + _WINDOW] for start in range(0, len(frames), _WINDOW)]
