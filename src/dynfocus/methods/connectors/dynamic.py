"""What the paper ablates of its Cones and Rods (Tables 6 and 12), around `FocusNetwork`.

Letters beyond the shared ones: ``C`` tokens of a Cone, ``H`` width of the language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from dynfocus.focus import (
    CountedBudget,
    FocusNetwork,
    FocusSettings,
    TokenBudget,
    TokenPlan,
    VideoFeatures,
    VideoTokens,
)
from dynfocus.focus.network import AskedVideos
from dynfocus.focus.tokens import NUM_ROD_TOKENS, lay_out
from dynfocus.methods.connectors.interface import ConnectorSizes, PatchKeeper
from dynfocus.text import check_choice

if TYPE_CHECKING:
    from dynfocus.focus.question import QuestionHead

Cone = Literal["compact", "cross_attention", "patches", "rods", "none"]


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


class VariantNetwork(PatchKeeper, nn.Module):
    """Cones for the frames that matter and Rods for the others, in variants.

    ``cone`` says what becomes of a kept frame: ``compact`` is Eq. 10; ``cross_attention``
    fuses its two halves (Table 12); ``patches`` keeps all patches, ``rods`` gives it Rods
    like any other frame and ``none`` nothing (Table 6). ``rods=False`` drops the Rods of
    all frames (Table 6). Videos are kept as patches.

    Args:
        sizes: What it connects.
        settings: The dynamic cooperative network.
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
        check_choice(cone, "cone", get_args(Cone))
        if not rods and cone in ("rods", "none"):
            raise ValueError(
                f"rods=False with cone={cone!r} leaves no tokens; use cone='compact'"
            )
        self.settings, self.cone, self.use_rods = settings, cone, rods
        self.num_patches, self.hidden_size = sizes.num_patches, sizes.hidden_size
        self.network = FocusNetwork(
            settings, sizes.dim, sizes.text_dim, sizes.hidden_size
        )
        self.fusion = CrossFusion(sizes.dim) if cone == "cross_attention" else None

    @property
    def question_head(self) -> QuestionHead | None:
        """What is ours, if there is any of it."""
        return self.network.question_head

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
        num_read = self.settings.num_read_frames_for(num_frames)
        rods = (num_read - kept) * self.use_rods + kept * self._kept_has_rods
        return kept * self.num_tokens_per_cone + NUM_ROD_TOKENS * rods

    def budget(self, max_video_tokens: int | None = None) -> TokenBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return CountedBudget(
            max_video_tokens=max_video_tokens,
            count=self.num_tokens,
            count_cones=self.settings.num_cones_for,
        )

    def forward(
        self,
        videos: Sequence[VideoFeatures],
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
        **_: Any,
    ) -> list[VideoTokens]:
        """Select frames and encode them (Eq. 6-13); see `FocusNetwork.forward`."""
        network, question = self.network, (text, text_mask)
        owners = range(len(videos)) if owners is None else owners
        known = [network.add_events(replace(v, frame_indices=None)) for v in videos]
        shown, num_cones = network.choose_frames(
            known, *question, owners=owners, plans=plans
        )
        asked = network.select(shown, num_cones, question, question)
        patches = [
            videos[owner].spatial[video.number(torch.arange(video.num_frames))]
            for owner, video in zip(owners, shown, strict=True)
        ]
        is_cone = asked.selection.cone_mask[asked.mask]
        tokens = lay_out(
            self._cones(patches, asked),
            network.cooperative_encoding.rods(asked.spatial, asked.mask, *question),
            asked.mask,
            asked.selection.cone_mask,
            has_rods=is_cone & self._kept_has_rods | ~is_cone & self.use_rods,
            rods_first=torch.zeros_like(is_cone),
            scores=asked.selection.frame_scores,
            pts_seconds=asked.pts_seconds,
        )
        return [
            replace(block, frame_indices=videos[owner].number(block.frame_indices))
            for owner, block in zip(
                owners, network.finish(tokens, shown, asked), strict=True
            )
        ]

    def _cones(self, patches: Sequence[Tensor], asked: AskedVideos) -> Tensor:
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
        rows = [
            patches[e][f] for e, f in zip(entry.tolist(), frames.tolist(), strict=True)
        ]
        return encoding.multi_modal_projector(torch.stack(rows))
