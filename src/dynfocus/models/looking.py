"""Strategies that look at the video again, by a rule of `dynfocus.methods.loops`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dynfocus.errors import UnreadableVideoError
from dynfocus.index import VideoGroup, VideoIndex
from dynfocus.methods.intervals import Interval
from dynfocus.methods.loops import (
    LOOPS,
    MEMORIES,
    CaptionStore,
    Look,
    LoopInput,
    Rule,
    Step,
    follow,
)
from dynfocus.methods.moments import find_moments
from dynfocus.models.conversation import Answer, FrameReport, LookReport, PreparedTurn
from dynfocus.models.strategies import Asked, Strategy, one_pass
from dynfocus.video import VideoReader

if TYPE_CHECKING:
    from dynfocus.models.generation import Written
    from dynfocus.models.video_model import VideoModel

_SEVERAL = "The question is about several videos, so the answer took one pass."
_NO_FILE = "the video is a stream or frames, with no file to look at again"


class LoopStrategy:
    """Let a rule say what is looked at next, until it has the answer.

    Args:
        rule: The rule.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def answer(self, model: VideoModel, asked: Asked) -> Answer:
        """Answer a question about an encoded video; see `Strategy.answer`."""
        video, question = asked.video, asked.question
        asked = replace(asked, options=asked.options.replace(method=None))
        if isinstance(video, VideoGroup):
            answer = one_pass.answer(model, asked)
            return replace(
                answer, looks=LookReport(intervals=[], replies=[], note=_SEVERAL)
            )
        started = time.perf_counter()
        reader, blocked = _open_again(video)
        tool = _ModelTool(model, video, reader, asked)
        backbone = model.backbone
        budget = backbone.look_budget(video, asked.options)
        num_frames = video.num_frames * budget.frames_per_step
        start, end = video.interval
        given = LoopInput(
            question=question,
            duration=video.duration,
            start=start,
            end=end,
            num_frames=num_frames,
            held_fps=num_frames / (end - start),
            file_fps=None if reader is None else reader.fps,
            budget=budget,
            grid=backbone.time_grid,
            blocked=blocked,
            propose=partial(_propose, model, video, question)
            if model.scores_see_question
            else None,
        )
        is_memory = self.rule in MEMORIES.values()
        known = _captions(model, video) if is_memory else None
        last, before = follow(self.rule, given, tool, known)
        frames = merge_reports(turn.frames for turn in tool.turns)
        written = tool.written[-1]
        return Answer(
            text=written.text,
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            frames=frames,
            seconds=time.perf_counter() - started,
            confidence=written.confidence,
            looks=report_looks(last, before, tool.written),
            finish_reason=written.finish_reason,
            prompt_tokens=written.prompt_tokens,
            answer_tokens=written.num_tokens,
        )


class _ModelTool:
    """Look at a video and ask a model, keeping what it read and wrote."""

    def __init__(
        self,
        model: VideoModel,
        video: VideoIndex,
        reader: VideoReader | None,
        asked: Asked,
    ) -> None:
        self.turns: list[PreparedTurn] = []
        self.written: list[Written] = []
        self._seen: dict[Look, VideoIndex] = {}
        self._model = model
        self._video = video
        self._reader = reader
        self._asked = asked

    def look(self, look: Look) -> VideoIndex:
        """Give the frames of a look; see `dynfocus.methods.loops.Tool`."""
        if look not in self._seen:
            try:
                found = self._model.backbone.look(self._video, look, self._reader)
            except (OSError, UnreadableVideoError) as error:
                reader, self._reader = self._reader, None
                path = None if reader is None else reader.path
                if not isinstance(path, Path) or path.exists():
                    raise
                raise FileNotFoundError(f"{path} is not there any more") from error
            self._seen[look] = found
        return self._seen[look]

    def ask(self, step: Step, seen: list[tuple[Look, VideoIndex]]) -> str:
        """Show what was seen, and give the reply; see `dynfocus.methods.loops.Tool`."""
        model, video, asked = self._model, self._video, self._asked
        options = asked.options.replace(max_video_tokens=step.max_video_tokens or None)
        on_text = asked.on_text
        if not step.is_answer:
            options = options.replace(max_new_tokens=step.reply_tokens, stop=())
            on_text = None
        shown: VideoIndex | VideoGroup = video
        if step.is_blind:
            shown = VideoGroup(())
        elif seen:
            shown = model.backbone.join(video, seen)
        prompt = step.prompt
        for mark in model.backbone.marks:  # a reply may hold what stands for a video
            prompt = prompt.replace(mark, "")
        turn = model.prepare(shown, prompt, options, asked.history)
        written = model.generator.generate(turn, options, on_text)
        self.turns.append(turn)
        self.written.append(written)
        return written.text


