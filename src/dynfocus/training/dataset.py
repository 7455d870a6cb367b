"""Conversations with their videos become the samples of a stage.

Letters: T frames of a video, S tokens of a sample.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.models.dynfocus.prompts import VICUNA_SYSTEM, VIDEO_TOKEN
from dynfocus.training.conversation import (
    IGNORED,
    encode_caption,
    encode_conversation,
    expand_blocks,
    padding_id,
)
from dynfocus.training.failures import SAMPLE_ERRORS, Failure
from dynfocus.training.features import load_frames, medium_of
from dynfocus.training.nano.clock_shift import (
    LAST_SECOND,
    draw_shift,
    shift_video,
    shift_words,
    times_in,
)
from dynfocus.training.packing import check_length
from dynfocus.training.positions import spread_positions
from dynfocus.training.sources import Sample
from dynfocus.world.conversations import PLACEHOLDER, parse_address

logger = logging.getLogger(__name__)

TEMPLATES = ("plain_guided", "roles", "vicuna_v1")
BLOCKS = ("first", "every_turn")
STAGE_TEMPLATES = {1: "plain_guided", 2: "roles"}
"""How each stage of the paper is written down where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a conversation is written down."""

    template: str = "roles"
    """``plain_guided``: the caption alone, without roles (stage 1); ``roles``: Vicuna's
    roles; ``vicuna_v1``: the same after Vicuna's system sentence."""
    blocks: str = "first"
    """``first``: the video stands once, before the words of the first turn that has its
    mark; ``every_turn``: each later human turn shows it again, before its words where it
    has the mark and otherwise at random before or behind them (the published code)."""
    max_text_tokens: int | None = None
    """Text tokens of a sample, without its video's; what is beyond them is cut off."""
    max_question_tokens: int | None = None
    """Tokens of a question for the text encoder; of a longer one the end is kept."""
    packed_tokens: int | None = None
    """Samples of a batch stand one after another in rows of at most so many tokens, and
    see nothing of each other; without it each has a padded row of its own."""
    spread_positions: int | None = None
    """A sample's positions are spread over so many, with a gap in up to eight places
    (PoSE, Zhu et al. 2024), so that short videos teach the distances of long ones."""
    shifted_seconds: int | None = None
    """Half of the videos begin later on the clock, so that they end before this second,
    and the times in their words, written ``mm:ss``, move along: short videos teach the
    late times of long ones."""
    shifted_gaps: int = 0
    """In those videos the clock jumps ahead in at most so many places, never between two
    times of one text: what is far apart in long videos is so in short ones."""
    seed: int = 0
    """Decides where later turns show the video, and what is spread and shifted."""

    def __post_init__(self) -> None:
        for name, known in (("template", TEMPLATES), ("blocks", BLOCKS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"data.{name} must be one of {', '.join(known)}, got "
                    f"{getattr(self, name)!r}"
                )
        limits = "max_text_tokens", "max_question_tokens", "packed_tokens"
        for name in (*limits, "spread_positions", "shifted_seconds"):
            limit = getattr(self, name)
            is_count = isinstance(limit, int) and not isinstance(limit, bool)
            if limit is not None and not (is_count and limit > 1):
                raise ValueError(
                    f"data.{name} must be a whole number above 1, got {limit!r}"
                )
        if self.shifted_seconds is not None and self.shifted_seconds > LAST_SECOND:
            raise ValueError(
                f"data.shifted_seconds must be at most {LAST_SECOND}, the last that mm:ss "
                f"can write, got {self.shifted_seconds}"
            )
        gaps = self.shifted_gaps
        if not isinstance(gaps, int) or isinstance(gaps, bool) or gaps < 0:
            raise ValueError(
                f"data.shifted_gaps must be a whole number, 0 or more, got {gaps!r}"
            )
        if gaps and self.shifted_seconds is None:
            raise ValueError(
                "data.shifted_gaps needs data.shifted_seconds, the second before which "
                "shifted videos end; set it too"
            )
        if self.spread_positions is not None and self.packed_tokens is not None:
            raise ValueError(
                "data.spread_positions and data.packed_tokens exclude each other: the "
                "samples of a row are told apart by their positions; set one of them"
            )


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """A video that is encoded in the training step."""

    pixel_values: Tensor
    """Normalised frames, ``[T, 3, H, W]``."""
    pts_seconds: Tensor
    """Their times, ``[T]``."""

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.pixel_values)


