"""Squared distances between the points of an entry, fast and with ties that are ties.

Distances come from matrix products of points, in single precision or, for points in
double precision, in double. They are computed in tiles, a range of rows against a range
of columns, of which only those on or above the diagonal are needed. If one tile holds all
distances it is kept; if not, distances that are wanted again are computed again, so that
memory does not grow with the square of the points. Equal points are found by their bits.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width, ``k``
neighbours and ``K`` clusters.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TILE = 1 << 24
"""Distances held at once: 64 MiB in single precision."""

_SLICE = 1 << 22
"""Coordinates of a part of the width that is multiplied at once: 16 MiB."""

_WIDTHS = (256, 2048)
"""Narrowest and widest such part, for the caches' sake."""

_TOGETHER = 1 << 19
"""Coordinates of several entries multiplied at once, for the caches' sake."""

_ENTRIES = 1 << 23
"""Coordinates of the entries clustered at once on a processor, for the caches' sake."""

_FEW = 512
"""Most points whose distances are multiplied and searched all at once."""

_SAMPLE = (5, 32)
"""Points, and about how many coordinates of them, that decide on the shift."""

_GROUPS = 32
"""Fewest groups of the numbers among which the least are looked for."""

_PANEL = (64, 256)
"""Fewest and most columns of the lower half of a tile that are multiplied at once."""

_GLANCE = 4
"""Coordinates of points compared first: those that differ there need no second look."""

_ROUNDED_BITS = 18
"""Low bits of a double dropped from a squared distance: 34 bits stay."""


class Nearest(NamedTuple):
    """The nearest points of each point, itself among them."""

    squared: Tensor
    """Squared distances over the width, ``[B, N, k]``, rising; infinite if too few."""
    indices: Tensor | None
    """Their indices, ``[B, N, k]``, or None where only distances were asked for."""
    largest: Tensor
    """Largest squared distance of each entry, ``[B]``."""


