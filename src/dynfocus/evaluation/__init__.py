"""Evaluation: benchmarks with known truth, judged exactly, written with what made them."""

from dynfocus.evaluation.ablations import EXPERIMENTS, Experiment
from dynfocus.evaluation.comparison import compare_systems
from dynfocus.evaluation.experiment import Arm, Plan, make_plan, run_arms
from dynfocus.evaluation.scoring import interval_iou, is_right
from dynfocus.evaluation.tables import write_experiment
from dynfocus.evaluation.world import (
    WorldBenchmark,
    run_world_benchmark,
    selection_recall,
    summarise,
    write_results,
)

__all__ = [
    "EXPERIMENTS",
    "Arm",
    "Experiment",
    "Plan",
    "WorldBenchmark",
    "compare_systems",
    "interval_iou",
    "is_right",
    "make_plan",
    "run_arms",
    "run_world_benchmark",
    "selection_recall",
    "summarise",
    "write_experiment",
    "write_results",
]
