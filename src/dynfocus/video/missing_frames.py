"""Say in one sentence which wanted frames a damaged file has lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.collecting import FrameCollector
from dynfocus.video.timeline import Timeline


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
        num_wanted = len(self.wanted)
        kept = f"{num_wanted - len(lost)} of {num_wanted} wanted frames were kept"
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
