"""ActivityNet-QA: nine types of questions about untrimmed videos, answers judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from dynfocus.evaluation.benchmarks.benchmark import Figure, Split
from dynfocus.evaluation.benchmarks.choice import counted, parts, share
from dynfocus.evaluation.benchmarks.msvd_qa import BENCHMARK as _MSVD
from dynfocus.evaluation.benchmarks.open_answers import (
    judged_rows,
    load_open_answers,
    open_figures,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Record

_TYPES = (
    *("motion", "spatial", "temporal", "yes/no", "colour"),
    *("object", "location", "number", "other"),
)
_FIRST_FREE = 3


def figures(records: Sequence[Record], options: BenchmarkOptions) -> list[Figure]:
    """Make what the judge said, of each type, and the exact match of the first paper."""
    found = open_figures(records, options)
    kept = counted(records, options)
    by_type = {int(t): some for t, some in parts(kept, "type").items() if t.isdigit()}
    for number, some in sorted(by_type.items()):
        if number < len(_TYPES):
            name, size = _TYPES[number], len(some)
            found.append(Figure(label=name, estimate=share(some), num_questions=size))
            found.append(
                Figure(
                    label=f"Exact match, {name}",
                    estimate=share(some, "right_exact"),
                    num_questions=size,
                    is_beside=True,
                )
            )
    free = [
        r for number, some in by_type.items() if number >= _FIRST_FREE for r in some
    ]
    if free:
        found.append(
            Figure(
                label="Exact match, free",
                estimate=share(free, "right_exact"),
                num_questions=len(free),
                is_beside=True,
            )
        )
    return found


BENCHMARK = replace(
    _MSVD,
    name="activitynet-qa",
    title="ActivityNet-QA",
    source=(
        "https://github.com/MILVLG/activitynet-qa (test_q.json, test_a.json); the videos "
        "are those of ActivityNet, by request from activity-net.org"
    ),
    layout=(
        "test_q.json and test_a.json, or test_qa.json",
        "all_test/v_NAME.mp4 (also .mkv, .webm; any folder)",
    ),
    splits=(
        Split(name="test", questions=8_000, videos=800),
        Split(name="val", questions=18_000),
        Split(name="train", questions=32_000),
    ),
    load=partial(load_open_answers, name="activitynet-qa", stem="activitynet"),
    figures=figures,
    video_names=lambda name: (f"v_{name}", name),
    published=judged_rows(
        (
            ("SlowFocus (Vicuna-7B)", 48.4, 3.6, "SlowFocus, table 2", True),
            ("LLaMA-VID-7B", 47.4, 3.3, "SlowFocus, table 2", False),
            ("DynFocus (Vicuna-7B)", 50.3, 3.4, "second-hand", False),
            ("Video-ChatGPT-7B", 35.2, 2.7, "README of Video-ChatGPT", True),
        )
    ),
)
"""The benchmark: MSVD-QA's judge, with figures of each type."""
