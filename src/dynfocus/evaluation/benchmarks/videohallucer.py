"""VideoHallucer: pairs of a basic and a hallucinated question, answered yes or no."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.annotations import (
    find_files,
    has_fields,
    need_files,
    read_rows,
    unknown_shape,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Figure,
    Item,
    Loaded,
    Published,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import counted, share
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record
from dynfocus.text import plural

_SETTINGS = (
    *("object_relation", "temporal", "semantic_detail"),
    *("external_factual", "external_nonfactual"),
)
_HALVES = ("basic", "hallucination")
_LABELS = {"basic": "Basic", "hallucination": "Hallucinated", "both": "Overall"}


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read a file of pairs for each of the five settings."""
    files, items, dropped = [], [], 0
    for setting in _SETTINGS:
        found = find_files(data, (f"{setting}/{setting}.json", f"{setting}.json"))
        if not found:
            continue
        files.append(found[0])
        pairs = read_rows(found[0])
        if not has_fields(pairs[0], *_HALVES):
            raise unknown_shape(
                found[0], pairs[0], "the known: basic, hallucination, type"
            )
        if options.duplicates == "dropped":
            kept = list({_name(pair): pair for pair in reversed(pairs)}.values())[::-1]
            dropped += len(pairs) - len(kept)
            pairs = kept
        items += [
            one for n, pair in enumerate(pairs) for one in _items(setting, n, pair)
        ]
    if not files:
        need_files(data, [f"{setting}.json" for setting in _SETTINGS], "videohallucer")
    notes = [
        f"there is no {s}.json"
        for s in _SETTINGS
        if not any(p.stem == s for p in files)
    ]
    odd = [item.id for item in items if item.answer not in ("yes", "no")]
    if odd:
        count = plural(len(odd), "question")
        notes.append(f"{count} with an answer that is neither yes nor no ({odd[0]})")
    if dropped:
        notes.append(f"{plural(dropped, 'pair')} that stand twice left out")
    return Loaded(
        items=items, shape="a file of pairs a setting", files=files, notes=notes
    )


def _name(pair: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(pair[half][key]) for half in _HALVES for key in ("video", "question")
    )


def _items(setting: str, number: int, pair: dict[str, Any]) -> list[Item]:
    name = f"{setting}-{number}"
    return [
        Item(
            id=f"{name}-{half}",
            video=f"{setting}/videos/{pair[half]['video']}",
            question=str(pair[half]["question"]),
            answer=str(pair[half]["answer"]).strip().lower(),
            kind=setting,
            groups={"pair": name, "half": half, "type": pair.get("type")},
            unit=name,
        )
        for half in _HALVES
    ]


def put(item: Item, options: BenchmarkOptions) -> str:
    """Ask the question and for yes or no."""
    return f"{item.question}\nAnswer the question with 'yes' or 'no'."


def mark(record: Record, options: BenchmarkOptions) -> dict[str, Any]:
    """Look for the expected word; strictly, the reply must not hold the other one, too.

    Returns:
        ``right`` of the chosen way, ``right_official``, ``right_strict``, and ``said``.
    """
    reply = record.get("answer") or ""
    words = set(re.findall(r"\b(?:yes|no)\b", reply.lower()))
    official = record["truth"] in words
    strict = words == {record["truth"]}
    said = words.pop() if len(words) == 1 else None
    return {
        "right": strict if options.parsing == "strict" else official,
        "right_official": official,
        "right_strict": strict,
        "said": said,
        "is_read": said is not None,
    }


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make Basic, Hallucinated and Overall, the mean over settings, then of each setting.

    Beside them: the same by the published search for a word, and two figures of bias:
    ``yes-difference``, replies of yes minus keys of yes over all questions; and
    ``false-positive ratio``, the share of wrong replies that say yes.
    """
    kept = counted(records, options)
    found = _three(kept, "right", is_main=True)
    for setting in dict.fromkeys(record["kind"] for record in kept):
        some = [record for record in kept if record["kind"] == setting]
        found += _three(some, "right", after=f", {setting}")
    other = "right_official" if options.parsing == "strict" else "right_strict"
    after = f", {'official' if options.parsing == 'strict' else 'strict'} reading"
    found += _three(kept, other, after=after, is_beside=True)
    return found + _bias(kept)


def _three(
    records: Sequence[Record],
    field: str,
    *,
    after: str = "",
    is_main: bool = False,
    is_beside: bool = False,
) -> list[Figure]:
    sets: dict[str, list[dict[str, Any]]] = {
        half: [{**r, "right": r[field]} for r in records if r["groups"]["half"] == half]
        for half in _HALVES
    }
    sets["both"] = _together(records, field)
    return [
        Figure(
            label=f"{_LABELS[name]}{after}",
            estimate=share(some, macro=True),
            num_questions=len(some),
            is_main=is_main,
            is_beside=is_beside,
        )
        for name, some in sets.items()
    ]


def _together(records: Sequence[Record], field: str) -> list[dict[str, Any]]:
    """Make a record a pair, right if both halves are; half a pair is not counted."""
    pairs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        pairs[record["groups"]["pair"]].append(record)
    return [
        {**pair[0], "right": all(record[field] for record in pair)}
        for pair in pairs.values()
        if len(pair) == len(_HALVES)
    ]


def _bias(records: Sequence[Record]) -> list[Figure]:
    says_yes = [
        {**r, "right": (r["said"] == "yes") - (r["truth"] == "yes")} for r in records
    ]
    wrong = [{**r, "right": r["said"] == "yes"} for r in records if not r["right"]]
    return [
        Figure(
            label=label, estimate=share(some), num_questions=len(some), is_beside=True
        )
        for label, some in (
            ("Yes-difference", says_yes),
            ("False-positive ratio", wrong),
        )
    ]


BENCHMARK = Benchmark(
    name="videohallucer",
    title="VideoHallucer",
    source="https://github.com/patrick-tssn/VideoHallucer; videos on the hub bigai-nlco/VideoHallucer",
    layout=(
        "SETTING/SETTING.json for " + ", ".join(_SETTINGS),
        "SETTING/videos/NAME.mp4",
    ),
    splits=(
        Split(name="test", questions=2 * 976),
        Split(name="test, duplicates kept", questions=2 * 1_000),
    ),
    load=load,
    put=put,
    mark=mark,
    figures=figures,
    compared=lambda records, options: _together(counted(records, options), "right"),
    averages_kinds=lambda options: True,
    video_names=lambda name: (
        name,
        name.replace("external_nonfactual/", "external_factual/"),
    ),
    rules=("duplicates", "parsing"),
    published=tuple(
        Published(system=system, values={"Overall": value}, source=source)
        for system, value, source in (
            ("PLM-8B", 57.7, "README of PLM"),
            ("GPT-4o", 53.3, "VideoHallucer leaderboard"),
            ("PLLaVA-34B", 45.0, "VideoHallucer leaderboard"),
            ("PLLaVA-7B", 38.1, "VideoHallucer leaderboard"),
            ("Gemini-1.5-Pro", 37.8, "VideoHallucer leaderboard"),
        )
    ),
)
"""The benchmark."""
