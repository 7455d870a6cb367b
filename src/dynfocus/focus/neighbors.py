"""Squared distances between all points, tile by tile, and the nearest of them.

A tile is a range of rows against a range of columns. Only tiles on or above the
diagonal are computed, and of one on the diagonal only the lower half. If one tile
holds all distances it is kept; if not, distances that are wanted again are computed
again, so that memory does not grow with the square of the points.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and ``k``
neighbours.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dynfocus.focus.distances import expand_index
from dynfocus.focus.products import (
    DistanceFactors,
    Precision,
    add_products,
    multiplies_bfloat16,
    multiply_distances,
    products_of,
)
from dynfocus.focus.threads import one_thread_for_numpy

TILE = 1 << 24
"""Distances held at once: 64 MiB in single precision."""

_SLICE = 1 << 22
"""Coordinates shifted at once: 16 MiB in single precision."""

_WIDTHS = (256, 2048)
"""Narrowest and widest part of a point multiplied at once, for the caches' sake."""

_REDUCED_WIDTHS = (1024, 3072)
"""The same in bfloat16: more parts are more exact, and take longer to add up."""

_TOGETHER = 1 << 19
"""Coordinates of several entries multiplied at once, for the caches' sake."""

_ENTRIES = 1 << 23
"""Coordinates of the entries clustered at once on a processor, for the caches' sake."""

_SAMPLE = (5, 32)
"""Points, and about how many coordinates of them, that decide on the shift."""

_GROUPS = 32
"""Fewest groups of the numbers among which the least are looked for."""

_PANEL = (64, 256)
"""Fewest and most columns of the lower half of a tile that are multiplied at once."""

