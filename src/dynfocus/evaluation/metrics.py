"""Right or wrong, how sure that is, and what a constant answer would reach.

A record is what came of one question: ``kind``, ``truth``, ``answer``, ``right`` and
``video``, which names the video among those of the same length; ``training_seed`` where
a model was trained more than once.

Letters: V videos, S training seeds, K kinds, R resamples.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dynfocus.atomic import write_atomically
from dynfocus.world import WideQuestion, WorldQuestion, parse_interval
from dynfocus.world.vocabulary import COLOURS, SHAPES, SIZES

Record = Mapping[str, Any]
Records = Sequence[Record]
Verdict = Literal["better", "worse", "undecided"]

TIME_KINDS = ("when", "action_time")
"""Kinds of questions that an interval answers."""
MIN_INTERVAL_IOU = 0.5
"""Overlap from which a time interval counts as right."""
MIN_VIDEOS = 10
"""Fewer videos give no interval: resampling so few says too little of their spread."""
NUM_RESAMPLES = 2000
FIRST_SEALED_SEED = 100_000
"""Seeds below belong to development and are never drawn as fresh ones."""
_Z = 1.96


def interval_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return intersection over union of two intervals in seconds; 0 if one is empty."""
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, overlap) / union if union > 0 else 0.0


def is_right(question: WorldQuestion | WideQuestion, text: str) -> bool:
    """Judge an answer: exact match of the words, or half the overlap for an interval.

    Case, outer spaces and a final full stop do not count.

    Args:
        question: What was asked, with its truth.
        text: What was answered.
    """
    asked = {"kind": question.kind, "truth": question.answer}
    return is_right_answer(asked, text, question.evidence)


def is_right_answer(
    record: Record, text: str, evidence: Sequence[tuple[float, float]] = ()
) -> bool:
    """Judge an answer to the question of a record, as `is_right` does.

    Args:
        record: The ``kind`` of the question and its ``truth``.
        text: What was answered.
        evidence: When the answer is shown; without, the times that the truth says.
    """
    truth = str(record["truth"])
    if record["kind"] not in TIME_KINDS or parse_interval(_plain(truth)) is None:
        return is_same_answer(text, truth)  # of times under letters, the letter
    said = parse_interval(_plain(text))
    true = evidence[0] if evidence else parse_interval(_plain(truth))
    return bool(said and true and interval_iou(said, true) >= MIN_INTERVAL_IOU)


def is_same_answer(text: str, truth: str) -> bool:
    """Compare an answer with the truth: case, spaces and a final stop do not count."""
    return _plain(text) == _plain(truth)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")


@dataclass(frozen=True)
class Estimate:
    """A share or a difference of shares, in percent, with its 95 % interval."""

    value: float
    low: float | None = None
    """None, like ``high``, where there are fewer than ``MIN_VIDEOS`` videos."""
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"

    def as_difference(self) -> str:
        """Write a difference with its sign, its interval and what it says."""
        if self.low is None or self.high is None:
            return f"{self.value:+.1f}"
        interval = f"{self.low:+.1f} to {self.high:+.1f}"
        return f"{self.value:+.1f} ({interval}): {self.verdict}"

    @property
    def verdict(self) -> Verdict:
        """Tell what a difference says: undecided unless its interval leaves out 0."""
        if self.low is not None and self.low > 0:
            return "better"
        if self.high is not None and self.high < 0:
            return "worse"
        return "undecided"


def accuracy(records: Records, *, over_kinds: bool = False) -> Estimate:
    """Estimate the share of right answers.

    The interval is that of a bootstrap over videos, and over training seeds where there
    are several: whole videos are drawn anew, because the questions about one share its
    scene. Where every answer is right, or none is, such an interval has no width;
    Wilson's for as many trials as there are videos stands in its place.

    Args:
        records: One record or more.
        over_kinds: Take the mean over kinds, so that frequent kinds do not count more.
    """
    right, asked = _count([records], over_kinds)
    value = float(_share(right[0], asked, None)[0])
    num_videos = asked.shape[1]
    if num_videos < MIN_VIDEOS:
        return Estimate(value)
    low, high = np.percentile(_share(right[0], asked, _draws(asked)), (2.5, 97.5))
    if low == high and value in (0, 100):
        low, high = _wilson(value / 100, num_videos)
    return Estimate(value, float(low), float(high))


