"""Say in one sentence which wanted frames a damaged file has lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.decoder import FrameCollector
from dynfocus.video.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class MissingFrames:
    """What became of the wanted frames."""

    wanted: NDArray[np.float64]
    """Wanted moments in seconds, shape ``[T]``."""
    is_kept: NDArray[np.bool_]
    """Whether each has its frame, shape ``[T]``."""
    num_damaged: int
    """Frames that were kept although they may show damage."""
    has_errors: bool
    """Whether the decoder met an error."""

    @classmethod
    def of(cls, wanted: NDArray[np.float64], *collectors: FrameCollector) -> Self:
        """Put together what several collectors kept, in the order of ``wanted``."""
        return cls(
            wanted=wanted,
            is_kept=np.concatenate([c.is_kept for c in collectors]),
            num_damaged=sum(c.num_damaged for c in collectors),
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
        if not (len(lost) or is_cut or is_uncertain or self.num_damaged):
            return None
        parts = self._missing_parts(end)
        if is_past:
            parts.append(f"after {end:.1f} s")
        num_wanted = len(self.wanted)
        text = f"{num_wanted - len(lost)} of {num_wanted} wanted frames were kept"
        if parts:
            places = f"{_listed(parts)} of {declared:.1f} s"
            text = f"frames {places} could not be decoded; {text}"
        if is_cut:
            of = f" of the {declared:.1f} s that it declares" if declared > end else ""
            text = f"the file breaks off after {end:.1f} s{of}; {text}"
        if self.num_damaged:
            text += f", {self.num_damaged} of them may show damage"
        if is_uncertain:
            text += ", with times that may be early after the damaged place"
        return f"{text}."

    def _missing_parts(self, end: float) -> list[str]:
        """Name the stretches before the end of the file whose frames are missing."""
        order = np.argsort(self.wanted, kind="stable")
        order = order[self.wanted[order] < end]
        moments, lost = self.wanted[order], ~self.is_kept[order]
        bounds = np.flatnonzero(np.diff(np.concatenate([[0], lost.view(np.int8), [0]])))
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
