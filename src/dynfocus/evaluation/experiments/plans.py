"""What an experiment is: its arms, their lessons, the videos and what all arms share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dynfocus.training.connectors import PARTS
from dynfocus.world.conversations import WorldAddress
from dynfocus.world.dataset import draw_duration


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One stage of an arm's training."""

    stage: int = 2
    """1 for captions alone, 2 for questions."""
    trains: tuple[str, ...] = tuple(PARTS)
    """What learns; the rest is frozen."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of an experiment."""

    name: str
    """Short, for files."""
    label: str
    """What the table calls it."""
    connector: str = "dynfocus"
    """Name of the connector."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the connector."""
    lessons: tuple[Lesson, ...] = (Lesson(),)
    """How it is trained."""
    weights_of: str = ""
    """Name of the arm whose weights it is tested with; its own if empty."""
    x: float | None = None
    """Place on the horizontal axis, for an experiment over a number."""
    paper: tuple[float, ...] = ()
    """The paper's figures for this row."""


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """Unseen videos of one length, and the tokens that may be read of each."""

    __test__ = False  # not a test class of pytest

    name: str
    num_videos: int
    seconds: tuple[float, float]
    seed: int = 0
    max_tokens: int | None = None
    """At most so many video tokens; as many as the connector makes if None."""

    @property
    def title(self) -> str:
        """Name the length and the budget."""
        if self.max_tokens is None:
            return self.name
        return f"{self.name}, at most {self.max_tokens} tokens"

    def addresses(self) -> list[WorldAddress]:
        """Name the videos."""
        return [
            WorldAddress(
                split="test",
                seed=seed,
                seconds=draw_duration(self.seconds, seed, "test"),
            )
            for seed in range(self.seed, self.seed + self.num_videos)
        ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all arms of a run share."""

    start: str = "nano"
    """The model whose language model, text encoder and clock all arms start from."""
    patches: str = "runs/patches"
    """Folder of the frozen features."""
    num_steps: int = 150
    num_caption_steps: int = 37
    """Steps of a lesson of stage 1."""
    batch_size: int = 16
    learning_rate: float = 0.002
    num_training_videos: int = 1000
    training_seconds: tuple[float, float] = (20.0, 120.0)
    max_training_frames: int = 32
    """Training videos are thinned to so many frames."""
    kinds: tuple[str, ...] = ("needle", "presence", "count", "order")
    seeds: tuple[int, ...] = (0,)
    """Training seeds."""
    sets: tuple[TestSet, ...] = (
        TestSet(name="short", num_videos=12, seconds=(60.0, 180.0)),
        TestSet(name="medium", num_videos=2, seconds=(480.0, 600.0)),
    )
    max_per_kind: int = 3
    """Questions of a kind a video (presence: pairs)."""
    fps: float = 1.0

    def __post_init__(self) -> None:
        for name in ("num_steps", "num_caption_steps", "num_training_videos"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not self.seeds or not self.sets:
            raise ValueError("seeds and sets must hold at least one entry each")


def make_plan(
    start: str,
    patches: str | Path,
    num_steps: int,
    num_seeds: int,
    num_training_videos: int,
    num_short: int,
    num_medium: int,
    num_long: int = 0,
    budgets: Sequence[int] = (),
) -> Plan:
    """Write the plan of an experiment with the usual lengths of videos.

    Every length is asked with all tokens and with each budget; long videos with budgets
    alone, because all Cones of an hour are more than the language model can read.

    Args:
        start: The model that all arms start from.
        patches: Folder of the frozen features.
        num_steps: Steps of stage 2; stage 1 has a quarter of it.
        num_seeds: Training seeds, from 0.
        num_training_videos: Videos to train on.
        num_short: Unseen videos of one to three minutes.
        num_medium: Unseen videos of eight to ten minutes; may be 0.
        num_long: Unseen videos of forty minutes to an hour.
        budgets: Video tokens.
    """
    lengths = usual_sets(num_short, num_medium, num_long)
    whole = [test for test in lengths if test.name != "long"]
    fitted = [
        replace(test, max_tokens=budget) for test in lengths for budget in budgets
    ]
    return Plan(
        start=start,
        patches=str(patches),
        num_steps=num_steps,
        num_caption_steps=max(1, num_steps // 4),
        num_training_videos=num_training_videos,
        seeds=tuple(range(num_seeds)),
        sets=(*whole, *fitted),
    )


def usual_sets(
    num_short: int, num_medium: int, num_long: int = 0
) -> tuple[TestSet, ...]:
    """Return test sets of the usual lengths, without those of no video.

    Args:
        num_short: Videos of one to three minutes.
        num_medium: Videos of eight to ten minutes.
        num_long: Videos of forty minutes to an hour.
    """
    sets = (
        TestSet(name="short", num_videos=num_short, seconds=(60.0, 180.0)),
        TestSet(name="medium", num_videos=num_medium, seconds=(480.0, 600.0)),
        TestSet(name="long", num_videos=num_long, seconds=(2400.0, 3600.0)),
    )
    return tuple(test for test in sets if test.num_videos)
