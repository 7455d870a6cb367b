"""Which video each block of a prompt shows, and how many tokens it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dynfocus.focus import TokenBudget, TokenPlan, VideoFeatures
from dynfocus.index import VideoIndex
from dynfocus.models.dynfocus.prompts import find_blocks
from dynfocus.video import SampledFrames, VideoReader, is_frame, read_image, read_video
from dynfocus.video.frames import count_dimensions


@dataclass(frozen=True)
class Medium:
    """A video or an image as the caller gave it."""

    kind: Literal["video", "image"]
    value: Any


@dataclass(frozen=True)
class Block:
    """One placeholder of a batch of prompts."""

    row: int
    """The prompt."""
    medium: int
    """Which of the media it shows."""
    question: str


@dataclass(frozen=True)
class Limits:
    """How much of a video to read."""

    fps: float
    """Frames per second that are sampled from a file."""
    max_frames: int | None
    """At most so many frames a video."""
    max_video_tokens: int | None
    """At most so many video tokens a prompt, shared evenly by its blocks."""


@dataclass(frozen=True)
class ReadMedium:
    """A video or an image ready for the model, and what a block of it may take.

    All sampled frames are here: the model, which knows the question, chooses those that
    have tokens.
    """

    content: SampledFrames | VideoFeatures
    plan: TokenPlan


def assign_media(
    texts: Sequence[str], images: Any, videos: Any, questions: Any
) -> tuple[list[Block], list[Medium]]:
    """Give every placeholder its medium and its question.

    Args:
        texts: The prompts.
        images: Images, one or several, flat or by prompt.
        videos: Videos, one or several, flat or by prompt.
        questions: Questions of the blocks, flat or by prompt, or None.

    Returns:
        The blocks in reading order, and the media, each of them once.
    """
    marks = [find_blocks(text) for text in texts]
    counts = {
        kind: [sum(mark.kind == kind for mark in row) for row in marks]
        for kind in ("video", "image")
    }
    queues = {
        "video": iter(_flatten(videos, "video", is_video, counts["video"])),
        "image": iter(_flatten(images, "image", is_image, counts["image"])),
    }
    asked = iter(_questions(questions, [len(row) for row in marks]))
    blocks: list[Block] = []
    media: list[Medium] = []
    numbers: dict[tuple[str, object], int] = {}
    for row, row_marks in enumerate(marks):
        for mark in row_marks:
            value = next(queues[mark.kind])
            key = (mark.kind, str(value) if _is_path(value) else id(value))
            if key not in numbers:
                numbers[key] = len(media)
                media.append(Medium(mark.kind, value))
            question = next(asked) or mark.question
            if not question.strip():
                raise ValueError(
                    f"the question of prompt {row} is empty; write what to look for in "
                    f"the {mark.kind}"
                )
            blocks.append(Block(row, numbers[key], question.strip()))
    return blocks, media


def read_media(
    blocks: Sequence[Block],
    media: Sequence[Medium],
    budget: Callable[[int | None], TokenBudget],
    limits: Limits,
    frame_size: int,
) -> list[ReadMedium]:
    """Read every video and image once and plan its tokens.

    Args:
        blocks: The blocks in reading order.
        media: The media that they show.
        budget: Gives what plans the tokens of a block, for at most so many.
        limits: How much of a video to read.
        frame_size: Side of the frames that the model reads.

    Returns:
        One entry a medium.
    """
    per_row = Counter(block.row for block in blocks)
    most_blocks = [1] * len(media)
    for block in blocks:
        most_blocks[block.medium] = max(most_blocks[block.medium], per_row[block.row])
    results = []
    for medium, num_blocks in zip(media, most_blocks, strict=True):
        content = _read(medium, limits, frame_size)
        most = limits.max_video_tokens
        share = None if most is None else most // num_blocks
        results.append(ReadMedium(content, budget(share).plan(_count_frames(content))))
    return results


def _read(
    medium: Medium, limits: Limits, frame_size: int
) -> SampledFrames | VideoFeatures:
    value = medium.value
    if isinstance(value, VideoIndex):
        value = value.features
    if isinstance(value, VideoFeatures):
        return value.thin(limits.max_frames)
    if medium.kind == "image":
        return read_image(value)
    return read_video(
        value, fps=limits.fps, max_frames=limits.max_frames, frame_size=frame_size
    )


def is_video(value: object) -> bool:
    """Tell whether a value is one video, and not a list of videos."""
    kinds = (str, Path, VideoReader, SampledFrames, VideoFeatures, VideoIndex)
    if isinstance(value, kinds) or count_dimensions(value) == 4:
        return True
    return isinstance(value, list | tuple) and bool(value) and all(map(is_frame, value))


def is_image(value: object) -> bool:
    """Tell whether a value is one image, and not a list of images."""
    return isinstance(value, str | Path) or is_frame(value)


def _count_frames(content: SampledFrames | VideoFeatures) -> int:
    if isinstance(content, VideoFeatures):
        return content.num_frames
    return len(content.frames)


def _flatten(
    values: Any, kind: str, is_one: Callable[[object], bool], counts: Sequence[int]
) -> list[Any]:
    """List the media in reading order after matching them with the placeholders."""
    if values is None:
        flat: list[Any] = []
    elif is_one(values):
        flat = [values]
    elif not isinstance(values, list | tuple):
        raise ValueError(
            f"{kind}s must be a {kind}, a list of them or a list of lists of them, got "
            f"{type(values).__name__}"
        )
    elif values and not any(is_one(value) for value in values):
        flat = _flatten_rows(values, kind, is_one, counts)
    else:
        flat = list(values)
    for value in flat:
        if not is_one(value):
            shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
            raise ValueError(
                f"{type(value).__name__}{shape} is not a {kind}; give a file, "
                f"{'frames [T, H, W, 3]' if kind == 'video' else 'an array [H, W, 3]'} "
                "of uint8 or Pillow images"
            )
    if len(flat) != sum(counts):
        raise ValueError(
            f"the prompts hold {sum(counts)} <{kind}> placeholders but {len(flat)} "
            f"{kind}s are given; write one placeholder for each {kind}"
        )
    return flat


def _flatten_rows(
    rows: Sequence[Any],
    kind: str,
    is_one: Callable[[object], bool],
    counts: Sequence[int],
) -> list[Any]:
    lists = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
    if len(lists) != len(counts):
        raise ValueError(
            f"{kind}s by prompt must be {len(counts)} lists, one a prompt, got "
            f"{len(lists)}"
        )
    for row, (values, count) in enumerate(zip(lists, counts, strict=True)):
        if len(values) != count:
            raise ValueError(
                f"prompt {row} holds {count} <{kind}> placeholders but {len(values)} "
                f"{kind}s are given for it; write one placeholder for each {kind}"
            )
    return [value for values in lists for value in values]


def _questions(questions: Any, counts: Sequence[int]) -> list[str | None]:
    if questions is None:
        return [None] * sum(counts)
    rows = [questions] if isinstance(questions, str) else list(questions)
    flat = [q for row in rows for q in ([row] if isinstance(row, str) else row)]
    if len(flat) != sum(counts):
        raise ValueError(
            f"the prompts hold {sum(counts)} placeholders but {len(flat)} questions are "
            "given; give one question for each placeholder, or none at all"
        )
    if not all(question.strip() for question in flat):
        raise ValueError("a question is empty; write what to look for in the video")
    return flat


def _is_path(value: object) -> bool:
    return isinstance(value, str | Path)
