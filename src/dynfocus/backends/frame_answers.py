"""A server's model that sees as what answers about videos: its frames are chosen here.

It has the questions of a `VideoModel`: ``chat``, ``ask``, ``score_frames`` and ``check``,
with the same options and answers, so whoever asks need not know which of both it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from dynfocus.backends.client import ChatClient, Completion
from dynfocus.backends.frame_budget import FrameBudget, Sending
from dynfocus.backends.looking import ask_again, warn_of_sheets
from dynfocus.backends.openai import (
    FrameRequest,
    check_layout,
    file_request,
    frame_request,
    text_request,
    with_turns,
)
from dynfocus.backends.shown_media import ShownMedia
from dynfocus.errors import RefusedFrameTimesError
from dynfocus.focus import share_budget
from dynfocus.index import VideoIndex
from dynfocus.methods import (
    ChosenFrame,
    FrameScorer,
    FrameSelection,
    find_selectors,
    select_frames,
)
from dynfocus.methods.loops import LOOPS
from dynfocus.models.conversation import (
    Answer,
    BestFrame,
    ChatSession,
    FrameReport,
    OnText,
    Turn,
    check_question,
    find_best_frame,
)
from dynfocus.models.encoding import Progress
from dynfocus.models.options import AskOptions
from dynfocus.text import check_choice
from dynfocus.video import SampledFrames, VideoReader


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
    has_index = False

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
        self.scorer = scorer
        self._budget = budget or FrameBudget()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names that ``method`` accepts: rules that drop frames, and those that look again."""
        rules = {
            name
            for name, rule in find_selectors("dropped").items()
            if self.scorer is not None or not rule.needs_scorer
        }
        return tuple(sorted({*rules, *LOOPS}))

    @property
    def abilities(self) -> frozenset[str]:
        """What it can beyond answering, as of a backbone."""
        return frozenset({"turns"})

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self.scorer is not None

    def check(self, *, num_videos: int = 1, **options: Any) -> None:
        """Refuse options that cannot be followed for so many videos, before any work.

        Raises:
            ValueError: An option is unknown or wrong.
        """
        self._check(AskOptions(**options), num_videos)

    def _check(self, asked: AskOptions, num_videos: int) -> None:
        layout = self._budget.layout
        if asked.method is not None:
            own = "; leave it out for events"
            check_choice(asked.method, "method", self.methods, own)
        if asked.method in LOOPS and num_videos > 1:
            raise ValueError(
                f"method {asked.method} through a server is asked about one video, got "
                f"{num_videos}; leave it out"
            )
        if asked.method is not None and layout == "file":
            raise ValueError(
                "layout file goes without method: the server chooses the frames"
            )
        check_layout(layout, num_videos)
        self._share(self._budget.num_frames, [1] * num_videos)

    def ask(
        self,
        video: Any,
        question: str,
        *,
        progress: Progress | None = None,
        on_text: OnText | None = None,
        **options: Any,
    ) -> Answer:
        """Answer a question about a video, or several; see `VideoModel.ask`.

        Raises:
            ValueError: The question or an option is wrong, or a video cannot be read.
            BackendError: The server fails.
        """
        asked = AskOptions(**options)
        return self.answer(video, question, asked, on_text=on_text, progress=progress)

    def answer(
        self,
        video: Any,
        question: str,
        asked: AskOptions,
        *,
        history: Sequence[Turn] = (),
        on_text: OnText | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Answer a question after earlier turns; see `VideoModel.answer` and `ask`."""
        started = time.perf_counter()
        shown = self._open(video, question, asked)
        if asked.method in LOOPS:
            if history:
                raise ValueError(
                    f"method {asked.method} through a server answers single questions, "
                    f"got {len(history)} earlier turns; leave them or method out"
                )
            (reader,) = shown.readers.values()
            return self._look_again(reader, question, asked, on_text, started)
        choose = cache(partial(self._choose, shown, question, asked, progress))

        def send(layout: Sending) -> tuple[FrameRequest, Completion]:
            made = self._write(shown, question, asked, layout, choose)
            return made, self._send(made, asked, history, on_text)

        try:
            made, completion = send(self._budget.layout)
        except RefusedFrameTimesError as error:
            warn_of_sheets(error)
            made, completion = send("sheets")
        frames = self._report(shown, made.sent)
        best = BestFrame(None, None)
        if self.scores_see_question:
            best = find_best_frame(
                [one for one in frames if one.video in shown.readers]
            )
        return Answer(
            text=completion.text,
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            word_tokens=made.word_tokens,
            frames=frames,
            seconds=time.perf_counter() - started,
            best_time=best.time,
            best_video=best.video,
            **_facts(completion),
        )

    def chat(
        self, video: Any, *, progress: Progress | None = None, **options: Any
    ) -> ChatSession:
        """Start a conversation about a video, or several; see `VideoModel.chat`."""
        answer = partial(self.answer, progress=progress)
        return ChatSession(answer, video, AskOptions(**options))

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
        asked = AskOptions(**options)
        shown = self._open(video, question, asked)
        return self._report(shown, self._choose(shown, question, asked, progress))

    def _open(self, video: Any, question: str, asked: AskOptions) -> ShownMedia:
        """Check a call, and open what it is about."""
        is_one = isinstance(video, SampledFrames) or not isinstance(video, list | tuple)
        videos = [video] if is_one else list(video)
        self._check(asked, len(videos))
        check_question(question)
        shown = ShownMedia.open(videos, asked, self._budget.sizes)
        if asked.method in LOOPS and not shown.readers:
            raise ValueError(
                f"method {asked.method} looks again at a video, and this is a picture; "
                "leave it out"
            )
        return shown

    def _choose(
        self,
        shown: ShownMedia,
        question: str,
        asked: AskOptions,
        progress: Progress | None,
    ) -> list[FrameSelection]:
        """Choose frames of each video within what pictures leave of the budget of all."""
        readers, taken = list(shown.readers.values()), shown.picture_tokens
        if not readers:
            if taken > (asked.max_video_tokens or taken):
                raise ValueError(
                    f"max_video_tokens must be at least {taken} for these pictures, got "
                    f"{asked.max_video_tokens}"
                )
            return []
        there = [len(reader.frame_times) for reader in readers]
        count = self._budget.count(readers[0].size, asked.max_video_tokens, taken)
        if asked.max_video_tokens is None:
            count -= len(shown.pictures)
        limits = (asked.max_frames, asked.max_encoded_frames)
        count = min(count, sum(there), *(one for one in limits if one is not None))
        budgets = self._share(count, there)
        cones: Sequence[int | None] = [None] * len(readers)
        if self._budget.num_cones is not None:
            cones = share_budget(self._budget.num_cones, budgets, [0] * len(readers))
        return [
            select_frames(
                reader,
                question,
                budget,
                scorer=self.scorer,
                rule=asked.method or "events",
                num_cones=num_cones,
                fps=self._budget.fps,
                progress=progress,
            )
            for reader, budget, num_cones in zip(readers, budgets, cones, strict=True)
        ]

    def _share(self, count: int, there: Sequence[int]) -> list[int]:
        """Share frames among videos that have so many each."""
        return share_budget(count, there, [1] * len(there), "budget")

    def _write(
        self,
        shown: ShownMedia,
        question: str,
        asked: AskOptions,
        layout: Sending,
        choose: Callable[[], Sequence[FrameSelection]],
    ) -> FrameRequest:
        given: dict[str, Any] = {
            "max_new_tokens": max(asked.max_new_tokens, 1),
            "server": self._client.server,
        }
        if layout == "file" and shown.readers:
            (reader,) = shown.readers.values()
            num_frames = self._budget.num_frames
            return file_request(reader, question, num_frames, self.name, **given)
        chosen = choose()
        if not chosen:  # pictures alone
            return shown.add_pictures(text_request(question, self.name, **given))
        made = frame_request(
            chosen,
            self.name,
            layout="sheets" if layout == "file" else layout,
            sizes=self._budget.sizes,
            word_share=asked.word_share,
            **given,
        )
        return shown.add_pictures(made)

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
            body["messages"] = with_turns(body["messages"][0]["content"], history)
        return self._client.complete(body, on_text)

    def _look_again(
        self,
        reader: VideoReader,
        question: str,
        asked: AskOptions,
        on_text: OnText | None,
        started: float,
    ) -> Answer:
        assert self._budget.layout != "file"  # which is checked
        found = ask_again(
            reader,
            question,
            self._client,
            self.name,
            method=asked.method or "",
            budget=self._budget.count(reader.size, asked.max_video_tokens),
            fps=self._budget.fps,
            layout=self._budget.layout,
            sizes=self._budget.sizes,
            scorer=self.scorer,
            max_new_tokens=asked.max_new_tokens,
            on_text=on_text,
        )
        costs = [
            self._budget.sizes.cost(reader.size, "cone" if frame.is_fine else "rod")
            for frame in found.frames
        ]
        frames = [
            replace(frame, tokens=frame.tokens * cost)
            for frame, cost in zip(found.frames, costs, strict=True)
        ]
        return Answer(
            text=found.completion.text,
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            frames=frames,
            seconds=time.perf_counter() - started,
            looks=found.looks,
            **_facts(found.completion),
        )

    def _report(
        self, shown: ShownMedia, chosen: Sequence[FrameSelection]
    ) -> list[FrameReport]:
        """Tell of all frames that are sent, in the order of the media."""
        of_videos = [
            FrameReport(
                index=place,
                time=frame.time,
                score=_score(frame),
                kind=frame.kind,
                tokens=self._budget.sizes.cost(one.size, frame.kind),
                video=number,
                rating=frame.rating,
            )
            for number, one in zip(shown.readers, chosen, strict=False)
            for place, frame in enumerate(one.frames)
        ]
        return sorted([*of_videos, *shown.pictures], key=lambda one: one.video)


def _facts(completion: Completion) -> dict[str, Any]:
    return {
        "confidence": completion.confidence,
        "finish_reason": "length" if completion.finish_reason == "length" else "stop",
        "prompt_tokens": completion.prompt_tokens,
        "answer_tokens": completion.answer_tokens,
    }


def _score(frame: ChosenFrame) -> float:
    return frame.importance if frame.relevance is None else frame.relevance
