"""Benchmarks: questions about videos with known answers, and rules that answer them.

What needs a model is imported when it is asked for, so that a folder of annotations is
checked without one.
"""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked

if TYPE_CHECKING:
    from dynfocus.evaluation.benchmarks.focusworld import (
        WorldBenchmark,
        run_world_benchmark,
        selection_recall,
        summarise,
        usual_benchmarks,
    )
    from dynfocus.evaluation.benchmarks.rules import answer_by_rule

__all__ = [
    "WorldBenchmark",
    "answer_by_rule",
    "run_world_benchmark",
    "selection_recall",
    "summarise",
    "usual_benchmarks",
]

_HOMES = {**dict.fromkeys(__all__, "focusworld"), "answer_by_rule": "rules"}

__getattr__ = import_when_asked(__name__, _HOMES)
