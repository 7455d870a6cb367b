"""Evaluation: benchmarks with known truth, judged exactly, written with what made them.

Experiments, which also train, are in the modules ``ablations``, ``experiment``,
``comparison`` and ``tables``; they need the extra ``train``, so they are not imported here.
"""

from dynfocus.evaluation.benchmarks.focusworld import (
    WorldBenchmark,
    run_world_benchmark,
    selection_recall,
    summarise,
    write_results,
)
from dynfocus.evaluation.metrics import interval_iou, is_right

__all__ = [
    "WorldBenchmark",
    "interval_iou",
    "is_right",
    "run_world_benchmark",
    "selection_recall",
    "summarise",
    "write_results",
]
