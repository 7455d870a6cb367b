"""The question-independent half of a video: what a second question can reuse.

Letters: T frames, P event tokens and M spatial prototypes per frame, D width,
N patches per frame, R frames that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dynfocus.focus.events import EventBatch

WINDOW_FRAMES = 64
"""Frames worked on at once, so that memory does not grow with the length of a video."""


def uniform_indices(
    num_frames: int, num_keep: int, device: torch.device | None = None
) -> Tensor:
    """Choose frames evenly: the middles of equal stretches.

    Args:
        num_frames: Frames there are, ``T``.
        num_keep: Frames to keep, from 0 to ``T``.
        device: Where the result is wanted.

    Returns:
        Increasing positions, shape ``[num_keep]``, int64.

    Raises:
        ValueError: There are fewer frames than are wanted.
    """
    if not 0 <= num_keep <= num_frames:
        raise ValueError(
            f"num_keep must be from 0 to the {num_frames} frames there are, got "
            f"{num_keep}"
        )
    middles = 2 * torch.arange(num_keep, device=device) + 1
    return middles * num_frames // (2 * max(1, num_keep))


def fill_evenly(is_kept: Tensor, num_keep: int) -> Tensor:
    """Choose frames: those that are marked, then others evenly.

    Args:
        is_kept: True at marked frames, shape ``[T]``; of too many some are taken, evenly.
        num_keep: Frames to choose, from 1 to ``T``; ``R``.

    Returns:
        Increasing frame indices, shape ``[R]``, int64.
    """
    num_frames = len(is_kept)
    if not 1 <= num_keep <= num_frames:
        raise ValueError(f"num_keep must be in [1, {num_frames}], got {num_keep}")
    marked, others = is_kept.nonzero()[:, 0], (~is_kept).nonzero()[:, 0]
    if num_keep < len(marked):
        return marked[uniform_indices(len(marked), num_keep, is_kept.device)]
    spare = uniform_indices(len(others), num_keep - len(marked), is_kept.device)
    return torch.cat([marked, others[spare]]).sort().values


class FrameEncoding(NamedTuple):
    """What a model knows of some frames, each by itself."""

    pooled: Tensor | None
    """Event tokens, ``[F, P, D]``; None where nothing was made from the patches."""
    spatial: Tensor
    """Spatial prototypes, or all patches, ``[F, M, D]``."""
    patches: Tensor | None = None
    """Patches, ``[F, N + 1, D]``, where they are kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoFeatures:
    """Hold what the model knows about a video before any question is asked.

    Without pooled frames and event prototypes these are the patches of a video from which
    nothing was made so far: what every connector can start from.
    """

    spatial: Tensor
    """Spatial prototypes of every frame, or all its patches, ``[T, M, D]``."""
    pts_seconds: Tensor
    """Presentation time of every frame, ``[T]``, float64, never falling."""
    pooled: Tensor | None = None
    """Pooled patches of every frame, ``[T, P, D]``; they are needed to estimate event
    prototypes only, and may be left out where these are there."""
    patches: Tensor | None = None
    """Normalised patches with their class token, ``[T, N + 1, D]``; only for a model
    whose text side is ``"frame_queries"``."""
    prototypes: EventBatch | None = None
    """Event prototypes of the video, as a batch of one; estimated anew when absent."""
    frame_indices: Tensor | None = None
    """Which of the sampled frames these are, ``[T]``, int64; all of them when absent."""
    is_high: Tensor | None = None
    """True at frames of a second, higher frequency, ``[T]``; none of them when absent."""
    duration: float | None = None
    """Length of the whole video in seconds, where it is known."""

    def __post_init__(self) -> None:
        for name, tensor, rank in self._ranks():
            if tensor.ndim != rank:
                raise ValueError(
                    f"{name} must have {rank} dimensions, got shape "
                    f"{tuple(tensor.shape)}"
                )
            if tensor.shape[0] != self.num_frames:
                raise ValueError(
                    f"{name} must have one entry a frame ({self.num_frames}), "
                    f"got {tensor.shape[0]}"
                )
        if self.num_frames == 0:
            raise ValueError("features must be of at least one frame, got none")
        width = self.spatial.shape[-1]
        if self.pooled is not None and self.pooled.shape[-1] != width:
            raise ValueError(
                "pooled and spatial must have the same width, got "
                f"{self.pooled.shape[-1]} and {width}"
            )

    def _ranks(self) -> list[tuple[str, Tensor, int]]:
        ranks = [("pts_seconds", self.pts_seconds, 1), ("spatial", self.spatial, 3)]
        if self.pooled is not None:
            ranks.append(("pooled", self.pooled, 3))
        if self.patches is not None:
            ranks.append(("patches", self.patches, 3))
        if self.frame_indices is not None:
            ranks.append(("frame_indices", self.frame_indices, 1))
        if self.is_high is not None:
            ranks.append(("is_high", self.is_high, 1))
        return ranks

    @property
    def is_raw(self) -> bool:
        """Tell whether these are patches from which nothing was made so far."""
        return self.pooled is None and self.prototypes is None

    @property
    def is_divisible(self) -> bool:
        """Tell whether some of the frames can be taken for a video of their own."""
        return self.pooled is not None or self.is_raw

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return int(self.pts_seconds.shape[0])

    @property
    def frame_seconds(self) -> Tensor:
        """Times of the frames of each step, which is one frame here, ``[T, 1]``."""
        return self.pts_seconds[:, None]

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> VideoFeatures:
        """Move to a device or change the precision; times stay float64."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype)

        return replace(
            self,
            pooled=None if self.pooled is None else move(self.pooled),
            spatial=move(self.spatial),
            pts_seconds=self.pts_seconds.to(device=device),
            patches=None if self.patches is None else move(self.patches),
            prototypes=_move(self.prototypes, device, dtype),
            frame_indices=(
                None
                if self.frame_indices is None
                else self.frame_indices.to(device=device)
            ),
            is_high=None if self.is_high is None else self.is_high.to(device=device),
        )

    @classmethod
    def join(
        cls, parts: Sequence[FrameEncoding], pts_seconds: Tensor | Sequence[float]
    ) -> VideoFeatures:
        """Join the encoded windows of one video, without event prototypes.

        Args:
            parts: What is known of the frames of each window, in time order.
            pts_seconds: Presentation time of every frame, shape ``[T]``.
        """
        if not parts:
            raise ValueError("a video must have at least one frame, got none")
        pooled, spatial, patches = zip(*parts, strict=True)
        times = torch.as_tensor(pts_seconds, dtype=torch.float64)
        return cls(
            pooled=None if pooled[0] is None else torch.cat(pooled),
            spatial=torch.cat(spatial),
            pts_seconds=times.to(spatial[0].device),
            patches=None if patches[0] is None else torch.cat(patches),
        )

    def mix(self, high: VideoFeatures) -> VideoFeatures:
        """Add the frames of a second, higher frequency, in order of time.

        Args:
            high: These frames; one that is in both stands once, as one of these.

        Returns:
            The patches of all, without event prototypes.

        Raises:
            ValueError: Something was made from the patches already.
        """
        if not (self.is_raw and high.is_raw):
            raise ValueError(
                "only patches of two frequencies can be mixed; encode the video with a "
                "SlowFocus model"
            )
        low = self
        is_twice = torch.isin(low.pts_seconds, high.pts_seconds.to(low.pts_seconds))
        if bool(is_twice.any()):
            if bool(is_twice.all()):
                return replace(high, is_high=torch.ones_like(high.pts_seconds).bool())
            low = low.take((~is_twice).nonzero()[:, 0])
        before = low.is_high
        if before is None:
            before = torch.zeros_like(low.pts_seconds, dtype=torch.bool)
        added = torch.ones_like(high.pts_seconds, dtype=torch.bool)
        times = torch.cat([low.pts_seconds, high.pts_seconds.to(low.pts_seconds)])
        order = times.argsort(stable=True)
        return VideoFeatures(
            spatial=torch.cat([low.spatial, high.spatial.to(low.spatial)])[order],
            pts_seconds=times[order],
            is_high=torch.cat([before, added.to(before.device)])[order],
            duration=self.duration,
        )

    def take(self, frames: Tensor) -> VideoFeatures:
        """Take some frames for a video of their own.

        Args:
            frames: Increasing positions, shape ``[R]``, int64.

        Returns:
            The features of these frames alone, without event prototypes.

        Raises:
            ValueError: There are no pooled frames to estimate new prototypes from.
        """
        if not self.is_divisible:
            raise ValueError(
                f"{len(frames)} of {self.num_frames} frames cannot be taken: "
                "these features come from a compact index, which keeps no pooled "
                "frames; ask about the file itself, with max_frames or a smaller fps"
            )
        return self._rows(frames.to(self.spatial.device), None, self.frame_indices)

    def not_before(self, start: float) -> VideoFeatures:
        """Time frames that were on display at ``start`` already from then on."""
        return replace(self, pts_seconds=self.pts_seconds.clamp(min=start))

    def at(self, frames: Tensor) -> VideoFeatures:
        """Leave some frames, and of the event prototypes what all frames told.

        Args:
            frames: Increasing positions, shape ``[R]``, int64: the centre of every event
                prototype is among them, or all of them are such centres.
        """
        numbers = self.frame_indices
        if numbers is None:
            numbers = torch.arange(self.num_frames, device=self.spatial.device)
        events = self.prototypes and _events_at(self.prototypes, frames)
        return self._rows(frames, events, numbers)

    def thin(self, max_frames: int | None) -> VideoFeatures:
        """Leave at most so many frames: those that count most, then others evenly.

        The centres of events count most, or the frames of the higher frequency. Every
        frame, kept or not, has had its part in the event prototypes, where these are
        known. Not in the paper, where every sampled frame has tokens.

        Args:
            max_frames: Frames to keep, from 1; None for all of them.
        """
        if max_frames is None or max_frames >= self.num_frames:
            return self
        is_kept = torch.zeros_like(self.pts_seconds, dtype=torch.bool)
        if self.prototypes is not None:
            is_kept[self.prototypes.frames[0]] = True
        elif self.is_high is not None:
            is_kept = self.is_high
        return self.at(fill_evenly(is_kept, max_frames))

    def number(self, frames: Tensor) -> Tensor:
        """Give the places of some frames among all that were sampled."""
        return frames if self.frame_indices is None else self.frame_indices[frames]

    def _rows(
        self,
        frames: Tensor,
        prototypes: EventBatch | None,
        numbers: Tensor | None,
    ) -> VideoFeatures:
        return VideoFeatures(
            pooled=None if self.pooled is None else self.pooled[frames],
            spatial=self.spatial[frames],
            pts_seconds=self.pts_seconds[frames],
            patches=None if self.patches is None else self.patches[frames],
            prototypes=prototypes,
            frame_indices=None if numbers is None else numbers[frames],
            is_high=None if self.is_high is None else self.is_high[frames],
            duration=self.duration,
        )


def _events_at(events: EventBatch, frames: Tensor) -> EventBatch:
    """Give the prototypes of one video for some of its frames."""
    centers = events.frames[0]
    is_kept = torch.isin(centers, frames)  # [L]
    places = is_kept.cumsum(0) - 1
    assignment = events.assignment[:, frames]
    return EventBatch(
        features=events.features[:, is_kept],
        frames=torch.searchsorted(frames, centers[is_kept])[None],
        mask=events.mask[:, is_kept],
        assignment=places[assignment].where(assignment >= 0, -1),
    )


def _move(
    prototypes: EventBatch | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> EventBatch | None:
    if prototypes is None:
        return None
    return EventBatch(
        features=prototypes.features.to(device=device, dtype=dtype),
        frames=prototypes.frames.to(device=device),
        mask=prototypes.mask.to(device=device),
        assignment=prototypes.assignment.to(device=device),
    )
