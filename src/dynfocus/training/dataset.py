"""Conversations with their videos become the samples and the batches of a stage.

Letters: T frames of a video, S tokens of a sample.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from dynfocus.methods.loops import Look
from dynfocus.models.prompts import VICUNA_SYSTEM, VIDEO_TOKEN
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.text import label_media, sentence
from dynfocus.training.clock_shift import shift_clock
from dynfocus.training.encoded_videos import FrameReader, Pixels
from dynfocus.training.evidence import Asked, asked_of, shows_answer
from dynfocus.training.failures import SAMPLE_ERRORS, BatchFacts, Failure
from dynfocus.training.labels import (
    IGNORED,
    Place,
    conversation_turns,
    encode_caption,
    encode_conversation,
    expand_blocks,
    marked_turns,
    media_places,
    pad_rows,
    pad_samples,
    padding_id,
    place_marks,
)
from dynfocus.training.samples import Sample, media_of, name_media
from dynfocus.validation import checked

logger = logging.getLogger(__name__)

Tokens = Annotated[int, Field(gt=1)]


@checked
class Layout:
    """How a conversation is written down."""

    template: Literal["plain_guided", "roles", "vicuna_v1"] | None = None
    """``plain_guided``: the caption alone, without roles, as by default in stage 1;
    ``roles``: Vicuna's roles, as by default in stage 2; ``vicuna_v1``: the same after
    Vicuna's system sentence."""
    blocks: Literal["first", "every_turn"] = "first"
    """``first``: the video stands once, before the words of the first turn that has its
    mark; ``every_turn``: each later human turn shows it again, before its words where it
    has the mark and otherwise at random before or behind them (the published code).
    Several videos of a sample stand once each, behind their numbers."""
    max_text_tokens: Tokens | None = None
    """Text tokens of a sample, without its video's; what is beyond them is cut off."""
    max_question_tokens: Tokens | None = None
    """Tokens of a question for the text encoder; of a longer one the end is kept."""
    shift_clock: bool = False
    """Half of the videos begin later within the first hour, and the times in their words,
    written ``mm:ss``, move along: short videos teach the late times of long ones."""


