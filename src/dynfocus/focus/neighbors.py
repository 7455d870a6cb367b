"""Squared distances between all points, tile by tile, and the nearest of them.

A tile is a range of rows against a range of columns. Only tiles on or above the
diagonal are computed, and of one on the diagonal only the upper half. If one tile
holds all distances it is kept; if not, distances that are wanted again are computed
again, so that memory does not grow with the square of the points.

Letters beyond the shared ones: ``N`` points of an entry, ``C`` their width and ``k``
neighbours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Precision = Literal["float32", "float64", "bfloat16"]

TILE = 1 << 24
"""Distances held at once: 64 MiB in single precision."""

_SLICE = 1 << 23
"""Coordinates shifted at once: 32 MiB in single precision."""

_WIDTHS = (256, 2048)
"""Narrowest and widest part of a point multiplied at once, for the caches' sake."""

_ENTRIES = 1 << 21
"""Coordinates of the entries clustered at once: few enough for the caches."""

_PANEL = (64, 256)
"""Fewest and most rows of the upper half of a tile that are multiplied at once."""


class Nearest(NamedTuple):
    """The nearest points of each point, itself among them."""

    squared: Tensor
    """Squared distances over the width, ``[B, N, k]``, rising; infinite if too few."""
    indices: Tensor
    """Their indices, ``[B, N, k]``."""
    largest: Tensor
    """Largest squared distance of each entry, ``[B]``."""