def paired_difference(
    ours: Records, theirs: Records, *, over_kinds: bool = False
) -> Estimate:
    """Estimate by how many points one system is above another on the same questions.

    Args:
        ours: Records of the one.
        theirs: Records of the other.
        over_kinds: Compare the means over kinds.

    Raises:
        ValueError: If the two were not asked the same.
    """
    right, asked = _count([ours, theirs], over_kinds)
    value = float(_share(right[0], asked, None)[0] - _share(right[1], asked, None)[0])
    if asked.shape[1] < MIN_VIDEOS:
        return Estimate(value)
    draws = _draws(asked)
    drawn = _share(right[0], asked, draws) - _share(right[1], asked, draws)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value, float(low), float(high))


def sign_test(ours: Records, theirs: Records) -> float:
    """Test whether one system answers more videos better than another, exactly.

    A video counts for the system that has more right answers about it; ties do not
    count. With ``n`` videos that count, ``k`` of them for the one that has fewer,
    ``p = min(1, 2 * sum(C(n, i) for i <= k) / 2**n)``.

    Args:
        ours: Records of the one.
        theirs: Records of the other.

    Returns:
        The two-sided probability of a lead as clear or clearer between equals.

    Raises:
        ValueError: If the two were not asked the same.
    """
    right, _ = _count([ours, theirs], over_kinds=False)
    lead = (right[0] - right[1]).sum((0, 2))  # [V]
    wins, losses = int((lead > 0).sum()), int((lead < 0).sum())
    fewer, num = min(wins, losses), wins + losses
    tail: int = sum(comb(num, i) for i in range(fewer + 1))
    return min(1.0, 2 * tail / 2**num)


def score_together(
    records: Records, field: str = "group", size: int = 4
) -> list[dict[str, Any]]:
    """Score questions that belong together as one, right only if all of them are.

    Args:
        records: Records; those without the field, or with an empty one, are left out.
        field: What names the group of a record.
        size: How many records a group has: four, or two for pairs.

    Returns:
        A record a group, which is its first one with another ``right``; so the group
        counts for the video of its first question. `accuracy` and `paired_difference`
        take these.

    Raises:
        ValueError: If a group is not whole.
    """
    groups: dict[tuple[Any, Any], list[Record]] = defaultdict(list)
    for record in records:
        if record.get(field):
            groups[record.get("training_seed", 0), record[field]].append(record)
    for (_, name), group in groups.items():
        if len(group) != size:
            raise ValueError(
                f"{field} {name!r} has {len(group)} of {size} questions; ask the rest of "
                "it too"
            )
    return [
        {**group[0], "right": all(record["right"] for record in group)}
        for group in groups.values()
    ]


def draw_fresh_seeds(record: str | Path, num_seeds: int, purpose: str) -> range:
    """Draw seeds of videos that were never used before, and record that they are now.

    Args:
        record: JSON-lines file of all blocks drawn so far; made if missing.
        num_seeds: How many.
        purpose: What they are for; goes into the record.

    Returns:
        Consecutive seeds, none below ``FIRST_SEALED_SEED`` nor in the record.

    Raises:
        ValueError: If ``num_seeds`` is below one, or a line of the record is none.
    """
    if num_seeds < 1:
        raise ValueError(f"num_seeds must be 1 or more, got {num_seeds}")
    path = Path(record)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    used = [_read_block(path, line) for line in text.splitlines() if line.strip()]
    while True:
        first = FIRST_SEALED_SEED + secrets.randbelow(2**31 - FIRST_SEALED_SEED)
        fresh = range(first, first + num_seeds)
        if all(fresh.stop <= block.start or block.stop <= first for block in used):
            break
    line = {"first": first, "num_seeds": num_seeds, "purpose": purpose}
    before = text + "\n" if text and not text.endswith("\n") else text
    write_atomically(path, before + json.dumps(line) + "\n")
    return fresh


