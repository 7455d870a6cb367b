"""Robustness: the same questions about the same videos, filmed or cut otherwise.

The truth follows the change: mirrored, left and right swap and no letter is asked; what a
crop cuts off, and what a low rate of frames cannot see, is not asked; in grey no question
that names a colour is.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dynfocus.bulk import Asker, Row, run_rows
from dynfocus.evaluation.benchmarks.focusworld import (
    Progress,
    WorldBenchmark,
    check_answered,
)
from dynfocus.evaluation.metrics import (
    Estimate,
    accuracy,
    is_right_answer,
    paired_difference,
)
from dynfocus.evaluation.pages import Document, Layout, table
from dynfocus.index import VideoIndex
from dynfocus.models import Answer, VideoModel
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.text import plural
from dynfocus.validation import checked
from dynfocus.world import WideQuestion, WorldQuestion, make_video
from dynfocus.world.conversations import WorldAddress, parse_address
from dynfocus.world.render import Picture
from dynfocus.world.scene import Scene
from dynfocus.world.vocabulary import BASE_PIXELS, COLOURS
from dynfocus.world.wide import WideScene
from dynfocus.world.wide.questions import PLACES
from dynfocus.world.wide.scene import Variation

Question = WorldQuestion | WideQuestion
_OF_LETTERS = ("needle", "attribute", "caption", "absent", "change", "unanswerable")
_SHORTEST_SEEN = 2.5
"""Seconds that evidence must last to be asked at half a frame a second."""
_SIDES = {"left": "right", "right": "left"}
_LEAST_SEEN = 0.8


@dataclass(frozen=True, kw_only=True)
class Change:
    """One way in which a video differs, and which questions still have their truth.

    Attributes:
        name: What the page calls it.
        edit: What is done to every picture.
        cut: Shares of the picture that are cut off left, top, right and bottom.
        crf: Quality of the file.
        fps: Frames a second that are looked at.
        unseen: A variation of the widened world in which the same scenes are shown.
        ask: Gives a question as it is to be asked, or None.
    """

    name: str
    edit: Callable[[Picture], Picture] | None = None
    cut: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    crf: int | None = None
    fps: float | None = None
    unseen: Variation | None = None
    ask: Callable[[Question], Question | None] = lambda question: question


def crop(picture: Picture, share: float) -> Picture:
    """Cut a share off, half on either side, and enlarge the rest to the same size."""
    height, width = picture.shape[:2]
    top, left = round(height * share / 2), round(width * share / 2)
    part = Image.fromarray(picture[top : height - top, left : width - left])
    return np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))


def shift(picture: Picture, across: int, down: int) -> Picture:
    """Move all right and down by pixels of a picture of 112; edges are repeated."""
    height, width = picture.shape[:2]
    scale = min(height, width) / BASE_PIXELS
    across, down = round(across * scale), round(down * scale)
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - across, 0, width - 1)
    return picture[rows][:, columns]


def pad(picture: Picture, factor: float) -> Picture:
    """Put black bars around until the picture is ``factor`` times as wide for its height."""
    height, width = picture.shape[:2]
    rows = max(0, round(height * (1 / factor - 1) / 2))
    columns = max(0, round(width * (factor - 1) / 2))
    return np.pad(picture, ((rows, rows), (columns, columns), (0, 0)))


def mirror(picture: Picture) -> Picture:
    """Swap left and right."""
    return picture[:, ::-1]


def grey(picture: Picture) -> Picture:
    """Take all colour away."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    tone = (picture @ weights).round().astype(np.uint8)
    return np.repeat(tone[..., None], 3, -1)


def mirrored(question: Question) -> Question | None:
    """Swap left and right in a question, or None if it is about a letter."""
    if question.kind in _OF_LETTERS or re.search(r"\bletter\b", question.question):
        return None

    def swap(text: str) -> str:
        return re.sub(r"\b(left|right)\b", lambda m: _SIDES[m.group()], text)

    return replace(
        question,
        question=swap(question.question),
        answer=swap(question.answer),
        options=tuple(map(swap, question.options)),
    )


