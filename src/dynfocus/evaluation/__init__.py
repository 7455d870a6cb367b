"""Evaluation: benchmarks and experiments with known truth, judged exactly, with intervals.

``benchmarks`` and ``experiments`` are imported where they are used: they need a model.
Experiments that train need the extra ``train`` when they run, and nothing before.
"""

from dynfocus.evaluation.metrics import (
    Estimate,
    accuracy,
    answer_constantly,
    draw_fresh_seeds,
    interval_iou,
    is_right,
    paired_difference,
    score_together,
    sign_test,
)
from dynfocus.evaluation.pages import render_page, write_page

__all__ = [
    "Estimate",
    "accuracy",
    "answer_constantly",
    "draw_fresh_seeds",
    "interval_iou",
    "is_right",
    "paired_difference",
    "render_page",
    "score_together",
    "sign_test",
    "write_page",
]
