"""DynFocus as one connector among others, with the variants that its paper ablates.

Letters beyond the shared ones: ``C`` tokens of a Cone, ``H`` width of the language model,
``G`` tokens of all videos of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dynfocus.focus import (
    CooperativeEncoding,
    EventPrototypes,
    EventSelection,
    FocusSettings,
    SpatialPrototypes,
    VideoFeatures,
)
from dynfocus.focus.tokens import NUM_ROD_TOKENS
from dynfocus.methods.connectors.interface import ConnectedVideo, ConnectorSizes
from dynfocus.methods.patches import VideoPatches
from dynfocus.models.dynfocus.blocks import VideoBatch, block_prototypes, pad_videos
from dynfocus.models.dynfocus.reading import frame_rater, thin_videos

Cone = Literal["compact", "cross_attention", "patches", "rods", "none"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FocusVideo:
    """The question-independent half of a video, with its patches where they are needed."""

    features: VideoFeatures
    """Pooled patches, spatial prototypes and event prototypes."""
    patches: Tensor | None
    """All patches, shape ``[T, N, D]``; None where no variant needs them."""
    num_read: int
    """Frames that have tokens."""

    @property
    def num_frames(self) -> int:
        """Count the frames that have tokens."""
        return self.num_read


class CrossFusion(nn.Module):
    r"""Fuse event tokens with spatial prototypes by attention (Table 12, first row).

    .. math:: h_k + \mathrm{Softmax}\Big(\frac{W_q h_k (W_k G_t)^\top}{\sqrt D}\Big) G_t
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query_projector = nn.Linear(dim, dim)
        self.key_projector = nn.Linear(dim, dim)

    def forward(self, events: Tensor, spatial: Tensor) -> Tensor:
        """Fuse ``[F, P, D]`` with ``[F, M, D]`` into ``[F, P, D]``."""
        queries = self.query_projector(events)
        keys = self.key_projector(spatial)
        logits = queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[2])
        return events + logits.softmax(dim=2) @ spatial


