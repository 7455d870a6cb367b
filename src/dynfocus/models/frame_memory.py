"""What a session keeps of the frames it has seen: no more than so many of them.

Letters: F frames that come, T frames held.
"""

from __future__ import annotations

from itertools import zip_longest

import torch
from torch import Tensor

from dynfocus.models.conversation import check_count
from dynfocus.models.frame_encoders import FrameRows


class FrameMemory:
    r"""Hold the features of every frame until they are too many, then of every second.

    .. math::
        u = \min \{2^j : \lceil n / 2^j \rceil \le C\}, \qquad
        t_i = i u, \qquad
        \bar f_i = \frac{1}{|\mathcal G_i|} \sum_{t \in \mathcal G_i} f_t, \qquad
        \mathcal G_i = \{t : i u \le t < (i + 1) u\}

    Symbols: ``n`` is ``num_seen``, ``C`` is ``capacity``, ``u`` is ``stride``,
    ``t_i`` the frames held, ``f_t`` the shared row of a frame.

    A frame that is held keeps its own time and rows. What it shares, of a DynFocus model
    the pooled patches from which events are estimated, is the mean of that of all frames up
    to the next one that is held. What is held depends on the frames alone, not on how they
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
        self._counts: list[int] = []
        self._sums: list[Tensor] = []
        self._own: dict[str, list[Tensor]] = {}
        self._dtype = torch.float32

    @property
    def num_frames(self) -> int:
        """Count the frames held."""
        return len(self._counts)

    def held_after(self, num_seen: int) -> tuple[int, int]:
        """Tell the number of frames held, and the stride, once so many were seen."""
        stride = self.stride
        while self.capacity is not None and -(-num_seen // stride) > self.capacity:
            stride *= 2
        return -(-num_seen // stride), stride

    def add(
        self, encoded: FrameRows, pts_seconds: Tensor, thumbnails: Tensor | None
    ) -> None:
        """Take in frames, in order of time.

        Args:
            encoded: What the model made of them.
            pts_seconds: Their times, shape ``[F]``, float64.
            thumbnails: Small pictures of them, ``[F, H, W, 3]``, in all calls or none.
        """
        shared, own = encoded.shared, {"pts_seconds": pts_seconds, **encoded.own}
        if thumbnails is not None:
            own["thumbnails"] = thumbnails
        if shared is not None:
            self._dtype = shared.dtype
            shared = shared.double()
        for frame in range(len(pts_seconds)):
            if self.num_seen % self.stride == 0 and self.num_frames == self.capacity:
                self._thin()
            row = None if shared is None else shared[frame]
            if self.num_seen % self.stride == 0:
                self._counts.append(1)
                if row is not None:  # a view would keep the whole window
                    self._sums.append(row.clone())
                for name, values in own.items():
                    self._own.setdefault(name, []).append(values[frame].clone())
            else:
                self._counts[-1] += 1
                if row is not None:
                    self._sums[-1] = self._sums[-1] + row
            self.num_seen += 1

    def rows(self) -> FrameRows:
        """Copy the rows that are held; later frames do not change the copy."""
        own = {
            name: torch.stack(rows)
            for name, rows in self._own.items()
            if name not in ("pts_seconds", "thumbnails")
        }
        if not self._sums:
            return FrameRows(own)
        sums = torch.stack(self._sums)
        counts = sums.new_tensor(self._counts).view(-1, *[1] * (sums.ndim - 1))
        return FrameRows(own, (sums / counts).to(self._dtype))

    def pts_seconds(self) -> Tensor:
        """Copy the times of the frames held, ``[T]``."""
        return torch.stack(self._own["pts_seconds"])

    def thumbnails(self) -> Tensor | None:
        """Copy the small pictures of the frames held, ``[T, H, W, 3]``."""
        rows = self._own.get("thumbnails")
        return None if rows is None else torch.stack(rows)

    def _thin(self) -> None:
        """Keep every second frame and let it stand for the one after it."""
        counts, sums = self._counts, self._sums
        self._counts = [sum(counts[i : i + 2]) for i in range(0, len(counts), 2)]
        self._sums = [
            first if second is None else first + second
            for first, second in zip_longest(sums[::2], sums[1::2])
        ]
        for name, rows in self._own.items():
            self._own[name] = rows[::2]
        self.stride *= 2
