"""Squared distances between the points of an entry, fast and with ties that are ties.

Distances come from matrix products of points, in single precision or, for points in
double precision, in double. They are computed in tiles, a range of rows against a range
of columns, of which only those on or above the diagonal are needed. If one tile holds all
distances it is kept; if not, distances that are wanted again are computed again, so that
memory does not grow with the square of the points.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width, ``k``
neighbours and ``K`` clusters.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from dynfocus.focus._points import expand_index, first_equals, refuse_points

TILE = 1 << 24
"""Distances held at once: 64 MiB in single precision."""

# sizes below are chosen for the caches' sake
_ENTRIES = 1 << 23  # coordinates of the entries clustered at once on a processor
_SLICE = 1 << 22  # coordinates of a part of the width that is multiplied at once
_WIDTHS = (256, 2048)  # narrowest and widest such part
_TOGETHER = 1 << 19  # coordinates of several entries multiplied at once
_PANEL = (64, 256)  # fewest and most columns of a lower half multiplied at once
_FEW = 512  # most points whose distances are multiplied and searched all at once
_GROUPS = 32  # fewest groups of the numbers among which the least are looked for
_SAMPLE = (5, 32)  # points, and coordinates of them, that decide on the shift
_ROUNDED_BITS = 18  # low bits of a double dropped from a squared distance: 34 stay


class Distances:
    """Squared distances over the width between the points of each entry.

    Squares are expanded, ``|a|^2 + |b|^2 - 2 a b``, on points shifted by a typical one
    of them if they lie far from the origin: that is exact for small whole numbers
    wherever they lie, and elsewhere wrong by about 1e-7 of ``|a|^2 + |b|^2`` in single
    precision. Both halves are rounded alike. What is given is in double precision; of
    points in double precision near ties are made ties.

    Of equal points only the first is counted, with the number of them as its weight; to
    the others it is denser, and nearer than anything else.

    Args:
        x: Points, shape ``[B, N, C]``, as many entries as ``entries_at_once`` says.
        valid: True at valid points, shape ``[B, N]``.
    """

    def __init__(self, x: Tensor, valid: Tensor) -> None:
        self._x, self._valid = x, valid
        self._dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        self._first = first_equals(x, valid)  # [B, N]
        none = torch.zeros_like(self._first)
        self._weight = none.scatter_add_(1, self._first, valid.to(none.dtype))
        self._counted = self._weight > 0
        self._all_valid = bool(valid.all())
        self._all_counted = bool(self._counted.all())
        self._shift = _shift(x, valid)
        shift = self._shift
        self._is_shifted = [] if shift is None else shift.any(2).flatten().tolist()
        self._lengths = x.new_zeros(valid.shape, dtype=self._dtype)  # squared
        self._largest = x.new_zeros(len(x), dtype=self._dtype)  # not over the width
        self._kept: Tensor | None = None  # all distances, not over the width
        num_entries, num_points, self._width = x.shape
        is_whole = num_entries * num_points**2 <= TILE
        self._few = is_whole and num_points <= _FEW
        self._edge = num_points if is_whole else max(1, math.isqrt(TILE))
        self._near: tuple[Tensor, Tensor | None]

    def mean_of_nearest(self, k: int) -> Tensor:
        """Average the squared distances to the ``k`` nearest points (Eq. 1).

        Itself is among them; where there are fewer points, these are all. It comes before
        all other methods.

        Returns:
            Means, shape ``[B, N]``, infinite at masked points.

        Raises:
            ValueError: If a valid point holds NaN or infinity.
        """
        squared, index = self._near = self._nearest(min(k, self._x.shape[1]))
        if not bool(self._lengths.isfinite().all()):
            refuse_points(self._x, self._valid)
        weights = torch.ones_like(squared, dtype=torch.int64)
        if index is not None:
            weights = self._weight.gather(1, index.flatten(1)).view_as(squared)
        count = self._weight.sum(1).clamp(min=1, max=k)[:, None]  # [B, 1]
        before = weights.cumsum(2) - weights
        weights = (count[..., None] - before).clamp(min=0).minimum(weights)
        mean = (squared.where(weights > 0, 0) * weights).sum(2) / count
        return mean.gather(1, self._first).masked_fill(~self._valid, torch.inf)

    def _nearest(self, k: int) -> tuple[Tensor, Tensor | None]:
        """Find the nearest points of each point that counts, itself among them.

        Returns:
            Squared distances, ``[B, N, k]``, rising, infinite where there are too few;
            and their indices, or None where they are few, all different, and so found
            sooner without.
        """
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows, columns in self._tiles():
            own = rows == columns
            tile = self._triangle(rows) if own else self._rectangle(rows, columns)
            # masked points lie at the shift, which is a point: no distance grows
            self._largest = self._largest.maximum(tile.amax((1, 2)))
            if self._edge == self._x.shape[1]:
                self._kept = tile
            if not self._all_counted:
                tile.masked_fill_(~self._counted[:, None, columns], torch.inf)
            if self._few and not bool((self._weight > 1).any()):
                return self._over_width(_least_values(tile, k)), None
            before = found.get(rows.start)
            found[rows.start] = _nearer(tile, 2, columns.start, k, before)
            if not own:
                if not self._all_counted:
                    tile.masked_fill_(~self._counted[:, rows, None], torch.inf)
                before = found.get(columns.start)
                found[columns.start] = _nearer(tile, 1, rows.start, k, before)
        squared, index = (
            torch.cat(parts, dim=1) for parts in zip(*found.values(), strict=True)
        )
        return self._over_width(squared), index

    def to_denser(self, log_density: Tensor) -> Tensor:
        """Give the squared distance to the nearest denser point (Eq. 4).

        Of equally dense points the first is denser.

        Args:
            log_density: Logarithm of the density of each point, shape ``[B, N]``.

        Returns:
            Squared distances, shape ``[B, N]``; the largest of the entry for the densest
            point, 0 at masked points.
        """
        log_density = log_density.masked_fill(~self._counted, -torch.inf)
        order = log_density.sort(dim=1, descending=True, stable=True).indices
        rank = order.argsort(dim=1)  # 0 for the densest
        if self._few:
            squared = self._to_lower_rank(rank)
        else:
            squared = self._to_denser_of_many(order, rank)
        squared = squared.where(rank > 0, self._over_width(self._largest)[:, None])
        return squared.where(self._counted, 0)

    def _to_lower_rank(self, rank: Tensor) -> Tensor:
        """Give the least of the kept distances to points of lower rank, ``[B, N]``."""
        assert self._kept is not None
        # what is above all distances for higher ranks and below them for lower ones
        # takes less time to compute, and to compare with, than what is true or false
        beyond = 2 * self._largest[:, None]
        high = rank * (2 * beyond)
        least = high[:, None] - (high - beyond)[..., None]
        return self._over_width(torch.maximum(least, self._kept, out=least).amin(2))

    def _to_denser_of_many(self, order: Tensor, rank: Tensor) -> Tensor:
        """Look among the nearest of many points, then, for a few, among all of them.

        Where one of the nearest points is denser, the nearest denser one is among them.
        The others are the peaks of the density.
        """
        near, index = self._near
        assert index is not None
        denser = rank.gather(1, index.flatten(1)).view_as(index) < rank[..., None]
        squared = near.where(denser & near.isfinite(), torch.inf).amin(2)
        is_peak = self._counted & squared.isinf() & (rank > 0)
        all_peaks = is_peak[0].nonzero()[:, 0]
        for peaks in torch.split(all_peaks, self._edge) if len(all_peaks) else ():
            own = rank[0, peaks][:, None]
            for others in torch.split(order[0, : int(own.max())], self._edge):
                far = self._between(peaks, others)
                far = far.where(rank[0, others] < own, torch.inf).amin(2)
                squared[:, peaks] = self._over_width(far).minimum(squared[:, peaks])
        return squared

    def nearest_among(self, few: Tensor) -> Tensor:
        """Tell which of a few points is nearest to each point, of equals the first.

        Args:
            few: Their indices, shape ``[B, K]``, -1 for none.

        Returns:
            Places in ``few``, shape ``[B, N]``.
        """
        points = few.clamp(min=0)
        refused = (few < 0) | ~self._counted.gather(1, points)
        places = []
        for rows in self._ranges():
            if self._kept is not None:
                index = points[:, None].expand(-1, self._kept.shape[1], -1)
                squared = self._kept.gather(2, index)
            else:
                squared = self._between(rows, points[0])
            squared = self._over_width(squared).masked_fill(refused[:, None], torch.inf)
            places.append(squared.argmin(2))
        return torch.cat(places, dim=1).gather(1, self._first)

    def _over_width(self, squared: Tensor) -> Tensor:
        """Divide by the width, in double precision, near ties of doubles made ties."""
        squared = round_last_bits(squared / self._width)
        return squared if squared.device.type == "mps" else squared.double()

    def _between(self, rows: Tensor | slice, columns: Tensor) -> Tensor:
        """Give distances between some of many points, not over the width, ``[1, n, m]``."""
        if self._kept is not None:
            return self._kept[:, rows][..., columns]
        return self._rectangle(rows, columns)

    def _ranges(self) -> list[slice]:
        count, step = self._x.shape[1], self._edge
        return [slice(i, min(i + step, count)) for i in range(0, count, step)]

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """List tiles, those on the diagonal first, since they give the lengths."""
        ranges = self._ranges()
        yield from zip(ranges, ranges, strict=True)
        yield from combinations(ranges, 2)

    def _triangle(self, rows: slice) -> Tensor:
        """Compute a tile on the diagonal, ``[B, n, n]``, and the lengths of its points.

        The lower half is multiplied, panel by panel, and copied.
        """
        num_entries, count = len(self._x), rows.stop - rows.start
        step = min(max(count // 512 * 64, _PANEL[0]), _PANEL[1])
        panels = [(i, min(i + step, count)) for i in range(0, count, step)]
        tile = self._lengths.new_empty(num_entries, count, count)
        parts = self._parts(count)
        together = max(1, _TOGETHER // max(1, count * parts[0].stop))
        if self._x.device.type != "cpu":
            together = max(1, num_entries)
        for first in range(0, num_entries, together):
            entries = slice(first, first + together)
            for part in parts:
                points = self._coordinates(entries, rows, part)
                for start, stop in panels:
                    lower = tile[entries, start:, start:stop]
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
        """Compute any tile of many points, shape ``[1, n, m]``."""
        a_lengths, b_lengths = self._lengths[:, rows], self._lengths[:, columns]
        shape = a_lengths.shape[1], b_lengths.shape[1]
        tile = self._lengths.new_empty(1, *shape)
        for part in self._parts(max(shape)):
            a = self._coordinates(slice(0, 1), rows, part)
            b = self._coordinates(slice(0, 1), columns, part)
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
        values = self._x[entries, points, part].to(self._dtype)
        if self._shift is not None and any(self._is_shifted[entries]):
            values = values - self._shift[entries, :, part].to(self._dtype)
        if not self._all_valid:
            values = values.masked_fill(~self._valid[entries, points, None], 0)
        return values


def entries_at_once(x: Tensor) -> int:
    """Say how many entries of ``x``, shape ``[B, N, C]``, to cluster at once."""
    num_points, width = x.shape[1:]
    if num_points > _FEW:
        return 1
    count = TILE // num_points**2
    if x.device.type == "cpu":
        count = min(count, _ENTRIES // max(1, num_points * width))
    return max(1, count)


def _add_products(a: Tensor, b: Tensor, total: Tensor, first: bool) -> None:
    """Add ``-2 a b`` to ``total``, or put it there if it is the first."""
    total.baddbmm_(a, b.mT, beta=0 if first else 1, alpha=-2)


@contextmanager
def full_products(device: str) -> Iterator[None]:
    """Multiply matrices in their own precision, whatever the caller's settings."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def _least_values(tile: Tensor, k: int) -> Tensor:
    """Return the ``k`` least numbers of each row, rising, shape ``[B, n, k]``.

    On a processor numpy sorts whole rows in a third of the time that topk takes.
    """
    if tile.device.type != "cpu":
        return tile.topk(k, dim=2, largest=False).values
    return torch.from_numpy(np.sort(tile.numpy(), axis=2)[..., :k])


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
    ``dim`` is 1 for those of each column, 2 for those of each row; what is given has a
    row for each.
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


def round_last_bits(squared: Tensor) -> Tensor:
    """Round the last bits of doubles in place, so that near ties become ties."""
    if squared.dtype == torch.float64:
        bits = squared.view(torch.int64)
        bits.add_(1 << (_ROUNDED_BITS - 1)).bitwise_and_(-1 << _ROUNDED_BITS)
    return squared
