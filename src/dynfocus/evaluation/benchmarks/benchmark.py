"""A benchmark: where its data comes from, how it asks, and how replies become figures.

Benchmarks of others come through the entry point group ``dynfocus.benchmarks``: each
names a `Benchmark`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.metrics import Estimate, Record


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question as the annotations hold it."""

    id: str
    """Its name; those of one benchmark differ."""
    video: str
    """The video as the annotations name it, with or without an ending."""
    question: str
    """The question as it is stored."""
    choices: tuple[str, ...] = ()
    """The texts of the options, without their letters."""
    answer: str = ""
    """The true answer: a letter where there are options; empty where it is not public."""
    kind: str = "all"
    """The part of the benchmark that averages are taken over."""
    groups: Mapping[str, Any] = field(default_factory=dict)
    """Other parts that have figures of their own, and what its prompt or judge needs."""
    start: float | None = None
    """Where the part of the video that it is about begins, in seconds."""
    end: float | None = None
    """Where that part ends."""
    evidence: tuple[tuple[float, float], ...] = ()
    """When the answer is shown, in seconds, half-open."""
    scenes: tuple[int, ...] = ()
    """Which scene each stretch of evidence belongs to; by default each is its own."""
    key_times: tuple[float, ...] = ()
    """When the key frames are shown, in seconds; by default in the middles of evidence."""
    subtitles: str | None = None
    """File of its subtitles, without folder; ending may be missing."""
    unit: str = ""
    """What a sample keeps together; by default all about its video."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a folder of annotations holds."""

    items: Sequence[Item]
    shape: str
    """Which of the released shapes the file has."""
    files: Sequence[Path]
    """The files that were read."""
    notes: Sequence[str] = ()
    """Defects of the data, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How large a split is, by which it is told from others."""

    name: str
    questions: int | None = None
    """None where no count of it was seen; such a split is taken for what is asked for."""
    videos: int | None = None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a result."""

    label: str
    estimate: Estimate
    num_questions: int
    unit: str = "%"
    """``%``, or what a score goes up to, such as ``of 5``."""
    is_main: bool = False
    """Whether tables of several results show it."""
    is_beside: bool = False
    """Whether it follows other rules than the options say, and is there to compare."""

    def to_dict(self) -> dict[str, Any]:
        """Give the figure as plain values."""
        return {**vars(self), "estimate": vars(self.estimate)}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published row: what somebody reports about a system."""

    system: str
    values: Mapping[str, float]
    """By the label of the figure."""
    setting: str = ""
    """What it was fed with."""
    source: str = ""
    """Where it stands."""
    is_own: bool = True
    """Whether the system's own authors report it in a text that was read."""


def published_rows(
    label: str, rows: Iterable[tuple[str, float, str, str, bool]]
) -> tuple[Published, ...]:
    """Give the rows of a benchmark of which one figure is reported.

    Args:
        label: The label of the figure.
        rows: System, figure, what it was fed with, where it stands, whether it is its
            own authors'.
    """
    return tuple(
        Published(
            system=system, values={label: value}, setting=how, source=where, is_own=own
        )
        for system, value, how, where, own in rows
    )


@dataclass(frozen=True, kw_only=True)
class JudgeTask:
    """One call of a judge about a record."""

    aspect: str
    """What is judged; the name of a prompt in `dynfocus.evaluation.judges`."""
    fields: Mapping[str, str]
    """What its prompt is filled with."""


Compared = Callable[[Sequence[Record], BenchmarkOptions], Sequence[Record]]
Load = Callable[[Path, BenchmarkOptions], Loaded]
Put = Callable[[Item, BenchmarkOptions], str]
Mark = Callable[[Record, BenchmarkOptions], dict[str, Any]]
Sum = Callable[[Sequence[Record], BenchmarkOptions], list[Figure]]
ToJudge = Callable[[Record], list[JudgeTask]]


PairUp = Callable[[Sequence[dict[str, Any]]], None]


def pair_nothing(records: Sequence[dict[str, Any]]) -> None:
    """Leave records as they are."""


def judge_nothing(record: Record) -> list[JudgeTask]:
    """Leave a record to rules alone."""
    return []


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark, from its files to its figures."""

    name: str
    """What it is called on the command line."""
    title: str
    source: str
    """Where its videos and annotations are to be had, in a sentence."""
    layout: Sequence[str]
    """What its folder holds, a line each."""
    splits: Sequence[Split]
    """The splits that are known, the usual one first."""
    load: Load
    """Reads the annotations under a folder."""
    put: Put
    """Writes what the model is asked."""
    mark: Mark
    """Judges a record by rule: fields that are added to it, ``right`` among them."""
    figures: Sum
    """Makes the figures of marked records, those of the main rows first."""
    compared: Compared | None = None
    """Gives the records whose ``right`` the main figure averages, for paired tests; by
    default all that are counted."""
    averages_kinds: Callable[[BenchmarkOptions], bool] = lambda options: False
    """Whether the main figure is a mean over kinds."""
    to_judge: ToJudge = judge_nothing
    """What a judge is asked about a record."""
    pair_up: PairUp = pair_nothing
    """Tells records of each other before they are judged; changes them."""
    key_frames: Sequence[str] = ()
    """Which figures of key frames stand among its main ones; see `key_frames`."""
    frames_per_second: float | None = None
    """Rate of videos that are folders of pictures; None where there are none."""
    video_folders: Sequence[str] = ()
    """Folders that its videos usually lie in; all folders are searched."""
    video_names: Callable[[str], Sequence[str]] = lambda name: (name,)
    """Other names under which a video may lie, the likeliest first."""
    rules: Sequence[str] = ()
    """Names of the options that change its figures, beside those of all benchmarks."""
    max_new_tokens: int = 16
    """How long a reply may be."""
    submission: Callable[[Sequence[Record]], Any] | None = None
    """What its server takes, as JSON, for questions without public answers."""
    published: Sequence[Published] = ()
    """Rows of papers, to stand beside ours."""

    @property
    def is_judged(self) -> bool:
        """Tell whether any of its questions needs a judge."""
        return self.to_judge is not judge_nothing
