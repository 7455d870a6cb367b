"""Experiments as data: variants, the phases of their training, what all rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal

from dynfocus.evaluation.benchmarks.focusworld import (
    WorldBenchmark,
    usual_benchmarks,
)
from dynfocus.validation import Count, Positive, checked

KINDS = ("needle", "presence", "count", "order")
"""What all variants are taught and asked."""


@checked
class Phase:
    """One phase of a variant's training."""

    stage: int = 2
    """1 for captions alone, 2 for questions."""
    trains: tuple[str, ...] | None = None
    """The groups of the model that learn; the stage's own by default."""


@checked
class Variant:
    """One row of an experiment."""

    name: str
    """Short, for files."""
    label: str
    """What the table calls it."""
    connector: str = "dynfocus"
    """Name of the connector, or ``slowfocus``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the connector; of a SlowFocus, changes to those of the start."""
    phases: tuple[Phase, ...] = (Phase(),)
    """How it is trained."""
    weights_of: str = ""
    """Name of the variant whose weights it is tested with; its own if empty."""
    start: str = ""
    """Folder of a run, beside that of the plan's start, whose model this one starts from in
    its place."""
    num_dense: Count | None = None
    """SlowFocus: dense frames of a second look, in training and in an answer; None for one
    pass."""
    fps: Positive | None = None
    """Frames a second that it is trained and asked with; the plan's by default."""
    shown: Literal["all", "evidence", "nothing"] = "all"
    """Which frames it is asked about: all that are sampled, those of the evidence alone,
    where the answer has any, which no system can know, or none, so that its video tokens
    are left out of the prompt."""
    x: float | None = None
    """Place on the horizontal axis, for an experiment over a number."""
    paper: tuple[float, ...] = ()
    """The paper's figures for this row."""


@checked
class Experiment:
    """A table: what it asks, its rows, and what the paper found."""

    name: str
    title: str
    source: str
    """Where the paper shows it."""
    paper_columns: tuple[str, ...] = ()
    """What the paper's figures of the rows are."""
    variants: tuple[Variant, ...]
    expects: str
    """What the paper found, in words."""
    axis: str = ""
    """What ``x`` of the variants is, for an experiment over a number."""
    kinds: tuple[str, ...] = KINDS
    """What the variants are taught and asked."""
    wide: bool = False
    """Whether that is in the widened world."""


@checked
class Plan:
    """What all variants of a run share."""

    start: str = "nano"
    """The model that all variants start from."""
    patches: str = "runs/patches"
    """Folder of the frozen features."""
    num_steps: Count = 150
    num_caption_steps: Count = 37
    """Steps of a phase of stage 1."""
    batch_size: Count = 16
    learning_rate: Positive = 0.002
    num_training_videos: Count = 1000
    training_seconds: tuple[float, float] = (20.0, 120.0)
    max_training_frames: Count = 32
    """Training videos are thinned to so many frames."""
    kinds: tuple[str, ...] = KINDS
    wide: bool = False
    """Whether training videos are of the widened world, as the ``sets`` are."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds."""
    sets: tuple[WorldBenchmark, ...] = usual_benchmarks(12, kinds=KINDS)
    """What the variants are asked, about the ``kinds``."""
    fps: Positive = 1.0

    def __post_init__(self) -> None:
        if not self.seeds or not self.sets:
            raise ValueError("seeds and sets must hold at least one entry each")


def make_plan(
    experiment: Experiment,
    start: str,
    patches: str | Path,
    num_steps: int,
    num_seeds: int,
    num_training_videos: int,
    lengths: Sequence[WorldBenchmark],
    budgets: Sequence[int] = (),
) -> Plan:
    """Write the plan of an experiment.

    Every length is asked with all tokens and with each budget; long videos with budgets
    alone, because all Cones of an hour are more than the language model can read.

    Args:
        experiment: What is to be run.
        start: The model that all variants start from.
        patches: Folder of the frozen features.
        num_steps: Steps of stage 2; stage 1 has a quarter of it.
        num_seeds: Training seeds, from 0.
        num_training_videos: Videos to train on.
        lengths: What `usual_benchmarks` gave for the experiment's kinds and world.
        budgets: Video tokens.
    """
    whole = [test for test in lengths if test.name != "long"]
    fitted = [
        replace(test, max_video_tokens=budget) for test in lengths for budget in budgets
    ]
    return Plan(
        start=start,
        patches=str(patches),
        num_steps=num_steps,
        num_caption_steps=max(1, num_steps // 4),
        num_training_videos=num_training_videos,
        kinds=experiment.kinds,
        wide=experiment.wide,
        seeds=tuple(range(num_seeds)),
        sets=(*whole, *fitted),
    )
