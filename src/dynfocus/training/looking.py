"""Samples as SlowFocus answers them: asked when, then shown that moment from close by.

The prompts and the dense frames are those of use (`dynfocus.methods.loops.slowfocus`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dynfocus.methods.intervals import Interval, merge_intervals
from dynfocus.methods.loops import Look, focused_question, grounding_prompt
from dynfocus.methods.loops.official import write_time
from dynfocus.methods.loops.slowfocus import NUM_DENSE
from dynfocus.training.evidence import Asked, asked_of
from dynfocus.training.failures import Failure
from dynfocus.training.labels import marked_turns
from dynfocus.training.samples import Sample, drawn_seconds, media_of
from dynfocus.training.time_tokens import TIME_GRID
from dynfocus.validation import Count, checked

_CLOCK = re.compile(r"\b\d\d?:[0-5]\d\b")


@checked
class LookAgain:
    """What SlowFocus learns from questions whose evidence is known."""

    teaches_intervals: bool = True
    """Each such question is asked for its interval, too, of the low frequency alone."""
    num_dense: Count | None = NUM_DENSE
    """Dense frames of their evidence in a sample, at most; None for none."""


def write_looks(
    samples: Sequence[Sample], settings: LookAgain
) -> tuple[list[Sample], list[Failure]]:
    """Write samples for SlowFocus; those without evidence stay as they are.

    A question that is answered by a time of the clock is not shown its evidence.

    Args:
        samples: Samples, of which those of one video may have ``evidence``.
        settings: What becomes of these.

    Returns:
        The samples: conversations that ask for intervals come after their own. The dense
        looks of a sample are its ``looks``. And what was left out, since the length of
        its video is not known.
    """
    written: list[Sample] = []
    failures = []
    for sample in samples:
        media = media_of(sample)
        asked = asked_of(sample) if [kind for kind, _ in media] == ["video"] else []
        if not any(one.evidence for one in asked):
            written.append(sample)
            continue
        seconds = drawn_seconds(media[0][1]) or sample.get("duration")
        if not isinstance(seconds, int | float):
            reason = (
                "'duration' of the video is not known, in which its times are written; "
                "let 'dynfocus data check' write it"
            )
            name = str(sample.get("id", "?"))
            failures.append(Failure(sample=name, medium=media[0][1], reason=reason))
            continue
        written += _write(sample, asked, float(seconds), settings)
    return written, failures


def _write(
    sample: Sample, asked: Sequence[Asked], seconds: float, settings: LookAgain
) -> Iterator[Sample]:
    shown = [[] if _CLOCK.search(one.answer) else one.evidence for one in asked]
    if settings.num_dense is None or not any(shown):
        yield sample
    else:
        turns = [
            (focused_question(one.question, tuple(own), seconds, TIME_GRID), one.answer)
            if own
            else (one.question, one.answer)
            for one, own in zip(asked, shown, strict=True)
        ]
        whole = merge_intervals(interval for own in shown for interval in own)
        looks = _dense_looks(whole, settings.num_dense)
        yield {**_rewritten(sample, turns, marked_turns(sample)), "looks": looks}
    if settings.teaches_intervals:
        known = [one for one in asked if one.evidence]
        turns = [
            (grounding_prompt(one.question, seconds, TIME_GRID), _say(one, seconds))
            for one in known
        ]
        own = _rewritten(sample, turns, [0])
        yield {
            **own,
            "id": f"{sample.get('id', '?')}-when",
            "evidence": [[]] * len(turns),
        }


def _rewritten(
    sample: Sample, turns: Sequence[tuple[str, str]], marked: Sequence[int]
) -> Sample:
    """Give a sample other words; its video is marked in the turns named."""
    conversations: list[dict[str, Any]] = []
    for number, (question, answer) in enumerate(turns):
        mark = "<video>\n" if number in marked else ""
        conversations.append({"from": "human", "value": f"{mark}{question}"})
        conversations.append({"from": "gpt", "value": answer})
    return {**sample, "conversations": conversations}


def _say(one: Asked, seconds: float) -> str:
    """Write an interval as an answer: "From 023 to 035."."""
    parts = [
        " to ".join(write_time(end, seconds, TIME_GRID) for end in interval)
        for interval in merge_intervals(one.evidence)
    ]
    return f"From {' and from '.join(parts)}."


def _dense_looks(intervals: Sequence[Interval], num_dense: int) -> tuple[Look, ...]:
    """Share dense frames among intervals by their lengths, one at least for each."""
    total = sum(end - start for start, end in intervals)
    return tuple(
        Look(
            start=start,
            end=end,
            fps=max(1, round(num_dense * (end - start) / total)) / (end - start),
            kind="high",
        )
        for start, end in intervals
        if end > start
    )
