"""Folders of FocusWorld videos in the training and the benchmark format.

``train.json`` is the LLaVA conversation format; ``benchmark.jsonl`` holds one question a
line with answer, options and evidence; ``videos/`` holds the files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dynfocus.atomic import write_atomically
from dynfocus.world.conversations import make_sample
from dynfocus.world.questions import WorldQuestion, make_questions
from dynfocus.world.render import check_size
from dynfocus.world.scene import SPLITS, Split, make_scene
from dynfocus.world.video import Progress, WorldVideo, is_world_video, make_video


def make_dataset(
    folder: str | Path,
    num_videos: int,
    duration: float | tuple[float, float] = (60.0, 180.0),
    seed: int = 0,
    split: Split = "test",
    progress: Progress | None = None,
    *,
    fps: float = 8.0,
    size: int = 224,
    max_per_kind: int | None = None,
) -> Path:
    """Write FocusWorld videos with their questions into a folder.

    Videos that are already there, whole and from the same settings, are kept, so a run
    that stopped continues.

    Args:
        folder: Created if missing.
        num_videos: How many; the seeds are ``seed``, ``seed + 1`` and so on.
        duration: Seconds, or the least and the most of a uniform draw.
        seed: Seed of the first video.
        split: ``train``, ``validation`` or ``test``.
        progress: Called with videos done and videos in all.
        fps: Frames a second of the files.
        size: Width and height in pixels, a multiple of 112.
        max_per_kind: Ask at most so many questions of each kind.

    Returns:
        The folder.
    """
    if num_videos < 1:
        raise ValueError(f"num_videos must be 1 or more, got {num_videos}")
    check_size(size)
    shortest = duration[0] if isinstance(duration, tuple) else duration
    make_scene(seed, shortest, split)  # refuses what no video can be made of
    folder = Path(folder)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    conversations: list[dict[str, Any]] = []
    lines: list[str] = []
    for number in range(num_videos):
        seconds = draw_duration(duration, seed + number, split)
        path = folder / "videos" / f"{split}-{seed + number:06d}.mp4"
        video = _make_or_keep(path, seconds, seed + number, split, fps, size)
        questions = _limit(video, max_per_kind)
        conversations += _conversations(video, questions)
        lines += _benchmark_lines(video, questions)
        if progress is not None:
            progress(number + 1, num_videos)
    write_atomically(folder / "train.json", json.dumps(conversations, indent=1) + "\n")
    write_atomically(folder / "benchmark.jsonl", "".join(line + "\n" for line in lines))
    return folder


def draw_duration(
    duration: float | tuple[float, float], seed: int, split: Split
) -> float:
    """Return a video's length: fixed, or drawn from the seed in whole seconds."""
    if not isinstance(duration, tuple):
        return float(duration)
    low, high = duration
    if not 0 < low <= high:
        raise ValueError(f"duration must go from low to high, got {low:g} to {high:g}")
    rng = np.random.default_rng([23, SPLITS.index(split), seed])
    return float(round(rng.uniform(low, high)))


def _make_or_keep(
    path: Path, seconds: float, seed: int, split: Split, fps: float, size: int
) -> WorldVideo:
    note = path.with_suffix(".json")
    wanted = {"duration": seconds, "fps": fps, "size": size}
    if note.is_file() and _made_with(note) == wanted and is_world_video(path):
        scene = make_scene(seed, seconds, split)
        questions = tuple(make_questions(scene))
        return WorldVideo(path=path, scene=scene, questions=questions)
    video = make_video(path, seconds, seed, split=split, fps=fps, size=size)
    write_atomically(note, json.dumps({"made_with": wanted, **video.to_dict()}) + "\n")
    return video


def _made_with(note: Path) -> Any:
    """Return the settings of a finished video, or None where they cannot be read."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))["made_with"]
    except (ValueError, KeyError, TypeError):
        return None


def _limit(video: WorldVideo, max_per_kind: int | None) -> tuple[WorldQuestion, ...]:
    if max_per_kind is None:
        return video.questions
    return tuple(make_questions(video.scene, max_per_kind))


def _conversations(
    video: WorldVideo, questions: tuple[WorldQuestion, ...]
) -> list[dict[str, Any]]:
    name = f"videos/{video.path.name}"
    return [
        make_sample(f"{video.path.stem}-{number:03d}", "video", name, [question])
        for number, question in enumerate(questions)
    ]


def _benchmark_lines(
    video: WorldVideo, questions: tuple[WorldQuestion, ...]
) -> list[str]:
    return [
        json.dumps(
            {
                "id": f"{video.path.stem}-{number:03d}",
                "video": f"videos/{video.path.name}",
                "duration": video.duration,
                "kind": question.kind,
                "question": question.question,
                "answer": question.answer,
                "options": list(question.options),
                "evidence": [list(interval) for interval in question.evidence],
                "held_out": question.held_out,
                "pair": question.pair,
            }
        )
        for number, question in enumerate(questions)
    ]
