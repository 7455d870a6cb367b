"""Distances between points and centroids, exact enough for ties.

Letters beyond the shared ones: ``N`` points of an entry and ``C`` their width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_ROUNDED_BITS = 18
"""Low bits of a double dropped from a squared distance: 34 bits stay."""


class Points(NamedTuple):
    """Points in double precision, and their squared lengths."""

    values: Tensor
    """Coordinates, shape ``[B, N, C]``."""
    lengths: Tensor
    """Squared lengths, shape ``[B, N]``."""

    def rows(self, rows: slice) -> "Points":
        """Return a range of the points of each entry."""
        return Points(self.values[:, rows], self.lengths[:, rows])

    def at(self, index: Tensor) -> "Points":
        """Return the points at ``index``, shape ``[B, K]``."""
        values = self.values.gather(1, expand_index(index, self.values))
        return Points(values, self.lengths.gather(1, index))


def shifted_points(x: Tensor, valid: Tensor) -> Points:
    """Return points relative to the first valid one, masked points at 0.

    Doubles make the expanded square of ``squared_distances`` exact enough for ties
    to stay ties; a shift by a point, unlike one by the mean, keeps exact numbers
    exact.

    Args:
        x: Points, shape ``[B, N, C]``.
        valid: True at valid points, shape ``[B, N]``.
    """
    dtype = torch.float32 if x.device.type == "mps" else torch.float64
    first = valid.to(torch.uint8).argmax(1)[:, None]  # [B, 1]
    values = x.to(dtype)
    values = values - values.gather(1, expand_index(first, values))
    if not bool(valid.all()):
        values = values.masked_fill(~valid[..., None], 0)
    return Points(values, values.square().sum(2))


def squared_distances(a: Points, b: Points) -> Tensor:
    """Return squared distances over the width.

    What is left of equal distances after rounding errors is made equal: below
    1e-13 of the squared lengths a distance is 0, and the last bits are rounded.

    Args:
        a: Points, shape ``[B, n, C]``.
        b: Points, shape ``[B, m, C]``.

    Returns:
        Squared distances over ``C``, shape ``[B, n, m]``.
    """
    lengths = a.lengths[:, :, None] + b.lengths[:, None]
    squared = torch.baddbmm(lengths, a.values, b.values.transpose(1, 2), alpha=-2)
    squared.masked_fill_(squared <= 1e-13 * lengths, 0)
    squared /= a.values.shape[2]
    return round_last_bits(squared)


def round_last_bits(squared: Tensor) -> Tensor:
    """Round the last bits of doubles in place, so that near ties become ties."""
    if squared.dtype == torch.float64:
        bits = squared.view(torch.int64)
        bits.add_(1 << (_ROUNDED_BITS - 1)).bitwise_and_(-1 << _ROUNDED_BITS)
    return squared


def made_ties(squared: Tensor) -> Tensor:
    """Return doubles, near ties made ties if they were doubles before."""
    rounded = round_last_bits(squared)
    return rounded if squared.device.type == "mps" else rounded.double()


def expand_index(index: Tensor, x: Tensor) -> Tensor:
    """Expand ``[B, K]`` to ``[B, K, C]`` to gather rows of ``x``."""
    return index[..., None].expand(-1, -1, x.shape[2])
