"""How well each frame fits the question, said to the language model; not in the paper.

Letters: ``B`` videos, ``T`` frames, ``M`` spatial prototypes of a frame, ``D`` their
width, ``n`` text tokens, ``Dq`` width of the text features, ``H`` width of the language
model.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from dynfocus.focus.scoring import at_least_single, text_weights

_NUM_MARKS = 3
_NUM_VISITS = 10
_BEGINS = 0.9
_ENDS = 0.1
_NUM_WORDS = 4
_MAX_WIDTH = 128


class RelevanceEncoding(nn.Module):
    r"""Mark the frames that show what the question is about; this is not in the paper.

    .. math::
        q_a &= \sum_{j=1}^n \mathrm{Softmax}_j\big(w_a^\top Q_j\big)\, f(Q_j)
        \in \mathbb R^C, \quad a = 1 \ldots A
        \qquad k_{tm} = f_b(G_{tm}) \in \mathbb R^C \\
        s_t &= \max_m \mathcal M\big(k_{tm} \odot q_1 \,\Vert\, \ldots \,\Vert\,
            k_{tm} \odot q_A \,\Vert\, k_{tm}\big)
        \qquad \rho_t = \sigma(s_t) \\
        r_t &= \rho_t\, e_1 + [\rho_t - \rho_{t-1}]_+\, e_2
            + [\rho_t - \rho_{t+1}]_+\, e_3

    ``G_t`` are the spatial prototypes of frame ``t``, ``Q`` the text features, ``M`` a
    two-layer perceptron (``combine`` and ``decide``), ``w`` is ``word_weights``, ``f`` is ``question_projector``,
    ``f_b`` is ``key_projector``, ``e`` is ``marks``; beyond the first and the last frame
    ``rho = 0``. ``r_t`` is added to the tokens of frame ``t``. Each of the four ``q_a``
    may hold another word of the question.

    The softmax of Eq. 11 picks the prototype that fits the question best, and says
    nothing of how well it fits: a frame without what is asked for gives a token like
    any other. ``rho_t`` says it, and its two slopes say where what is asked for comes
    and goes, which is what counting, order and times need.

    With ``counts_visits`` the tokens also say how often it has come so far, because a
    language model adds up badly: a visit begins where ``rho`` reaches 0.9 and ends where
    it falls below 0.1, and row ``min(n_t, 9)`` of ``visits`` is added to ``r_t``, where
    ``n_t`` is the number of visits that have begun up to frame ``t``.
    """

    def __init__(
        self, dim: int, text_dim: int, hidden_size: int, counts_visits: bool = False
    ) -> None:
        super().__init__()
        width = min(dim, _MAX_WIDTH)
        self.word_weights = nn.Linear(text_dim, _NUM_WORDS, bias=False)
        self.question_projector = nn.Linear(text_dim, width)
        self.key_projector = nn.Linear(dim, width)
        self.combine = nn.Linear((_NUM_WORDS + 1) * width, width)
        self.decide = nn.Linear(width, 1)
        self.marks = nn.Embedding(_NUM_MARKS, hidden_size)
        self.visits: nn.Embedding | None = None
        if counts_visits:
            self.visits = nn.Embedding(_NUM_VISITS, hidden_size)

    def draw_marks(self, std: float) -> None:
        """Draw what is added to tokens anew.

        Args:
            std: Standard deviation of the entries. It should be that of the language
                model's word embeddings: marks much weaker are not heard.
        """
        for table in (self.marks, self.visits):
            if table is not None:
                nn.init.normal_(table.weight, std=std)

    def rate(self, spatial: Tensor, text: Tensor, text_mask: Tensor | None) -> Tensor:
        """Rate how well each frame fits the question.

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``s_t``, shape ``[B, T]``, at least float32.
        """
        present = text_weights(text, text_mask) > 0  # [B, n]
        if text.ndim == 3:
            text = text[:, None]
        unused = ~present[:, None, :, None]
        text = text.masked_fill(unused, 0)  # [B, T or 1, n, Dq]
        scores = self.word_weights(text)  # under autocast not of the text's precision
        least = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(unused, least).softmax(2)
        words = weights.mT @ self.question_projector(text)  # [B, T or 1, A, C]
        # the products with all words and their layer are one matrix of the question
        parts = self.combine.weight.view(-1, _NUM_WORDS + 1, words.shape[3])
        matrix = torch.einsum("oac,btac->btoc", parts[:, :-1], words) + parts[:, -1]
        keys = self.key_projector(spatial)  # [B, T, M, C]
        per_frame = keys.unflatten(1, (matrix.shape[1], -1)).flatten(2, 3)
        hidden = (per_frame @ matrix.mT).view_as(keys) + self.combine.bias
        return at_least_single(self.decide(gelu(hidden)).squeeze(3).amax(2))

    def forward(self, ratings: Tensor, mask: Tensor) -> Tensor:
        """Mark frames.

        Args:
            ratings: ``s_t`` as `rate` gives it, shape ``[B, T]``.
            mask: True at real frames, shape ``[B, T]``.

        Returns:
            ``r_t``, shape ``[B, T, H]``; 0 where there is no frame.
        """
        fits = ratings.sigmoid() * mask
        nothing = fits.new_zeros(len(fits), 1)
        comes = (fits - torch.cat([nothing, fits[:, :-1]], 1)).clamp(min=0)
        goes = (fits - torch.cat([fits[:, 1:], nothing], 1)).clamp(min=0)
        amounts = torch.stack([fits, comes, goes], dim=2)
        marks = amounts.to(self.marks.weight.dtype) @ self.marks.weight
        if self.visits is None:
            return marks
        visits = number_visits(fits).clamp(max=_NUM_VISITS - 1)
        return marks + self.visits(visits) * mask[..., None]


def number_visits(fits: Tensor) -> Tensor:
    """Count how often what fits has come so far.

    Args:
        fits: How well each frame fits, from 0 to 1, shape ``[B, T]``.

    Returns:
        Visits that have begun up to each frame, shape ``[B, T]``, int64.
    """
    is_clear = (fits >= _BEGINS) | (fits < _ENDS)
    frames = torch.arange(fits.shape[1], device=fits.device)
    last = torch.where(is_clear, frames, -1).cummax(1).values  # [B, T]
    is_there = (fits >= _BEGINS).gather(1, last.clamp(min=0)) & (last >= 0)
    before = torch.cat([torch.zeros_like(is_there[:, :1]), is_there[:, :-1]], 1)
    return (is_there & ~before).cumsum(1)
