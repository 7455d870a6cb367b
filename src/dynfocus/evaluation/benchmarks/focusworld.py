"""Measure a model on FocusWorld: unseen videos as real files, exact answers.

Each video is written as H.264, read back at 1 fps, indexed once and asked about. Results
are kept one line a question as they come, so a run that stops continues.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dynfocus.evaluation.metrics import chance, is_right
from dynfocus.focus import uniform_indices
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.models.video_model import VideoModel
from dynfocus.provenance import describe_hardware
from dynfocus.world import KINDS, WorldQuestion, make_video
from dynfocus.world.dataset import draw_duration
from dynfocus.world.scene import Split

Progress = Callable[[int, int], None]
PAIRS = "presence pairs"
"""Row for presence questions of which both twins are right."""


@dataclass(frozen=True, kw_only=True)
class WorldBenchmark:
    """Which questions are asked."""

    num_videos: int = 40
    """Videos, each with its own seed."""
    seconds: tuple[float, float] = (60.0, 180.0)
    """Least and greatest length of a video."""
    seed: int = 0
    """Seed of the first video."""
    split: Split = "test"
    max_per_kind: int = 3
    """Questions of a kind a video (presence: pairs)."""
    fps: float = 1.0
    """Frames a second that are looked at."""
    max_video_tokens: int | None = None
    """Budget of a question."""

    def __post_init__(self) -> None:
        if self.num_videos < 1:
            raise ValueError(f"num_videos must be 1 or more, got {self.num_videos}")
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise ValueError(
                f"seconds must go from low to high, got {self.seconds[0]:g} to {self.seconds[1]:g}"
            )


def run_world_benchmark(
    model: VideoModel,
    benchmark: WorldBenchmark,
    answers: str | Path,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Ask a model everything and return one record a question.

    Args:
        model: The model.
        benchmark: What to ask.
        answers: JSON-lines file that grows by one line an answer; videos that are
            already complete in it are not asked again.
        progress: Called with videos done and videos in all.
    """
    path = Path(answers)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = fingerprint_parameters(model.model.named_parameters())
    stamp = {"model": model.name, "weights": weights, **asdict(benchmark)}
    records = earlier_records(path, stamp)
    done = {record["seed"] for record in records}
    if not path.exists():
        path.write_text(json.dumps({"benchmark": stamp}) + "\n", encoding="utf-8")
    for number in range(benchmark.num_videos):
        seed = benchmark.seed + number
        if seed not in done:
            fresh = list(_ask_video(model, benchmark, seed))
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in fresh)
            records += fresh
        if progress is not None:
            progress(number + 1, benchmark.num_videos)
    return records


