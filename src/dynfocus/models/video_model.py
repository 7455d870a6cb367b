"""One model that answers questions about videos, whatever encodes and whatever writes.

`VideoModel` joins three parts: a `Backbone` turns a video and a question into a prompt
(DynFocus, or a vision language model that is plugged), a `Generator` writes the answer
(transformers here, or a server), and a `Strategy` says how often the video is looked at.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import torch

from dynfocus.errors import ForgottenTurnsWarning, SeveralVideosWarning
from dynfocus.index import IndexStore, VideoGroup, VideoIndex
from dynfocus.methods.loops import MEMORIES
from dynfocus.models.backbone import Backbone
from dynfocus.models.conversation import (
    Answer,
    ChatSession,
    FrameReport,
    OnText,
    PreparedTurn,
    Turn,
    check_question,
)
from dynfocus.models.encoding import Progress, Video, Videos
from dynfocus.models.generation import Generator, LocalGenerator, check_context
from dynfocus.models.looking import LOOP_STRATEGIES
from dynfocus.models.options import AskOptions
from dynfocus.models.prompts import is_video
from dynfocus.models.strategies import Asked, Strategy, one_pass
from dynfocus.text import check_choice

if TYPE_CHECKING:
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap
    from dynfocus.models.session import Session

_NEEDS = {
    "index": "no index on disk",
    "look": "no way to look at a video again",
    "maps": "no spatial prototypes to show",
    "prompt_embeds": "no language model that a server could run on our video tokens",
    "scores": "no scores of frames",
    "session": "no sessions about videos that are still coming",
}


def _without_turns(name: str) -> str:
    return (
        f"{name} was trained on single questions: each is asked without those before it, "
        "so write it out in full"
    )


def _part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Tell of the work on one of several videos as a part of the work on all."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, count * total)


def _count(video: Videos) -> int:
    """Count the videos of a question."""
    if isinstance(video, VideoGroup):
        return len(video.videos)
    if not isinstance(video, list | tuple) or is_video(video):
        return 1
    return max(1, len(video))


def _without_loop(options: AskOptions) -> AskOptions:
    """Give the same options with the model's own method in place of one that loops."""
    return (
        options.replace(method=None) if options.method in LOOP_STRATEGIES else options
    )


