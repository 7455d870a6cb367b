"""Compact cooperative encoding: CCE (Eq. 10-13).

Letters beyond the shared ones: ``F`` frames of any videos, ``M`` spatial
prototypes of a frame, ``P`` event tokens, ``n`` text tokens, ``Dq`` width of the
text features, ``H`` width of the language model.
"""

import math

import torch
from torch import Tensor, nn

from dynfocus.focus._points import at_least_single
from dynfocus.focus.events import EventSelection
from dynfocus.focus.official import lone_frames
from dynfocus.focus.tokens import VideoTokens, lay_out


class CooperativeEncoding(nn.Module):
    r"""Encode kept frames finely and all frames coarsely: CCE (Eq. 10-13).

    .. math::
        U_{t,1} &= \mathcal F_{fine}(h_{k(t)} \,\Vert\, G_t)
            \in \mathbb R^{(P+M) \times H} \quad \text{(Cones, Eq. 10)} \\
        E_t &= \mathrm{Softmax}_M\Big(
            \frac{f_k(Q)\, f_q(G_t)^\top}{\sqrt d}\Big) G_t
            \in \mathbb R^{n \times D} \quad \text{(Eq. 11)} \\
        U_{t,0} &= \mathcal F_{coarse}(\mathrm{Avg}(E_t) \,\Vert\, \mathrm{Avg}(G_t))
            \in \mathbb R^{2 \times H} \quad \text{(Rods, Eq. 12)} \\
        O_t &= b_t (U_{t,1} \,\Vert\, U_{t,0}) + (1 - b_t)\, U_{t,0}
            \quad \text{(Eq. 13, a choice of length)}

    Symbols: ``h_k`` is ``selection.events``, ``b_t`` is ``selection.cone_mask``,
    ``G_t`` is ``spatial``, ``Q`` is ``text``; ``F_fine`` is
    ``multi_modal_projector``, ``f_k`` is ``query_projector``, ``f_q`` is
    ``key_projector``. ``F_coarse`` is ``context_projector`` for ``Avg(E_t)`` and
    ``multi_modal_projector`` for ``Avg(G_t)``. ``O_t`` of all frames in time order
    is ``VideoTokens.embeds``.

    Differs from the paper:
        Eq. 11 is printed with a product of shapes that do not fit; here each text
        token attends over the ``M`` spatial prototypes, as in the published code.

    Args:
        dim: Width of the patches, ``D``.
        text_dim: Width of the text features, ``Dq``.
        hidden_size: Width of the language model, ``H``.
        cones_with_rods: Whether a kept frame has its Rods after its Cones (Eq. 13). In
            the published code it has none, but for the frame of a single-frame video,
            whose Rods come first.
        content_first: Whether the content of a Rod stands before its context, as in the
            published code.
    """

    def __init__(
        self,
        dim: int,
        text_dim: int,
        hidden_size: int,
        *,
        cones_with_rods: bool = True,
        content_first: bool = False,
    ) -> None:
        super().__init__()
        self.cones_with_rods, self.content_first = cones_with_rods, content_first
        self.multi_modal_projector = nn.Sequential(
            nn.Linear(dim, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
        )
        self.query_projector = nn.Linear(text_dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.context_projector = nn.Linear(dim, hidden_size)

    def attention(
        self, spatial: Tensor, text: Tensor, text_mask: Tensor | None
    ) -> Tensor:
        """Average over text tokens how strongly each looks at a prototype (Eq. 11).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            Weights of each frame, shape ``[B, T, M]``, at least float32; they sum to
            1, or to 0 if there is no text token.
        """
        weights = text_weights(text, text_mask)  # [B, n]
        if text.ndim == 3:
            text = text[:, None]
        unused = (weights == 0)[:, None, :, None]
        queries = self.query_projector(text.masked_fill(unused, 0))
        keys = self.key_projector(spatial)  # [B, T, M, D]
        logits = at_least_single(queries @ keys.transpose(2, 3))
        attention = (logits / math.sqrt(keys.shape[3])).softmax(dim=3)  # [B, T, n, M]
        return torch.einsum("bn,btnm->btm", weights, attention)

    def attend(self, spatial: Tensor, text: Tensor, text_mask: Tensor | None) -> Tensor:
        """Average over text tokens what each finds in a frame (Eq. 11, Avg of 12).

        The arguments are those of `attention`.

        Returns ``Avg(E_t)``, shape ``[B, T, D]``; 0 if there is no text token.
        """
        attention = self.attention(spatial, text, text_mask).to(spatial.dtype)
        return torch.einsum("btm,btmd->btd", attention, spatial)

    def rods(
        self, spatial: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor | None
    ) -> Tensor:
        """Encode each real frame in two tokens (Eq. 11, 12).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            mask: True at real frames, shape ``[B, T]``.
            text: Text features, as in `attention`.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``U_t0`` of the real frames in a row, shape ``[F, 2, H]``.
        """
        context = self.attend(spatial, text, text_mask)[mask]  # [F, D]
        content = spatial[mask].mean(1)
        pair = [self.context_projector(context), self.multi_modal_projector(content)]
        return torch.stack(pair[::-1] if self.content_first else pair, dim=1)

    def cones(self, spatial: Tensor, selection: EventSelection) -> Tensor:
        """Encode each kept frame finely (Eq. 10).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            selection: The kept prototypes.

        Returns:
            ``U_t1`` of the kept frames in a row, shape ``[sum K, P + M, H]``.
        """
        entry, slot = selection.mask.nonzero(as_tuple=True)
        kept = spatial[entry, selection.frames[entry, slot]]  # [sum K, M, D]
        events = selection.events[entry, slot].to(kept.dtype)
        return self.multi_modal_projector(torch.cat([events, kept], dim=1))

    def forward(
        self,
        spatial: Tensor,
        mask: Tensor,
        selection: EventSelection,
        text: Tensor,
        text_mask: Tensor | None = None,
        pts_seconds: Tensor | None = None,
    ) -> list[VideoTokens]:
        """Encode and lay out the tokens of each of ``B`` videos (Eq. 10-13).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            mask: True at real frames, shape ``[B, T]``.
            selection: The kept prototypes.
            text: Text features, as in `attention`.
            text_mask: True at real text tokens, ``[B, n]``.
            pts_seconds: Presentation time of each frame, ``[B, T]``, for the record.
        """
        is_cone, alone = selection.cone_mask, lone_frames(mask)
        return lay_out(
            self.cones(spatial, selection),
            self.rods(spatial, mask, text, text_mask),
            mask,
            is_cone,
            has_rods=~is_cone[mask] | alone | self.cones_with_rods,
            rods_first=alone & (not self.cones_with_rods),
            scores=selection.frame_scores,
            pts_seconds=pts_seconds,
        )


def text_weights(text: Tensor, text_mask: Tensor | None) -> Tensor:
    """Return the weight of each text token in the mean over the real ones.

    Args:
        text: Text features, shape ``[B, n, Dq]`` or ``[B, T, n, Dq]``.
        text_mask: True at real text tokens, ``[B, n]``.

    Returns:
        Weights, ``[B, n]``, at least float32; they sum to 1, or to 0 without tokens.
    """
    if text_mask is None:
        text_mask = text.new_ones(text.shape[0], text.shape[-2])
    present = at_least_single(text_mask.bool().to(text.dtype))
    return present / present.sum(1, keepdim=True).clamp(min=1)
