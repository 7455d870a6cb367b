"""The frames of a decoding pass: pictures, times, and which of them are lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dynfocus.text import plural
from dynfocus.video.timeline import Timeline


class _FramesAndTimes(NamedTuple):
    """What a caller unpacks."""

    frames: NDArray[np.uint8]
    """Pictures in red, green, blue, shape ``[T, H, W, 3]``."""
    times: NDArray[np.float64]
    """Seconds since the first frame of the video, shape ``[T]``."""


class SampledFrames(_FramesAndTimes):
    """Frames of a video with the times at which they are first shown.

    A pair: ``frames, times = reader.sample(fps=1.0)``.
    """

    damage: str | None = None
    """What could not be decoded, as ``VideoReader.sample`` warned; None if nothing."""
    is_doubtful: NDArray[np.bool_] | None = None
    """Which frames may show damage, shape ``[T]``; None if none does."""
    stored_sizes: NDArray[np.int32]
    """Height and width of each frame as the file stores it, ``[T, 2]``."""
    is_interlaced: NDArray[np.bool_]
    """Which frames hold two fields, a moment each, ``[T]``."""
    is_high: NDArray[np.bool_] | None = None
    """Which frames are of a second, higher frequency, ``[T]``; None if none is."""
    duration: float | None = None
    """Length of the whole video in seconds, where the frames alone do not tell."""

    def mix(self, high: SampledFrames) -> SampledFrames:
        """Add the frames of a second, higher frequency, in order of time.

        Args:
            high: These frames, of the same size; one that is in both stands once, as one
                of these.

        Raises:
            ValueError: The frames have another size.
        """
        if self.frames.shape[1:] != high.frames.shape[1:]:
            raise ValueError(
                "the frames of both frequencies must have one size, got "
                f"{self.frames.shape[1:3]} and {high.frames.shape[1:3]}; resize them"
            )
        low = self.take((~np.isin(self.times, high.times)).nonzero()[0])
        times = np.concatenate([low.times, high.times])
        order = np.argsort(times, kind="stable")
        mixed = SampledFrames(
            np.concatenate([low.frames, high.frames])[order], times[order]
        )
        before = np.zeros(len(low.times), bool) if low.is_high is None else low.is_high
        mixed.is_high = np.append(before, np.ones(len(high.times), bool))[order]
        mixed.duration = self.duration
        mixed.damage = self.damage or high.damage
        return mixed

    def take(self, rows: NDArray[np.int64]) -> SampledFrames:
        """Take some frames; what is known of a decoding pass stays behind."""
        taken = SampledFrames(self.frames[rows], self.times[rows])
        taken.is_high = None if self.is_high is None else self.is_high[rows]
        taken.duration = self.duration
        return taken


class FrameCollector:
    """Keep the wanted frames of a decoding pass, resized and turned.

    Args:
        timeline: The timeline of the stream.
        indices: Wanted frames, -1 for one that the file does not hold, ``[T]``.
        size: Height and width of the result, as displayed.
        progress: Called with the number of frames kept and of frames wanted.
        hand_over: Called with the places of each picture and the picture, ``[H, W, 3]``,
            which is not kept here then; by several threads.
    """

    def __init__(
        self,
        timeline: Timeline,
        indices: NDArray[np.int64],
        size: tuple[int, int],
        progress: Callable[[int, int], None] | None,
        hand_over: Callable[[NDArray[np.int64], NDArray[np.uint8]], None] | None = None,
    ) -> None:
        self.timeline = timeline
        self.indices = indices
        self.size = size
        self._progress = progress
        self._num_reported = 0
        self._hand_over = hand_over
        num_held = len(indices) if hand_over is None else 0
        self.frames = np.zeros((num_held, *size, 3), dtype=np.uint8)
        self.times = np.zeros(len(indices), dtype=np.float64)
        self.is_kept = np.zeros(len(indices), dtype=bool)
        self.is_doubtful = np.zeros(len(indices), dtype=bool)
        self.has_errors = False
        self._stored_sizes = np.zeros((len(indices), 2), dtype=np.int32)
        self._is_interlaced = np.zeros(len(indices), dtype=bool)
        self._order = np.argsort(indices, kind="stable")

    def kept(self) -> SampledFrames:
        """Return the frames that were kept with their times."""
        kept: slice | NDArray[np.bool_] = self.is_kept
        if self.is_kept.all():
            kept = slice(None)
        sampled = SampledFrames(self.frames[kept], self.times[kept])
        if self.is_doubtful.any():
            sampled.is_doubtful = self.is_doubtful[kept]
        sampled.stored_sizes = self._stored_sizes[kept]
        sampled.is_interlaced = self._is_interlaced[kept]
        return sampled

    def outcome(self) -> dict[str, NDArray[Any]]:
        """Give what became of each wanted frame, beside its picture."""
        return {
            "times": self.times,
            "is_kept": self.is_kept,
            "is_doubtful": self.is_doubtful,
            "stored_sizes": self._stored_sizes,
            "is_interlaced": self._is_interlaced,
        }

    def take_over(self, outcome: Mapping[str, NDArray[Any]], has_errors: bool) -> None:
        """Take what another collector tells as its `outcome`.

        Raises:
            ValueError: It is of other frames.
        """
        for name, mine in self.outcome().items():
            mine[...] = outcome[name]
        self.has_errors = has_errors

    def drop_frames(self) -> None:
        """Let go of the pictures; what was kept is still known."""
        self.frames = np.zeros((0, *self.size, 3), dtype=np.uint8)

    def missing(self, *, is_intact: bool) -> list[int]:
        """List the frames still to be decoded, increasing.

        Args:
            is_intact: Only those whose packets are all there.
        """
        wanted = np.unique(self.indices[~self.is_kept & (self.indices >= 0)])
        if is_intact:
            wanted = wanted[self.timeline.is_intact[wanted]]
        return [int(index) for index in wanted]

    def keep(
        self,
        index: int,
        shown_index: int,
        frame: Any,
        picture: NDArray[np.uint8],
        *,
        is_doubtful: bool,
    ) -> None:
        """Store a picture for every wanted moment that frame ``index`` serves.

        Args:
            index: The frame that the timeline expects.
            shown_index: The frame that the decoder delivered.
            frame: That frame as it was decoded.
            picture: Its picture, ``[H, W, 3]``.
            is_doubtful: Whether it may show damage.
        """
        bounds = np.searchsorted(self.indices, [index, index + 1], sorter=self._order)
        slots = self._order[bounds[0] : bounds[1]]
        if self._hand_over is None:
            self.frames[slots] = picture
        else:
            self._hand_over(slots, picture)
        self._stored_sizes[slots] = frame.height, frame.width
        self._is_interlaced[slots] = frame.interlaced_frame
        self.times[slots] = self.timeline.pts_seconds[shown_index]
        self.is_kept[slots] = True
        self.is_doubtful[slots] = is_doubtful

    def forget(self, indices: list[int]) -> None:
        """Give up frames that were kept."""
        slots = np.isin(self.indices, indices)
        self.is_kept[slots] = self.is_doubtful[slots] = False

    def report(self) -> None:
        """Tell of the frames that were kept since the last time."""
        if self._progress is None:
            return
        num_kept = int(self.is_kept.sum())
        for done in range(self._num_reported + 1, num_kept + 1):
            self._progress(done, len(self.indices))
        self._num_reported = max(self._num_reported, num_kept)


@dataclass(frozen=True, kw_only=True)
class MissingFrames:
    """What became of the wanted frames."""

    wanted: NDArray[np.float64]
    """Wanted moments in seconds, shape ``[T]``."""
    is_kept: NDArray[np.bool_]
    """Whether each has its frame, shape ``[T]``."""
    is_doubtful: NDArray[np.bool_]
    """Whether a frame that is kept may show damage, shape ``[T]``."""
    has_errors: bool
    """Whether the decoder met an error."""

    @classmethod
    def of(cls, wanted: NDArray[np.float64], *collectors: FrameCollector) -> Self:
        """Put together what several collectors kept, in the order of ``wanted``."""
        return cls(
            wanted=wanted,
            is_kept=np.concatenate([c.is_kept for c in collectors]),
            is_doubtful=np.concatenate([c.is_doubtful for c in collectors]),
            has_errors=any(c.has_errors for c in collectors),
        )

    def describe(self, timeline: Timeline, *, is_given: bool) -> str | None:
        """Name what is missing; nothing if there is nothing to say.

        Args:
            timeline: The timeline of the file.
            is_given: Whether the moments were chosen by the caller, who need not know
                of the end of a cut file unless they reach it.
        """
        lost = self.wanted[~self.is_kept]
        end, declared = timeline.duration, timeline.declared_duration
        is_past = bool((lost >= end).any())
        is_cut = timeline.is_cut and (not is_given or is_past)
        is_uncertain = timeline.is_counted and self.has_errors
        num_doubtful = int(self.is_doubtful.sum())
        if not (len(lost) or is_cut or is_uncertain or num_doubtful):
            return None
        clauses = []
        if is_cut:
            of = f" of the {declared:.1f} s that it declares" if declared > end else ""
            clauses.append(f"the file breaks off after {end:.1f} s{of}")
        places = self._stretches(~self.is_kept, end)
        places += [f"after {end:.1f} s"] if is_past else []
        if places:
            of = f" of {declared:.1f} s" if not is_cut else ""
            clauses.append(f"frames {_listed(places)}{of} could not be decoded")
        if num_doubtful:
            places = self._stretches(self.is_doubtful, np.inf)
            clauses.append(f"frames {_listed(places)} follow a damaged place")
        num_wanted, num_kept = len(self.wanted), int(self.is_kept.sum())
        verb = "was" if num_kept == 1 else "were"
        kept = f"{num_kept} of {plural(num_wanted, 'wanted frame')} {verb} kept"
        if num_doubtful:
            kept += f", {num_doubtful} of them may show damage"
        if is_uncertain:
            kept += ", with times that may be early after the damaged place"
        return "; ".join([*clauses, kept]) + "."

    def _stretches(self, flags: NDArray[np.bool_], end: float) -> list[str]:
        """Name the stretches before a moment whose frames are flagged."""
        order = np.argsort(self.wanted, kind="stable")
        order = order[self.wanted[order] < end]
        moments, flagged = self.wanted[order], flags[order].view(np.int8)
        bounds = np.flatnonzero(np.diff(np.concatenate([[0], flagged, [0]])))
        stretches = bounds.reshape(-1, 2)  # [stretches, 2], half-open
        parts = [
            f"at {moments[a]:.1f} s"
            if b - a == 1
            else f"from {moments[a]:.1f} s to {moments[b - 1]:.1f} s"
            for a, b in stretches[:3]
        ]
        if len(stretches) > 3:
            parts.append(f"in {len(stretches) - 3} more stretches")
        return parts


def _listed(parts: list[str]) -> str:
    """Join parts as in a sentence."""
    return " and ".join([*filter(None, [", ".join(parts[:-1])]), parts[-1]])
