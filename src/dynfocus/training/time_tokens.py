"""Times in conversations: VTimeLLM's and SlowFocus's format, read into words and evidence.

A sample has ``meta``: ``{"duration": seconds, "token": {"<s0>": seconds, ..}}``, and its
turns name times by these tokens. ``answer_segment`` says when each answer is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from dynfocus.methods.loops.official import write_time

Sample = dict[str, Any]
TIME_GRID = 1000
"""Steps of a video in which times are written: 000 to 999."""

_TOKEN = re.compile(r"<[se]\d+>")


def read_time_tokens(sample: Sample) -> Sample:
    """Write the time tokens of a sample as digits, and say when answers are shown.

    What shows an answer becomes ``evidence``: ``answer_segment``; without, the two times
    that a question names. A question that is answered by times has none: to show it from
    close by would tell the answer.

    Args:
        sample: A sample with turns in LLaVA's form, and perhaps ``meta`` and
            ``answer_segment``, which are taken out.

    Returns:
        The sample; the same where it has neither.

    Raises:
        ValueError: A token has no time, a time is outside the video, or there is not one
            ``answer_segment`` a question.
    """
    if "meta" not in sample and "answer_segment" not in sample:
        return sample
    read = {k: v for k, v in sample.items() if k not in ("meta", "answer_segment")}
    duration, tokens = _read_meta(sample.get("meta"))
    texts = [turn["value"] for turn in sample["conversations"]]
    if duration is not None:
        read.setdefault("duration", duration)
        read["conversations"] = [
            {**turn, "value": _write(text, duration, tokens)}
            for turn, text in zip(sample["conversations"], texts, strict=True)
        ]
    if "evidence" in sample and "answer_segment" in sample:
        raise ValueError(
            "evidence and answer_segment both say when answers are shown; leave one out"
        )
    if "evidence" not in sample:
        given = sample.get("answer_segment")
        segments = (
            [_named(question, tokens) for question in texts[::2]]
            if given is None
            else _read_segments(given, len(texts) // 2, duration)
        )
        read["evidence"] = [
            []
            if any(token in answer for token in tokens) or segment is None
            else [segment]
            for answer, segment in zip(texts[1::2], segments, strict=True)
        ]
    return read


def _read_meta(meta: Any) -> tuple[float | None, dict[str, float]]:
    """Check ``meta``: the length of the video, and the time of each token."""
    if meta is None:
        return None, {}
    duration: Any = meta.get("duration") if isinstance(meta, Mapping) else None
    if not _is_number(duration) or duration <= 0:
        raise ValueError(
            f"meta.duration must be the seconds of the video, above 0, got {duration!r}"
        )
    tokens = meta.get("token") or {}
    if not isinstance(tokens, Mapping):
        raise ValueError(
            f"meta.token must be a mapping from tokens to seconds, got {tokens!r}"
        )
    for token, seconds in tokens.items():
        if not _is_number(seconds) or not 0 <= seconds <= duration:
            raise ValueError(
                f"meta.token: {token} must be from 0 to the {duration:g} seconds of the "
                f"video, got {seconds!r}"
            )
    return float(duration), {str(token): float(s) for token, s in tokens.items()}


def _write(text: str, duration: float, tokens: Mapping[str, float]) -> str:
    for token in sorted(tokens, key=len, reverse=True):
        text = text.replace(token, write_time(tokens[token], duration, TIME_GRID))
    left = _TOKEN.search(text)
    if left is not None:
        raise ValueError(f"{left.group()} has no time; name it in meta.token")
    return text


def _named(question: str, tokens: Mapping[str, float]) -> list[float] | None:
    """Give the two times that a question names, begin first."""
    found = sorted(seconds for token, seconds in tokens.items() if token in question)
    return found if len(found) == 2 and found[0] < found[1] else None


def _read_segments(
    given: Any, num_questions: int, duration: float | None
) -> list[list[float] | None]:
    if not isinstance(given, list) or len(given) != num_questions:
        raise ValueError(
            f"answer_segment must have one [start, end] a question ({num_questions}), "
            f"got {given!r}"
        )
    segments: list[list[float] | None] = []
    for segment in given:
        if not segment:
            segments.append(None)
            continue
        ends = segment if isinstance(segment, list | tuple) else []
        if (
            len(ends) != 2
            or not all(map(_is_number, ends))
            or not 0 <= ends[0] < ends[1]
        ):
            raise ValueError(
                "answer_segment: each must be [start, end] in seconds, start before end, "
                f"got {segment!r}"
            )
        if duration is not None and ends[0] >= duration:
            raise ValueError(
                f"answer_segment: {segment!r} begins after the {duration:g} seconds of "
                "the video"
            )
        segments.append([float(ends[0]), min(float(ends[1]), duration or math.inf)])
    return segments


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
