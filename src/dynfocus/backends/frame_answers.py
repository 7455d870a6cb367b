"""A server's model that sees as what answers about videos: its frames are chosen here.

It has the questions of a `VideoModel`: ``chat``, ``ask``, ``score_frames`` and ``check``,
with the same options and answers, so whoever asks need not know which of both it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynfocus.backends.client import ChatClient, Completion
from dynfocus.backends.looking import ask_again
from dynfocus.backends.openai import FrameRequest, FrameSizes, Layout, frame_request
from dynfocus.errors import RefusedFrameTimesError
from dynfocus.focus import share_budget
from dynfocus.index import VideoIndex
from dynfocus.methods import (
    ChosenFrame,
    FrameScorer,
    FrameSelection,
    find_selectors,
    fit_size,
    select_frames,
)
from dynfocus.methods.loops import LOOPS
from dynfocus.models.conversation import (
    Answer,
    FrameReport,
    LookReport,
    OnText,
    Turn,
    check_question,
    find_best_time,
)
from dynfocus.models.encoding import Progress
from dynfocus.models.options import AskOptions
from dynfocus.video import SampledFrames, VideoName, VideoReader

PIXELS_PER_TOKEN = 784
"""Many models take one token for so many pixels; the server's own may take another."""


@dataclass(frozen=True, kw_only=True)
class FrameBudget:
    """How many frames are sent, and how large."""

    num_frames: int = 16
    """Frames of a question without ``max_video_tokens``."""
    sizes: FrameSizes = FrameSizes()
    """Their sizes."""
    layout: Layout = "sheets"
    """How they are sent."""

    def cost(self, size: tuple[int, int], kind: str) -> int:
        """Estimate the tokens of a frame.

        Args:
            size: Height and width of its video.
            kind: ``"cone"`` or ``"rod"``.
        """
        longer = self.sizes.cone_pixels if kind == "cone" else self.sizes.rod_pixels
        height, width = fit_size(size, min(longer, max(size)))
        return -(-height * width // PIXELS_PER_TOKEN)

    def count(self, size: tuple[int, int], max_video_tokens: int | None) -> int:
        """Find how many frames fit into a budget of tokens, a quarter of them Cones.

        Raises:
            ValueError: None does.
        """
        if max_video_tokens is None:
            return self.num_frames
        cone, rod = self.cost(size, "cone"), self.cost(size, "rod")
        if max_video_tokens < cone:
            raise ValueError(
                f"max_video_tokens must be at least {cone}, about what one frame takes, "
                f"got {max_video_tokens}"
            )
        count = 1
        while count < max_video_tokens:
            num_cones = min(count + 1, max(4, (count + 1) // 4))
            if num_cones * cone + (count + 1 - num_cones) * rod > max_video_tokens:
                break
            count += 1
        return count


class FrameAnswerer:
    """Answer questions about videos with a server's model that takes pictures.

    Args:
        client: The server.
        model: Name of a model that sees, there.
        scorer: What compares frames with the question; by default nothing does.
        budget: How many frames are sent.
    """

    is_nano = False
    store = None

    def __init__(
        self,
        client: ChatClient,
        model: str,
        *,
        scorer: FrameScorer | None = None,
        budget: FrameBudget | None = None,
    ) -> None:
        self.name = model
        self._client = client
        self._scorer = scorer
        self._budget = budget or FrameBudget()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names that ``method`` accepts: rules that drop frames, and those that look again."""
        rules = {
            name
            for name, rule in find_selectors("dropped").items()
            if self._scorer is not None or not rule.needs_scorer
        }
        return tuple(sorted({*rules, *LOOPS}))

    @property
    def abilities(self) -> frozenset[str]:
        """What it can beyond answering, as of a backbone."""
        return frozenset({"turns"})

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self._scorer is not None

    def check(self, **options: Any) -> AskOptions:
        """Refuse options that cannot be followed, before any work.

        Raises:
            ValueError: An option is unknown or wrong.
        """
        asked = AskOptions(**options)
        if asked.method is not None and asked.method not in self.methods:
            raise ValueError(
                f"method must be one of {', '.join(self.methods)}, got {asked.method!r}; "
                "leave it out for events"
            )
        return asked

    def ask(
        self,
        video: Any,
        question: str,
        *,
        progress: Progress | None = None,
        on_text: OnText | None = None,
        history: Sequence[Turn] = (),
        **options: Any,
    ) -> Answer:
        """Answer a question about a video, or several; see `VideoModel.ask`.

        Raises:
            ValueError: The question or an option is wrong, or a video cannot be read.
            BackendError: The server fails.
        """
        asked = self.check(**options)
        check_question(question)
        started = time.perf_counter()
        videos = list(video) if isinstance(video, list | tuple) else [video]
        readers = [_open(one, asked) for one in videos]
        if asked.method in LOOPS and len(readers) == 1:
            return self._look_again(readers[0], question, asked, on_text, started)
        chosen = self._choose(readers, question, asked, progress)
        completion = self._complete(chosen, asked, history, on_text)
        frames = self._report(chosen)
        return Answer(
            text=completion.text,
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            frames=frames,
            seconds=time.perf_counter() - started,
            best_time=find_best_time(frames) if self.scores_see_question else None,
            **_facts(completion),
        )

    def chat(self, video: Any, **options: Any) -> FrameChat:
        """Start a conversation about a video, or several; see `VideoModel.chat`."""
        return FrameChat(self, video, options)

    def index(self, video: Any, **options: Any) -> VideoIndex:
        """Encode nothing, as there is nothing that could be kept.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{self.name} has no index: frames are chosen for each question"
        )

    def find_index(self, video: Any, **options: Any) -> None:
        """Find nothing: frames are chosen for each question anew."""
        return

    def score_frames(
        self,
        video: Any,
        question: str,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[FrameReport]:
        """Tell which frames a question would be asked with; the server is not asked."""
        asked = self.check(**options)
        check_question(question)
        videos = list(video) if isinstance(video, list | tuple) else [video]
        readers = [_open(one, asked) for one in videos]
        return self._report(self._choose(readers, question, asked, progress))

    def _choose(
        self,
        readers: Sequence[VideoReader],
        question: str,
        asked: AskOptions,
        progress: Progress | None,
    ) -> list[FrameSelection]:
        """Choose frames of each video within the budget of all."""
        count = self._budget.count(readers[0].size, asked.max_video_tokens)
        there = [len(reader.frame_times) for reader in readers]
        if asked.max_frames is not None:
            count = min(count, asked.max_frames)
        count = max(len(readers), min(count, sum(there)))
        budgets = [count]
        if len(readers) > 1:
            budgets = [*share_budget(count, there, [1] * len(readers), "budget")]
        rule = asked.method if asked.method in find_selectors("dropped") else None
        return [
            select_frames(
                reader,
                question,
                budget,
                scorer=self._scorer,
                rule=rule or "events",
                progress=progress,
            )
            for reader, budget in zip(readers, budgets, strict=True)
        ]

    def _complete(
        self,
        chosen: Sequence[FrameSelection],
        asked: AskOptions,
        history: Sequence[Turn],
        on_text: OnText | None,
    ) -> Completion:
        """Send the frames; as sheets where the server refuses their times."""
        try:
            made = self._write(chosen, asked, self._budget.layout)
            return self._send(made, asked, history, on_text)
        except RefusedFrameTimesError:
            made = self._write(chosen, asked, "sheets")
            return self._send(made, asked, history, on_text)

    def _write(
        self, chosen: Sequence[FrameSelection], asked: AskOptions, layout: Layout
    ) -> FrameRequest:
        return frame_request(
            chosen,
            self.name,
            layout=layout if len(chosen) == 1 else "sheets",
            sizes=self._budget.sizes,
            max_new_tokens=max(asked.max_new_tokens, 1),
            server=self._client.server,
        )

    def _send(
        self,
        made: FrameRequest,
        asked: AskOptions,
        history: Sequence[Turn],
        on_text: OnText | None,
    ) -> Completion:
        body = {**made.body, "stream_options": {"include_usage": True}}
        if asked.stop:
            body["stop"] = list(asked.stop)
        if history:
            body["messages"] = _with_turns(body["messages"][0]["content"], history)
        return self._client.complete(body, on_text)

    def _look_again(
        self,
        reader: VideoReader,
        question: str,
        asked: AskOptions,
        on_text: OnText | None,
        started: float,
    ) -> Answer:
        found = ask_again(
            reader,
            question,
            self._client,
            self.name,
            method=asked.method or "",
            budget=self._budget.count(reader.size, asked.max_video_tokens),
            layout=self._budget.layout,
            sizes=self._budget.sizes,
            scorer=self._scorer,
            max_new_tokens=asked.max_new_tokens,
            on_text=on_text,
        )
        return Answer(
            text=found.completion.text,
            question=question,
            tokens=sum(one.num_pixels for one in found.requests) // PIXELS_PER_TOKEN,
            frames=found.frames,
            seconds=time.perf_counter() - started,
            looks=LookReport(
                intervals=found.looks.intervals,
                replies=found.looks.replies,
                note=found.looks.note,
            ),
            **_facts(found.completion),
        )

    def _report(self, chosen: Sequence[FrameSelection]) -> list[FrameReport]:
        return [
            FrameReport(
                index=place,
                time=frame.time,
                score=_score(frame),
                kind=frame.kind,
                tokens=self._budget.cost(one.size, frame.kind),
                video=number,
            )
            for number, one in enumerate(chosen)
            for place, frame in enumerate(one.frames)
        ]


class FrameChat:
    """Ask several questions about videos, each knowing those before.

    Args:
        answerer: What answers.
        video: The video, or several.
        options: Fields of `AskOptions`, and ``progress``.
    """

    def __init__(
        self, answerer: FrameAnswerer, video: Any, options: dict[str, Any]
    ) -> None:
        self._answerer = answerer
        self._video = video
        self._options = options
        self.turns: list[Turn] = []

    def ask(
        self, question: str, *, on_text: OnText | None = None, **options: Any
    ) -> Answer:
        """Ask the next question."""
        answer = self._answerer.ask(
            self._video,
            question,
            history=tuple(self.turns),
            on_text=on_text,
            **{**self._options, **options},
        )
        self.turns.append(Turn(question, answer.text))
        return answer


def _open(
    video: VideoName | VideoReader | SampledFrames, asked: AskOptions
) -> VideoReader:
    if isinstance(video, SampledFrames):
        raise ValueError(
            "a picture cannot be asked about through a server; give videos alone"
        )
    if isinstance(video, VideoReader):
        return video
    return VideoReader(video, start=asked.start, end=asked.end, stream=asked.stream)


def _with_turns(
    content: list[dict[str, Any]], history: Sequence[Turn]
) -> list[dict[str, Any]]:
    """Put earlier turns between the frames and the question."""
    *frames, question = content
    first, *rest = history
    said = [{"type": "text", "text": first.question}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*frames, *said]}]
    messages.append({"role": "assistant", "content": first.answer})
    for turn in rest:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return [*messages, {"role": "user", "content": [question]}]


def _facts(completion: Completion) -> dict[str, Any]:
    return {
        "confidence": completion.confidence,
        "finish_reason": "length" if completion.finish_reason == "length" else "stop",
        "prompt_tokens": completion.prompt_tokens,
        "answer_tokens": completion.answer_tokens,
    }


def _score(frame: ChosenFrame) -> float:
    return frame.importance if frame.relevance is None else frame.relevance
