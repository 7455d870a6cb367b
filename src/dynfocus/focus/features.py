"""The question-independent half of a video: what a second question can reuse.

Letters: T frames, P event tokens and M spatial prototypes per frame, D width,
N patches per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dynfocus.focus.events import TimePrototypes
from dynfocus.focus.thinning import thin_frames


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


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoFeatures:
    """Hold what the model knows about a video before any question is asked."""

    spatial: Tensor
    """Spatial prototypes of every frame, ``[T, M, D]``."""
    pts_seconds: Tensor
    """Presentation time of every frame, ``[T]``, float64, never falling."""
    pooled: Tensor | None = None
    """Pooled patches of every frame, ``[T, P, D]``; they are needed to estimate event
    prototypes only, and may be left out where these are there."""
    patches: Tensor | None = None
    """Normalised patches with their class token, ``[T, N + 1, D]``; only for a model
    whose text side is ``"frame_queries"``."""
    prototypes: TimePrototypes | None = None
    """Event prototypes of the video, as a batch of one; estimated anew when absent."""
    frame_indices: Tensor | None = None
    """Which of the sampled frames these are, ``[T]``, int64; all of them when absent."""

    def __post_init__(self) -> None:
        if self.pooled is None and self.prototypes is None:
            raise ValueError(
                "pooled frames or event prototypes must be given, got neither; encode "
                "the video again"
            )
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
        return ranks

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return int(self.pts_seconds.shape[0])

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
        )

    def take(self, frame_indices: Tensor) -> VideoFeatures:
        """Keep some frames.

        Args:
            frame_indices: Increasing positions, shape ``[T']``, int64.

        Returns:
            The features of these frames alone, without event prototypes.

        Raises:
            ValueError: There are no pooled frames to estimate new prototypes from.
        """
        if self.pooled is None:
            raise ValueError(
                f"{len(frame_indices)} of {self.num_frames} frames cannot be taken: "
                "these features come from a compact index, which keeps no pooled "
                "frames; ask about the file itself, with max_frames or a smaller fps"
            )
        indices = frame_indices.to(self.pooled.device)
        return self._at(indices, None, self.frame_indices)

    def thin(self, num_keep: int, relevance: Tensor | None = None) -> VideoFeatures:
        """Keep some frames, and the event prototypes of all of them.

        Args:
            num_keep: Frames to keep, from 1 to ``T``; `thin_frames` says which.
            relevance: How well each frame fits the question, ``[T]``.

        Returns:
            The features of these frames; the features themselves if they are all.
        """
        if num_keep == self.num_frames:
            return self
        if self.prototypes is None:
            raise ValueError(
                "features can be thinned only with their event prototypes, got none; "
                "add them with add_prototypes"
            )
        frames, prototypes = thin_frames(
            self.prototypes, self.num_frames, num_keep, relevance
        )
        numbers = self.frame_indices
        if numbers is None:
            numbers = torch.arange(self.num_frames, device=frames.device)
        return self._at(frames, prototypes, numbers)

    def number(self, frames: Tensor) -> Tensor:
        """Give the places of some frames among all that were sampled."""
        return frames if self.frame_indices is None else self.frame_indices[frames]

    def _at(
        self,
        frames: Tensor,
        prototypes: TimePrototypes | None,
        numbers: Tensor | None,
    ) -> VideoFeatures:
        return VideoFeatures(
            pooled=None if self.pooled is None else self.pooled[frames],
            spatial=self.spatial[frames],
            pts_seconds=self.pts_seconds[frames],
            patches=None if self.patches is None else self.patches[frames],
            prototypes=prototypes,
            frame_indices=None if numbers is None else numbers[frames],
        )


def _move(
    prototypes: TimePrototypes | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> TimePrototypes | None:
    if prototypes is None:
        return None
    return TimePrototypes(
        features=prototypes.features.to(device=device, dtype=dtype),
        frames=prototypes.frames.to(device=device),
        mask=prototypes.mask.to(device=device),
        assignment=prototypes.assignment.to(device=device),
    )
