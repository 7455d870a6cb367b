"""Compare two runs of answers one by one, before a change and after it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.evaluation.metrics import Estimate, Record, paired_difference
from dynfocus.text import plural

_KEYS = (
    "id",
    "system",
    "set",
    "way",
    "share",
    "training_seed",
    "video",
    "duration",
    "question",
)
"""Fields that say which question of which video was asked, and of what."""
_COMPARED = ("answer", "tokens", "evidence_seen", "cone_share", "fine_share", "error")
"""Fields that must be the same."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two runs have in common."""

    num_same: int
    """Questions answered the same: text, tokens, and frames where they are known."""
    changed: list[tuple[Record, Record]]
    """What was answered otherwise, before and after."""
    only_first: list[Record]
    only_second: list[Record]
    gain: Estimate | None
    """Points by which the second is right more often on what both were asked, with its
    interval over videos; None where nothing says what is right."""

    @property
    def is_same(self) -> bool:
        """Tell whether both runs hold the same answers to the same questions."""
        return not (self.changed or self.only_first or self.only_second)

    def __str__(self) -> str:
        lines = [
            " | ".join([str(a["question"]), *map(_told, (a, b))])
            for a, b in self.changed
        ]
        counts = (
            f"{self.num_same} the same, {len(self.changed)} changed, "
            f"{len(self.only_first)} only before, {len(self.only_second)} only after"
        )
        gain = f"; points gained: {self.gain.as_difference()}" if self.gain else ""
        return "\n".join([*lines, counts + gain])

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as plain values that JSON can hold."""
        return {
            "same": self.num_same,
            "changed": [{"before": dict(a), "after": dict(b)} for a, b in self.changed],
            "only_first": [dict(record) for record in self.only_first],
            "only_second": [dict(record) for record in self.only_second],
            "gain": None if self.gain is None else vars(self.gain),
        }


def _told(record: Record) -> str:
    text = record.get("answer", record.get("error"))
    return f"{text} ({plural(record.get('tokens') or 0, 'token')})"


def compare_answers(first: str | Path, second: str | Path) -> Comparison:
    """Compare two files of answers, JSON lines as `eval` and `batch` write them.

    Args:
        first: The run before.
        second: The run after.

    Raises:
        ValueError: If one of them holds no answers.
    """
    before, after = _read(Path(first)), _read(Path(second))
    both = [key for key in before if key in after]
    changed = [
        (before[key], after[key])
        for key in both
        if any(before[key].get(name) != after[key].get(name) for name in _COMPARED)
    ]
    judged = [key for key in both if {"right", "kind"} <= before[key].keys()]
    pairs = [before[key] for key in judged], [after[key] for key in judged]
    return Comparison(
        num_same=len(both) - len(changed),
        changed=changed,
        only_first=[record for key, record in before.items() if key not in after],
        only_second=[record for key, record in after.items() if key not in before],
        gain=paired_difference(pairs[1], pairs[0]) if judged else None,
    )


def _read(path: Path) -> Mapping[Hashable, Record]:
    """Read the answers of a file by what was asked."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
        answers = [record for record in records if "question" in record]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no JSON lines of answers") from error
    if not answers:
        raise ValueError(f"{path} holds no answers")
    found: dict[Hashable, Record] = {}
    for record in answers:
        key = tuple(str(record.get(name, "")) for name in _KEYS)
        if key in found:
            raise ValueError(f"{path} answers {record['question']!r} twice")
        found[key] = record
    return found
