"""A scene becomes an MP4 file with its questions, answers and evidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dynfocus.validation import checked
from dynfocus.video import RemoteFile, VideoName, VideoReader, VideoWriter
from dynfocus.world.questions import WorldQuestion, make_questions
from dynfocus.world.recognition import NUM_LOOKED_AT, is_world
from dynfocus.world.render import Picture, render
from dynfocus.world.scene import Scene, Split, make_scene
from dynfocus.world.vocabulary import BASE_PIXELS
from dynfocus.world.wide import (
    WideQuestion,
    WideScene,
    balance,
    facts_of,
    make_groups,
    make_wide_scene,
)
from dynfocus.world.wide import make_questions as make_wide_questions
from dynfocus.world.wide import render as render_wide
from dynfocus.world.wide.scene import Variation
from dynfocus.world.wide.wordings import WordingSet

SIGNATURE = "dynfocus FocusWorld"
"""Start of the ``comment`` field of every FocusWorld video."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class WorldVideo:
    """A FocusWorld video on disk and everything that is true of it."""

    path: Path
    scene: Scene | WideScene
    questions: tuple[WorldQuestion | WideQuestion, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.scene.duration

    @property
    def seed(self) -> int:
        """The seed that the video was made from."""
        return self.scene.seed

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: file name, scene and questions."""
        return {
            "video": self.path.name,
            "scene": asdict(self.scene),
            "questions": [question.to_dict() for question in self.questions],
        }


@checked
class World:
    """Which FocusWorld: the narrow one, which nano knows, or the widened one.

    ``unseen`` names what videos of the widened one show that training never does.
    """

    wide: bool = False
    unseen: tuple[Variation, ...] = ()

    def __post_init__(self) -> None:
        if self.unseen and not self.wide:
            raise ValueError("only the widened world has unseen variations")

    @property
    def title(self) -> str:
        """What pages call it."""
        return "The widened FocusWorld" if self.wide else "FocusWorld"

    def scene(self, seed: int, duration: float, split: Split) -> Scene | WideScene:
        """Write the script of a video."""
        if self.wide:
            return make_wide_scene(seed, duration, split, self.unseen)
        return make_scene(seed, duration, split)

    def questions(
        self, scene: Scene | WideScene, max_per_kind: int | None = None
    ) -> tuple[WorldQuestion | WideQuestion, ...]:
        """Ask about a scene of this world."""
        if isinstance(scene, WideScene):
            return tuple(make_wide_questions(facts_of(scene), max_per_kind))
        return tuple(make_questions(scene, max_per_kind))

    def ask_all(
        self,
        scenes: Sequence[Scene | WideScene],
        max_per_kind: int | None = None,
        which: WordingSet = "training",
    ) -> list[tuple[int, WorldQuestion | WideQuestion]]:
        """Ask about a set of videos; of the widened world balanced, groups at the end.

        Args:
            scenes: Their scripts.
            max_per_kind: At most so many questions of each kind about a video.
            which: Set of the other words of a group.

        Returns:
            The place of each question's scene, and the question.
        """
        asked = [
            (place, question)
            for place, scene in enumerate(scenes)
            for question in self.questions(scene, max_per_kind)
        ]
        if not self.wide:
            return asked
        places = {q.video: place for place, q in asked if isinstance(q, WideQuestion)}
        kept = balance([q for _, q in asked if isinstance(q, WideQuestion)])
        return [(places[q.video], q) for q in [*kept, *make_groups(kept, which=which)]]

    def pictures(
        self, scene: Scene | WideScene, times: Sequence[float], size: int
    ) -> Iterator[Picture]:
        """Draw a scene of this world."""
        if isinstance(scene, WideScene):
            return render_wide(scene, times, size)
        return render(scene, times, size)


NARROW = World()


def make_video(
    path: str | Path,
    duration: float,
    seed: int,
    *,
    split: Split = "test",
    fps: float = 8.0,
    size: int = 224,
    max_per_kind: int | None = None,
    progress: Progress | None = None,
    world: World = NARROW,
    edit: Callable[[Picture], Picture] | None = None,
    crf: int | None = None,
) -> WorldVideo:
    """Write a FocusWorld video as H.264 in an MP4 file.

    Args:
        path: Where the file will stand; it appears when it is complete.
        duration: Length in seconds, from 5 up to hours.
        seed: The same seed, split and duration give the same video.
        split: ``train``, ``validation`` or ``test``: disjoint random streams.
        fps: Frames a second.
        size: Width and height in pixels, a multiple of 112; of the widened world the
            shorter side, even and at least 112.
        max_per_kind: Ask at most so many questions of each kind.
        progress: Called with frames done and frames in all.
        world: The narrow or the widened world.
        edit: Is given every picture, and gives what is written in its place.
        crf: Quality of the encoder; the scene's by default.

    Returns:
        The video's path, scene, and questions with answers and evidence intervals.

    Raises:
        ValueError: If a setting is out of range.
        OSError: If the file cannot be written.
    """
    scene = world.scene(seed, duration, split)
    first = next(world.pictures(scene, [0.0], size))
    height, width = (first if edit is None else edit(first)).shape[:2]
    if crf is None:
        crf = scene.style.crf if isinstance(scene, WideScene) else 20
    with VideoWriter(
        path,
        fps=fps,
        size=(height, width),
        crf=crf,
        comment=f"{SIGNATURE} split={split} seed={seed}",
    ) as writer:
        num_frames = max(1, round(duration * fps))
        times = (np.arange(num_frames) / fps).tolist()
        for number, picture in enumerate(world.pictures(scene, times, size), 1):
            writer.write(picture if edit is None else edit(picture))
            if progress is not None:
                progress(number, num_frames)
    questions = world.questions(scene, max_per_kind)
    return WorldVideo(path=Path(path), scene=scene, questions=questions)


def is_world_video(video: VideoName | VideoReader) -> bool:
    """Tell by a few pictures whether a readable file is of the FocusWorld that nano knows."""
    try:
        reader = video if isinstance(video, VideoReader) else VideoReader(video)
        size = (BASE_PIXELS, BASE_PIXELS)
        reader = reader.excerpt(0, reader.duration)  # a short one may have no key frame
        seen = reader.sample(num_frames=NUM_LOOKED_AT, size=size, fast=True)
    except (OSError, ValueError):
        return False
    return is_world(seen.frames)


def find_questions(path: VideoName) -> tuple[WorldQuestion, ...]:
    """Return what is asked about a FocusWorld video, from the note beside the file.

    `make_dataset` writes the note under the video's name, `dynfocus demo` as
    ``questions.json``.

    Returns:
        The questions with answers and evidence; none where there is no note, or where
        what has its name is something else.

    Raises:
        ValueError: A note about this video cannot be read.
    """
    if isinstance(path, RemoteFile):
        return ()
    path = Path(path)
    for note in (path.with_suffix(".json"), path.with_name("questions.json")):
        if note.is_file() and (found := _read_note(note, path.name)):
            return found
    return ()


def _read_note(note: Path, name: str) -> tuple[WorldQuestion, ...]:
    """Read the questions of a note, none where it is about another video."""
    try:
        document = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        return ()
    if not isinstance(document, dict) or document.get("video") != name:
        return ()
    try:
        return tuple(_question(row) for row in document["questions"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{note} does not hold the questions about its video; make the video again, "
            "or move this file elsewhere"
        ) from error


def _question(row: dict[str, Any]) -> WorldQuestion:
    """Give a question back its tuples, which JSON keeps as lists."""
    evidence = tuple((start, end) for start, end in row["evidence"])
    known = {name: row[name] for name in (f.name for f in fields(WorldQuestion))}
    known |= {"evidence": evidence, "options": tuple(row["options"])}
    return WorldQuestion(**known)