def _read_block(path: Path, line: str) -> range:
    try:
        block = json.loads(line)
        return range(block["first"], block["first"] + block["num_seeds"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must hold a line with first and num_seeds for each block of seeds, "
            f"got {line!r}; mend it, or seeds could be drawn twice"
        ) from error


def _count(
    systems: Sequence[Records], over_kinds: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count right answers of each system and questions, ``[S, V, K]`` each."""
    first = systems[0]
    seeds = _places(first, lambda r: r.get("training_seed", 0))
    videos = _places(first, lambda r: r["video"])
    kinds = _places(first, lambda r: r["kind"] if over_kinds else "")
    shape = (len(seeds), len(videos), len(kinds))
    right, asked = np.zeros((len(systems), *shape)), np.zeros((len(systems), *shape))
    for number, records in enumerate(systems):
        for record in records:
            try:
                place = (
                    number,
                    seeds[record.get("training_seed", 0)],
                    videos[record["video"]],
                    kinds[record["kind"] if over_kinds else ""],
                )
            except KeyError as error:
                raise ValueError(f"{error} was asked of one system only") from error
            right[place] += record["right"]
            asked[place] += 1
    if not (asked == asked[0]).all():
        raise ValueError("the systems were not asked the same questions")
    return right, asked[0]


def _places(records: Records, key: Callable[[Record], Any]) -> dict[Any, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(map(key, records)))}


_Draws = tuple[NDArray[np.float64], NDArray[np.float64]]


def _draws(asked: NDArray[np.float64]) -> _Draws:
    """Draw how often each seed ``[R, S]`` and each video ``[R, V]`` is taken."""
    rng = np.random.default_rng(0)
    num_seeds, num_videos, _ = asked.shape
    seeds, videos = (
        rng.multinomial(count, [1 / count] * count, NUM_RESAMPLES).astype(float)
        for count in (num_seeds, num_videos)
    )
    return seeds, videos


def _share(
    right: NDArray[np.float64], asked: NDArray[np.float64], draws: _Draws | None
) -> NDArray[np.float64]:
    """Return the share of right answers in percent for each resample, ``[R]``."""
    if draws is None:
        draws = np.ones((1, asked.shape[0])), np.ones((1, asked.shape[1]))
    hits, trials = (
        np.einsum("rs,rv,svk->rk", *draws, counts, optimize=True)
        for counts in (right, asked)
    )
    known = trials > 0  # a rare kind may be in none of the videos drawn
    shares = np.divide(hits, trials, out=np.zeros_like(hits), where=known)
    result: NDArray[np.float64] = 100 * shares.sum(1) / np.maximum(known.sum(1), 1)
    return result


def _wilson(share: float, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, in percent."""
    middle = share + _Z**2 / (2 * trials)
    reach = _Z * np.sqrt(share * (1 - share) / trials + (_Z / (2 * trials)) ** 2)
    scale = 100 / (1 + _Z**2 / trials)
    return max(0.0, scale * (middle - reach)), min(100.0, scale * (middle + reach))


def answer_constantly(records: Records) -> list[dict[str, Any]]:
    """Answer every question of a kind in the same way, the one that is right most.

    The same way is the same words; for *order*, the object that is named first, or
    second; in the widened world, where the words of an answer may be a letter, the same
    ``choice``. *attribute* asks for a size, a colour or a shape, and each has words of
    its own.

    Returns:
        The records with this answer in place of the model's, in the same order. The
        way is chosen with the truth of the very questions asked, so no constant answer
        does better.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_wording(record)].append(record)
    best = {wording: _best_way(group) for wording, group in groups.items()}
    answered = []
    for record in records:
        text = best[_wording(record)](record)
        answered.append({**record, "answer": text, "right": _fits(record, text)})
    return answered


def _fits(record: Record, text: str) -> bool:
    """Tell whether a constant answer is right: the same words, or the same choice."""
    if record.get("choice"):
        return bool(record["choice"] == text)
    return is_right_answer(record, text)


def _wording(record: Record) -> str:
    if "form" in record:
        return f"{record['kind']}: {record['form']}"
    if record["kind"] != "attribute":
        return str(record["kind"])
    groups = (SIZES, COLOURS, SHAPES)
    return next(words[0] for words in groups if record["truth"] in words)


_Way = Callable[[Record], str]


def _best_way(group: Records) -> _Way:
    """Return the way to answer that is right for most of a group."""
    ways: list[_Way]
    if group[0].get("choice"):
        ways = [
            partial(_say, text=text) for text in {str(r["choice"]): 0 for r in group}
        ]
    elif group[0]["kind"] == "order":
        ways = [partial(_named, place=place) for place in (0, 1)]
    else:
        truths = dict.fromkeys(str(record["truth"]) for record in group)
        ways = [partial(_say, text=text) for text in truths]
    return max(ways, key=lambda way: sum(_fits(r, way(r)) for r in group))


def _say(record: Record, text: str) -> str:
    return text


def _named(record: Record, place: int) -> str:
    """Repeat the first or the second name of ``Which appears first, X or Y?``."""
    return str(record["question"].rstrip("?").split(", ", 1)[1].split(" or ")[place])