def _propose(model: VideoModel, video: VideoIndex, question: str) -> list[Interval]:
    """Give the stretches whose frames fit the question best, the surest first.

    A frame is worth its own rating where frames are rated, else the score of its event.
    """
    frames = model.score_frames(video, question)
    ratings = [frame.rating for frame in frames]
    worth = [frame.score if None in ratings else frame.rating for frame in frames]
    times = np.array([frame.time for frame in frames])
    found = find_moments(times, np.array(worth, dtype=np.float64), *video.interval)
    return [(moment.start, moment.end) for moment in found]


def _captions(model: VideoModel, video: VideoIndex) -> CaptionStore | None:
    """Give what keeps captions of a video; None of what has no file."""
    if video.source is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for weight in model.model.parameters():
        some = weight.detach().flatten()[:8].float().cpu()
        digest.update(some.numpy().tobytes())
    return CaptionStore(video.source, f"{model.name} {digest.hexdigest()}")


LOOP_STRATEGIES: dict[str, Strategy] = {
    name: LoopStrategy(rule) for name, rule in LOOPS.items()
}
"""Strategies by the ``method`` that asks for them."""


def find_frames(
    times: np.ndarray,
    look: Look,
    reader: VideoReader | None,
    frames_per_step: int = 1,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Find the frames of a look among those that are encoded, or in the file.

    Args:
        times: Times of the encoded steps in seconds, ``[S]``.
        look: The look.
        reader: What reads the file; None where there is none.
        frames_per_step: Frames of a step.

    Returns:
        Rows of the encoded steps, ``[R]``, and None; or, where the file holds more frames
        of the look, also their times, ``[F]``.
    """
    rows = replace(look, fps=look.fps / frames_per_step).choose(times)
    if look.kind == "low" or reader is None:
        return rows, None
    shown = reader.frame_times
    chosen = shown[look.choose(shown)]
    if len(rows) * frames_per_step >= len(chosen):
        return rows, None
    return rows, chosen


def order_looks(
    seen: Sequence[tuple[Look, VideoIndex]],
) -> tuple[Tensor, tuple[Look, ...]]:
    """Put the frames of looks in order of time; of two at one time the later look's stays.

    Args:
        seen: The looks, and the frames of each.

    Returns:
        Which of all frames, one look after the other, are kept, ``[T]``; and the look
        that each of them is of.
    """
    times = torch.cat([part.features.pts_seconds.cpu() for _, part in seen])
    last = {seconds: row for row, seconds in enumerate(times.tolist())}
    rows = [last[seconds] for seconds in sorted(last)]
    looks = [look for look, part in seen for _ in range(part.num_frames)]
    return torch.tensor(rows), tuple(looks[row] for row in rows)


def report_looks(
    last: Step, before: Sequence[tuple[Step, str]], written: Sequence[Any]
) -> LookReport:
    """Tell what was looked at again.

    Args:
        last: The last step.
        before: The steps before it, with their replies.
        written: What was written in each step, with its ``confidence``.
    """
    return LookReport(
        intervals=list(last.intervals),
        replies=[reply for _, reply in before],
        note=last.note,
        confidence=written[-2].confidence if len(written) > 1 else None,
    )


def merge_reports(passes: Iterable[Sequence[FrameReport]]) -> list[FrameReport]:
    """Join what became of frames in several passes.

    Args:
        passes: The frames of each pass.

    Returns:
        One entry a frame in order of time, with its tokens of all passes and the rest as
        in the last pass that read it.
    """
    found: dict[float, FrameReport] = {}
    for frames in passes:
        for frame in frames:
            tokens = frame.tokens
            if frame.time in found:
                tokens += found[frame.time].tokens
            found[frame.time] = replace(frame, tokens=tokens)
    ordered = [found[seconds] for seconds in sorted(found)]
    return [replace(frame, index=place) for place, frame in enumerate(ordered)]


def _open_again(video: VideoIndex) -> tuple[VideoReader | None, str | None]:
    """Open the file of an encoded video, or say why it cannot be looked at again."""
    if video.source is None:
        return None, _NO_FILE
    try:
        opened = VideoReader(video.source, stream=video.stream)
        return opened.excerpt(video.start or None, video.end), None
    except (OSError, ValueError) as error:
        return None, str(error).rstrip(".")
