"""FocusWorld exported for others: videos, questions in their format, and a card.

The card says what the questions measure, what is right without looking, which frames see
the evidence, and how a fresh seed is a fresh test.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from dynfocus.atomic import write_atomically
from dynfocus.evaluation.benchmarks.world_formats import (
    FORMATS,
    count_kinds,
    read_questions,
)
from dynfocus.evaluation.blindness import answer_blindly
from dynfocus.evaluation.metrics import (
    Estimate,
    accuracy,
    answer_constantly,
    is_right_answer,
)
from dynfocus.evaluation.pages import table
from dynfocus.text import check_choice
from dynfocus.video import VideoReader
from dynfocus.world import make_dataset
from dynfocus.world.scene import Split
from dynfocus.world.video import NARROW, Progress, World
from dynfocus.world.wide import WideQuestion

if TYPE_CHECKING:
    from dynfocus.models import VideoModel

Rows = Sequence[Mapping[str, Any]]
_FRAME_COUNTS = (8, 32, 128)


def export_world(
    folder: str | Path,
    form: str,
    *,
    num_videos: int,
    duration: float | tuple[float, float] = (60.0, 180.0),
    seed: int = 0,
    split: Split = "test",
    world: World = NARROW,
    progress: Progress | None = None,
    rater: VideoModel | None = None,
) -> Path:
    """Write FocusWorld in the format of somebody else.

    The same arguments give the same bytes, videos included, with the same version of PyAV
    on every processor that has AVX2; x264 writes others, and other pixels, without it.
    The card has a hash of the pixels, by which two exports are compared.

    Args:
        folder: Created if missing; videos that are whole are kept.
        form: One of `FORMATS`.
        num_videos: How many videos.
        duration: Seconds, or the least and the most.
        seed: Seed of the first video.
        split: Stream of the scenes.
        world: The narrow or the widened world.
        progress: Called with videos done and videos in all.
        rater: A model whose rating of frames rules read, for the card; none by default.

    Returns:
        The folder.

    Raises:
        ValueError: The format is unknown, no question fits it, or rules are to answer
            questions of the widened world.
    """
    if rater is not None and world.wide:
        raise ValueError(
            "rules know the narrow world alone; leave --rules or --wide out"
        )
    check_choice(form, "the format", FORMATS)
    place = make_dataset(
        folder, num_videos, duration, seed, split, progress, world=world
    )
    rows = read_questions(place)
    files = FORMATS[form](rows, place)
    if all(content.strip() in ("", "[]") for content in files.values()):
        raise ValueError(
            f"none of {len(rows):,} questions fits {form}; make more videos"
        )
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place / name, content)
    ruled = None if rater is None else answer_by_rules(rows, place, rater)
    card = write_card(rows, place, form, list(files), seed, num_videos, world, ruled)
    write_atomically(place / "README.md", card)
    return place


def write_card(
    rows: Rows,
    folder: Path,
    form: str,
    names: Sequence[str],
    seed: int,
    num_videos: int,
    world: World,
    ruled: Rows | None = None,
) -> str:
    """Write what a user of the export must know.

    Args:
        rows: The questions.
        folder: Where the videos are.
        form: The format.
        names: Its files.
        seed: Seed of the first video.
        num_videos: How many videos.
        world: The world.
        ruled: What `answer_by_rules` gave.
    """
    seeds = f"{seed} to {seed + num_videos - 1}"
    kinds = ", ".join(f"{kind} {count}" for kind, count in count_kinds(rows).items())
    lines = [
        f"# {world.title} as {form}",
        "",
        f"{num_videos} procedural videos, seeds {seeds}, and {len(rows):,} questions whose "
        f"answers and times of evidence are exact: {kinds}. Files of the format: "
        f"{', '.join(names)}. All questions stand in benchmark.jsonl.",
        "",
        "It measures whether a system finds the moments that answer a question (needle, "
        "when), keeps the whole in view (count, order, topic) and says no to what is not "
        "there (presence). It does not measure knowledge of the real world.",
        "",
        "## Without looking",
        "",
        "The best constant answer of each kind is chosen with the truth of these very "
        "questions. A blind guess among the options is one over their number. A blind "
        "model, naive Bayes on the words of the question, has read the questions about "
        "other videos of this export, and picks among the options where there are any.",
        "",
        *table(
            ["kind", "constant, %", "guess, %", "blind, %", "questions"],
            _without_looking(rows),
        ),
        "## Frames",
        "",
        "The share of questions with evidence of which a frame shows some: even frames, "
        "and as many frames as there are pieces of evidence, put there (oracle).",
        "",
        *table(["frames", "evidence seen, %"], _evidence_seen(rows)),
        *_ruled(ruled),
        "## A fresh test",
        "",
        "Another --seed gives other videos and questions of the same kind, without end; "
        "nobody can have trained on a seed that was drawn today. Publish the seed with the "
        "figure, and do not tune on it.",
        "",
        f"Videos were encoded with PyAV {av.__version__} on a processor with AVX2; another "
        f"version, or a processor without, may give others. SHA-256 over the pixels of all videos at one frame a second: "
        f"`{hash_pixels(folder)}`.",
        "",
    ]
    return "\n".join(lines)


def _without_looking(rows: Rows) -> list[list[str]]:
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        record = {**row, "truth": row["answer"], "right": False}
        by_kind[row["kind"]].append(record)
    found = []
    for kind, some in by_kind.items():
        constant = str(accuracy(answer_constantly(some)))
        guess, has_options = "-", all(len(row["options"]) > 1 for row in some)
        if has_options:
            guess = f"{100 * float(np.mean([1 / len(r['options']) for r in some])):.1f}"
        blind = str(accuracy(_answer_blindly(some, with_options=has_options)))
        found.append([kind, constant, guess, blind, str(len(some))])
    return found


def _answer_blindly(rows: Rows, *, with_options: bool) -> list[dict[str, Any]]:
    asked = [
        WideQuestion(
            video=row["video"],
            kind=row["kind"],
            name="",
            slots={},
            question=row["question"],
            answer=row["answer"],
            options=tuple(row["options"]),
            evidence=tuple((start, end) for start, end in row["evidence"]),
        )
        for row in rows
    ]
    texts = answer_blindly(asked, with_options=with_options)
    return [
        {**row, "right": is_right_answer(row, text, one.evidence)}
        for row, text, one in zip(rows, texts, asked, strict=True)
    ]


def answer_by_rules(
    rows: Rows, folder: Path, model: VideoModel
) -> list[dict[str, Any]]:
    """Answer questions by rules on a model's rating of frames, one a second.

    Args:
        rows: The questions; of kinds without a rule they are left out.
        folder: Where the videos are.
        model: What rates frames; its language model is not asked.

    Returns:
        Records with ``right``.
    """
    from dynfocus.evaluation.benchmarks import rules

    by_video: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["kind"] in rules.RULE_KINDS:
            by_video[row["video"]].append(row)
    rater = rules.frame_rater(model)
    found = []
    for video, some in by_video.items():
        index = model.index(str(folder / video), fps=1.0)
        rate, times = rater(index), index.features.pts_seconds
        for row in some:
            text = rules.answer_by_rule(row["kind"], row["question"], rate, times)
            record = {**row, "truth": row["answer"], "answer": text}
            evidence = [(start, end) for start, end in row["evidence"]]
            record["right"] = is_right_answer(record, text, evidence)
            found.append(record)
    return found


def _ruled(records: Rows | None) -> list[str]:
    """Write what rules answer, or where that is told."""
    if not records:
        return [
            "What rules on a model's rating of frames answer is added by --rules.",
            "",
        ]
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_kind[record["kind"]].append(record)
    rows = [[kind, str(accuracy(r)), str(len(r))] for kind, r in by_kind.items()]
    return [
        "## Rules",
        "",
        "What four rules on nano's rating of a frame a second answer, without a language "
        "model: the highest rating, the number of stretches, the longest, the earlier.",
        "",
        *table(["kind", "rules, %", "questions"], rows),
    ]


def _evidence_seen(rows: Rows) -> list[list[str]]:
    asked = [row for row in rows if row["evidence"]]
    found = []
    for count in _FRAME_COUNTS:
        seen = [
            {"video": r["video"], "kind": "", "right": _is_seen(r, count)}
            for r in asked
        ]
        estimate = accuracy(seen) if seen else Estimate(0.0)
        found.append([f"{count} even", str(estimate)])
    return [*found, ["oracle", "100.0"]]


def _is_seen(row: Mapping[str, Any], num_frames: int) -> bool:
    """Tell whether one of even frames, each in the middle of its part, shows evidence."""
    times = (np.arange(num_frames) + 0.5) * row["duration"] / num_frames
    return any(bool(((a <= times) & (times < b)).any()) for a, b in row["evidence"])


def hash_pixels(folder: Path) -> str:
    """Hash the pixels of all videos at one frame a second, in the order of their names."""
    whole = hashlib.sha256()
    for path in sorted((folder / "videos").glob("*.mp4")):
        whole.update(VideoReader(path).sample(fps=1.0).frames.tobytes())
    return whole.hexdigest()
