"""The page that ``dynfocus ask`` writes, with the truth where FocusWorld left it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dynfocus.cli.console import say

if TYPE_CHECKING:
    from dynfocus.index import VideoGroup, VideoIndex
    from dynfocus.models import Answer, PrototypeMap, VideoModel
    from dynfocus.video import VideoReader
    from dynfocus.world import WorldQuestion


def find_truths(video: VideoReader) -> dict[str, WorldQuestion]:
    """Look up the questions and truths that FocusWorld left beside a video.

    Of an excerpt, those whose evidence lies within it.
    """
    from dynfocus.world import find_questions

    found = find_questions(video.path)
    if video.is_excerpt:
        start, end = video.start, video.end
        found = tuple(
            one
            for one in found
            if all(start <= first and last <= end for first, last in one.evidence)
        )
    return {one.question: one for one in found}


def write_answers(
    report: Path,
    focused: VideoModel,
    readers: Sequence[VideoReader],
    shown: VideoIndex | VideoGroup,
    answers: list[Answer],
    known: dict[str, WorldQuestion],
) -> None:
    """Write the page of answers.

    Args:
        report: The file.
        focused: The model that answered.
        readers: The videos.
        shown: The same, encoded.
        answers: The answers, one at least.
        known: What `find_truths` gave, by question.
    """
    from dynfocus.evaluation import is_right
    from dynfocus.report import write_report

    maps, reason = None, focused.why_not("maps")
    if reason is None:
        maps = [_map_prototypes(focused, readers, answer) for answer in answers]
    else:
        say(f"No prototype maps in the report: {reason}")
    truths = [known.get(answer.question) for answer in answers]
    write_report(
        report,
        shown,
        answers,
        title=answers[0].question,
        truths=[truth.answer if truth else None for truth in truths],
        verdicts=[
            is_right(truth, answer.text) if truth else None
            for truth, answer in zip(truths, answers, strict=True)
        ],
        evidence=[truth.evidence if truth else () for truth in truths],
        maps=maps,
    )


def _map_prototypes(
    focused: VideoModel, readers: Sequence[VideoReader], answer: Answer
) -> list[PrototypeMap]:
    """Map the prototypes of the best Cones of each video."""
    found = []
    for number, reader in enumerate(readers):
        frames = [frame for frame in answer.frames if frame.video == number]
        maps = focused.map_prototypes(reader, replace(answer, frames=frames))
        found += [replace(one, video=number) for one in maps]
    return found
