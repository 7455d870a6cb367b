"""SlowFocus without training: find the moment, look again, answer (mixed-frequency sampling).

Pass 1 sees the video at a low frequency and is asked which interval matters. Pass 2 sees
the same frames and dense ones of that interval, in order of time, and answers.

`slow_dynfocus` is ours: what DynFocus knows of events and of the question takes the place
of pass 1, and in pass 2 dense frames become Cones and all others Rods.

Differs from the paper:
    One budget holds for both passes together. A frame of both frequencies stands once.
    What is read of a reply is `find_intervals`, and an interval that is of no use is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dynfocus.focus import FrameShare
from dynfocus.methods.intervals import (
    Interval,
    find_intervals,
    merge_intervals,
    write_intervals,
)
from dynfocus.methods.loops.interface import Look, LoopInput, Step
from dynfocus.methods.loops.official import read_fraction, read_segments, write_time

GROUNDING_PROMPT = (
    "Which time interval of the video shows what is needed to answer this question: "
    '"{question}" Answer with the interval alone, from START to END, {unit}.'
)
"""What pass 1 is asked, in training and in use; see `grounding_prompt`."""
FOCUS_HINT = "The video is shown more closely {intervals}. {question}"
"""What pass 2 is asked, in training and in use; see `focused_question`."""

NUM_DENSE = 20
"""Dense frames of an answer (``N_H`` in the paper), more where these would be no denser
than twice the low frequency."""

_MOMENT = 2.0
"""Seconds before and after a moment that a question names."""
_NO_LENGTH = 1e-3
_ROUNDED = 0.5
"""An end so far outside, in seconds, is rounded, not wrong."""
_ALL = 0.95
"""An interval of so much of the video is all of it."""


def grounding_prompt(
    question: str, end: float, grid: int | None = None, *, start: float = 0.0
) -> str:
    """Write what pass 1 is asked.

    Args:
        question: The question.
        end: Where what is asked about ends, in seconds.
        grid: The model writes times as steps of a grid of so many; None for seconds.
        start: Where it begins.
    """
    unit = f"in seconds between {start:.0f} and {end:.0f}"
    if grid is not None:
        digits = len(str(grid)) - 1
        unit = f"as numbers from {0:0{digits}d} to {grid - 1}"
    return GROUNDING_PROMPT.format(question=question.strip(), unit=unit)


def focused_question(
    question: str,
    intervals: tuple[Interval, ...],
    duration: float,
    grid: int | None = None,
) -> str:
    """Write what pass 2 is asked, with the intervals that are shown densely.

    Args:
        question: The question.
        intervals: Begin and end of each in seconds.
        duration: Length of the video in seconds.
        grid: As in `grounding_prompt`.
    """

    def write(seconds: float) -> str:
        if grid is not None:
            return write_time(seconds, duration, grid)
        return f"{seconds:.1f} s"

    named = ", ".join(f"from {write(a)} to {write(b)}" for a, b in intervals)
    return FOCUS_HINT.format(intervals=named, question=question.strip())


def slowfocus(
    given: LoopInput, replies: tuple[str, ...], *, num_dense: int = NUM_DENSE
) -> Step:
    """Give the next step of SlowFocus; see `dynfocus.methods.loops.Rule`.

    A question that names times needs no pass 1, and neither does a video of one frame at
    the low frequency. Without a usable interval the answer takes one pass, with what
    pass 1 has left of the budget, and says so.

    Args:
        given: What is known.
        replies: Those so far.
        num_dense: Dense frames, ``N_H``.
    """
    named = _times_in_question(given)
    share = given.budget.low(given.num_frames)
    if share is None:
        return _one_pass(given, None, _small_budget(given))
    if given.most_fps * given.seconds <= share.num_frames and share.scale == 1:
        why = given.blocked or "the video has no more frames than were read"
        spent = share if replies else None
        return _one_pass(given, spent, f"The answer took one pass: {why}")
    if named or _is_short(given):
        whole = [] if named else [(given.start, given.end)]
        return _second_look(
            given, share, named or whole, has_grounded=False, num_dense=num_dense
        )
    if not replies:
        return _grounding(given, share)
    return _follow_reply(given, share, replies[-1], num_dense=num_dense)


def slow_dynfocus(given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of SlowFocus with events, a rating, Cones and Rods; ours.

    The stretches that `LoopInput.propose` gives are looked at densely, at once. Where
    nothing rates frames for the question, or all fit equally well, the model is asked for
    the interval, as by `slowfocus`. Dense frames become Cones, all others Rods. See
    `dynfocus.methods.loops.Rule`.
    """
    known = _times_in_question(given)
    if not known and _is_short(given):
        known = [(given.start, given.end)]
    if not (known or replies):
        known = _proposed(given)
    share = given.budget.low(given.num_frames)
    if not known and share is None:
        return _one_pass(given, None, _small_budget(given))
    if given.most_fps * given.seconds <= given.num_frames:
        why = given.blocked or "the video has no more frames than were read"
        spent = share if replies else None
        return _one_pass(given, spent, f"The answer took one pass: {why}")
    if known:
        every = FrameShare(given.num_frames, 1.0, 0)
        return _second_look(given, every, known, has_grounded=False, has_rods=True)
    assert share is not None  # it was looked at above
    if not replies:
        return _grounding(given, share)
    return _follow_reply(given, share, replies[-1], has_rods=True)


