"""Verdicts: what a judge wrote becomes numbers, as the published scripts read it or better."""

from __future__ import annotations

import ast
import json
import math
import re
import threading
from collections.abc import Sequence
from typing import Any, Literal

from dynfocus.evaluation.judges.prompts import JudgePrompt

Rounding = Literal["rounded", "truncated"]
_DICTIONARY = re.compile(r"\{[^{}]*\}")
_NUMBER = r"\s*['\"]?\s*(-?\d+(?:\.\d+)?)"

_PARSING = threading.Lock()
"""Python 3.11 counts the depth of all threads' parsing in one place, and fails if two meet."""


def read_verdict(reply: str, prompt: JudgePrompt) -> dict[str, Any] | None:
    """Read the scores, and yes or no, out of a judge's reply.

    The last dictionary counts, since an explanation may hold others. Doubled quotes, such
    as ``{''score': 4.8}``, which the published example has, are mended; ``predicted``
    stands for ``pred``.

    Args:
        reply: What the judge wrote.
        prompt: What it was asked.

    Returns:
        A value for each key of the prompt; None where one is missing or out of range.
    """
    found = {}
    for text in reversed(_DICTIONARY.findall(reply)):
        values = _parse(text)
        if values:
            found = values
            break
    if "predicted" in found:
        found.setdefault("pred", found["predicted"])
    result: dict[str, Any] = {}
    for key in prompt.keys:
        value = found.get(key)
        read = _yes_or_no(value) if key == "pred" else _score(value, prompt)
        if read is None:
            return None
        result[key] = read
    return result


def _parse(text: str) -> dict[str, Any]:
    mended = re.sub(r"''|\"\"(?=\w)", "'", text)
    for one in (text, mended):
        try:
            with _PARSING:
                found = ast.literal_eval(one)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            try:
                found = json.loads(one)
            except ValueError:
                continue
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
    keys = re.findall(r"['\"]?(\w+)['\"]?\s*:" + _NUMBER, text)
    return {key: float(value) for key, value in keys}


def _score(value: Any, prompt: JudgePrompt) -> float | None:
    try:
        score = float(value)
    except (TypeError, ValueError):
        return None
    is_valid = math.isfinite(score) and prompt.least <= score <= prompt.most
    return score if is_valid and not isinstance(value, bool) else None


def _yes_or_no(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return judge_yes(str(value)) if value is not None else None


def judge_yes(verdict: str) -> str | None:
    """Read a verdict as the published scripts do: ``yes`` anywhere in it, else ``no``."""
    lower = verdict.lower()
    return "yes" if "yes" in lower else "no" if "no" in lower else None


def round_score(score: float, rounding: Rounding) -> int:
    """Make a whole number of a score: half up, or cut off as the published scripts do."""
    return int(score) if rounding == "truncated" else math.floor(score + 0.5)


def read_as_mlvu(reply: str, keys: Sequence[str]) -> list[float] | None:
    """Read scores as MLVU's script does.

    Of each key the first place counts, an explanation's too; its number stands between
    two characters after the next colon and the next comma.

    Args:
        reply: What the judge wrote.
        keys: The keys, in order.

    Returns:
        The scores of the keys that are there; None where none can be read.
    """
    scores = []
    for key in keys:
        place = reply.find(key)
        if place < 0:
            continue
        colon = reply.find(":", place)
        comma = reply.find(",", colon)
        text = reply[colon + 2 : comma if comma >= 0 else None]
        try:
            scores.append(float(text))
        except ValueError:
            return None
    return scores or None