class Distances:
    """Squared distances over the width between the points of each entry.

    Squares are expanded, ``|a|^2 + |b|^2 - 2 a b``, on points shifted by a typical one
    of them: that is exact for small whole numbers wherever they lie, and elsewhere
    wrong by about 1e-7 of ``|a|^2 + |b|^2`` in single precision.

    Args:
        x: Points, shape ``[B, N, C]``; one entry only if a tile cannot hold all.
        valid: True at valid points, shape ``[B, N]``.
        precision: As in ``dpc_knn``.
    """

    def __init__(self, x: Tensor, valid: Tensor, precision: Precision) -> None:
        double = precision == "float64" and x.device.type != "mps"
        self._dtype = torch.float64 if double else torch.float32
        self._precision = precision
        self._x = x
        self._masked = None if bool(valid.all()) else ~valid
        self._shift = _typical_point(x, valid)
        self._lengths = x.new_zeros(valid.shape, dtype=self._dtype)
        self._kept: Tensor | None = None
        num_points = x.shape[1]
        self.edge = max(1, min(num_points, int(TILE**0.5)))
        if x.shape[0] * num_points**2 <= TILE:
            self.edge = max(1, num_points)

    def nearest(self, k: int, counted: Tensor) -> Nearest:
        """Find the nearest points.

        Args:
            k: How many, at most ``N``.
            counted: True at points that may be found, shape ``[B, N]``.
        """
        uncounted = None if bool(counted.all()) else ~counted
        largest = self._lengths.new_zeros(len(counted))
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows, columns in self._tiles():
            tile = self._tile(rows, columns)
            # masked points lie at the shift, which is a point: no distance grows
            largest = largest.maximum(tile.amax((1, 2)))
            for near, far, part in ((rows, columns, tile), (columns, rows, tile.mT)):
                if uncounted is not None:
                    part.masked_fill_(uncounted[:, None, far], torch.inf)
                found[near.start] = _nearer(part, far.start, k, found.get(near.start))
                if rows == columns:
                    break
            if self.edge >= self._x.shape[1]:
                self._kept = tile
        squared, index = (
            torch.cat(parts, dim=1) for parts in zip(*found.values(), strict=True)
        )
        return Nearest(squared / self._x.shape[2], index, largest / self._x.shape[2])

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
        if rows == columns:
            return self._triangle(rows)
        return self._rectangle(rows, columns)

    def _triangle(self, rows: slice) -> Tensor:
        """Compute a tile on the diagonal, ``[B, n, n]``, and the lengths of its points."""
        count = rows.stop - rows.start
        tile = self._lengths.new_zeros(self._x.shape[0], count, count)
        step = min(max(count // 512 * 64, _PANEL[0]), _PANEL[1])
        panels = [(i, min(i + step, count)) for i in range(0, count, step)]
        parts, room = self._plan(count)
        with _products_of(self._x, self._precision):
            for part in parts:
                a = self._coordinates(rows, part, room)
                for start, stop in panels:
                    upper = tile[:, start:stop, start:]
                    upper.baddbmm_(a[:, start:stop], a[:, start:].mT, alpha=-2)
        self._lengths[:, rows] = tile.diagonal(0, 1, 2) / -2
        for start, stop in panels:
            corner = tile[:, start:stop, start:stop]
            corner.copy_(corner.triu() + corner.triu(1).mT)
            tile[:, stop:, start:stop] = tile[:, start:stop, stop:].mT
        return self._add_lengths(tile, rows, rows)

    def _rectangle(self, rows: slice | Tensor, columns: slice | Tensor) -> Tensor:
        """Compute any tile of one entry, shape ``[1, n, m]``."""
        num_entries = self._x.shape[0]
        shape = self._lengths[:, rows].shape[1], self._lengths[:, columns].shape[1]
        tile = self._lengths.new_zeros(num_entries, *shape)
        parts, room = self._plan(max(shape))
        with _products_of(self._x, self._precision):
            for part in parts:
                a = self._coordinates(rows, part, room)
                b = self._coordinates(columns, part, torch.empty_like(room))
                tile.baddbmm_(a, b.mT, alpha=-2)
        return self._add_lengths(tile, rows, columns)

    def _add_lengths(
        self, tile: Tensor, rows: slice | Tensor, columns: slice | Tensor
    ) -> Tensor:
        tile += self._lengths[:, rows, None]
        tile += self._lengths[:, None, columns]
        return tile.clamp_(min=0)

    def _plan(self, num_points: int) -> tuple[list[slice], Tensor]:
        """Cut the width for so many points, and make room for the widest part."""
        width = _SLICE // max(1, self._x.shape[0] * num_points)
        width = max(_WIDTHS[0], min(_WIDTHS[1], width, self._x.shape[2]))
        parts = [slice(i, i + width) for i in range(0, self._x.shape[2], width)]
        return parts, self._lengths.new_empty(self._x.shape[0] * num_points * width)

    def _coordinates(self, points: slice | Tensor, part: slice, room: Tensor) -> Tensor:
        """Put some coordinates of some points into ``room``: shifted, 0 if masked."""
        wide = torch.promote_types(self._x.dtype, self._dtype)
        values, shift = self._x[:, points, part].to(wide), self._shift[..., part]
        room = room[: values.numel()].view(values.shape)
        values = torch.sub(values, shift.to(wide), out=room)
        if self._masked is not None:
            values.masked_fill_(self._masked[:, points, None], 0)
        if self._precision == "bfloat16":
            values = values.bfloat16().to(self._dtype)
        return values


def check_precision(precision: str) -> None:
    """Refuse an unknown precision."""
    if precision not in get_args(Precision):
        raise ValueError(
            "precision must be 'float32', 'float64' or 'bfloat16', "
            f"got {precision!r}; choose one of these"
        )


def entries_at_once(x: Tensor) -> int:
    """Say how many entries of ``x``, shape ``[B, N, C]``, to cluster at once."""
    by_tile = TILE // x.shape[1] ** 2
    return max(1, min(by_tile, _ENTRIES // max(1, x.shape[1] * x.shape[2])))


@contextmanager
def _products_of(x: Tensor, precision: Precision) -> Iterator[None]:
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


def _nearer(
    tile: Tensor, start: int, k: int, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the nearest points of each row: of the tile and those found before."""
    squared, index = tile.topk(min(k, tile.shape[2]), dim=2, largest=False)
    index += start
    if before is None:
        return squared, index
    squared = torch.cat([before[0], squared], dim=2)
    index = torch.cat([before[1], index], dim=2)
    squared, place = squared.topk(min(k, squared.shape[2]), dim=2, largest=False)
    return squared, index.gather(2, place)


def _typical_point(x: Tensor, valid: Tensor) -> Tensor:
    """Return, of three points of each entry, the one nearest to the two others.

    A point keeps whole numbers whole, unlike a mean; the first one might be an outlier.

    Returns:
        Points, shape ``[B, 1, C]``.
    """
    order = (~valid).to(torch.uint8).sort(dim=1, stable=True).indices  # valid first
    thirds = torch.arange(3, device=x.device) * valid.sum(1, keepdim=True) // 3
    entries = torch.arange(len(x), device=x.device)[:, None]
    points = x[entries, order.gather(1, thirds)]  # [B, 3, C]
    # far[i]: between the two points that are not point i
    far = (points.roll(1, 1).float() - points.roll(-1, 1)).abs().mean(2)
    typical = (far.sum(1, keepdim=True) - far).nan_to_num(torch.inf).argmin(1)
    return points[entries[:, 0], typical][:, None]