def _grounding(given: LoopInput, share: FrameShare) -> Step:
    """Ask for the interval."""
    return Step(
        prompt=grounding_prompt(
            given.question, given.end, given.grid, start=given.start
        ),
        looks=(_low_look(given, share),),
        max_video_tokens=given.budget.first(share),
    )


def _follow_reply(
    given: LoopInput,
    share: FrameShare,
    reply: str,
    *,
    num_dense: int = NUM_DENSE,
    has_rods: bool = False,
) -> Step:
    """Look again where a reply says."""
    found = find_intervals(reply, given.duration, grid=given.grid)
    if not found:
        note = "The model named no interval, so the answer took one pass"
        return _one_pass(given, share, note)
    return _second_look(
        given, share, found, has_grounded=True, num_dense=num_dense, has_rods=has_rods
    )


def _proposed(given: LoopInput) -> list[Interval]:
    """Give the proposed stretches, each half a step of the low frequency longer at its ends.

    What a frame shows may have begun right after the frame before it.
    """
    around = given.seconds / given.num_frames / 2
    proposed = () if given.propose is None else given.propose()
    return [
        (max(given.start, start - around), min(given.end, end + around))
        for start, end in proposed
    ]


def _times_in_question(given: LoopInput) -> list[Interval]:
    """Read what a question names, for a model with a grid also pairs of its digits.

    One that names all of the video ("within 0 s to 60 s, ...") names no moment of it.
    """
    found = find_intervals(given.question, given.duration, needs_unit=True)
    if not found and given.grid is not None:
        width = len(str(given.grid)) - 1
        found = [
            (read_fraction(start) * given.duration, read_fraction(end) * given.duration)
            for start, end in read_segments(given.question)
            if len(start) == len(end) == width
        ]
    return [] if _is_all(given, found) else found


def _is_all(given: LoopInput, intervals: Sequence[Interval]) -> bool:
    """Tell whether intervals are all that is asked about, together."""
    inside = [
        (max(given.start, start), min(given.end, end))
        for start, end in intervals
        if start < given.end and end > given.start
    ]
    length = sum(end - start for start, end in merge_intervals(inside))
    return length >= _ALL * given.seconds


def _is_short(given: LoopInput) -> bool:
    """Tell whether the low frequency shows a single moment of the video."""
    return given.num_frames <= given.budget.frames_per_step


@dataclass(frozen=True, kw_only=True)
class _Usable:
    """What is left of named intervals, and what was wrong with them."""

    intervals: tuple[Interval, ...]
    note: str | None