def without_colour(question: Question) -> Question | None:
    """Give a question that names no colour and asks for none, else None."""
    words = f"{question.question} {question.answer}".split()
    named = any(word.strip("?.,") in COLOURS for word in words)
    return None if named or re.search(r"\bcolou?r", question.question) else question


def seen_at_half_a_frame(question: Question) -> Question | None:
    """Give a question whose evidence lasts longer than the gap between two frames."""
    is_short = any(end - start < _SHORTEST_SEEN for start, end in question.evidence)
    return None if is_short or question.kind == "summary" else question


def without_places(question: Question) -> Question | None:
    """Give a question whose truth does not hang on where on the screen something is."""
    return None if question.kind == "where" or question.answer in PLACES else question


CHANGES: tuple[Change, ...] = (
    Change(
        name="shifted by 3 pixels of 112",
        edit=partial(shift, across=3, down=3),
        cut=(0, 0, 3 / 112, 3 / 112),
        ask=without_places,
    ),
    Change(
        name="shifted by 9 pixels of 112",
        edit=partial(shift, across=-9, down=9),
        cut=(9 / 112, 0, 0, 9 / 112),
        ask=without_places,
    ),
    Change(name="cropped by 5 %", edit=partial(crop, share=0.05), cut=(0.025,) * 4),
    Change(name="cropped by 10 %", edit=partial(crop, share=0.1), cut=(0.05,) * 4),
    Change(name="letterboxed", edit=partial(pad, factor=4 / 3)),
    Change(name="in a portrait frame", edit=partial(pad, factor=9 / 16)),
    Change(name="mirrored", edit=mirror, ask=mirrored),
    Change(name="grey", edit=grey, ask=without_colour),
    Change(name="CRF 40", crf=40),
    Change(name="0.5 frames a second", fps=0.5, ask=seen_at_half_a_frame),
    Change(name="2 frames a second", fps=2.0),
    Change(name="unseen fonts", unseen="fonts"),
    Change(name="unseen walls", unseen="walls"),
)
"""All changes; the last two are of the widened world alone."""


@checked
class RobustnessPlan:
    """Which questions are asked of the original and of what is changed."""

    benchmark: WorldBenchmark
    """The questions about the original."""
    changes: tuple[str, ...] = ()
    """Names of the changes; all that the world has by default."""

    def __post_init__(self) -> None:
        known = {change.name for change in CHANGES}
        if unknown := set(self.changes) - known:
            raise ValueError(
                f"changes must be among {', '.join(sorted(known))}, got {min(unknown)!r}"
            )

    def chosen(self) -> list[Change]:
        """List the changes."""
        return [
            change
            for change in CHANGES
            if (not self.changes or change.name in self.changes)
            and (change.unseen is None or self.benchmark.world.wide)
        ]

    def rows(self) -> tuple[list[Row], dict[str, list[tuple[Row, Row]]]]:
        """Make the rows of the originals, and for each change pairs of original and changed."""
        asked = self.benchmark.rows_and_questions()
        scenes: dict[str, Scene | WideScene] = {}
        pairs: dict[str, list[tuple[Row, Row]]] = {c.name: [] for c in self.chosen()}
        for row, question in asked:
            if row.video not in scenes:
                scenes[row.video] = _address(row.video).scene()
            for change in self.chosen():
                new = change.ask(question)
                if new is None or is_cut_off(scenes[row.video], question, change.cut):
                    continue
                changed = replace(
                    row,
                    video=f"{row.video}#{change.name}",
                    id=f"{row.id}#{change.name}",
                    question=new.question,
                    answer=new.answer,
                    facts={**row.facts, "truth": new.answer, "change": change.name},
                    options=row.options.replace(fps=change.fps or self.benchmark.fps),
                )
                pairs[change.name].append((row, changed))
        return [row for row, _ in asked], pairs


def _address(video: str) -> WorldAddress:
    found = parse_address(video.split("#")[0])
    assert found is not None  # `WorldBenchmark.rows` wrote it
    return found


