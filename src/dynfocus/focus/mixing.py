"""What SlowFocus adds to the tokens of frames: their time, and the other frequency (A2, A3).

Equations are those of the SlowFocus paper. Letters: T frames, C content tokens of a frame,
D width, N rows of the table.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Mixing = Literal["high_from_low", "bi", "off"]


class TemporalTable(nn.Module):
    r"""Tell tokens their relative time in a video: the temporal encoder (Section 3.2).

    .. math:: i_t = \lfloor N t / T \rfloor, \qquad v_t \leftarrow v_t + E_{i_t}

    Symbols: ``E`` is ``rows``, ``N`` is ``num_positions``, ``t`` is ``pts_seconds``, ``T``
    is ``duration``. Frames of both frequencies share the table.

    Rows are looked up in double precision whatever that of the model is: in half precision
    one frame in fifteen gets the row beside its own.

    Args:
        num_positions: Rows of the table, ``N``; 1000 in the paper.
        dim: Width of the tokens, ``D``.
    """

    def __init__(self, num_positions: int, dim: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(num_positions, dim)

    def positions(self, pts_seconds: Tensor, duration: float) -> Tensor:
        """Give the row of each frame; one at or after the end has the last.

        Args:
            pts_seconds: Times of the frames, shape ``[T]``.
            duration: Length of the video in seconds.

        Returns:
            Rows from 0 to ``N - 1``, shape ``[T]``, int64.

        Raises:
            ValueError: The video has no length.
        """
        if not duration > 0:
            raise ValueError(
                f"duration must be above 0 seconds, got {duration}; give the length of "
                "the whole video"
            )
        count = self.rows.num_embeddings
        rows = (pts_seconds.double() * count / duration).floor().long()
        return rows.clamp(0, count - 1)

    def forward(self, content: Tensor, pts_seconds: Tensor, duration: float) -> Tensor:
        """Add the row of each frame to all its tokens, ``[T, C, D]``.

        Raises:
            ValueError: The video has no length.
        """
        rows = self.rows(self.positions(pts_seconds, duration).to(content.device))
        return content + rows[:, None]


class MixingAttention(nn.Module):
    r"""Let frames of one frequency look at those of the other: MMA (Eq. 5).

    .. math::
        \pi(h_L, h_H) &= \mathrm{Softmax}\Big(
            \frac{W_H h_H\, (W_L h_L)^\top}{\sqrt D}\Big) h_L \\
        h_H &\leftarrow h_H + g_H\, \pi(h_L, h_H) \\
        h_L &\leftarrow h_L + g_L\, \pi(h_H, h_L) \quad \text{(only with "bi")}

    Symbols: ``h_L`` and ``h_H`` are the tokens of the frames of low and of high frequency,
    ``W_H`` is ``high_projector``, ``W_L`` is ``low_projector``, ``g`` is ``gates``.

    Differs from the paper:
        What is found is added through a gate that starts at zero, so that a model that
        learned without mixing says at first what it said before. The paper puts it in
        the place of ``h_H``; the published ``bi`` adds it, which is a gate of one.

    Differs from the published code:
        ``bi`` divides by the square root of ``D`` in both directions. A video of one
        frequency is left alone, where the code lets frame 0 look at itself.

    Args:
        dim: Width of the tokens, ``D``.
        mixing: ``"high_from_low"`` is the paper, ``"bi"`` the published code.
    """

    def __init__(self, dim: int, mixing: Mixing) -> None:
        super().__init__()
        if mixing not in ("high_from_low", "bi"):
            raise ValueError(
                f"mixing must be high_from_low or bi, got {mixing!r}; without mixing "
                "there is no such module"
            )
        self.high_projector = nn.Linear(dim, dim)
        self.low_projector = nn.Linear(dim, dim)
        self.gates = nn.Parameter(torch.zeros(1 if mixing == "high_from_low" else 2))

    def forward(self, content: Tensor, is_high: Tensor) -> Tensor:
        """Mix the frequencies of one video.

        Args:
            content: Content tokens of all frames, shape ``[T, C, D]``.
            is_high: True at frames of the high frequency, shape ``[T]``.

        Returns:
            The tokens, shape ``[T, C, D]``; those given where one frequency is absent.
        """
        is_high = is_high.to(content.device)
        high, low = content[is_high], content[~is_high]
        if len(high) == 0 or len(low) == 0:
            return content
        from_high, from_low = self.high_projector(high), self.low_projector(low)
        mixed = content.clone()
        mixed[is_high] = high + self.gates[0] * _attend(from_high, from_low, low)
        if len(self.gates) > 1:
            mixed[~is_high] = low + self.gates[1] * _attend(from_low, from_high, high)
        return mixed


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Let all tokens ``[T, C, D]`` look at all of others; a result for each query."""
    attended = F.scaled_dot_product_attention(_row(queries), _row(keys), _row(values))
    return attended.view_as(queries)


def _row(tokens: Tensor) -> Tensor:
    return tokens.flatten(0, 1)[None]  # [1, T C, D]
