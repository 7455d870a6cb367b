"""What encodes the frames of a video that is still coming, a few at a time.

Letters: F frames, S side of the model's frames, and for each model's own rows any others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import EventBatch, VideoFeatures


class FrameRows(NamedTuple):
    """What a model knows of some frames, a row of each."""

    own: Mapping[str, Tensor]
    """What a frame keeps for itself, by name, each ``[F, ...]``."""
    shared: Tensor | None = None
    """What is averaged with that of frames that are dropped, ``[F, ...]``."""


class FrameEncoder(Protocol):
    """What encodes the frames of a video that is still coming."""

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width at which frames are best pushed; None for those of the video."""

    def take(self, frames: NDArray[np.uint8]) -> Tensor:
        """Take frames of uint8, ``[F, H, W, 3]``, as they wait for others, ``[F, ...]``."""

    def encode(self, taken: Tensor) -> FrameRows:
        """Encode frames that were taken, each by itself."""

    def join(self, held: FrameRows, pts_seconds: Tensor, duration: float) -> Any:
        """Make the features of a video of the rows that are held.

        Args:
            held: The rows, of every frame that is held.
            pts_seconds: Time of each, ``[F]``.
            duration: When the last frame ends, in seconds.
        """

    def estimate(self, features: Any) -> EventBatch | None:
        """Estimate the event prototypes of frames; None where the model has none."""

    def complete(self, features: Any, events: EventBatch | None) -> Any:
        """Add event prototypes to features."""


class FocusFrames:
    """Encode frames for a DynFocus model.

    Args:
        model: The model.
        processor: Its processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self.frame_size = (processor.frame_size, processor.frame_size)

    def take(self, frames: NDArray[np.uint8]) -> Tensor:
        """Normalise frames of uint8, ``[F, H, W, 3]``, to ``[F, 3, S, S]``."""
        pixels: Tensor = self._processor.pixel_values(frames)
        return pixels

    def encode(self, taken: Tensor) -> FrameRows:
        """Encode normalised frames, each by itself."""
        with torch.no_grad():
            pooled, spatial, patches = self._model.encode_frames(taken)
        assert pooled is not None  # a session needs the events of its frames
        own = {"spatial": spatial}
        if patches is not None:
            own["patches"] = patches
        return FrameRows(own, pooled)

    def join(
        self, held: FrameRows, pts_seconds: Tensor, duration: float
    ) -> VideoFeatures:
        """Make features without events of the rows that are held."""
        spatial = held.own["spatial"]
        return VideoFeatures(
            pooled=held.shared,
            spatial=spatial,
            pts_seconds=pts_seconds.to(spatial.device),
            patches=held.own.get("patches"),
        )

    def estimate(self, features: VideoFeatures) -> EventBatch:
        """Estimate the event prototypes of frames."""
        events = self._model.focus_network.add_events(features).prototypes
        assert events is not None  # just estimated
        return events

    def complete(
        self, features: VideoFeatures, events: EventBatch | None
    ) -> VideoFeatures:
        """Add event prototypes to features."""
        return replace(features, prototypes=events)
