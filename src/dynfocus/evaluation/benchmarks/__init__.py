"""Benchmarks: questions about videos with known answers, and rules that answer them.

What needs a model is imported when it is asked for, so that a folder of annotations is
checked without one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import a name where it is wanted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = "rules" if name == "answer_by_rule" else "focusworld"
    return getattr(import_module(f"{__name__}.{place}"), name)
