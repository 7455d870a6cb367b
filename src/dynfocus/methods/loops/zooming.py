"""What loops that zoom in have in common: an overview, and stretches asked for one by one.

In a step the model sees the overview and the stretches shown so far, and either says that
this is enough or names the next stretch. The answer is asked for in a step of its own,
with the question alone: what a model writes that was not trained to do both at once is
neither an answer nor a stretch.

With ``R`` stretches at most, an overview of ``o`` tokens is read ``R + 1`` times, the
first stretch ``R`` times, the last once. Half of the budget is for the overview, half for
the stretches: together ``(R + 1) o + R (R + 1) z / 2``, never more than the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dynfocus.focus import FrameShare
from dynfocus.methods.intervals import Interval, find_intervals, write_intervals
from dynfocus.methods.loops.interface import Look, LoopInput, Step

ENOUGH = "ENOUGH"
_LEAST = 8
"""Frames of a stretch that are to fit before they are whole."""


@dataclass(frozen=True, kw_only=True)
class Zooming:
    """How a method zooms in."""

    rounds: int
    """At most so many stretches, ``R``."""
    overview_frames: Callable[[LoopInput], int]
    """Frames of the overview."""
    overview_scale: float
    """Their side beside a whole frame."""
    stretch_fps: float
    """Frames a second of a stretch."""
    stretch_frames: int
    """At most so many of them."""
    prompt: str
    """What a step asks, with ``{question}``, ``{start}``, ``{end}`` and ``{enough}``."""
    around: float = 0.0
    """Seconds added to a stretch at both of its ends."""
    least_seconds: Callable[[LoopInput], float] = lambda given: 0.0
    """How long a stretch is at least, once it is accepted."""
    shortest: float = 0.0
    """Seconds below which a stretch is refused."""
    most_overlap: float = 1.0
    """Intersection over union with an earlier stretch above which it is refused."""


def zoom(how: Zooming, given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of a method that zooms in; see `dynfocus.methods.loops.Rule`.

    Args:
        how: The method.
        given: What is known.
        replies: Those so far.
    """
    shares = _shares(how, given)
    if shares is None:
        note = (
            f"The budget of {given.budget.max_video_tokens} is too small to look again, so "
            "the answer took one pass."
        )
        return one_pass(given, given.budget.max_video_tokens, note)
    overview, stretch = shares
    if given.blocked is not None and given.file_fps is None and not replies:
        note = f"The answer took one pass: {given.blocked}."
        return one_pass(given, given.budget.max_video_tokens, note)
    found, why = accepted(how, given, replies)
    is_last = why is not None or len(found) == how.rounds
    looks = (
        overview_look(given, overview),
        *(_stretch_look(how, given, stretch, one) for one in found),
    )
    if is_last and not found:
        left = given.budget.max_video_tokens
        if left is not None:
            left -= len(replies) * (overview.num_tokens + given.budget.num_tail)
        return one_pass(given, left, why)
    return Step(
        prompt=given.question
        if is_last
        else how.prompt.format(
            question=given.question.strip(),
            start=f"{given.start:.0f}",
            end=f"{given.end:.0f}",
            enough=ENOUGH,
        ),
        looks=looks,
        max_video_tokens=tokens_of(given, [overview, *[stretch] * len(found)]),
        is_answer=is_last,
        intervals=tuple(found) if is_last else tuple(found[-1:]),
        note=why if is_last else None,
    )


def accepted(
    how: Zooming, given: LoopInput, replies: tuple[str, ...]
) -> tuple[list[Interval], str | None]:
    """Read the stretches that replies ask for, until one asks for none that can be shown.

    Returns:
        The stretches, and why there is none after the last; None where there may be.
    """
    found: list[Interval] = []
    for reply in replies:
        named = find_intervals(reply, given.duration, grid=given.grid)
        if not named:
            is_enough = ENOUGH.lower() in reply.lower()
            said = "said that it had seen enough" if is_enough else "named no stretch"
            return found, f"The model {said}."
        wanted = write_intervals(named[:1])
        start = max(given.start, named[0][0] - how.around)
        end = min(given.end, named[0][1] + how.around)
        if end - start <= max(how.shortest, 1e-3):
            return found, f"The stretch {wanted} is too short or outside the video."
        start, end = _lengthened(given, start, end, how.least_seconds(given))
        if any(_overlap((start, end), one) > how.most_overlap for one in found):
            return found, f"The stretch {wanted} was shown before."
        found.append((start, end))
    return found, None


def one_pass(given: LoopInput, tokens: int | None, note: str | None) -> Step:
    """Answer from all of the video, in the model's own way."""
    return Step(
        prompt=given.question, max_video_tokens=tokens, is_answer=True, note=note
    )


def overview_look(given: LoopInput, share: FrameShare) -> Look:
    """Look at all of the video, evenly."""
    return Look(
        start=given.start,
        end=given.end,
        fps=share.num_frames / given.seconds,
        scale=share.scale,
    )


def tokens_of(given: LoopInput, shares: list[FrameShare]) -> int | None:
    """Count what a step may read; None without a budget."""
    if given.budget.max_video_tokens is None:
        return None
    return sum(share.num_tokens for share in shares) + given.budget.num_tail


def _shares(how: Zooming, given: LoopInput) -> tuple[FrameShare, FrameShare] | None:
    """Share the budget between the overview and a stretch; None where it is too small."""
    steps, each, tail = how.rounds + 1, None, 0
    total = given.budget.max_video_tokens
    if total is not None:
        tail = given.budget.num_tail * steps
        each = max(0, total - tail) // 2
    count = min(how.overview_frames(given), max(1, given.num_frames))
    overview = given.budget.fit(
        None if each is None else each // steps, count, scale=how.overview_scale
    )
    reads = how.rounds * steps // 2
    stretch = given.budget.fit(
        None if each is None else each // reads, how.stretch_frames, least=_LEAST
    )
    if overview is None or stretch is None:
        return None
    if overview.num_tokens and overview.num_tokens < given.budget.least:
        return None
    return overview, stretch


def _stretch_look(
    how: Zooming, given: LoopInput, share: FrameShare, stretch: Interval
) -> Look:
    start, end = stretch
    length = end - start
    wanted = min(share.num_frames, max(1, round(how.stretch_fps * length)))
    fps = min(wanted / length, max(given.most_fps, 1 / length))
    return Look(start=start, end=end, fps=fps, scale=share.scale, kind="high")


def _lengthened(
    given: LoopInput, start: float, end: float, least: float
) -> tuple[float, float]:
    """Widen a stretch about its middle, within the video."""
    missing = min(least, given.seconds) - (end - start)
    if missing <= 0:
        return start, end
    start = max(
        given.start, min(start - missing / 2, given.end - (end - start) - missing)
    )
    return start, min(given.end, start + min(least, given.seconds))


def _overlap(one: Interval, other: Interval) -> float:
    """Give the intersection of two intervals over their union."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / max(max(one[1], other[1]) - min(one[0], other[0]), 1e-9)
