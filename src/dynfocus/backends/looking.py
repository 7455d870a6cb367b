"""Loops through a chat completion server: frames of a look, replies, another look."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.backends.client import ChatClient, Completion
from dynfocus.backends.frame_budget import FrameSizes, Layout
from dynfocus.backends.openai import FrameRequest, frame_request, text_request
from dynfocus.errors import OtherLayoutWarning, RefusedFrameTimesError
from dynfocus.focus import TwoPassBudget
from dynfocus.methods import ChosenFrame, FrameScorer, FrameSelection, select_frames
from dynfocus.methods.intervals import Interval
from dynfocus.methods.loops import (
    LOOPS,
    MEMORIES,
    CaptionStore,
    Look,
    LoopInput,
    Step,
    follow,
)
from dynfocus.methods.moments import rate_moments
from dynfocus.models.conversation import FrameKind, FrameReport, LookReport
from dynfocus.models.looking import merge_reports, report_looks
from dynfocus.text import check_choice
from dynfocus.video import VideoName, VideoReader

_FPS = 1.0


@dataclass(frozen=True, kw_only=True)
class LookedAnswer:
    """What a server answered after it was shown a video in several passes."""

    completion: Completion
    """The answer."""
    frames: list[FrameReport]
    """One entry a frame that was sent, in time order; ``tokens`` counts how often."""
    looks: LookReport
    """What was looked at again."""
    requests: tuple[FrameRequest, ...]
    """The requests, one a pass."""


def ask_again(
    video: VideoName | VideoReader,
    question: str,
    client: ChatClient,
    model: str,
    *,
    method: str = "slowfocus",
    budget: int = 16,
    fps: float | None = None,
    layout: Layout = "sheets",
    sizes: FrameSizes | None = None,
    scorer: FrameScorer | None = None,
    max_new_tokens: int = 512,
    on_text: Callable[[str], None] | None = None,
) -> LookedAnswer:
    """Answer a question by looking at a video again where a server's model says.

    Low-frequency frames are sent small, as Rods, and dense ones large, as Cones.

    Args:
        video: A video file, or what reads it.
        question: The question.
        client: The server.
        model: Name of a model that sees, there.
        method: One of `dynfocus.methods.loops.LOOPS`.
        budget: Frames in all requests together, at most; see `TwoPassBudget`.
        fps: Low-frequency frames a second; by default one.
        layout: How frames are sent, as for `frame_request`.
        sizes: How large frames are sent.
        scorer: What compares frames with the question where the answer takes one pass, and
            where the method looks by a rating.
        max_new_tokens: At most so many tokens in the answer.
        on_text: Called with each piece of the answer.

    Returns:
        The answer, the frames that were sent, and what was looked at again.

    Raises:
        ValueError: The method is not known, or the question or the budget is none.
        FileNotFoundError: There is no such file.
        UnreadableVideoError: The file holds no video that can be decoded.
        BackendError: The server fails.
    """
    check_choice(method, "method", LOOPS)
    if not question.strip():
        raise ValueError("the question is empty; write what to look for in the video")
    if budget < 1:
        raise ValueError(f"the budget must be at least 1 frame, got {budget}")
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    tool = _ServerTool(reader, client, model, layout, sizes, scorer, max_new_tokens)
    tool.on_text = on_text
    start, end = reader.start, reader.end
    num_frames = len(reader.plan_times(fps=fps or _FPS))
    given = LoopInput(
        question=question,
        duration=reader.duration,
        start=start,
        end=end,
        num_frames=num_frames,
        held_fps=0.0,
        file_fps=reader.fps,
        budget=TwoPassBudget(max_video_tokens=budget, tokens_per_step=1, scales=(1.0,)),
        propose=None if scorer is None else partial(_propose, reader, question, scorer),
    )
    name = f"{client.server.url} {model} {layout} {sizes}"
    memory = CaptionStore(reader.path, name) if method in MEMORIES else None
    last, before = follow(LOOPS[method], given, tool, memory)
    return LookedAnswer(
        completion=tool.completions[-1],
        frames=merge_reports(tool.reports),
        looks=report_looks(last, before, tool.completions),
        requests=tuple(tool.requests),
    )


def _propose(reader: VideoReader, question: str, scorer: FrameScorer) -> list[Interval]:
    """Give the stretches whose frames fit the question best, the surest first."""
    rating = scorer.for_question(reader, question)
    if rating is None:
        return []
    moments, _ = rate_moments(reader, question, rating)
    return [(moment.start, moment.end) for moment in moments]


def warn_of_sheets(error: RefusedFrameTimesError) -> None:
    """Warn that frames are sent as sheets, since the server takes no times of them."""
    warnings.warn(f"{error}; they are sent as sheets", OtherLayoutWarning, stacklevel=3)


class _ServerTool:
    """Look at a file and ask a server, keeping what was sent and answered."""

    def __init__(
        self,
        reader: VideoReader,
        client: ChatClient,
        model: str,
        layout: Layout,
        sizes: FrameSizes | None,
        scorer: FrameScorer | None,
        max_new_tokens: int,
    ) -> None:
        self.layout = layout
        self.requests: list[FrameRequest] = []
        self.completions: list[Completion] = []
        self.reports: list[list[FrameReport]] = []
        self.on_text: Callable[[str], None] | None = None
        self._reader = reader
        self._client = client
        self._model = model
        self._sizes = sizes
        self._scorer = scorer
        self._max_new_tokens = max_new_tokens

    def look(self, look: Look) -> NDArray[np.float64]:
        """Give the times of the frames of a look, which are read when they are sent."""
        if not self._is_there:
            raise FileNotFoundError(f"{self._reader.path} is not there any more")
        shown = self._reader.frame_times
        return shown[look.choose(shown)]

    def ask(self, step: Step, seen: list[tuple[Look, NDArray[np.float64]]]) -> str:
        """Send what was seen, and give the reply; see `dynfocus.methods.loops.Tool`."""
        if step.is_blind:
            limit = self._max_new_tokens if step.is_answer else step.reply_tokens
            body = text_request(step.prompt, self._model, limit, self._client.server)
            self.reports.append([])
            return self._send(body, step).text
        if not seen and self.requests and not self._is_there:
            made = self._send(self._same_frames(step.prompt), step)
            self.reports.append(self.reports[-1])
            return made.text
        selection = self._select(step, seen)
        try:
            completion = self._send(self._write(selection, step), step)
        except RefusedFrameTimesError as error:
            warn_of_sheets(error)
            self.layout = "sheets"
            completion = self._send(self._write(selection, step), step)
        self.reports.append(_report(selection, has_looks=bool(seen)))
        return completion.text

    @property
    def _is_there(self) -> bool:
        path = self._reader.path
        return not isinstance(path, Path) or path.exists()

    def _select(
        self, step: Step, seen: list[tuple[Look, NDArray[np.float64]]]
    ) -> FrameSelection:
        reader, question = self._reader, step.prompt
        if not seen:
            assert step.max_video_tokens is not None  # there is a budget
            count = min(step.max_video_tokens, len(reader.frame_times))
            return select_frames(reader, question, count, scorer=self._scorer)
        kinds = {time: look.kind for look, times in seen for time in times.tolist()}
        frames = [
            ChosenFrame(
                time=time,
                kind="cone" if kinds[time] == "high" else "rod",
                rank=rank,
                importance=float(kinds[time] == "high"),
                relevance=None,
            )
            for rank, time in enumerate(sorted(kinds), 1)
        ]
        return FrameSelection(
            reader=reader,
            question=question,
            duration=float(reader.duration),
            size=reader.size,
            num_looked_at=len(frames),
            scorer=None,
            rule="uniform",
            frames=tuple(frames),
        )

    def _write(self, selection: FrameSelection, step: Step) -> FrameRequest:
        limit = self._max_new_tokens if step.is_answer else step.reply_tokens
        return frame_request(
            selection,
            self._model,
            layout=self.layout,
            sizes=self._sizes,
            max_new_tokens=limit,
            server=self._client.server,
        )

    def _same_frames(self, question: str) -> FrameRequest:
        """Write the last request with another question, for a file that is gone."""
        last = self.requests[-1]
        parts = last.body["messages"][0]["content"]
        content = [*parts[:-1], {"type": "text", "text": question.strip()}]
        limits: dict[str, Any] = {
            name: self._max_new_tokens
            for name in ("max_tokens", "max_completion_tokens")
            if name in last.body
        }
        message = {"role": "user", "content": content}
        return replace(last, body={**last.body, **limits, "messages": [message]})

    def _send(self, made: FrameRequest, step: Step) -> Completion:
        on_text = self.on_text if step.is_answer else None
        completion = self._client.complete(made.body, on_text)
        self.requests.append(made)
        self.completions.append(completion)
        return completion


def _report(selection: FrameSelection, *, has_looks: bool) -> list[FrameReport]:
    names: dict[str, FrameKind] = {"cone": "high", "rod": "low"} if has_looks else {}
    return [
        FrameReport(
            index=place,
            time=frame.time,
            score=frame.importance,
            kind=names.get(frame.kind, frame.kind),
            tokens=1,
        )
        for place, frame in enumerate(selection.frames)
    ]