class DynFocusConnector(nn.Module):
    """Cones for the frames that matter and Rods for the others, in variants.

    ``cone`` says what becomes of a kept frame: ``compact`` is Eq. 10; ``cross_attention``
    fuses its two halves (Table 12); ``patches`` keeps all patches, ``rods`` gives it Rods
    like any other frame and ``none`` nothing (Table 6). ``rods=False`` drops the Rods of
    all frames (Table 6).

    Args:
        sizes: What it connects.
        settings: The dynamic cooperative network. The time is not its business here.
        cone: What becomes of a kept frame.
        rods: Whether frames have Rods.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        settings: FocusSettings,
        cone: Cone = "compact",
        rods: bool = True,
    ) -> None:
        super().__init__()
        if cone not in get_args(Cone):
            raise ValueError(
                f"cone must be one of {', '.join(get_args(Cone))}, got {cone!r}"
            )
        if not rods and cone in ("rods", "none"):
            raise ValueError(
                f"rods=False with cone={cone!r} leaves no tokens; use cone='compact'"
            )
        if settings.extensions.use_clock:
            raise ValueError(
                "use_clock must be off in a connector, got True; the language model adds "
                "the time"
            )
        if settings.max_read_frames is not None:
            raise ValueError(
                "max_read_frames must be None in a connector, got "
                f"{settings.max_read_frames}; thin the video instead"
            )
        self.settings, self.cone, self.use_rods = settings, cone, rods
        self.num_patches, self.hidden_size = sizes.num_patches, sizes.hidden_size
        self.events = EventPrototypes(settings, sizes.dim, sizes.text_dim)
        self.spatial = SpatialPrototypes(**settings.spatial_arguments)
        self.encoding = CooperativeEncoding(
            settings, sizes.dim, sizes.text_dim, sizes.hidden_size
        )
        self.fusion = CrossFusion(sizes.dim) if cone == "cross_attention" else None

    @property
    def num_tokens_per_cone(self) -> int:
        """Tokens of a kept frame beside its Rods."""
        settings = self.settings
        lengths = {
            "compact": settings.num_tokens_per_cone,
            "cross_attention": settings.num_event_tokens,
            "patches": self.num_patches,
        }
        return lengths.get(self.cone, 0)

    @property
    def _kept_has_rods(self) -> bool:
        if self.cone in ("rods", "none"):
            return self.cone == "rods"
        return self.use_rods and self.settings.cones_with_rods

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone (Eq. 13)."""
        kept = self.settings.num_cones_for(num_frames)
        rods = (num_frames - kept) * self.use_rods + kept * self._kept_has_rods
        return kept * self.num_tokens_per_cone + NUM_ROD_TOKENS * rods

    @torch.no_grad()
    def prepare(self, video: VideoPatches, num_read: int | None = None) -> FocusVideo:
        """Pool, cluster patches and cluster frames; no question is needed.

        Which frames are read, where they are not all, `thin_frames` decides for each
        question; every frame has its part in the event prototypes.
        """
        pooled = self.events.pool(video.patches)
        features = VideoFeatures(
            pooled=pooled,
            spatial=self.spatial(video.patches),
            pts_seconds=video.pts_seconds,
        )
        mask = torch.ones(1, video.num_frames, dtype=torch.bool)
        prototypes = self.events.estimate(pooled[None], mask)
        needs_patches = self.cone == "patches" or self.settings.spatial_gate
        return FocusVideo(
            features=replace(features, prototypes=prototypes),
            patches=video.patches if needs_patches else None,
            num_read=min(num_read or video.num_frames, video.num_frames),
        )

    def forward(
        self, videos: Sequence[FocusVideo], text: Tensor, text_mask: Tensor
    ) -> list[ConnectedVideo]:
        """Select frames and encode them (Eq. 6 to 13)."""
        features, _ = thin_videos(
            [self._with_gate(video) for video in videos],
            range(len(videos)),
            [video.num_read for video in videos],
            lambda video: video,  # each has its prototypes
            frame_rater(self.encoding.relevance_encoding, text, text_mask),
        )
        batch = pad_videos(features)
        prototypes = block_prototypes(
            self.events, batch, features, range(len(features))
        )
        ratings = self.encoding.rate(batch.spatial, text, text_mask)
        selection = self.events(
            prototypes,
            num_frames=batch.num_frames,
            spatial=prototypes.at_centers(batch.spatial),
            text=text,
            text_mask=text_mask,
            ratings=ratings,
        )
        rods = self.encoding.rods(batch.spatial, batch.mask, text, text_mask)
        marks = self.encoding.mark(ratings, batch.mask)
        cones = self._cones(videos, features, batch.spatial, selection)
        connected = self._lay_out(batch, selection, cones, rods, marks)
        return [
            replace(tokens, fine_frames=video.number(tokens.fine_frames))
            for tokens, video in zip(connected, features, strict=True)
        ]

    def _with_gate(self, video: FocusVideo) -> VideoFeatures:
        """Cluster patches anew where a learned gate scales the clusters."""
        if not self.settings.spatial_gate:
            return video.features
        assert video.patches is not None
        return replace(video.features, spatial=self.spatial(video.patches))

    def _cones(
        self,
        videos: Sequence[FocusVideo],
        features: Sequence[VideoFeatures],
        spatial: Tensor,
        selection: EventSelection,
    ) -> Tensor:
        """Encode the kept frames of all videos in a row, ``[sum K, C, H]``."""
        projector = self.encoding.multi_modal_projector
        entry, slot = selection.mask.nonzero(as_tuple=True)
        frames = selection.frames[entry, slot]
        if self.num_tokens_per_cone == 0:
            return torch.zeros(len(entry), 0, self.hidden_size)
        if self.cone == "patches":
            rows = []
            for video, frame in zip(entry.tolist(), frames, strict=True):
                patches = videos[video].patches
                assert patches is not None
                rows.append(patches[features[video].number(frame)])
            return projector(torch.stack(rows))
        kept = spatial[entry, frames]  # [sum K, M, D]
        events = selection.events[entry, slot].to(kept.dtype)
        if self.fusion is not None:
            return projector(self.fusion(events, kept))
        return projector(torch.cat([events, kept], dim=1))

    def _lay_out(
        self,
        batch: VideoBatch,
        selection: EventSelection,
        cones: Tensor,
        rods: Tensor,
        marks: Tensor | None,
    ) -> list[ConnectedVideo]:
        """Put the tokens of all frames in time order, Cones before Rods (Eq. 13).

        ``marks``, ``[B, T, H]``, are added to the tokens of their frames.
        """
        num_videos, num_slots = batch.mask.shape
        frame = torch.arange(num_videos * num_slots).view(num_videos, num_slots)
        is_cone = selection.cone_mask[batch.mask]
        with_rods = is_cone * self._kept_has_rods | ~is_cone & self.use_rods
        owners = torch.cat(
            [
                frame[selection.cone_mask].repeat_interleave(cones.shape[1]),
                frame[batch.mask][with_rods].repeat_interleave(NUM_ROD_TOKENS),
            ]
        )
        tokens = torch.cat([cones.flatten(0, 1), rods[with_rods].flatten(0, 1)])
        order = owners.sort(stable=True).indices  # [G]: Cones come first in a frame
        owners, tokens = owners[order], tokens[order]
        if marks is not None:
            tokens = tokens + marks.flatten(0, 1)[owners]
        seconds = batch.pts_seconds.flatten()[owners]
        counts = (owners // num_slots).bincount(minlength=num_videos).tolist()
        return [
            ConnectedVideo(embeds=embeds, pts_seconds=times, fine_frames=fine)
            for embeds, times, fine in zip(
                torch.split(tokens, counts),
                torch.split(seconds, counts),
                [row.nonzero()[:, 0] for row in selection.cone_mask],
                strict=True,
            )
        ]
