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
    """

    def __init__(self, dim: int, text_dim: int, hidden_size: int) -> None:
        super().__init__()
        width = min(dim, _MAX_WIDTH)
        self.word_weights = nn.Linear(text_dim, _NUM_WORDS, bias=False)
        self.question_projector = nn.Linear(text_dim, width)
        self.key_projector = nn.Linear(dim, width)
        self.combine = nn.Linear((_NUM_WORDS + 1) * width, width)
        self.decide = nn.Linear(width, 1)
        self.marks = nn.Embedding(_NUM_MARKS, hidden_size)

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
        least = torch.finfo(text.dtype).min
        weights = self.word_weights(text).masked_fill(unused, least).softmax(2)
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
        return amounts.to(self.marks.weight.dtype) @ self.marks.weight
