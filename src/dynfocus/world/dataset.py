"""Folders of FocusWorld videos in the training and the benchmark format.

``train.json`` is the LLaVA conversation format; ``benchmark.jsonl`` holds one question a
line with answer, options and evidence; ``videos/`` holds the files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from dynfocus.atomic import write_atomically
from dynfocus.video import VideoReader
from dynfocus.world.conversations import make_sample
from dynfocus.world.questions import WorldQuestion
from dynfocus.world.scene import SPLITS, Split
from dynfocus.world.video import (
    NARROW,
    Progress,
    World,
    WorldVideo,
    make_video,
)
from dynfocus.world.wide import WideQuestion


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
    world: World = NARROW,
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
        size: Width and height in pixels, a multiple of 112; of the widened world the
            shorter side, even and at least 112.
        max_per_kind: Ask at most so many questions of each kind.
        world: The narrow or the widened world. Questions of the widened one are balanced
            over all the videos, and some come in groups.

    Returns:
        The folder.
    """
    if num_videos < 1:
        raise ValueError(f"num_videos must be 1 or more, got {num_videos}")
    shortest = duration[0] if isinstance(duration, tuple) else duration
    scene = world.scene(seed, shortest, split)
    next(world.pictures(scene, [0.0], size))  # refuses what no video can be made of
    folder = Path(folder)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    videos: list[WorldVideo] = []
    for number in range(num_videos):
        seconds = draw_duration(duration, seed + number, split)
        path = folder / "videos" / f"{split}-{seed + number:06d}.mp4"
        videos.append(
            _make_or_keep(path, seconds, seed + number, split, fps, size, world)
        )
        if progress is not None:
            progress(number + 1, num_videos)
    asked = [
        (f"{videos[place].path.stem}-{number:03d}", videos[place], question)
        for number, (place, question) in _numbered(
            world.ask_all([video.scene for video in videos], max_per_kind)
        )
    ]
    conversations = [_conversation(*row) for row in asked]
    lines = [json.dumps(_benchmark_line(*row)) + "\n" for row in asked]
    write_atomically(folder / "train.json", json.dumps(conversations, indent=1) + "\n")
    write_atomically(folder / "benchmark.jsonl", "".join(lines))
    return folder


def _numbered(
    asked: list[tuple[int, WorldQuestion | WideQuestion]],
) -> Iterator[tuple[int, tuple[int, WorldQuestion | WideQuestion]]]:
    """Number the questions of each video."""
    numbers: Counter[int] = Counter()
    for place, question in asked:
        yield numbers[place], (place, question)
        numbers[place] += 1


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
    path: Path,
    seconds: float,
    seed: int,
    split: Split,
    fps: float,
    size: int,
    world: World,
) -> WorldVideo:
    note = path.with_suffix(".json")
    wanted = {"duration": seconds, "fps": fps, "size": size}
    if world.wide:
        wanted |= asdict(world) | {"unseen": list(world.unseen)}
    if note.is_file() and _made_with(note) == wanted and _opens(path):
        scene = world.scene(seed, seconds, split)
        return WorldVideo(path=path, scene=scene, questions=world.questions(scene))
    video = make_video(
        path, seconds, seed, split=split, fps=fps, size=size, world=world
    )
    write_atomically(note, json.dumps({"made_with": wanted, **video.to_dict()}) + "\n")
    return video


def _opens(path: Path) -> bool:
    """Tell whether a video can be read."""
    try:
        VideoReader(path)
    except (OSError, ValueError):
        return False
    return True


def _made_with(note: Path) -> Any:
    """Return the settings of a finished video, or None where they cannot be read."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))["made_with"]
    except (ValueError, KeyError, TypeError):
        return None


def _conversation(
    name: str, video: WorldVideo, question: WorldQuestion | WideQuestion
) -> dict[str, Any]:
    """Write a question as a conversation, a widened one in a wording of training."""
    if isinstance(question, WideQuestion) and question.wordings:
        wording = question.wordings[0]
        question = replace(question, question=wording.text, answer=wording.answer)
    return make_sample(name, "video", f"videos/{video.path.name}", [question])


def _benchmark_line(
    name: str, video: WorldVideo, question: WorldQuestion | WideQuestion
) -> dict[str, Any]:
    line = question.to_dict()
    place = {"id": name, "video": f"videos/{video.path.name}"}
    return {**line, **place, "duration": video.duration}