class VideoModel:
    """Answer questions about videos.

    Args:
        backbone: What turns videos and questions into prompts.
        generator: What writes the answers; by default transformers, here.
        strategy: How often the video is looked at.
    """

    has_index = True
    """Whether `index` gives what can be asked again and again."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        generator: Generator | None = None,
        strategy: Strategy = one_pass,
    ) -> None:
        self.backbone = backbone
        self.strategy = strategy
        tokenizer = backbone.processor.tokenizer
        tokenizer("")  # its first call may change it, which two threads must not do
        self.generator: Generator = generator or LocalGenerator(
            tokenizer, backbone.generate
        )

    @property
    def name(self) -> str:
        """What it was loaded as."""
        return self.backbone.name

    @property
    def model(self) -> Any:
        """The model of transformers."""
        return self.backbone.model

    @property
    def processor(self) -> Any:
        """Its processor."""
        return self.backbone.processor

    @property
    def abilities(self) -> frozenset[str]:
        """What it can beyond answering; see `Backbone.abilities`."""
        return self.backbone.abilities

    @property
    def methods(self) -> tuple[str, ...]:
        """Names that ``method`` accepts: the backbone's, and those that look again."""
        loops = set(LOOP_STRATEGIES if "look" in self.backbone.abilities else ())
        if "text" not in self.backbone.abilities:
            loops -= set(MEMORIES)
        if "cones" not in self.backbone.abilities:
            loops.discard("slow-dynfocus")
        return tuple(sorted({*self.backbone.methods, *loops}))

    @property
    def store(self) -> IndexStore | None:
        """Where encoded files are kept on disk, if anywhere."""
        return self.backbone.store

    @property
    def is_nano(self) -> bool:
        """Tell whether this is the model that the package ships."""
        return self.backbone.is_nano

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self.backbone.scores_see_question

    def why_not(self, ability: str) -> str | None:
        """Say why the model lacks one of `Backbone.abilities`; None if it has it."""
        if ability in self.backbone.abilities:
            return None
        kind = self.model.config.model_type
        return f"{self.name} is a {kind} model, which has {_NEEDS[ability]}"

    def require(self, ability: str) -> None:
        """Refuse a model that lacks one of `Backbone.abilities`.

        Raises:
            ValueError: Saying what the model lacks, and what to do.
        """
        reason = self.why_not(ability)
        if reason is not None:
            raise ValueError(
                f"{reason}; use dynfocus ask or chat, or name a DynFocus model"
            )

    @overload
    def ask(
        self,
        video: Videos,
        question: str,
        *,
        progress: Progress | None = None,
        on_text: OnText | None = None,
        **options: Any,
    ) -> Answer: ...

    @overload
    def ask(
        self,
        video: Videos,
        question: list[str] | tuple[str, ...],
        *,
        progress: Progress | None = None,
        on_text: OnText | None = None,
        **options: Any,
    ) -> list[Answer]: ...

    def ask(
        self,
        video: Videos,
        question: str | list[str] | tuple[str, ...],
        *,
        progress: Progress | None = None,
        on_text: OnText | None = None,
        **options: Any,
    ) -> Answer | list[Answer]:
        """Answer a question, or several, about a video that is encoded once.

        Args:
            video: A file, its address, a `VideoReader`, frames, or what `index` gave; or
                a list of them, which the question is about together. They share the
                budget, and the prompt names them Video 1, Video 2 and so on.
            question: The question, or a list of questions that do not know each other.
            progress: Called with the steps done and the steps in all while frames
                are decoded and encoded.
            on_text: Called with each finished piece of the answer.
            **options: Fields of `AskOptions`: ``fps``, ``start``, ``end``, ``stream``,
                ``max_frames``, ``max_encoded_frames``, ``max_video_tokens``, ``method``,
                ``max_new_tokens``.

        Returns:
            The answer, its cost and what became of each frame; of a list of questions a
            list of answers in its order. Encoding counts in the seconds of the first.

        Raises:
            ValueError: A question is no text or empty, there is none, or no video, an
                option is wrong, or the prompt is longer than the model can read.
            FileNotFoundError: There is no such file.
            UnreadableVideoError: The file holds no video that can be decoded.
            StuckVideoError: Reading the file made no progress.
            NonFiniteLogitsError: The model gave logits that are not numbers.
        """
        started = time.perf_counter()
        asked = self._options(options, _count(video))
        questions = [question] if isinstance(question, str) else question
        if not isinstance(questions, list | tuple):
            raise ValueError(
                f"question must be a text or a list of texts, got {question!r}"
            )
        if not questions:
            raise ValueError("there is no question; give at least one")
        for one in questions:
            self._check_words(one, ())
        encoded = self._encode(video, _without_loop(asked), progress)
        self._warn_of_several(encoded)
        strategy = LOOP_STRATEGIES.get(asked.method or "", self.strategy)
        answers: list[Answer] = []
        for one in questions:
            whole = Asked(video=encoded, question=one, options=asked, on_text=on_text)
            answer = strategy.answer(self, whole)
            answers.append(replace(answer, seconds=time.perf_counter() - started))
            started = time.perf_counter()
        return answers[0] if isinstance(question, str) else answers

    def answer(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        *,
        history: Sequence[Turn] = (),
        on_text: OnText | None = None,
    ) -> Answer:
        """Answer a question about an encoded video, after earlier turns.

        Args:
            video: What `index` gave, or several of it in a `VideoGroup`.
            question: The question.
            options: How it is answered.
            history: Earlier turns, as text; the video stands before the first. A model
                that was trained on single questions is asked without them.
            on_text: Called with each finished piece of the answer.

        Returns:
            The answer, its cost and what became of each frame.
        """
        self._check(options)
        if history and "turns" not in self.backbone.abilities:
            warnings.warn(
                _without_turns(self.name), ForgottenTurnsWarning, stacklevel=3
            )
            history = ()
        self._check_words(question, history)
        encoded = self._encode(video, _without_loop(options), None)
        strategy = LOOP_STRATEGIES.get(options.method or "", self.strategy)
        asked = Asked(
            video=encoded,
            question=question,
            options=options,
            history=history,
            on_text=on_text,
        )
        return strategy.answer(self, asked)

    def prepare(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        history: Sequence[Turn] = (),
    ) -> PreparedTurn:
        """Do all of `answer` but the answer, for whoever runs the language model.

        The arguments are those of `answer`.

        Returns:
            What the language model reads.
        """
        with torch.inference_mode():
            turn = self.backbone.prepare(video, question, options, history)
        length = turn.input_ids.shape[1]
        check_context(self.model.config, self.name, length, options.max_new_tokens)
        return turn

    def index(
        self, video: Video, *, progress: Progress | None = None, **options: Any
    ) -> VideoIndex:
        """Encode a video once, for any number of questions, or open its index.

        Args:
            video: A file, its address, a `VideoReader` or frames.
            progress: Called with the steps done and the steps in all.
            **options: Fields of `AskOptions`; ``fps``, ``max_frames``,
                ``max_encoded_frames``, ``start``, ``end`` and ``stream`` matter.

        Returns:
            What takes the place of the file in `ask` and `chat`.

        Raises:
            ValueError: An option is wrong, or there are several videos.
            FileNotFoundError: There is no such file.
            UnreadableVideoError: The file holds no video that can be decoded.
            StuckVideoError: Reading the file made no progress.
        """
        asked = _without_loop(self._options(options))
        listed = video if isinstance(video, list | tuple) else ()
        if not is_video(video) and any(map(is_video, listed)):
            raise ValueError(
                f"an index is of one video, got {len(listed)}; index each of them, and "
                "ask about the list"
            )
        return self.backbone.index(video, asked, progress)

    def find_index(self, video: Video, **options: Any) -> VideoIndex | None:
        """Open the index of a video if it is on disk, and encode nothing.

        Args:
            video: A file, its address or a `VideoReader`.
            **options: As for `index`.

        Returns:
            What `index` would open; None where it would have to encode.

        Raises:
            ValueError: An option is wrong.
            FileNotFoundError: There is no such file.
        """
        return self.backbone.find(video, _without_loop(self._options(options)))

    def chat(
        self, video: Videos, *, progress: Progress | None = None, **options: Any
    ) -> ChatSession:
        """Start a conversation about a video, which is encoded once.

        Args:
            video: A file, its address, a `VideoReader`, frames, or what `index` gave; or
                a list.
            progress: Called with the steps done and the steps in all.
            **options: Fields of `AskOptions`, for every question.

        Returns:
            The conversation.

        Raises:
            ValueError: An option is wrong.
            FileNotFoundError: There is no such file.
            UnreadableVideoError: The file holds no video that can be decoded.
            StuckVideoError: Reading the file made no progress.
        """
        asked = self._options(options, _count(video))
        encoded = self._encode(video, _without_loop(asked), progress)
        self._warn_of_several(encoded)
        whole = asked.replace(start=None, end=None, stream=None)  # of the excerpt
        return ChatSession(self.answer, encoded, whole)

    def session(self, **options: Any) -> Session:
        """Start to watch a video that is still coming.

        Args:
            **options: What `Session` takes, such as ``max_frames``.

        Returns:
            What frames are pushed to and questions are asked of.

        Raises:
            ValueError: The model cannot.
        """
        from dynfocus.models.session import MOST_FRAMES, Session

        self.require("session")
        encoder = self.backbone.frame_encoder(options.get("max_frames", MOST_FRAMES))
        return Session(self, encoder, **options)

    def score_frames(
        self,
        video: Videos,
        question: str,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[FrameReport]:
        """Tell what a question makes of each frame; the language model does not run.

        The arguments are those of `ask`.

        Returns:
            The ``frames`` of the answer that `ask` would give.

        Raises:
            ValueError: An option is wrong.
            FileNotFoundError: There is no such file.
            UnreadableVideoError: The file holds no video that can be decoded.
            StuckVideoError: Reading the file made no progress.
        """
        asked = AskOptions(**options)
        self.backbone.check(asked)
        self._check_words(question, ())
        encoded = self._encode(video, asked, progress)
        with torch.inference_mode():
            return self.backbone.prepare(encoded, question, asked, ()).frames

    def map_prototypes(
        self, video: Video, answer: Answer, *, num_frames: int = 3
    ) -> list[PrototypeMap]:
        """Read the best Cones again and tell which patches their prototypes merged.

        Args:
            video: The file or frames asked about, or the index of a file.
            answer: An answer about this video.
            num_frames: At most so many Cones, those of the highest scores.

        Returns:
            One map a Cone, in time order.

        Raises:
            ValueError: The model has no spatial prototypes, the video no file, or the
                answer frames of several videos.
        """
        self.require("maps")
        if len({frame.video for frame in answer.frames}) > 1:
            raise ValueError(
                "the answer is about several videos; leave the frames of this one in it"
            )
        return self.backbone.map_prototypes(video, answer, num_frames)

    def with_generator(self, generator: Generator) -> VideoModel:
        """Give the same model with another writer of its answers, such as a server's."""
        return VideoModel(self.backbone, generator=generator, strategy=self.strategy)

    def _encode(
        self, video: Videos, options: AskOptions, progress: Progress | None
    ) -> VideoIndex | VideoGroup:
        """Encode a video, or each of a list, unless it is encoded."""
        if isinstance(video, VideoGroup):
            video = video.videos
        elif not isinstance(video, list | tuple) or is_video(video):
            return self.backbone.encode(video, options, progress)
        if not video:
            raise ValueError("there is no video; give at least one")
        encoded = [
            self.backbone.encode(one, options, _part_of(progress, number, len(video)))
            for number, one in enumerate(video)
        ]
        return encoded[0] if len(encoded) == 1 else VideoGroup(tuple(encoded))

    def _warn_of_several(self, video: VideoIndex | VideoGroup) -> None:
        if self.is_nano and len(video.videos) > 1:
            warnings.warn(
                f"{self.name} was trained on one video a question; its answers about "
                "several mean little",
                SeveralVideosWarning,
                stacklevel=3,
            )

    def check(self, *, num_videos: int = 1, **options: Any) -> None:
        """Refuse options that the model cannot follow, before any work.

        Args:
            num_videos: How many videos a question is about.
            **options: Fields of `AskOptions`.

        Raises:
            ValueError: An option is unknown or wrong.
        """
        self._options(options, num_videos)

    def _options(self, given: dict[str, Any], num_videos: int = 1) -> AskOptions:
        options = AskOptions(**given)
        self._check(options, num_videos)
        return options

    def _check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse options that cannot be followed, among them a method of no model here."""
        if options.method is not None:
            own = "; leave it out for the model's own"
            check_choice(options.method, "method", self.methods, own)
        self.backbone.check(_without_loop(options), num_videos)

    def _check_words(self, question: str, history: Sequence[Turn]) -> None:
        check_question(question, (*self.backbone.marks, *self.generator.marks))
        for mark in self.generator.marks:
            if any(mark in f"{turn.question} {turn.answer}" for turn in history):
                raise ValueError(
                    f"the conversation must not contain {mark}, which holds the place "
                    "of a video; start a new one"
                )
