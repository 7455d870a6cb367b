"""The question-independent half of a video: what a second question can reuse.

Letters: T frames, P event tokens and M spatial prototypes per frame, D width,
N patches per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dynfocus.focus import TimePrototypes


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoFeatures:
    """Hold what the model knows about a video before any question is asked."""

    pooled: Tensor
    """Pooled patches of every frame, ``[T, P, D]``."""
    spatial: Tensor
    """Spatial prototypes of every frame, ``[T, M, D]``."""
    pts_seconds: Tensor
    """Presentation time of every frame, ``[T]``, float64, never falling."""
    patches: Tensor | None = None
    """Normalised patches with their class token, ``[T, N + 1, D]``; only for a model
    whose text side is ``"frame_queries"``."""
    prototypes: TimePrototypes | None = None
    """Event prototypes of the video, as a batch of one; estimated anew when absent."""

    def __post_init__(self) -> None:
        for name, tensor, rank in self._ranks():
            if tensor.ndim != rank:
                raise ValueError(
                    f"{name} must have {rank} dimensions, got shape "
                    f"{tuple(tensor.shape)}"
                )
            if tensor.shape[0] != self.pooled.shape[0]:
                raise ValueError(
                    f"{name} must have one entry a frame ({self.pooled.shape[0]}), "
                    f"got {tensor.shape[0]}"
                )
        if self.num_frames == 0:
            raise ValueError("pooled must hold at least one frame, got none")
        if self.pooled.shape[-1] != self.spatial.shape[-1]:
            raise ValueError(
                "pooled and spatial must have the same width, got "
                f"{self.pooled.shape[-1]} and {self.spatial.shape[-1]}"
            )

    def _ranks(self) -> list[tuple[str, Tensor, int]]:
        ranks = [
            ("pooled", self.pooled, 3),
            ("spatial", self.spatial, 3),
            ("pts_seconds", self.pts_seconds, 1),
        ]
        if self.patches is not None:
            ranks.append(("patches", self.patches, 3))
        return ranks

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return int(self.pooled.shape[0])

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
            pooled=move(self.pooled),
            spatial=move(self.spatial),
            pts_seconds=self.pts_seconds.to(device=device),
            patches=None if self.patches is None else move(self.patches),
            prototypes=_move(self.prototypes, device, dtype),
        )

    def take(self, frame_indices: Tensor) -> VideoFeatures:
        """Keep some frames.

        Args:
            frame_indices: Increasing positions, shape ``[T']``, int64.

        Returns:
            The features of these frames alone, without event prototypes.
        """
        indices = frame_indices.to(self.pooled.device)
        return VideoFeatures(
            pooled=self.pooled[indices],
            spatial=self.spatial[indices],
            pts_seconds=self.pts_seconds[indices],
            patches=None if self.patches is None else self.patches[indices],
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
