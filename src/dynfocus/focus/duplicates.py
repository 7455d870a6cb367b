"""Equal points, which must tie exactly however their distances are rounded.

Letters beyond the shared ones: ``N`` points of an entry and ``C`` their width.
"""

import torch
from torch import Tensor

_GLANCE = 4
"""Coordinates looked at first: points that differ there need no second look."""

_SLICE = 1 << 22
"""Coordinates hashed at once."""


def first_equals(x: Tensor, valid: Tensor) -> Tensor:
    """Return for each point the first point of its entry that equals it.

    Args:
        x: Points, shape ``[B, N, C]``.
        valid: True at valid points, shape ``[B, N]``; the others equal only themselves.

    Returns:
        Indices, shape ``[B, N]``; most often the point's own.
    """
    stride = max(1, x.shape[2] // _GLANCE)
    first = _first_of_key(_hash(x[..., ::stride]), valid)
    own = torch.arange(x.shape[1], device=x.device)
    if stride == 1 or bool((first == own).all()):
        return first
    return _first_of_key(_hash(x), valid)


def _hash(x: Tensor) -> Tensor:
    """Hash points to 64 bits, shape ``[B, N]``; sums of integers have no rounding."""
    integer = torch.int16 if x.element_size() == 2 else torch.int32
    draw = torch.Generator().manual_seed(0)
    key = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
    width = max(1, _SLICE // max(1, key.numel()))
    for part in torch.split(x, width, dim=2):
        bits = (part + 0).contiguous().view(integer)  # + 0: of two zeros make one
        factors = torch.randint(
            -(1 << 63), (1 << 63) - 1, bits.shape[2:], generator=draw
        )
        key += (bits * factors.to(x.device)).sum(2)
    return key


def _first_of_key(key: Tensor, valid: Tensor) -> Tensor:
    """Return the first index in each entry that has the same key."""
    own = torch.arange(key.shape[1], device=key.device)
    keys, order = key.where(valid, own).sort(dim=1, stable=True)
    is_first = torch.ones_like(valid)
    is_first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    if bool(is_first.all()):
        return own.expand_as(key)
    start = own.where(is_first, 0).cummax(1).values
    return torch.empty_like(order).scatter_(1, order, order.gather(1, start))