def earlier_records(path: Path, stamp: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the records of a run that stopped; refuse those of another run."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        found = json.loads(lines[0])["benchmark"]
        records = [json.loads(line) for line in lines[1:]]
    except (IndexError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not an answers file of this benchmark; delete it or name another"
        ) from error
    if found != json.loads(json.dumps(stamp)):
        raise ValueError(
            f"{path} belongs to a run with other settings or another model; delete it or "
            "name another"
        )
    return records


def _ask_video(
    model: VideoModel, benchmark: WorldBenchmark, seed: int
) -> Iterable[dict[str, Any]]:
    duration = draw_duration(benchmark.seconds, seed, benchmark.split)
    with tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
        video = make_video(
            Path(folder) / "video.mp4",
            duration,
            seed,
            split=benchmark.split,
            max_per_kind=benchmark.max_per_kind,
        )
        index = model.index(video.path, fps=benchmark.fps)
    for question in video.questions:
        answer = model.ask(
            index, question.question, max_video_tokens=benchmark.max_video_tokens
        )
        cones = [frame.time for frame in answer.frames if frame.kind == "cone"]
        spread = uniform_indices(index.num_frames, len(cones))
        uniform = index.features.pts_seconds[spread].tolist()
        yield {
            "seed": seed,
            "duration": duration,
            "kind": question.kind,
            "question": question.question,
            "truth": question.answer,
            "answer": answer.text,
            "right": is_right(question, answer.text),
            "chance": chance(question),
            "held_out": question.held_out,
            "pair": question.pair,
            "tokens": answer.tokens,
            "seconds": round(answer.seconds, 4),
            "cone_share": len(cones) / index.num_frames,
            "evidence_seen": evidence_seen(question, cones),
            "uniform_seen": evidence_seen(question, uniform),
        }


def evidence_seen(question: WorldQuestion, times: list[float]) -> bool | None:
    """Tell whether a moment lies in the evidence; None where the answer has none."""
    if not question.evidence:
        return None
    return any(a <= time < b for time in times for a, b in question.evidence)


def summarise(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return accuracy, chance and number of questions for each kind.

    Presence pairs, held-out combinations (against all questions of their kinds) and
    the evidence recall of the Cones have rows of their own.
    """
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[record["kind"]].append(record)
    rows = {kind: _row(groups[kind]) for kind in KINDS if groups[kind]}
    pairs = _pairs(groups["presence"])
    if pairs:
        rows[PAIRS] = {
            "accuracy": sum(pairs) / len(pairs),
            "chance": 0.25,
            "questions": float(len(pairs)),
        }
    held_out = [r for r in records if r["held_out"]]
    if held_out:
        rows["held-out needle and attribute"] = _row(held_out)
    return rows


def _row(records: list[dict[str, Any]]) -> dict[str, float]:
    count = len(records)
    return {
        "accuracy": sum(r["right"] for r in records) / count,
        "chance": sum(r["chance"] for r in records) / count,
        "questions": float(count),
    }


def _pairs(records: list[dict[str, Any]]) -> list[bool]:
    """Pair the twins, which stand next to each other."""
    return [
        basic["right"] and twin["right"]
        for basic, twin in zip(records[::2], records[1::2], strict=True)
    ]


def selection_recall(records: list[dict[str, Any]]) -> dict[str, float]:
    """Return the evidence recall of the Cones and the share of frames that are Cones.

    ``uniform_recall`` is what as many even frames would have; ``needle_recall`` and
    ``needle_uniform_recall`` count needle questions alone, whose evidence is short.
    """
    asked = [r for r in records if r["evidence_seen"] is not None]
    needles = [r for r in asked if r["kind"] == "needle"]
    return {
        "evidence_recall": _share(asked, "evidence_seen"),
        "uniform_recall": _share(asked, "uniform_seen"),
        "needle_recall": _share(needles, "evidence_seen"),
        "needle_uniform_recall": _share(needles, "uniform_seen"),
        "cone_share": _share(asked, "cone_share"),
    }


def _share(records: list[dict[str, Any]], field: str) -> float:
    return float(sum(r[field] for r in records)) / max(1, len(records))


def write_results(
    folder: str | Path,
    name: str,
    command: str,
    commit: str,
    benchmark: WorldBenchmark,
    records: list[dict[str, Any]],
) -> Path:
    """Write a table as Markdown beside its JSON, with what made it.

    Returns:
        The Markdown file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = summarise(records)
    hardware = describe_hardware()
    tokens = sum(r["tokens"] for r in records) / len(records)
    seconds = sum(r["seconds"] for r in records) / len(records)
    recall = selection_recall(records)
    document = {
        "command": command,
        "commit": commit,
        "hardware": hardware,
        "benchmark": asdict(benchmark),
        "rows": rows,
        "mean_video_tokens": tokens,
        "mean_seconds": seconds,
        **recall,
    }
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        f"# {name}",
        "",
        f"`{command}`, commit {commit[:12]}, {hardware}.",
        f"{benchmark.num_videos} unseen videos of {benchmark.seconds[0]:g} to "
        f"{benchmark.seconds[1]:g} s at {benchmark.fps:g} fps, from real H.264 files; "
        "exact match, and IoU of at least 0.5 for *when*.",
        "",
        "| kind | accuracy | chance | questions |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {kind} | {100 * row['accuracy']:.1f} % | {100 * row['chance']:.1f} % "
            f"| {row['questions']:.0f} |"
            for kind, row in rows.items()
        ),
        "",
        f"On average {tokens:.0f} video tokens and {seconds:.2f} s a question (video already "
        f"indexed). A Cone lies in the evidence of {100 * recall['evidence_recall']:.1f} % of "
        f"the questions; {100 * recall['cone_share']:.1f} % of the frames are Cones. As many "
        f"even frames would hit it for {100 * recall['uniform_recall']:.1f} %. Of needle "
        f"questions alone: {100 * recall['needle_recall']:.1f} % against "
        f"{100 * recall['needle_uniform_recall']:.1f} %.",
        "",
    ]
    path = folder / f"{name}.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