class Distances:
    """Squared distances over the width between the points of each entry.

    Squares are expanded, ``|a|^2 + |b|^2 - 2 a b``, on points shifted by a typical one
    of them if they lie far from the origin: that is exact for small whole numbers
    wherever they lie, and elsewhere wrong by about 1e-7 of ``|a|^2 + |b|^2`` in single
    precision. Both halves are rounded alike.

    Args:
        x: Points, shape ``[B, N, C]``; one entry only if a tile cannot hold all.
        valid: True at valid points, shape ``[B, N]``.
    """

    def __init__(self, x: Tensor, valid: Tensor) -> None:
        self._x = x
        self._dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        self._masked = None if bool(valid.all()) else ~valid
        self._shift = _shift(x, valid)
        self._lengths = x.new_zeros(valid.shape, dtype=self._dtype)
        num_entries, num_points, self._width = x.shape
        is_whole = num_entries * num_points**2 <= TILE
        self._few = is_whole and num_points <= _FEW
        self._edge = num_points if is_whole else max(1, math.isqrt(TILE))
        self._kept: Tensor | None = None

    @property
    def are_finite(self) -> bool:
        """Whether no valid point holds NaN or infinity, known after ``nearest``."""
        return bool(self._lengths.isfinite().all())

    def nearest(self, k: int, counted: Tensor, indexed: bool) -> Nearest:
        """Find the nearest points.

        Args:
            k: How many, at most ``N``.
            counted: True at points that may be found, shape ``[B, N]``.
            indexed: Whether it matters which points they are; if not, few are found
                sooner.
        """
        uncounted = None if bool(counted.all()) else ~counted
        if self._few:
            return self._nearest_of_few(k, uncounted, indexed)
        largest = self._lengths.new_zeros(len(counted))
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows, columns in self._tiles():
            own = rows == columns
            tile = self._triangle(rows) if own else self._rectangle(rows, columns)
            # masked points lie at the shift, which is a point: no distance grows
            largest = largest.maximum(tile.amax((1, 2)))
            for near, far, dim in ((rows, columns, 2), (columns, rows, 1))[: 2 - own]:
                if uncounted is not None:
                    across = uncounted[:, far].unsqueeze(3 - dim)
                    tile.masked_fill_(across, torch.inf)
                before = found.get(near.start)
                found[near.start] = _nearer(tile, dim, far.start, k, before)
            if self._edge == self._x.shape[1]:
                self._kept = tile
        squared, index = (
            torch.cat(parts, dim=1) for parts in zip(*found.values(), strict=True)
        )
        return Nearest(squared / self._width, index, largest / self._width)

    def _nearest_of_few(
        self, k: int, uncounted: Tensor | None, indexed: bool
    ) -> Nearest:
        """Find the nearest points, and keep all distances."""
        tile = self._kept = self._square()
        largest = tile.amax((1, 2)) / self._width
        if uncounted is not None:
            tile.masked_fill_(uncounted[:, None], torch.inf)
        if indexed:
            squared, index = _least(tile, k, 2)
            return Nearest(squared / self._width, index, largest)
        if tile.device.type == "cpu":  # in a third of the time that topk takes
            squared = torch.from_numpy(np.sort(tile.numpy(), axis=2)[..., :k])
        else:
            squared = tile.topk(k, dim=2, largest=False).values
        return Nearest(squared / self._width, None, largest)

    def to_denser(self, nearest: Nearest, counted: Tensor, order: Tensor) -> Tensor:
        """Give the squared distance of each point to the nearest denser one (Eq. 4).

        Args:
            nearest: What ``nearest`` gave.
            counted: True at points that count, shape ``[B, N]``; others come last.
            order: The points by falling density, shape ``[B, N]``.

        Returns:
            Squared distances, shape ``[B, N]``; the largest of the entry for the densest
            point, without meaning where points do not count.
        """
        rank = order.argsort(dim=1)  # 0 for the densest
        if self._few:
            squared = self._to_lower_rank(rank, nearest.largest)
        else:
            squared = self._to_denser_of_many(nearest, counted, order, rank)
        return squared.where(rank > 0, nearest.largest[:, None])

    def _to_lower_rank(self, rank: Tensor, largest: Tensor) -> Tensor:
        """Give the least of the kept distances to points of lower rank, ``[B, N]``."""
        assert self._kept is not None
        # what is above all distances for higher ranks and below them for lower ones
        # takes less time to compute, and to compare with, than what is true or false
        beyond = 2 * self._width * largest[:, None]
        high = rank * (2 * beyond)
        least = high[:, None] - (high - beyond)[..., None]
        return torch.maximum(least, self._kept, out=least).amin(2) / self._width

    def _to_denser_of_many(
        self, nearest: Nearest, counted: Tensor, order: Tensor, rank: Tensor
    ) -> Tensor:
        """Look among the nearest points first, then for the few without among all.

        Where one of the nearest points is denser, the nearest denser one is among them.
        The others are the peaks of the density.
        """
        assert nearest.indices is not None
        near_rank = rank.gather(1, nearest.indices.flatten(1))
        denser = near_rank.view_as(nearest.indices) < rank[..., None]
        denser &= nearest.squared.isfinite()
        squared = nearest.squared.where(denser, torch.inf).amin(2)
        is_peak = counted & squared.isinf() & (rank > 0)
        for entry in is_peak.any(1).nonzero().flatten().tolist():
            for peaks in torch.split(is_peak[entry].nonzero()[:, 0], self._edge):
                own = rank[entry, peaks][:, None]
                denser = order[entry, : int(own.max())]
                for others in torch.split(denser, self._edge):
                    far = self._between(entry, peaks, others) / self._width
                    far = far.where(rank[entry, others] < own, torch.inf).amin(1)
                    squared[entry, peaks] = squared[entry, peaks].minimum(far)
        return squared

    def to_points(self, columns: Tensor) -> Iterator[Tensor]:
        """Give the distances of all points to a few, some rows at a time.

        Args:
            columns: Indices, shape ``[B, m]``.

        Yields:
            Squared distances, shape ``[B, n, m]``.
        """
        if self._kept is not None:
            index = columns[:, None].expand(-1, self._kept.shape[1], -1)
            yield self._kept.gather(2, index) / self._width
            return
        for rows in self._ranges():
            yield self._rectangle(rows, columns[0]) / self._width

    def _between(self, entry: int, rows: Tensor, columns: Tensor) -> Tensor:
        """Give the distances between points of an entry, ``[n, m]``, not over the width."""
        if self._kept is not None:
            return self._kept[entry, rows[:, None], columns]
        return self._rectangle(rows, columns)[0]

    def _ranges(self) -> list[slice]:
        count = self._x.shape[1]
        starts = range(0, count, self._edge)
        return [slice(start, min(start + self._edge, count)) for start in starts]

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """List tiles, those on the diagonal first, since they give the lengths."""
        ranges = self._ranges()
        yield from zip(ranges, ranges, strict=True)
        for number, rows in enumerate(ranges):
            yield from ((rows, columns) for columns in ranges[number + 1 :])

    def _square(self) -> Tensor:
        """Compute all distances of few points, shape ``[B, N, N]``."""
        num_entries, num_points, _ = self._x.shape
        every = slice(0, num_points)
        parts = self._parts(num_points)
        step = max(1, _TOGETHER // max(1, num_points * (parts[0].stop)))
        if self._x.device.type != "cpu":
            step = max(1, num_entries)
        tile = self._lengths.new_empty(num_entries, num_points, num_points)
        for start in range(0, num_entries, step):
            entries = slice(start, start + step)
            for part in parts:
                points = self._coordinates(entries, every, part)
                _add_own_products(points, tile[entries], part.start == 0)
        self._lengths = tile.diagonal(0, 1, 2).clone()
        # the sum of lengths first, so that both halves are rounded alike
        squared = self._lengths[:, :, None] + self._lengths[:, None]
        return torch.sub(squared, tile, alpha=2, out=squared).clamp_(min=0)

    def _triangle(self, rows: slice) -> Tensor:
        """Compute a tile on the diagonal, ``[B, n, n]``, and the lengths of its points.

        The lower half is multiplied, panel by panel, and copied.
        """
        count = rows.stop - rows.start
        step = min(max(count // 512 * 64, _PANEL[0]), _PANEL[1])
        panels = [(i, min(i + step, count)) for i in range(0, count, step)]
        tile = self._lengths.new_empty(len(self._x), count, count)
        with _full_products(self._x):
            for entry in range(len(self._x)):
                own = slice(entry, entry + 1)
                for part in self._parts(count):
                    points = self._coordinates(own, rows, part)
                    for start, stop in panels:
                        lower = tile[own, start:, start:stop]
                        a, b = points[:, start:], points[:, start:stop]
                        _add_products(a, b, lower, part.start == 0)
        self._lengths[:, rows] = tile.diagonal(0, 1, 2) / -2
        lengths = self._lengths[:, rows]
        for start, stop in panels:
            lower = tile[:, start:, start:stop]
            lower += lengths[:, start:, None]
            lower += lengths[:, None, start:stop]
            lower.clamp_(min=0)
            corner = tile[:, start:stop, start:stop]
            corner.copy_(corner.tril() + corner.tril(-1).mT)
            tile[:, start:stop, stop:] = tile[:, stop:, start:stop].mT
        return tile

    def _rectangle(self, rows: slice | Tensor, columns: slice | Tensor) -> Tensor:
        """Compute any tile of one entry, shape ``[1, n, m]``."""
        a_lengths, b_lengths = self._lengths[:, rows], self._lengths[:, columns]
        shape = a_lengths.shape[1], b_lengths.shape[1]
        tile = self._lengths.new_empty(1, *shape)
        every = slice(0, 1)
        with _full_products(self._x):
            for part in self._parts(max(shape)):
                a = self._coordinates(every, rows, part)
                b = self._coordinates(every, columns, part)
                _add_products(a, b, tile, part.start == 0)
        tile += a_lengths[..., None]
        tile += b_lengths[:, None]
        return tile.clamp_(min=0)

    def _parts(self, num_points: int) -> list[slice]:
        """Cut the width, so that a part of so many points fits the caches."""
        wanted = _SLICE // max(1, num_points)
        least, most = _WIDTHS
        count = max(1, math.ceil(self._width / max(least, min(wanted, most))))
        step = max(1, math.ceil(self._width / count))  # a last part must not be tiny
        return [slice(i, i + step) for i in range(0, max(1, self._width), step)]

    def _coordinates(
        self, entries: slice, points: slice | Tensor, part: slice
    ) -> Tensor:
        """Give some coordinates of some points: shifted, and 0 if masked."""
        values = self._x[entries, points, part]
        values = values.to(self._dtype)
        if self._shift is not None:
            values = values - self._shift[entries, :, part].to(self._dtype)
        if self._masked is not None:
            values = values.masked_fill(self._masked[entries, points, None], 0)
        return values


def entries_at_once(x: Tensor) -> int:
    """Say how many entries of ``x``, shape ``[B, N, C]``, to cluster at once."""
    by_tile = TILE // x.shape[1] ** 2
    if x.device.type != "cpu":
        return max(1, by_tile)
    return max(1, min(by_tile, _ENTRIES // max(1, x.shape[1] * x.shape[2])))


def _add_own_products(points: Tensor, total: Tensor, first: bool) -> None:
    """Add the products of points with each other, ``[B, N, W]``, to ``[B, N, N]``.

    numpy asks BLAS for one half of them and copies the other, which torch cannot.

    Args:
        points: Coordinates, shape ``[B, N, W]``, ``W`` a part of the width.
        total: Sums of products, shape ``[B, N, N]``.
        first: Whether the products take the place of what is in ``total``.
    """
    if points.device.type != "cpu":
        with _full_products(points):
            _add_products(points, points, total, first, 1)
        total.copy_(total.tril() + total.tril(-1).mT)  # both halves alike
        return
    values, sums = points.numpy(), total.numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # who asked looks at the lengths
        if first:
            np.matmul(values, values.transpose(0, 2, 1), out=sums)
        else:
            sums += np.matmul(values, values.transpose(0, 2, 1))


def _add_products(
    a: Tensor, b: Tensor, total: Tensor, first: bool, factor: float = -2
) -> None:
    """Add ``factor a b`` to ``total``, or put it there if it is the first."""
    total.baddbmm_(a, b.mT, beta=0 if first else 1, alpha=factor)


@contextmanager
def _full_products(x: Tensor) -> Iterator[None]:
    """Multiply matrices in their own precision, whatever the caller's settings."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(x.device.type, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def _nearer(
    tile: Tensor, dim: int, start: int, k: int, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the nearest points along ``dim`` of the tile and those found before."""
    squared, index = _least(tile, min(k, tile.shape[dim]), dim)
    index = index + start
    if before is None:
        return squared, index
    squared = torch.cat([before[0], squared], dim=2)
    index = torch.cat([before[1], index], dim=2)
    squared, place = squared.topk(min(k, squared.shape[2]), dim=2, largest=False)
    return squared, index.gather(2, place)


def _least(tile: Tensor, k: int, dim: int) -> tuple[Tensor, Tensor]:
    """Return the ``k`` least numbers along ``dim``, rising, and their indices.

    They lie in the ``k`` groups whose least numbers are least; member ``i`` of group
    ``j`` is number ``i * num_groups + j``. A search through all numbers takes longer.

    Args:
        tile: Numbers, shape ``[B, n, m]``.
        k: How many, at most the numbers along ``dim``.
        dim: 1 for those of each column, 2 for those of each row.

    Returns:
        Two tensors of shape ``[B, m, k]`` or ``[B, n, k]``.
    """
    num_groups = max(_GROUPS, tile.shape[dim] // _GROUPS)
    if k >= num_groups or tile.shape[dim] % num_groups:
        least, index = tile.topk(k, dim=dim, largest=False)
    else:
        grouped = torch.unflatten(tile, dim, (-1, num_groups))
        groups = grouped.amin(dim).topk(k, dim, largest=False, sorted=False).indices
        shape = [*grouped.shape[: dim + 1], k, *grouped.shape[dim + 2 :]]
        some = grouped.gather(dim + 1, groups.unsqueeze(dim).expand(shape))
        least, place = some.flatten(dim, dim + 1).topk(k, dim=dim, largest=False)
        index = place // k * num_groups + groups.gather(dim, place % k)
    return (least.mT, index.mT) if dim == 1 else (least, index)


def _shift(x: Tensor, valid: Tensor) -> Tensor | None:
    """Choose what to subtract from the points of each entry: one of them, or nothing.

    Of a few points it is the one nearest to the others. A point keeps whole numbers
    whole, unlike a mean; the first one might be an outlier. Nothing is subtracted where
    the origin lies about as near, unless points are masked: they come to lie at the
    shift, where no distance grows.

    Returns:
        What to subtract, shape ``[B, 1, C]``, or None.
    """
    order = (~valid).to(torch.uint8).sort(dim=1, stable=True).indices  # valid first
    number, width = _SAMPLE
    spread = torch.arange(number, device=x.device) * valid.sum(1, keepdim=True)
    index = order.gather(1, spread // number)
    glance = x[..., :: max(1, x.shape[2] // width)]
    glance = glance.gather(1, expand_index(index, glance)).float()
    far = torch.cdist(glance, glance, p=1).mean(2).nan_to_num(torch.inf)
    least, typical = far.min(1)
    origin = (glance.abs().sum(2).mean(1) <= 1.5 * least) & valid.all(1)
    if bool(origin.all()):
        return None
    shift = x.gather(1, expand_index(index.gather(1, typical[:, None]), x))
    return shift.masked_fill(origin[:, None, None], 0)


def first_equals(x: Tensor, valid: Tensor) -> Tensor:
    """Return for each point the first point of its entry that equals it, bit by bit.

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


def made_ties(squared: Tensor) -> Tensor:
    """Return doubles, near ties made ties if they were doubles before."""
    rounded = round_last_bits(squared)
    return rounded if squared.device.type == "mps" else rounded.double()


def round_last_bits(squared: Tensor) -> Tensor:
    """Round the last bits of doubles in place, so that near ties become ties."""
    if squared.dtype == torch.float64:
        bits = squared.view(torch.int64)
        bits.add_(1 << (_ROUNDED_BITS - 1)).bitwise_and_(-1 << _ROUNDED_BITS)
    return squared


def expand_index(index: Tensor, x: Tensor) -> Tensor:
    """Expand ``[B, K]`` to ``[B, K, C]`` to gather rows of ``x``."""
    return index[..., None].expand(-1, -1, x.shape[2])
