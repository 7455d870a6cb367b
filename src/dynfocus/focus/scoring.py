"""The networks that score event prototypes (Eq. 6)."""

import math

import torch
from torch import Tensor, nn

from dynfocus.focus.official import GlobalScoreNetwork
from dynfocus.focus.settings import FocusSettings


class ScoreNetwork(nn.Module):
    r"""Score each prototype by itself: the MLP ``U`` of Eq. 6.

    .. math::
        s_l = \mathcal U(\mathrm{Max}(m_l) \,\Vert\, \mathrm{Avg}(m_l)) \in \mathbb R
    """

    def __init__(self, num_inputs: int, dim: int) -> None:
        super().__init__()
        half = max(1, dim // 2)
        self.layers = nn.Sequential(
            nn.Linear(num_inputs, dim),
            nn.GELU(),
            nn.Linear(dim, half),
            nn.GELU(),
            nn.Linear(half, 1),
        )

    def forward(self, summaries: Tensor, mask: Tensor) -> Tensor:
        """Score prototypes.

        Args:
            summaries: Summary of each prototype, shape ``[B, L, num_inputs]``.
            mask: True where there is a prototype, ``[B, L]``; not needed here.

        Returns:
            Raw scores, shape ``[B, L]``.
        """
        return self.layers(summaries).squeeze(2)


class QuestionContext(nn.Module):
    r"""Let the score network see the question; this is not in the paper.

    .. math::
        c_l = \frac1n \sum_{j=1}^n \mathrm{Softmax}\Big(
            \frac{f_a(Q_j)\, f_b(X_l)^\top}{\sqrt D}\Big) X_l
        \qquad
        q = \frac1n \sum_{j=1}^n f_c(Q_j)
        \qquad
        (c_l \,\Vert\, c_l \odot q)

    ``X_l`` are the event tokens of prototype ``l`` and the spatial prototypes of
    its centre frame, ``Q`` the text features; ``f_a`` is ``query_projector``,
    ``f_b`` is ``key_projector`` and ``f_c`` is ``question_projector``.
    """

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__()
        self.query_projector = nn.Linear(text_dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.question_projector = nn.Linear(text_dim, dim)

    def forward(
        self,
        events: Tensor,
        spatial: Tensor | None,
        text: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor:
        """Attend from the question to each prototype.

        Args:
            events: Event tokens of the prototypes, shape ``[B, L, P, D]``.
            spatial: Spatial prototypes of the centre frames, ``[B, L, M, D]``.
            text: Text features of the question, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``c_l || c_l * q``, shape ``[B, L, 2 D]``.
        """
        if text is None:
            raise ValueError(
                "text must be given for use_question_scores, got None; pass the "
                "question's features or switch it off"
            )
        tokens = events if spatial is None else torch.cat([events, spatial], dim=2)
        weights = text_weights(text, text_mask)  # [B, n]
        text = text.masked_fill(weights[..., None] == 0, 0)
        queries = self.query_projector(text)
        keys = self.key_projector(tokens)
        logits = at_least_single(torch.einsum("bnd,blmd->blnm", queries, keys))
        attention = (logits / math.sqrt(keys.shape[3])).softmax(dim=3)
        attention = torch.einsum("bn,blnm->blm", weights, attention)
        context = torch.einsum("blm,blmd->bld", attention.to(tokens.dtype), tokens)
        projected = self.question_projector(text)
        question = torch.einsum("bn,bnd->bd", weights.to(projected.dtype), projected)
        return torch.cat([context, context * question[:, None]], dim=2)


def build_score_network(
    settings: FocusSettings, num_inputs: int, dim: int
) -> ScoreNetwork | GlobalScoreNetwork:
    """Build the score network that ``settings.score_network`` names."""
    if settings.score_network == "global":
        return GlobalScoreNetwork(num_inputs, dim)
    return ScoreNetwork(num_inputs, dim)


def text_weights(text: Tensor, text_mask: Tensor | None) -> Tensor:
    """Return the weight of each text token in the mean over the real ones.

    Args:
        text: Text features, shape ``[B, n, Dq]`` or ``[B, T, n, Dq]``.
        text_mask: True at real text tokens, ``[B, n]``.

    Returns:
        Weights, shape ``[B, n]``, at least float32; they sum to 1, or to 0 without tokens.
    """
    if text_mask is None:
        num_tokens = text.shape[-2]
        shape = (text.shape[0], num_tokens)
        return at_least_single(text.new_full(shape, 1 / max(1, num_tokens)))
    present = at_least_single(text_mask.bool().to(text.dtype))
    return present / present.sum(1, keepdim=True).clamp(min=1)


def at_least_single(x: Tensor) -> Tensor:
    """Return ``x`` in single precision, or in double if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
