"""Matrix products of points, in the precision that was asked for.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and ``W``
the width of a part of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Precision = Literal["float32", "float64", "bfloat16"]

_LENGTHS = 3
"""Numbers in bfloat16 that add up to one in single precision."""

_WHOLE = 32
"""Processors multiply bfloat16 in runs of so many."""


def check_precision(precision: str) -> None:
    """Refuse an unknown precision."""
    if precision not in get_args(Precision):
        raise ValueError(
            "precision must be 'float32', 'float64' or 'bfloat16', "
            f"got {precision!r}; choose one of these"
        )


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether this is a processor that multiplies bfloat16 itself.

    Elsewhere rounded points are multiplied in single precision: other processors are
    slow at bfloat16, and graphics cards give its products only in bfloat16.
    """
    # not public, and the public way is missing in the torch versions of 2025
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


class DistanceFactors:
    r"""Make matrices in bfloat16 whose product are squared distances.

    .. math::
        (-2 a, 1, |a|^2) \cdot (b, |b|^2, 1) = |a - b|^2

    The sums within a product are in single precision but what comes out is rounded to
    bfloat16. So it must be the distance itself: of a bare product the error would be a
    share of the squared lengths.

    Args:
        num_points: Most points at a time, those of all entries together.
        width: Most coordinates of a point.
    """

    def __init__(self, num_points: int, width: int) -> None:
        full = width + 2 * _LENGTHS
        full += -full % _WHOLE
        # room that is used again: to be given new pages takes longer than to round
        self._left = torch.empty(num_points, full, dtype=torch.bfloat16)
        self._right = torch.empty_like(self._left)

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Make the left and the right factor, which hold until the next call.

        Args:
            values: Coordinates, shape ``[B, N, W]``, which are rounded.

        Returns:
            Two tensors, shape ``[B, N, W']``.
        """
        shape = values.shape[:2]
        width = values.shape[2]
        left, right = (
            room[: shape.numel()].view(*shape, -1) for room in (self._left, self._right)
        )
        right[..., :width] = values
        torch.mul(right[..., :width], -2, out=left[..., :width])
        left[..., width:], right[..., width:] = 0, 0
        rest = _squared_lengths(right[..., :width])
        for place in range(width, width + _LENGTHS):
            left[..., place], right[..., place] = 1, rest
            left[..., place + _LENGTHS], right[..., place + _LENGTHS] = rest, 1
            rest = rest - right[..., place].float()
        return left, right


def multiply_distances(left: Tensor, right: Tensor, total: Tensor) -> None:
    """Add the products of factors to ``total``, shape ``[B, n, m]``."""
    for a, b, sums in zip(left, right, total, strict=True):
        sums += a @ b.T  # one by one: batched products are slower


def add_products(points: Tensor, total: Tensor, first: bool) -> None:
    """Add the products of points with each other to ``total``, on a processor.

    numpy asks BLAS for one half of them and copies the other, which torch cannot.

    Args:
        points: Coordinates, shape ``[B, N, W]``.
        total: Sums of products, shape ``[B, N, N]``.
        first: Whether the products take the place of what is in ``total``.
    """
    values, sums = points.numpy(), total.numpy()
    if first:
        np.matmul(values, values.transpose(0, 2, 1), out=sums)
    else:
        sums += np.matmul(values, values.transpose(0, 2, 1))


def _squared_lengths(x: Tensor) -> Tensor:
    """Sum squares in single precision, some points at a time for the caches' sake."""
    parts = torch.split(x, 256, dim=1)
    norms = [torch.linalg.vector_norm(p, dim=2, dtype=torch.float32) for p in parts]
    return torch.cat(norms, dim=1).square()


@contextmanager
def products_of(x: Tensor, precision: Precision) -> Iterator[None]:
    """Multiply matrices in their own precision, whatever the caller's settings.

    Numbers that were rounded to bfloat16 lose nothing in the reduced products of the
    hardware, which sum in single precision.
    """
    before = torch.get_float32_matmul_precision()
    wanted = "medium" if precision == "bfloat16" else "highest"
    torch.set_float32_matmul_precision(wanted)
    try:
        with torch.autocast(x.device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
