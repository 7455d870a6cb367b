"""Benchmarks: questions about videos with known answers, and rules that answer them."""

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
