"""Evaluation: benchmarks with known truth, judged exactly, written with what made them."""

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
