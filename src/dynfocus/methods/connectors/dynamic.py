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
    FocusNetwork,
    FocusSettings,
    TokenPlan,
    VideoFeatures,
    VideoTokens,
)
from dynfocus.focus.network import AskedVideos
from dynfocus.focus.tokens import NUM_ROD_TOKENS, lay_out
from dynfocus.methods.connectors.interface import ConnectedVideo, ConnectorSizes
from dynfocus.methods.patches import VideoPatches

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
        self.network = FocusNetwork(
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

        Which frames are read, where they are not all, the network decides for each
        question; every frame has its part in the event prototypes.
        """
        encoded = self.network.encode(video.patches)
        features = VideoFeatures.join([encoded], video.pts_seconds)
        needs_patches = self.cone == "patches" or self.settings.spatial_gate
        return FocusVideo(
            features=self.network.add_events(features),
            patches=video.patches if needs_patches else None,
            num_read=min(num_read or video.num_frames, video.num_frames),
        )

    def forward(
        self, videos: Sequence[FocusVideo], text: Tensor, text_mask: Tensor
    ) -> list[ConnectedVideo]:
        """Select frames and encode them (Eq. 6 to 13)."""
        plans = [
            TokenPlan(
                num_frames=video.num_read,
                num_cones=self.settings.num_cones_for(video.num_read),
                num_tokens=self.num_tokens(video.num_read),
            )
            for video in videos
        ]
        known = [self._with_gate(video) for video in videos]
        question = text, text_mask
        shown, num_cones = self.network.choose_frames(known, *question, plans=plans)
        asked = self.network.select(shown, num_cones, question, question)
        encoding = self.network.cooperative_encoding
        is_cone = asked.selection.cone_mask[asked.mask]
        tokens = lay_out(
            self._cones(videos, shown, asked),
            encoding.rods(asked.spatial, asked.mask, *question),
            asked.mask,
            asked.selection.cone_mask,
            has_rods=is_cone & self._kept_has_rods | ~is_cone & self.use_rods,
            rods_first=torch.zeros_like(is_cone),
            scores=asked.selection.frame_scores,
            pts_seconds=asked.pts_seconds,
        )
        return [_connected(t) for t in self.network.finish(tokens, shown, asked)]

    def _with_gate(self, video: FocusVideo) -> VideoFeatures:
        """Cluster patches anew where a learned gate scales the clusters."""
        if not self.settings.spatial_gate:
            return video.features
        assert video.patches is not None
        spatial = self.network.spatial_prototypes(video.patches)
        return replace(video.features, spatial=spatial)

    def _cones(
        self,
        videos: Sequence[FocusVideo],
        shown: Sequence[VideoFeatures],
        asked: AskedVideos,
    ) -> Tensor:
        """Encode the kept frames of all videos in a row, ``[sum K, C, H]``."""
        encoding, selection = self.network.cooperative_encoding, asked.selection
        if self.cone == "compact":
            return encoding.cones(asked.spatial, selection)
        entry, slot = selection.mask.nonzero(as_tuple=True)
        frames = selection.frames[entry, slot]
        if self.num_tokens_per_cone == 0:
            return asked.spatial.new_zeros(len(entry), 0, self.hidden_size)
        if self.fusion is not None:
            kept = asked.spatial[entry, frames]  # [sum K, M, D]
            events = selection.events[entry, slot].to(kept.dtype)
            return encoding.multi_modal_projector(self.fusion(events, kept))
        rows = []
        for video, frame in zip(entry.tolist(), frames, strict=True):
            patches = videos[video].patches
            assert patches is not None
            rows.append(patches[shown[video].number(frame)])
        return encoding.multi_modal_projector(torch.stack(rows))


def _connected(tokens: VideoTokens) -> ConnectedVideo:
    return ConnectedVideo(
        embeds=tokens.embeds,
        pts_seconds=tokens.pts_seconds[tokens.frame_of_token],
        fine_frames=tokens.frame_indices[tokens.is_cone],
    )