_FEW = 512
"""Most points whose distances are multiplied and searched all at once."""


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
    precision. In bfloat16 they are wrong by up to about 1e-3 of themselves.

    Args:
        x: Points, shape ``[B, N, C]``; one entry only if a tile cannot hold all.
        valid: True at valid points, shape ``[B, N]``.
        precision: As in ``dpc_knn``.
    """

    def __init__(self, x: Tensor, valid: Tensor, precision: Precision) -> None:
        double = precision == "float64" and x.device.type != "mps"
        self._dtype = torch.float64 if double else torch.float32
        self._precision = precision
        self._reduced = precision == "bfloat16" and multiplies_bfloat16(x.device)
        self._x = x
        self._few = x.shape[1] <= min(_FEW, math.isqrt(TILE // max(1, x.shape[0])))
        self._symmetric = self._few and x.device.type == "cpu" and not self._reduced
        self._masked = None if bool(valid.all()) else ~valid
        self._shift = _shift(x, valid)
        shifted = () if self._shift is None else self._shift.any(2).flatten().tolist()
        self._shifted: list[bool] = list(shifted)
        self._lengths = x.new_zeros(valid.shape, dtype=self._dtype)
        self._kept: Tensor | None = None
        num_points = x.shape[1]
        self.edge = max(1, min(num_points, int(TILE**0.5)))
        if x.shape[0] * num_points**2 <= TILE:
            self.edge = max(1, num_points)

    def nearest(self, k: int, counted: Tensor, indexed: bool = True) -> Nearest:
        """Find the nearest points.

        Args:
            k: How many, at most ``N``.
            counted: True at points that may be found, shape ``[B, N]``.
            indexed: Whether it matters which points they are. If not, and if they are
                few, they are found sooner and ``indices`` is None.
        """
        if not indexed and self._few:
            return self._least_kept(k, counted)
        uncounted = None if bool(counted.all()) else ~counted
        largest = self._lengths.new_zeros(len(counted))
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows, columns in self._tiles():
            tile = self._tile(rows, columns)
            # masked points lie at the shift, which is a point: no distance grows
            largest = largest.maximum(tile.amax((1, 2)))
            for near, far, dim in ((rows, columns, 2), (columns, rows, 1)):
                if uncounted is not None:
                    across = uncounted[:, far].unsqueeze(3 - dim)
                    tile.masked_fill_(across, torch.inf)
                before = found.get(near.start)
                found[near.start] = _nearer(tile, dim, far.start, k, before)
                if rows == columns:
                    break
            if self.edge >= self._x.shape[1]:
                self._kept = tile
        squared, index = (
            torch.cat(parts, dim=1) for parts in zip(*found.values(), strict=True)
        )
        return Nearest(squared / self._x.shape[2], index, largest / self._x.shape[2])

    def _least_kept(self, k: int, counted: Tensor) -> Nearest:
        """Find the least distances alone, and keep all."""
        every = slice(0, self._x.shape[1])
        tile = self._kept = self._tile(every, every)
        largest = tile.amax((1, 2))
        if not bool(counted.all()):
            tile.masked_fill_(~counted[:, None], torch.inf)
        squared = _least_values(tile, k)
        width = self._x.shape[2]
        return Nearest(squared / width, None, largest / width)

    def to_lower_rank(self, rank: Tensor, largest: Tensor) -> Tensor:
        """Give the least distance to a point of lower rank, if all distances are kept.

        Args:
            rank: Of each point, from 0, shape ``[B, N]``.
            largest: Largest squared distance, shape ``[B]``.

        Returns:
            Squared distances, shape ``[B, N]``; a large number for rank 0.
        """
        if self._kept is None:
            raise RuntimeError("no distances are kept; call nearest first")
        # what is above all distances for higher ranks and below them for lower ones
        # takes less time to compute, and to compare with, than what is true or false
        width = self._x.shape[2]
        beyond = 2 * width * largest[:, None]
        high = rank * (2 * beyond)
        masked = high[:, None] - (high - beyond)[..., None]
        return torch.maximum(masked, self._kept, out=masked).amin(2) / width

    def from_points(
        self, rows: Tensor, columns: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give distances from some points to others, after ``nearest``.

        Args:
            rows: Indices, shape ``[B, n]``, at most ``edge`` of them.
            columns: Indices, shape ``[B, m]``; if all distances are kept, each row comes
                with all its distances.

        Yields:
            Indices ``[B, m']`` and the squared distances to them, ``[B, n, m']``.
        """
        width = self._x.shape[2]
        if self._kept is None:
            for part in torch.split(columns, self.edge, dim=1):
                yield part, self._rectangle(rows[0], part[0]) / width
        else:
            index = rows[..., None].expand(-1, -1, self._kept.shape[2])
            own = torch.arange(self._kept.shape[2], device=rows.device)
            yield own.expand(len(rows), -1), self._kept.gather(1, index) / width

    def to_points(self, columns: Tensor) -> Iterator[Tensor]:
        """Give the distances of all points to a few, some rows at a time.

        Args:
            columns: Indices, shape ``[B, m]``.

        Yields:
            Squared distances, shape ``[B, n, m]``.
        """
        width = self._x.shape[2]
        if self._kept is None:
            for rows in self._ranges():
                yield self._rectangle(rows, columns[0]) / width
        else:
            index = columns[:, None].expand(-1, self._kept.shape[1], -1)
            yield self._kept.gather(2, index) / width

    def _ranges(self) -> list[slice]:
        count = self._x.shape[1]
        starts = range(0, count, self.edge)
        return [slice(start, min(start + self.edge, count)) for start in starts]

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """List tiles, those on the diagonal first, since they give the lengths."""
        ranges = self._ranges()
        yield from zip(ranges, ranges, strict=True)
        for number, rows in enumerate(ranges):
            yield from ((rows, columns) for columns in ranges[number + 1 :])

    def _tile(self, rows: slice, columns: slice) -> Tensor:
        if self._symmetric:
            return self._square()
        if rows == columns:
            return self._triangle(rows)
        return self._rectangle(rows, columns)

    def _triangle(self, rows: slice) -> Tensor:
        """Compute a tile on the diagonal, ``[B, n, n]``, and the lengths of its points."""
        count = rows.stop - rows.start
        tile = self._room(count, count)
        step = min(max(count // 512 * 64, _PANEL[0]), _PANEL[1])
        panels = [(i, min(i + step, count)) for i in range(0, count, step)]
        parts, room, factors = self._plan(count)
        with products_of(self._x, self._precision):
            for entries, part in parts:
                a, b = factors(self._coordinates(entries, rows, part, room))
                for start, stop in panels:
                    lower = tile[entries, start:, start:stop]
                    first = part.start == 0
                    self._multiply(a[:, start:], b[:, start:stop], lower, first)
        if not self._reduced:  # lengths first: both halves are rounded alike
            self._lengths[:, rows] = tile.diagonal(0, 1, 2) / -2
        for start, stop in panels:
            self._add_lengths(
                tile[:, start:, start:stop],
                slice(rows.start + start, rows.stop),
                slice(rows.start + start, rows.start + stop),
            )
            corner = tile[:, start:stop, start:stop]
            corner.copy_(corner.tril() + corner.tril(-1).mT)
            tile[:, start:stop, stop:] = tile[:, stop:, start:stop].mT
        return tile

    def _square(self) -> Tensor:
        """Compute all distances as numpy can: half of the products and a copy of it."""
        every = slice(0, self._x.shape[1])
        tile = self._room(every.stop, every.stop)
        parts, room, _ = self._plan(every.stop)
        with one_thread_for_numpy:
            for entries, part in parts:
                values = self._coordinates(entries, every, part, room)
                add_products(values, tile[entries], part.start == 0)
        self._lengths = tile.diagonal(0, 1, 2).clone()
        # the sum of lengths first, so that both halves are rounded alike
        squared = self._lengths[:, :, None] + self._lengths[:, None]
        return torch.sub(squared, tile, alpha=2, out=squared).clamp_(min=0)

    def _rectangle(self, rows: slice | Tensor, columns: slice | Tensor) -> Tensor:
        """Compute any tile of one entry, shape ``[1, n, m]``."""
        shape = self._lengths[:, rows].shape[1], self._lengths[:, columns].shape[1]
        tile = self._room(*shape)
        parts, room, factors = self._plan(max(shape))
        _, other_room, other_factors = self._plan(max(shape))
        with products_of(self._x, self._precision):
            for entries, part in parts:
                a, _ = factors(self._coordinates(entries, rows, part, room))
                b = self._coordinates(entries, columns, part, other_room)
                first = part.start == 0
                self._multiply(a, other_factors(b)[1], tile[entries], first)
        return self._add_lengths(tile, rows, columns)

    def _room(self, num_rows: int, num_columns: int) -> Tensor:
        """Make room for a tile: of zeros if all parts of the width are added to it."""
        make = self._lengths.new_zeros if self._reduced else self._lengths.new_empty
        return make(self._x.shape[0], num_rows, num_columns)

    def _multiply(self, left: Tensor, right: Tensor, tile: Tensor, first: bool) -> None:
        """Add ``-2 a b``, or if reduced the squared distances, of a part of the width.

        The first part of products takes the place of what is in the tile.
        """
        if self._reduced:
            multiply_distances(left, right, tile)
        else:
            tile.baddbmm_(left, right.mT, beta=0 if first else 1, alpha=-2)

    def _add_lengths(
        self, tile: Tensor, rows: slice | Tensor, columns: slice | Tensor
    ) -> Tensor:
        """Make squared distances of sums of products, in place."""
        if not self._reduced:
            tile += self._lengths[:, rows, None]
            tile += self._lengths[:, None, columns]
        return tile.clamp_(min=0)

    def _plan(
        self, num_points: int
    ) -> tuple[
        list[tuple[slice, slice]], Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]
    ]:
        """Cut entries and width for so many points.

        Returns:
            Ranges of entries and of coordinates; room for the coordinates of a piece;
            and what makes factors of them.
        """
        count, _, full = self._x.shape
        wanted = 3 * num_points if self._reduced else _SLICE // max(1, num_points)
        least, most = _REDUCED_WIDTHS if self._reduced else _WIDTHS
        num_parts = max(1, math.ceil(full / max(least, min(wanted, most))))
        width = max(1, math.ceil(full / num_parts))  # a last part must not be tiny
        step = max(1, min(count, _TOGETHER // max(1, num_points * width)))
        parts = [
            (slice(first, min(first + step, count)), slice(start, start + width))
            for first in range(0, count, step)
            for start in range(0, full, width)
        ]
        room = self._lengths.new_empty(step * num_points * width)
        if self._reduced:
            return parts, room, DistanceFactors(step * num_points, width)
        return parts, room, lambda values: (values, values)

    def _coordinates(
        self, entries: slice, points: slice | Tensor, part: slice, room: Tensor
    ) -> Tensor:
        """Put some coordinates of some points into ``room``: shifted, 0 if masked."""
        values = self._x[entries, points, part]
        if self._shift is None or not any(self._shifted[entries]):
            values = values.to(self._dtype)
        else:
            wide = torch.promote_types(self._x.dtype, self._dtype)
            shift = self._shift[entries, :, part].to(wide)
            room = room[: values.numel()].view(values.shape)
            values = torch.sub(values.to(wide), shift, out=room)
        if self._masked is not None:
            values = values.masked_fill(self._masked[entries, points, None], 0)
        if self._precision == "bfloat16" and not self._reduced:
            values = values.bfloat16().to(self._dtype)
        return values


def entries_at_once(x: Tensor) -> int:
    """Say how many entries of ``x``, shape ``[B, N, C]``, to cluster at once."""
    by_tile = TILE // x.shape[1] ** 2
    if x.device.type != "cpu":
        return max(1, by_tile)
    return max(1, min(by_tile, _ENTRIES // max(1, x.shape[1] * x.shape[2])))


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


def _least_values(tile: Tensor, k: int) -> Tensor:
    """Return the ``k`` least numbers of each row, rising, shape ``[B, n, k]``.

    On a processor numpy sorts whole rows in a third of the time that torch takes to find
    the least and their indices.
    """
    if tile.device.type != "cpu":
        return tile.topk(k, dim=2, largest=False).values
    return torch.from_numpy(np.sort(tile.numpy(), axis=2)[..., :k])


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
