"""Questions and answers: turns, prepared prompts, what an answer cost frame by frame.

Letters: L prompt tokens, S tokens of the video and of its lead-in, H width of the
language model, R rows of positions, V visual tokens, E layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from dynfocus.text import check_text, is_blank
from dynfocus.words.telling import passage_text

if TYPE_CHECKING:
    from dynfocus.models.options import AskOptions
    from dynfocus.words import Found

FinishReason = Literal["stop", "length"]
"""Why an answer ended: it was done, or it may not be longer."""
FrameKind = Literal["cone", "rod", "low", "high"]
OnText = Callable[[str], None]
"""Called with each finished piece of an answer."""


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """What became of one sampled frame."""

    index: int
    """Position among the sampled frames."""
    time: float
    """Presentation time in seconds."""
    score: float
    """Score of the event that the frame belongs to, from 0 to 1."""
    kind: FrameKind
    """``"cone"``: encoded finely; ``"rod"``: kept as a sketch. Of a method that looks
    again, ``"low"``: of the frames all over the video; ``"high"``: of the dense ones."""
    tokens: int
    """Video tokens that the language model read for it."""
    video: int = 0
    """Which of the videos that were asked about it is of, from 0."""
    rating: float | None = None
    """How well it fits the question on a scale that all videos share: the cosine of a dual
    encoder, or the relevance rating of a DynFocus model; None where there is no such
    scale, for `score` goes from 0 to 1 in each video."""

    @property
    def is_fine(self) -> bool:
        """Tell whether it is one of the frames that matter: a Cone, or a dense one."""
        return self.kind in ("cone", "high")


@dataclass(frozen=True, kw_only=True)
class WordReport:
    """A place of a video where something about the question is written or said."""

    time: float
    """When it begins, in seconds."""
    end: float
    """When it ends."""
    text: str
    """What was read there."""
    source: str
    """Where: ``"screen"``, ``"subtitle"`` or ``"transcript"``."""
    score: float
    """How well it fits the question, from 0 to 1."""
    video: int = 0
    """Which of the videos that were asked about it is of, from 0."""


def report_words(found: Sequence[Found], video: int = 0) -> list[WordReport]:
    """Report places that were found, in their order.

    Args:
        found: The places.
        video: Which of the videos they are of.
    """
    return [
        WordReport(
            time=one.start,
            end=one.end,
            text=passage_text(one),
            source=one.source,
            score=min(1.0, one.score),
            video=video,
        )
        for one in found
    ]


def best_cones(frames: Sequence[FrameReport], count: int) -> list[FrameReport]:
    """Choose the fine frames of the highest scores, in time order; of equals the earlier."""
    cones = [frame for frame in frames if frame.is_fine]
    cones.sort(key=lambda frame: -frame.score)
    return sorted(cones[:count], key=lambda frame: frame.time)


@dataclass(frozen=True, kw_only=True)
class LookReport:
    """What a method that looks again did before it answered."""

    intervals: list[tuple[float, float]]
    """Begin and end in seconds of what was looked at again; empty for one pass."""
    replies: list[str]
    """What the model wrote in the passes before the answer."""
    note: str | None = None
    """What did not go as it should, in a sentence."""
    confidence: float | None = None
    """As `Answer.confidence`, of the last of these replies; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said, and what it read to say it."""

    text: str
    """The answer."""
    question: str
    """The question."""
    tokens: int
    """Video tokens that the language model read."""
    frames: list[FrameReport]
    """One entry a frame that it read, video by video and in time order; their tokens add
    up to `tokens`."""
    seconds: float
    """Time from the call to the answer, decoding included."""
    best_time: float | None = None
    """Time in seconds of the frame whose score for the question is highest, the first of
    equals; None where scores do not depend on the question or do not differ. Of several
    videos it is that of `best_video`."""
    best_video: int | None = None
    """Which of the videos that frame is of, from 0: of several the one with the highest
    `FrameReport.rating`. None where `best_time` is, so also where frames of several videos
    have no ratings that compare."""
    confidence: float | None = None
    """Geometric mean of the probabilities of the answer's tokens, from 0 to 1, the token
    that ends it included; None where whatever wrote it gives no probabilities."""
    looks: LookReport | None = None
    """What was looked at again, with a method that does."""
    finish_reason: FinishReason | None = None
    """Why it ended: ``"stop"``, it was done or came to a text of ``stop``; ``"length"``,
    it may not be longer; None where whatever wrote it does not say."""
    prompt_tokens: int | None = None
    """Tokens that the language model read, those of the video among them, of the last
    pass; None where they were not counted."""
    answer_tokens: int | None = None
    """Tokens that it wrote; None where they were not counted."""
    word_tokens: int = 0
    """Tokens of words that were read in the video and stand beside the frames."""
    words: list[WordReport] = field(default_factory=list)
    """Those words, video by video and in time order."""

    def to_dict(self) -> dict[str, Any]:
        """Give the answer as plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Turn:
    """One exchange of a conversation."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedTurn:
    """A prompt with its video as the language model reads it, wherever that runs."""

    question: str
    """The question."""
    history: tuple[Turn, ...]
    """Earlier turns; the prompt holds them as text."""
    frames: list[FrameReport]
    """What became of each frame."""
    input_ids: Tensor
    """The prompt with a placeholder for every video token, ``[1, L]``."""
    embeds: Tensor
    """The prompt with its video tokens, embedded, ``[1, L, H]``."""
    placeholder: int
    """The token that holds the place of a video token."""
    words: tuple[WordReport, ...] = ()
    """Words of the video that stand in the prompt."""
    word_tokens: int = 0
    """Their tokens."""
    num_lead_in: int = 0
    """Tokens of the question that stand right before the video tokens."""
    position_ids: Tensor | None = None
    """Positions of the tokens, ``[R, 1, L]``; None for their places in the row."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """The letter of each option that the question listed, where the prompt asks without
    them: the answer is the letter of the likeliest. Empty for any answer."""
    layers: Tensor | None = None
    """What is added at video tokens after the first layers, ``[V, E, H]``."""

    @property
    def is_visual(self) -> Tensor:
        """True at video tokens, ``[1, L]``."""
        return self.input_ids == self.placeholder

    @property
    def attention_mask(self) -> Tensor:
        """All tokens are read, ``[1, L]``."""
        return torch.ones_like(self.input_ids)

    @property
    def block(self) -> Tensor:
        """What stands in the place of the video, its lead-in first, ``[S, H]``.

        The embeddings are of their own, no view of the prompt.
        """
        places = self.is_visual[0].nonzero()[:, 0]
        first, last = int(places[0]) - self.num_lead_in, int(places[-1])
        return self.embeds[0, first : last + 1].clone()


class ChatSession:
    """Ask several questions about one video, each knowing those before.

    Every prompt holds one block of video tokens, made for the newest question, before
    the first turn, where training has it; the earlier turns follow as text. A long
    conversation does not pay for the video again and again.

    Args:
        answer: What answers: `VideoModel.answer`, or what takes the same.
        video: The video, or the videos.
        options: How its questions are answered.
    """

    def __init__(
        self, answer: Callable[..., Answer], video: Any, options: AskOptions
    ) -> None:
        self._answer = answer
        self._video = video
        self._options = options
        self.turns: list[Turn] = []

    def ask(
        self, question: str, *, on_text: OnText | None = None, **options: Any
    ) -> Answer:
        """Ask the next question.

        Args:
            question: The question.
            on_text: Called with each finished piece of the answer.
            **options: Fields of `AskOptions` that hold for this question alone.

        Returns:
            The answer, its cost and what became of each frame.

        Raises:
            ValueError: The question is empty, an option is wrong, or the conversation is
                longer than the model can read.
        """
        answer = self._answer(
            self._video,
            question,
            self._options.replace(**options),
            history=tuple(self.turns),
            on_text=on_text,
        )
        self.turns.append(Turn(question, answer.text))
        return answer


class BestFrame(NamedTuple):
    """Where a question points."""

    time: float | None
    """Time of the frame in seconds; None where no frame stands out."""
    video: int | None
    """The video it is of, from 0; None with the time."""


def find_best_frame(frames: Sequence[FrameReport]) -> BestFrame:
    """Find the frame of the highest score, the first of equals.

    Scores go from 0 to 1 in each video, so of several videos it is sought in the one that
    holds the frame of the highest rating.

    Args:
        frames: What became of each frame, with scores that depend on the question.

    Returns:
        The frame; none where no score differs from another, or where the frames of
        several videos have no ratings or the best of two are equal.
    """
    video = _best_video(frames)
    if video is None or len({frame.score for frame in frames}) < min(2, len(frames)):
        return BestFrame(None, None)
    own = [frame for frame in frames if frame.video == video]
    return BestFrame(max(own, key=lambda frame: frame.score).time, video)


def _best_video(frames: Sequence[FrameReport]) -> int | None:
    """Find the video with the frame of the highest rating; the only one needs none."""
    videos = {frame.video for frame in frames}
    if len(videos) < 2:
        return next(iter(videos), None)
    best: dict[int, float] = {}
    for frame in frames:
        if frame.rating is None:
            return None
        best[frame.video] = max(frame.rating, best.get(frame.video, -math.inf))
    *_, second, first = sorted(best.values())
    if first == second:
        return None
    return max(best, key=lambda video: best[video])


def build_conversation(
    history: Sequence[Turn], question: str, num_videos: int = 1
) -> list[dict[str, Any]]:
    """Write a conversation for the chat template.

    Args:
        history: Earlier turns.
        question: The question to answer.
        num_videos: How many videos it is about.

    Returns:
        The messages; the videos stand at the front of the first.
    """
    messages: list[dict[str, Any]] = []
    for turn in history:
        messages.append({"role": "user", "content": _text_part(turn.question)})
        messages.append({"role": "assistant", "content": _text_part(turn.answer)})
    messages.append({"role": "user", "content": _text_part(question)})
    shown = [{"type": "video"} for _ in range(num_videos)]
    messages[0]["content"] = [*shown, *messages[0]["content"]]
    return messages


def _text_part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def check_question(question: object, marks: Sequence[str] = ()) -> None:
    """Refuse a question that is no text, is empty or would be taken for a video.

    Args:
        question: The question.
        marks: Words that hold the place of a video in a prompt.
    """
    if isinstance(question, str) and is_blank(question):
        raise ValueError("the question is empty; write what to look for in the video")
    question = check_text(question, "the question")
    for mark in marks:
        if mark in question:
            raise ValueError(
                f"the question must not contain {mark}, which holds the place of a "
                f"video; leave it out, got {question!r}"
            )


def check_count(name: str, value: int) -> None:
    """Refuse a count below one."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
