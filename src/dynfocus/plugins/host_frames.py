"""Frames of a video that is still coming, encoded by a host as they come.

Letters: F frames, H and W of a frame, N tokens of a step, D width of the language model.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import EventBatch
from dynfocus.methods import FrameScorer
from dynfocus.methods.spending import encode_regions
from dynfocus.models.frame_encoders import FrameRows
from dynfocus.plugins.family import Family, FramePlan, HostFeatures
from dynfocus.plugins.host_pixels import to_pixels

_MOST_FRAMES = 1024


class HostFrames:
    """Encode frames for a host, each as a step of its own.

    A host that reads frames in pairs is given each of them twice, as it is given a picture:
    a step must not wait for the frame after it. Where the size of frames depends on how many
    there are, it is that of as many as may be held.

    Args:
        family: The host.
        pictures: What compares pictures with a question, if anything does.
        max_frames: Most frames that are held; None for any number.
    """

    frame_size = None

    def __init__(
        self, family: Family, pictures: FrameScorer | None, max_frames: int | None
    ) -> None:
        self._family = family
        self._pictures = pictures
        self._max_frames = max_frames or _MOST_FRAMES
        self._plan: FramePlan | None = None

    def take(self, frames: NDArray[np.uint8]) -> Tensor:
        """Take frames of uint8 as they are, ``[F, H, W, 3]``: the scorer sees them, too."""
        return torch.from_numpy(np.ascontiguousarray(frames))

    @torch.inference_mode()
    def encode(self, taken: Tensor) -> FrameRows:
        """Encode frames, ``[F, H, W, 3]``, to tokens, ``[F, N, D]``."""
        frames = taken.numpy()
        per_step = self._family.frames_per_step
        if self._plan is None:
            size = (frames.shape[1], frames.shape[2])
            self._plan = self._family.plan_frames(size, self._max_frames * per_step)
        weight = self._family.model.get_input_embeddings().weight
        pixels = to_pixels(frames, self._plan.pixels).to(weight.device, weight.dtype)
        steps = self._family.encode(pixels.repeat_interleave(per_step, dim=0))
        own = {"tokens": steps.tokens}
        if steps.layers is not None:
            own["layers"] = steps.layers
        if self._pictures is not None:
            own["regions"] = encode_regions(self._pictures, frames, 1)
        return FrameRows(own)

    def join(
        self, held: FrameRows, pts_seconds: Tensor, duration: float
    ) -> HostFeatures:
        """Make features of the rows that are held."""
        assert self._plan is not None  # a frame was encoded
        per_step = self._family.frames_per_step
        return HostFeatures(
            tokens=held.own["tokens"],
            layers=held.own.get("layers"),
            tail=self._family.tail().detach(),
            grid=self._plan.grid,
            num_front=self._plan.num_front,
            steps=torch.arange(len(pts_seconds)),
            frame_seconds=pts_seconds[:, None].repeat(1, per_step),
            duration=duration,
            regions=held.own.get("regions"),
            plan=self._plan,
        )

    def estimate(self, features: HostFeatures) -> EventBatch | None:
        """Estimate nothing: a host has no event prototypes."""
        return None

    def complete(
        self, features: HostFeatures, events: EventBatch | None
    ) -> HostFeatures:
        """Leave features as they are."""
        return features