def is_cut_off(
    scene: Scene | WideScene,
    question: Question,
    cut: tuple[float, float, float, float],
) -> bool:
    """Tell whether an edge hides more than a fifth of a stay that a question is about.

    In the narrow world all that moves passes the middle of the picture.
    """
    if not isinstance(scene, WideScene) or not any(cut):
        return False
    left, top, right, bottom = cut
    for stay in scene.stays:
        view = scene.in_view(stay)
        if view is None or not _concerns(question, view):
            continue
        x, y = scene.centres(stay, np.linspace(*view, 40)).T
        inside = (x >= left) & (x < 1 - right) & (y >= top) & (y < 1 - bottom)
        if inside.mean() < _LEAST_SEEN:
            return True
    return False


def _concerns(question: Question, view: tuple[float, float]) -> bool:
    """Tell whether a stay lies in the evidence; without evidence every stay does."""
    spans = question.evidence
    return not spans or any(a < view[1] and view[0] < b for a, b in spans)


@contextmanager
def open_changed_file(video: str) -> Iterator[Path]:
    """Write the video of a row, changed or not, and give its file, for a while."""
    address, name = _address(video), video.partition("#")[2]
    change = next((c for c in CHANGES if c.name == name), Change(name=""))
    world = address.world
    if change.unseen is not None:
        world = replace(world, unseen=(change.unseen,))
    with tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
        path = Path(folder) / "video.mp4"
        make_video(
            path,
            address.seconds,
            address.seed,
            split=address.split,
            size=2 * BASE_PIXELS,
            world=world,
            edit=change.edit,
            crf=change.crf,
        )
        yield path


def run_robustness(
    model: VideoModel,
    plan: RobustnessPlan,
    answers: str | Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask about originals and changed videos and make the document of the result.

    Args:
        model: The model.
        plan: What to ask.
        answers: JSON-lines file that grows by one line an answer; what is answered in it
            is not asked again.
        progress: Called with questions done and questions in all.

    Raises:
        ValueError: If some question got no answer, or the file is of another run.
    """
    originals, pairs = plan.rows()
    rows = originals + [new for group in pairs.values() for _, new in group]
    weights = fingerprint_parameters(model.model.named_parameters())
    stamp = {"model": model.name, "weights": weights, "plan": asdict(plan)}
    asker = Asker(lambda number: model, open_changed_file, _describe)
    records = check_answered(
        run_rows(asker, rows, answers, stamp=stamp, retries=True, progress=progress)
    )
    by_id = {record["id"]: record for record in records}
    found = []
    for name, group in pairs.items():
        if group:
            before = [by_id[row.id] for row, _ in group]
            after = [{**by_id[row.id], "video": old.video} for old, row in group]
            found.append(
                {
                    "change": name,
                    "questions": len(group),
                    "original": asdict(accuracy(before)),
                    "changed": asdict(accuracy(after)),
                    "difference": asdict(paired_difference(after, before)),
                }
            )
    low, high = plan.benchmark.seconds
    return {
        "kind": "robustness",
        "title": f"{plan.benchmark.world.title} changed, videos of {low:g} to {high:g} s",
        "model": model.name,
        "benchmark": asdict(plan.benchmark),
        "rows": found,
    }


def _describe(row: Row, answer: Answer, index: VideoIndex) -> dict[str, Any]:
    return {"right": is_right_answer(row.facts, answer.text, row.evidence)}


def lay_out(document: Document) -> Layout:
    """Make the page of a result of `run_robustness`."""
    head = [
        "change",
        "original, % right",
        "changed, % right",
        "difference",
        "questions",
    ]
    rows = [
        [
            row["change"],
            str(Estimate(**row["original"])),
            str(Estimate(**row["changed"])),
            Estimate(**row["difference"]).as_difference(),
            str(row["questions"]),
        ]
        for row in document["rows"]
    ]
    asked = document["benchmark"]
    last = asked["seed"] + asked["num_videos"] - 1
    text = (
        f"{document['model']} on {plural(asked['num_videos'], 'video')}, split "
        f"{asked['split']}, seeds {asked['seed']} to {last}, each written again for every "
        "change; the same questions before and after, where their truth follows the change. "
        "In brackets the 95 % interval of a bootstrap over videos."
    )
    return Layout(body=[text, "", *table(head, rows)])