def _second_look(
    given: LoopInput,
    share: FrameShare,
    named: list[Interval],
    *,
    has_grounded: bool,
    num_dense: int = NUM_DENSE,
    has_rods: bool = False,
) -> Step:
    """Show dense frames of intervals beside the low ones, and ask for the answer.

    Args:
        given: What is known.
        share: The low-frequency frames that are there, or were read in a pass 1.
        named: The intervals.
        has_grounded: Whether there was a pass 1.
        num_dense: Dense frames, at least.
        has_rods: Whether low-frequency frames are read as Rods now.
    """
    spent = share if has_grounded else None
    is_all = not has_grounded and _is_short(given)
    usable = _Usable(intervals=tuple(named), note=None)
    if not is_all:
        around = given.seconds / share.num_frames if has_grounded else _MOMENT
        usable = _check(given, named, around, is_said=has_grounded)
    if not usable.intervals:
        return _one_pass(given, spent, usable.note)
    length = sum(end - start for start, end in usable.intervals)
    per_second = share.num_frames / given.seconds
    wanted = max(num_dense, math.ceil(2 * per_second * length))
    wanted = min(wanted, max(1, math.ceil(given.most_fps * length)))
    shares = _shares(given, share, wanted, spent, has_rods=has_rods)
    if shares is None:
        return _one_pass(given, spent, _small_budget(given))
    low, dense = shares
    is_denser = dense.num_frames > per_second * length or dense.scale > low.scale
    if not (is_denser or is_all):
        why = given.blocked or "a second look would show no more frames than the first"
        return _one_pass(given, spent, f"The answer took one pass: {why}")
    looks = _dense_looks(usable.intervals, dense)
    question = given.question
    if has_grounded:
        question = focused_question(
            question, usable.intervals, given.duration, given.grid
        )
    note = usable.note
    if is_all:
        note = (
            f"The video of {given.seconds:.1f} s is too short for two passes; all of it "
            "was looked at closely"
        )
    return Step(
        prompt=question,
        looks=(_low_look(given, low), *looks),
        max_video_tokens=given.budget.left(spent),
        is_answer=True,
        intervals=usable.intervals,
        note=None if note is None else f"{note}.",
    )


def _shares(
    given: LoopInput,
    share: FrameShare,
    wanted: int,
    spent: FrameShare | None,
    *,
    has_rods: bool,
) -> tuple[FrameShare, FrameShare] | None:
    """Share what pass 2 may read among low-frequency and dense frames."""
    if has_rods:
        return given.budget.rods_and_cones(given.num_frames, wanted, spent)
    dense = given.budget.dense(wanted, share, has_grounded=spent is not None)
    return None if dense is None else (share, dense)


def _check(
    given: LoopInput, named: list[Interval], around: float, *, is_said: bool
) -> _Usable:
    """Cut intervals to the video; widen moments; refuse what tells nothing.

    Args:
        given: What is known.
        named: The intervals.
        around: Seconds before and after a moment.
        is_said: Whether a moment that was widened is noted: of a reply, not of a question.
    """
    inside, notes = [], []
    for start, end in named:
        if start >= given.end or end < given.start:
            notes.append(
                f"The interval {write_intervals([(start, end)])} is outside the video, "
                f"which is read {write_intervals([(given.start, given.end)])}"
            )
            continue
        shown = start, end
        if end - start < _NO_LENGTH:
            shown = start - around, end + around
        shown = max(given.start, shown[0]), min(given.end, shown[1])
        if end - start < _NO_LENGTH and is_said:
            notes.append(
                f"The interval at {start:.1f} s has no length, so the video was looked at "
                f"{write_intervals([shown])}"
            )
        elif end - start >= _NO_LENGTH and end - shown[1] > _ROUNDED:
            notes.append(
                f"The interval {write_intervals([(start, end)])} was cut to the video"
            )
        inside.append(shown)
    if not inside:
        return _Usable(intervals=(), note=f"{notes[-1]}, so the answer took one pass")
    merged = merge_intervals(inside)
    if _is_all(given, merged):
        return _Usable(
            intervals=(),
            note="The interval is the whole video, so the answer took one pass",
        )
    return _Usable(intervals=tuple(merged), note="; ".join(notes) or None)


def _one_pass(given: LoopInput, spent: FrameShare | None, note: str | None) -> Step:
    return Step(
        prompt=given.question,
        max_video_tokens=given.budget.left(spent),
        is_answer=True,
        note=None if note is None else f"{note}.",
    )


def _small_budget(given: LoopInput) -> str:
    return (
        f"The budget of {given.budget.max_video_tokens} is too small for two "
        "frequencies, so the answer took one pass"
    )


def _low_look(given: LoopInput, share: FrameShare) -> Look:
    return Look(
        start=given.start,
        end=given.end,
        fps=share.num_frames / given.seconds,
        scale=share.scale,
    )


def _dense_looks(intervals: tuple[Interval, ...], dense: FrameShare) -> list[Look]:
    """Share dense frames among intervals by their lengths; the last ones may get none."""
    rest = sum(end - start for start, end in intervals)
    left, looks = dense.num_frames, []
    for start, end in intervals:
        count = min(left, max(1, round(left * (end - start) / rest)))
        rest -= end - start
        left -= count
        if count:
            fps = count / (end - start)
            looks.append(
                Look(start=start, end=end, fps=fps, scale=dense.scale, kind="high")
            )
    return looks