class VideoStore(Protocol):
    """Where the encoded half of videos comes from."""

    def load(self, medium: str) -> Any:
        """Return the encoded half of a video; it has ``num_frames``."""
        ...

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a video without reading it."""
        ...


@dataclass(frozen=True, kw_only=True)
class FrameReader:
    """Decode videos and images when a sample is asked for, in the worker that asks."""

    processor: DynFocusProcessor
    fps: float = 1.0
    max_frames: int | None = None
    dtype: torch.dtype = torch.float32

    def load(self, medium: str, kind: str) -> Pixels:
        """Read a video or an image."""
        frames = load_frames(
            medium,
            kind,
            fps=self.fps,
            max_frames=self.max_frames,
            frame_size=self.processor.frame_size,
        )
        return Pixels(
            pixel_values=self.processor.pixel_values(frames.frames).to(self.dtype),
            pts_seconds=torch.from_numpy(frames.times),
        )

    def blank(self) -> Pixels:
        """Return a grey image."""
        side = self.processor.frame_size
        return Pixels(
            pixel_values=torch.zeros(1, 3, side, side, dtype=self.dtype),
            pts_seconds=torch.zeros(1, dtype=torch.float64),
        )

    def count_frames(self, sample: Sample) -> int:
        """Count the frames of a sample without opening its file.

        Raises:
            ValueError: If nothing says how long its video is.
        """
        kind, medium = medium_of(sample)
        if kind != "video":
            return int(bool(medium))
        address = parse_address(medium)
        seconds = sample.get("duration") if address is None else address.seconds
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise ValueError(
                f"sample {sample.get('id', '?')} does not tell the 'duration' of its "
                "video, by which batches are grouped; let 'dynfocus data check' write "
                "it, or set schedule.group_by_length=false"
            )
        count = max(1, math.ceil(seconds * self.fps))
        return count if self.max_frames is None else min(count, self.max_frames)


class ConversationDataset(Dataset[dict[str, Any]]):
    """Samples with their videos, written down for a stage.

    A sample that cannot be read becomes ``{"failure": ...}``; it is never replaced by
    another.

    Args:
        samples: Conversations in LLaVA's format.
        media: Where videos come from: what is encoded before, or files.
        processor: Tokenizer and prompts.
        count_tokens: Tokens of a video from its number of frames.
        layout: How conversations are written down.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        media: VideoStore | FrameReader,
        processor: DynFocusProcessor,
        count_tokens: Callable[[int], int],
        layout: Layout,
    ) -> None:
        self.samples = samples
        self.media = media
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.count_tokens = count_tokens
        self.layout = layout
        self._has_warned = False

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, Any]:
        try:
            encoded = self.encode(number)
            if self.layout.packed_tokens is not None:
                check_length(len(encoded["input_ids"]), self.layout.packed_tokens)
            return self._place(encoded, number)
        except SAMPLE_ERRORS as error:
            sample = self.samples[number]
            return {
                "failure": Failure(
                    sample=str(sample.get("id", f"number {number}")),
                    medium=medium_of(sample)[1],
                    reason=" ".join(str(error).split()),
                )
            }

    def _shift(
        self, shown: Any, turns: list[tuple[str, str]], number: int
    ) -> tuple[Any, list[tuple[str, str]]]:
        """Let a video begin later on the clock, and its words with it."""
        limit = self.layout.shifted_seconds
        if limit is None:
            return shown, turns
        named = [times_in(text) for turn in turns for text in turn]
        shift = draw_shift(
            shown.pts_seconds.numpy(),
            limit,
            np.random.default_rng([71, self.layout.seed, number]),
            most_gaps=self.layout.shifted_gaps,
            whole=[(min(times), max(times)) for times in named if times],
        )
        if not shift.starts:
            return shown, turns
        moved = [
            (shift_words(question, shift), shift_words(answer, shift))
            for question, answer in turns
        ]
        return shift_video(shown, shift), moved

    def _place(self, encoded: dict[str, Any], number: int) -> dict[str, Any]:
        limit = self.layout.spread_positions
        if limit is None:
            return encoded
        rng = np.random.default_rng([67, self.layout.seed, number])
        places = spread_positions(len(encoded["input_ids"]), limit, rng)
        return {**encoded, "position_ids": places}

    def encode(self, number: int) -> dict[str, Any]:
        """Read and write down a sample.

        Returns:
            ``input_ids`` and ``labels`` ``[S]`` and, with a video, ``shown`` and the
            ``questions`` of its blocks.
        """
        sample = self.samples[number]
        turns = conversation_turns(sample)
        kind, medium = medium_of(sample)
        if not medium:
            return self._cut(self._write(turns), sample)
        if isinstance(self.media, FrameReader):
            shown: Any = self.media.load(medium, kind)
        else:
            shown = self.media.load(medium)
        if kind == "video":
            shown, turns = self._shift(shown, turns, number)
        if self.layout.template == "plain_guided":
            asked = [turns[0][0]]
            written = encode_caption(self.tokenizer, VIDEO_TOKEN, turns[0][1])
        else:
            places = self._places(sample, number)
            asked = [turns[turn][0] for turn in places]
            written = self._write(place_marks(turns, places))
        return self._show(self._cut(written, sample), shown, asked, sample)

    def blank(self, shown: Any = None) -> dict[str, Any]:
        """Return a sample that teaches nothing.

        With a video, it lets a batch without one run through every module, as it must
        where several processes add up the gradients of all of them.

        Args:
            shown: What it shows; words alone by default.
        """
        written = self._write([("" if shown is None else VIDEO_TOKEN, "")])
        written["labels"] = torch.full_like(written["labels"], IGNORED)
        return written if shown is None else self._show(written, shown, ["?"], {})

    def lengths(self) -> list[int]:
        """Estimate how many tokens each sample has, without encoding it."""
        return [self._length(number) for number in range(len(self))]

    def _length(self, number: int) -> int:
        sample = self.samples[number]
        words = sum(len(turn["value"]) for turn in sample["conversations"]) // 4
        if not medium_of(sample)[1]:
            return words
        num_frames = self._count_frames(sample)
        if num_frames == 0:
            return words
        num_blocks = 1
        if self.layout.template != "plain_guided":
            num_blocks = len(self._places(sample, number))
        return words + num_blocks * self.count_tokens(num_frames)

    def _count_frames(self, sample: Sample) -> int:
        if isinstance(self.media, FrameReader):
            return self.media.count_frames(sample)
        try:
            return self.media.num_frames(medium_of(sample)[1])
        except FileNotFoundError:  # it could not be encoded, and fails when asked for
            return 0

    def _write(self, turns: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
        system = VICUNA_SYSTEM if self.layout.template == "vicuna_v1" else ""
        return encode_conversation(self.tokenizer, turns, system)

    def _places(self, sample: Sample, number: int) -> dict[int, bool]:
        """Choose the turns that show the video, and whether before their words."""
        marked = marked_turns(sample)
        if self.layout.blocks == "first":
            return {marked[0]: True}
        rng = np.random.default_rng([61, self.layout.seed, number])
        later = range(marked[0], len(sample["conversations"]) // 2)
        return {turn: turn in marked or bool(rng.integers(2)) for turn in later}

    def _cut(self, written: dict[str, Tensor], sample: Sample) -> dict[str, Any]:
        limit = self.layout.max_text_tokens
        if limit is None or len(written["input_ids"]) <= limit:
            return written
        cut: dict[str, Any] = {name: rows[:limit] for name, rows in written.items()}
        if not (cut["labels"] != IGNORED).any():
            raise ValueError(
                f"no answer begins within data.max_text_tokens {limit}; raise it or "
                "leave the sample out"
            )
        self._warn_of_cut(sample, "its text", "data.max_text_tokens")
        return {**cut, "is_cut": True}

    def _show(
        self,
        written: dict[str, Any],
        shown: Any,
        asked: Sequence[str],
        sample: Sample,
    ) -> dict[str, Any]:
        """Make room for the video and add the questions of its blocks."""
        token = int(self.processor.video_token_id)
        num_marks = int((written["input_ids"] == token).sum())
        if num_marks == 0:
            raise ValueError(
                "the mark of its video lies beyond data.max_text_tokens; raise it or "
                "leave the sample out"
            )
        asked = asked[:num_marks]
        room = [token] * self.count_tokens(shown.num_frames)
        blocks = [[*self._lead_in(question), *room] for question in asked]
        rows = {name: written[name] for name in ("input_ids", "labels")}
        return {
            **written,
            **expand_blocks(rows, token, blocks),
            "shown": shown,
            "questions": [self._question(question, sample) for question in asked],
        }

    def _lead_in(self, question: str) -> list[int]:
        if self.layout.template == "plain_guided":
            return []
        return self.processor.lead_in(question)

    def _question(self, question: str, sample: Sample) -> Tensor:
        ids = self.processor.qformer_tokenizer(question)["input_ids"]
        limit = self.layout.max_question_tokens
        if limit is not None and len(ids) > limit:
            self._warn_of_cut(sample, "its question", "data.max_question_tokens")
            ids = [ids[0], *ids[1 - limit :]]
        return torch.tensor(ids or [padding_id(self.processor.qformer_tokenizer)])

    def _warn_of_cut(self, sample: Sample, part: str, setting: str) -> None:
        if not self._has_warned:
            logger.warning(
                "sample %s is cut: %s is longer than %s; others that are cut will be "
                "counted, not named",
                sample.get("id", "?"),
                part,
                setting,
            )
        self._has_warned = True


def conversation_turns(sample: Sample) -> list[tuple[str, str]]:
    """Return question and answer pairs without the placeholder."""
    texts = [turn["value"] for turn in sample["conversations"]]
    for mark in (PLACEHOLDER, VIDEO_TOKEN):
        texts = [text.replace(mark, "").strip() for text in texts]
    return list(zip(texts[::2], texts[1::2], strict=True))


def marked_turns(sample: Sample) -> list[int]:
    """Return the human turns that hold the video's mark; the first if none does."""
    asked = [turn["value"] for turn in sample["conversations"][::2]]
    marks = (PLACEHOLDER, VIDEO_TOKEN)
    return [i for i, text in enumerate(asked) if any(m in text for m in marks)] or [0]


def place_marks(
    turns: Sequence[tuple[str, str]], places: Mapping[int, bool]
) -> list[tuple[str, str]]:
    """Write the video's mark on a line of its own, before or behind a turn's words."""
    marked = list(turns)
    for turn, is_front in places.items():
        words, answer = turns[turn]
        parts = [VIDEO_TOKEN, words] if is_front else [words, VIDEO_TOKEN]
        marked[turn] = ("\n".join(parts), answer)
    return marked