class VideoStore(Protocol):
    """Where the encoded half of videos comes from."""

    def load(self, medium: str, looks: Sequence[Look] = ()) -> Any:
        """Return the encoded half of a video; it has ``num_frames``."""
        ...

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a video without reading it."""
        ...


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
        seed: Decides where later turns show the video, and how clocks are shifted.
        has_evidence: Samples also say which frames show the answers.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        media: VideoStore | FrameReader,
        processor: VideoProcessor,
        count_tokens: Callable[[int], int],
        layout: Layout,
        seed: int = 0,
        *,
        has_evidence: bool = False,
    ) -> None:
        self.samples = samples
        self.media = media
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.count_tokens = count_tokens
        self.layout = layout
        self.seed = seed
        self.has_evidence = has_evidence
        self._has_warned = False

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, Any]:
        try:
            return self.encode(number)
        except SAMPLE_ERRORS as error:
            sample = self.samples[number]
            return {
                "failure": Failure(
                    sample=str(sample.get("id", f"number {number}")),
                    medium=name_media(sample),
                    reason=sentence(error),
                )
            }

    def encode(self, number: int) -> dict[str, Any]:
        """Read and write down a sample.

        Returns:
            ``input_ids`` and ``labels`` ``[S]`` and, with media, ``shown``, which of
            them each block shows (``owners``), and the ``questions`` of the blocks; with
            ``has_evidence`` also, for each question, ``shows_answer``, the frames in its
            evidence, and ``words``, tokens that say what they show.
        """
        sample = self.samples[number]
        turns = conversation_turns(sample)
        media = media_of(sample)
        if not media:
            return self._cut(self._write(turns, sample), sample)
        kinds = [kind for kind, _ in media]
        looks = sample.get("looks", ())
        shown = [self._load(kind, medium, looks) for kind, medium in media]
        places = self._places(sample, number)
        evidence = self._evidence(sample, places, shown) if self.has_evidence else {}
        if kinds == ["video"] and self.layout.shift_clock:
            rng = np.random.default_rng([71, self.seed, number])
            shown[0], turns = shift_clock(shown[0], turns, rng)
        if self.layout.template == "plain_guided":
            room = "\n".join([VIDEO_TOKEN] * len(media))
            written = encode_caption(self.tokenizer, room, turns[0][1])
        else:
            written = self._write(place_marks(turns, places), sample)
        asked = [turns[place.turn][0] for place in places]
        owners = [place.medium for place in places]
        placed = self._show(self._cut(written, sample), shown, owners, asked, sample)
        num_blocks = len(placed["questions"])
        return placed | {name: known[:num_blocks] for name, known in evidence.items()}

    def _load(self, kind: str, medium: str, looks: Sequence[Look]) -> Any:
        dense = {"looks": looks} if looks else {}
        if isinstance(self.media, FrameReader):
            return self.media.load(medium, kind, **dense)
        return self.media.load(medium, **dense)

    def _evidence(
        self, sample: Sample, places: Sequence[Place], shown: Sequence[Any]
    ) -> dict[str, list[Any]]:
        """Return the frames that show each answer, and tokens that say what they show.

        Times do not say which of several videos they belong to, so these show none. Where
        a sample describes nothing, the first token of each answer is what they show.
        """
        known = asked_of(sample)
        is_one = len(shown) == 1
        spans = [known[place.turn].evidence if is_one else [] for place in places]
        words = [self._words(known[place.turn]) for place in places]
        times = shown[0].pts_seconds
        return {
            "shows_answer": [shows_answer(times, s) if s else None for s in spans],
            "words": words,
        }

    def _words(self, asked: Asked) -> Tensor:
        text = asked.answer if asked.shows is None else asked.shows
        ids = self.tokenizer.encode(
            f" {text}" if text else "", add_special_tokens=False
        )
        return torch.tensor(ids[:1] if asked.shows is None else ids, dtype=torch.long)

    def blank(self, shown: Any = None) -> dict[str, Any]:
        """Return a sample that teaches nothing.

        With a video, it lets a batch without one run through every module, as it must
        where several processes add up the gradients of all of them.

        Args:
            shown: What it shows; words alone by default.
        """
        written = self._write([("" if shown is None else VIDEO_TOKEN, "")], {})
        written["labels"] = torch.full_like(written["labels"], IGNORED)
        return (
            written if shown is None else self._show(written, [shown], [0], ["?"], {})
        )

    def lengths(self) -> list[int]:
        """Estimate how many tokens each sample has, without encoding it."""
        return [self._length(number) for number in range(len(self))]

    def _length(self, number: int) -> int:
        sample = self.samples[number]
        words = sum(len(turn["value"]) for turn in sample["conversations"]) // 4
        if not media_of(sample):
            return words
        counts = self._count_frames(sample)
        shown = [counts[place.medium] for place in self._places(sample, number)]
        return words + sum(self.count_tokens(count) for count in shown if count)

    def _count_frames(self, sample: Sample) -> list[int]:
        if isinstance(self.media, FrameReader):
            return self.media.count_frames(sample)
        try:
            return [self.media.num_frames(medium) for _, medium in media_of(sample)]
        except FileNotFoundError:  # it could not be encoded, and fails when asked for
            return [0] * len(media_of(sample))

    def _write(
        self, turns: Sequence[tuple[str, str]], sample: Sample
    ) -> dict[str, Tensor]:
        own = VICUNA_SYSTEM if self.layout.template == "vicuna_v1" else ""
        return encode_conversation(self.tokenizer, turns, sample.get("system", own))

    def _places(self, sample: Sample, number: int) -> list[Place]:
        """Choose the turns that show each medium, and whether before their words."""
        places = media_places(sample)
        if self.layout.template == "plain_guided":
            return [Place(0, place.medium) for place in places]
        if self.layout.blocks == "first" or len(places) > 1:
            return places
        marked = marked_turns(sample)
        rng = np.random.default_rng([61, self.seed, number])
        later = range(marked[0], len(sample["conversations"]) // 2)
        return [
            Place(turn, is_front=turn in marked or bool(rng.integers(2)))
            for turn in later
        ]

    def _cut(self, written: dict[str, Tensor], sample: Sample) -> dict[str, Any]:
        limit = self.layout.max_text_tokens
        if limit is None or len(written["input_ids"]) <= limit:
            return written
        cut: dict[str, Any] = {name: rows[:limit] for name, rows in written.items()}
        if not (cut["labels"] != IGNORED).any():
            raise ValueError(
                f"no answer begins within layout.max_text_tokens {limit}; raise it or "
                "leave the sample out"
            )
        self._warn_of_cut(sample, "its text", "layout.max_text_tokens")
        return {**cut, "is_cut": True}

    def _show(
        self,
        written: dict[str, Any],
        shown: Sequence[Any],
        owners: Sequence[int],
        asked: Sequence[str],
        sample: Sample,
    ) -> dict[str, Any]:
        """Make room for the media and add the questions of their blocks."""
        token = int(self.processor.video_token_id)
        num_marks = int((written["input_ids"] == token).sum())
        if num_marks == 0:
            raise ValueError(
                "the mark of its video lies beyond layout.max_text_tokens; raise it or "
                "leave the sample out"
            )
        asked, owners = asked[:num_marks], owners[:num_marks]
        nouns = [kind.title() for kind, _ in media_of(sample)[:1]]
        labels = label_media(len(shown), *nouns)
        blocks = [
            [
                *self._lead_in(question, labels[owner]),
                *[token] * self.count_tokens(shown[owner].num_frames),
            ]
            for question, owner in zip(asked, owners, strict=True)
        ]
        rows = {name: written[name] for name in ("input_ids", "labels")}
        return {
            **written,
            **expand_blocks(rows, token, blocks),
            "shown": list(shown),
            "owners": list(owners),
            "questions": [self._question(question, sample) for question in asked],
        }

    def _lead_in(self, question: str, label: str) -> list[int]:
        is_caption = self.layout.template == "plain_guided"
        return self.processor.lead_in("" if is_caption else question, label)

    def _question(self, question: str, sample: Sample) -> Tensor:
        ids = self.processor.qformer_tokenizer(question)["input_ids"]
        limit = self.layout.max_question_tokens
        if limit is not None and len(ids) > limit:
            self._warn_of_cut(sample, "its question", "layout.max_question_tokens")
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


def collate(
    samples: Sequence[dict[str, Any]],
    pad_id: int,
    question_pad_id: int | None = None,
) -> dict[str, Any]:
    """Bring a batch into padded rows and gather its videos and questions.

    Args:
        samples: What a `ConversationDataset` gives, without failures.
        pad_id: The language model's padding.
        question_pad_id: The text encoder's; the same by default.
    """
    batch: dict[str, Any] = dict(pad_samples(samples, pad_id))
    seen = [sample for sample in samples if "shown" in sample]
    filler = pad_id if question_pad_id is None else question_pad_id
    return {**batch, **_gather_videos(seen, filler)} if seen else batch


def _gather_videos(seen: Sequence[dict[str, Any]], filler: int) -> dict[str, Any]:
    """Put the videos and questions of samples, in reading order, side by side."""
    asked = [question for sample in seen for question in sample["questions"]]
    ids, mask = pad_rows(asked, filler)
    batch: dict[str, Any] = {
        "qformer_input_ids": ids,
        "qformer_attention_mask": mask.long(),
    }
    videos = [video for sample in seen for video in sample["shown"]]
    owners: list[int] = []
    num_before = 0
    for sample in seen:
        owners += [num_before + owner for owner in sample["owners"]]
        num_before += len(sample["shown"])
    if owners != list(range(len(videos))):
        batch["block_videos"] = torch.tensor(owners)
    if any("shows_answer" in sample for sample in seen):
        batch["shows_answer"] = [
            shows
            for sample in seen
            for shows in sample.get("shows_answer", [None] * len(sample["questions"]))
        ]
        nothing = torch.tensor([IGNORED])
        words = [s.get("words", [nothing] * len(s["questions"])) for s in seen]
        batch["words"], _ = pad_rows([w for row in words for w in row], IGNORED)
    if not isinstance(videos[0], Pixels):
        return {**batch, "video_features": videos}
    batch |= {
        "pixel_values_videos": torch.cat([video.pixel_values for video in videos]),
        "video_pts_seconds": torch.cat([video.pts_seconds for video in videos]),
        "video_num_frames": torch.tensor([video.num_frames for video in videos]),
    }
    if any(video.is_high is not None for video in videos):
        batch["video_is_high"] = torch.cat([video.marks for video in videos])
    if any(video.duration is not None for video in videos):
        lengths = [video.duration or 0.0 for video in videos]
        batch["video_durations"] = torch.tensor(lengths, dtype=torch.float64)
    return batch


class Collator:
    """Make batches, leave out what failed and say so.

    Args:
        dataset: Where the samples come from.
        blank_video: What a batch without a video shows; nothing by default.
    """

    def __init__(self, dataset: ConversationDataset, blank_video: Any = None) -> None:
        self._blank = dataset.blank(blank_video)
        self._needs_video = blank_video is not None
        self._pad_id = padding_id(dataset.tokenizer)
        self._question_pad_id = padding_id(dataset.processor.qformer_tokenizer)

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch of what the dataset gave."""
        whole = [sample for sample in samples if "failure" not in sample]
        facts = BatchFacts(
            num_tokens=sum(len(sample["input_ids"]) for sample in whole),
            num_frames=sum(v.num_frames for s in whole for v in s.get("shown", ())),
            num_cut=sum("is_cut" in sample for sample in whole),
            failures=tuple(s["failure"] for s in samples if "failure" in s),
        )
        lacks_video = not any("shown" in sample for sample in whole)
        if not whole or (self._needs_video and lacks_video):
            whole.append(self._blank)
        batch = collate(whole, self._pad_id, self._question_pad_id)
        return {**batch, "facts": facts}
