"""Evaluation: benchmarks with known truth, judged exactly, written with what made them.

Experiments, which also train, are in the modules ``ablations``, ``experiment``,
``comparison`` and ``tables``; they need the extra ``train``, so they are not imported here.
"""

from dynfocus.evaluation.scoring import interval_iou, is_right
from dynfocus.evaluation.world import (
    WorldBenchmark,
    run_world_benchmark,
    selection_recall,
    summarise,
    write_results,
)

__all__ = [
    "WorldBenchmark",
    "interval_iou",
    "is_right",
    "run_world_benchmark",
    "selection_recall",
    "summarise",
    "write_results",
]
