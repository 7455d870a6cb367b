"""What a session keeps of the frames it has seen: no more than so many of them.

Letters: T frames held, P event tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dynfocus.focus import FrameEncoding, VideoFeatures
from dynfocus.models.conversation import check_count


class FrameMemory:
    r"""Hold the features of every frame until they are too many, then of every second.

    .. math::
        u = \min \{2^j : \lceil n / 2^j \rceil \le C\}, \qquad
        t_i = i u, \qquad
        \bar f_i = \frac{1}{|\mathcal G_i|} \sum_{t \in \mathcal G_i} f_t, \qquad
        \mathcal G_i = \{t : i u \le t < (i + 1) u\}

    Symbols: ``n`` is ``num_seen``, ``C`` is ``capacity``, ``u`` is ``stride``,
    ``t_i`` the frames held, ``f_t`` the pooled patches of a frame.

    A frame that is held keeps its own time, spatial prototypes and patches. Its pooled
    patches, from which events are estimated, are the mean of those of all frames up to
    the next one that is held. What is held depends on the frames alone, not on how they
    came; while all of them fit, it is exactly what they were encoded to.

    Args:
        capacity: Hold at most so many frames; without, all of them.
    """

    def __init__(self, capacity: int | None) -> None:
        if capacity is not None:
            check_count("max_frames", capacity)
        self.capacity = capacity
        self.num_seen = 0
        self.stride = 1
        self._counts = _Rows(capacity)
        self._sums = _Rows(capacity)
        self._own: dict[str, _Rows] = {}
        self._dtype = torch.float32

    @property
    def num_frames(self) -> int:
        """Count the frames held."""
        return self._counts.num_rows

    def held_after(self, num_seen: int) -> tuple[int, int]:
        """Tell the number of frames held, and the stride, once so many were seen."""
        stride = self.stride
        while self.capacity is not None and -(-num_seen // stride) > self.capacity:
            stride *= 2
        return -(-num_seen // stride), stride

    def add(
        self, encoded: FrameEncoding, pts_seconds: Tensor, thumbnails: Tensor | None
    ) -> None:
        """Take in frames, in order of time.

        Args:
            encoded: What the model made of them.
            pts_seconds: Their times, shape ``[F]``, float64.
            thumbnails: Small pictures of them, ``[F, H, W, 3]``, in all calls or none.
        """
        pooled, spatial, patches = encoded
        assert pooled is not None  # a session needs the events of its frames
        self._dtype = pooled.dtype
        own = {"pts_seconds": pts_seconds.to(pooled.device), "spatial": spatial}
        if patches is not None:
            own["patches"] = patches
        if thumbnails is not None:
            own["thumbnails"] = thumbnails
        for frame, row in enumerate(pooled.double()):
            if self.num_seen % self.stride == 0 and self.num_frames == self.capacity:
                self._thin()
            if self.num_seen % self.stride == 0:
                self._counts.append(row.new_ones(()))
                self._sums.append(row)
                for name, values in own.items():
                    rows = self._own.setdefault(name, _Rows(self.capacity))
                    rows.append(values[frame])
            else:
                self._counts.rows[-1] += 1
                self._sums.rows[-1] += row
            self.num_seen += 1

    def features(self) -> VideoFeatures:
        """Copy what is held; later frames do not change the copy."""
        counts = self._counts.rows[:, None, None]
        own = {name: rows.rows.clone() for name, rows in self._own.items()}
        return VideoFeatures(
            pooled=(self._sums.rows / counts).to(self._dtype),
            spatial=own["spatial"],
            pts_seconds=own["pts_seconds"],
            patches=own.get("patches"),
        )

    def thumbnails(self) -> Tensor | None:
        """Copy the small pictures of the frames held, ``[T, H, W, 3]``."""
        rows = self._own.get("thumbnails")
        return None if rows is None else rows.rows.clone()

    def _thin(self) -> None:
        """Keep every second frame and let it stand for the one after it."""
        for summed in (self._counts, self._sums):
            first, second = summed.rows[::2].clone(), summed.rows[1::2]
            first[: len(second)] += second
            summed.replace(first)
        for rows in self._own.values():
            rows.replace(rows.rows[::2].clone())
        self.stride *= 2


class _Rows:
    """A tensor that grows by rows in place, up to a capacity.

    Args:
        capacity: Most rows there will be; without, any number.
    """

    def __init__(self, capacity: int | None) -> None:
        self.num_rows = 0
        self._capacity = capacity
        self._room: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        """The rows, as a view."""
        assert self._room is not None  # nothing is read before the first row
        return self._room[: self.num_rows]

    def append(self, row: Tensor) -> None:
        """Add one row."""
        if self._room is None or self.num_rows == len(self._room):
            size = max(16, 2 * self.num_rows)
            size = size if self._capacity is None else min(size, self._capacity)
            grown = row.new_empty((size, *row.shape))
            if self._room is not None:
                grown[: self.num_rows] = self._room
            self._room = grown
        self._room[self.num_rows] = row
        self.num_rows += 1

    def replace(self, rows: Tensor) -> None:
        """Put fewer rows in place of all."""
        self.rows[: len(rows)] = rows
        self.num_rows = len(rows)
