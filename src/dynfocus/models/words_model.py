"""Answers without a model: the sentences of a video that are about a question.

What is written and said is read once and searched. No model of language is asked, so
nothing is said that was not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from dynfocus.defaults import WORDS
from dynfocus.index import VideoIndex
from dynfocus.models.conversation import Answer, BestFrame, FrameReport, report_words
from dynfocus.models.encoding import VideoSource, make_thumbnails
from dynfocus.models.excerpts import open_excerpt
from dynfocus.models.options import AskOptions
from dynfocus.models.strategies import Asked
from dynfocus.models.video_model import VideoModel
from dynfocus.text import label_media
from dynfocus.video import VideoName, VideoReader
from dynfocus.words import Found, TimedText
from dynfocus.words.ranking import RELATED_WORDS
from dynfocus.words.telling import clock, find_related, passage_text

if TYPE_CHECKING:
    from dynfocus.models.encoding import Progress

NO_MODEL_ASKED = "No model was asked."
"""What every answer begins with."""
_MOST_PLACES = 3
_CLOSE = 0.6
"""Places are told that fit so well beside the best."""
_SURE_MEANING = 0.25
_MOST_FRAMES = 64

Read = Callable[[VideoReader, Any], Sequence[TimedText]]
"""Reads the words of a video, telling its progress."""


def _read_all(video: VideoReader, progress: Any) -> list[TimedText]:
    from dynfocus.words.reading import read_words

    return read_words(video, progress=progress)


@dataclass(frozen=True, kw_only=True, eq=False)
class WordsFeatures:
    """The words of a video, in the place of encoded frames."""

    texts: tuple[TimedText, ...]
    """The words."""
    frame_seconds: Tensor
    """Times of some frames, ``[T, 1]``: what was read stands there."""

    @property
    def pts_seconds(self) -> Tensor:
        """Time of each frame, ``[T]``."""
        return self.frame_seconds[:, 0]

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return int(self.frame_seconds.shape[0])


class WordsBackbone:
    """Read the words of videos; nothing is encoded.

    Args:
        read: Reads the words of a video.
    """

    name = WORDS
    is_nano = False
    abilities: frozenset[str] = frozenset({"turns"})
    methods: tuple[str, ...] = (WORDS,)
    time_grid = None
    marks: tuple[str, ...] = ()
    store = None
    scores_see_question = True

    def __init__(self, read: Read = _read_all) -> None:
        self._read = read
        self.model = SimpleNamespace(config=SimpleNamespace(model_type=WORDS))
        self.processor = SimpleNamespace(tokenizer=str)

    def check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse nothing: there are no tokens to choose."""

    def index(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Read the words of a video.

        Raises:
            ValueError: It is no file: frames alone have no words.
        """
        if isinstance(video, VideoIndex):
            return video
        opened = open_excerpt(video, options)
        reader = VideoReader(opened) if isinstance(opened, VideoName) else opened
        if not isinstance(reader, VideoReader):
            raise ValueError(
                "words are read in files, not in frames; name a model, such as 'nano'"
            )
        texts = tuple(self._read(reader, progress))
        source = VideoSource.open(reader, options)
        seconds = sorted({min(one.start, reader.end) for one in texts})
        if len(seconds) > _MOST_FRAMES or not seconds:
            seconds = np.linspace(reader.start, reader.end, 16, endpoint=False).tolist()
        seen = reader.sample(times=seconds, size=_small(reader.size))
        features = WordsFeatures(
            texts=texts, frame_seconds=torch.from_numpy(seen.times)[:, None]
        )
        return source.index(features, make_thumbnails(seen.frames, reader.size))

    def encode(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Read the words of a video; see `index`."""
        return self.index(video, options, progress)

    def prepare(self, *_: Any) -> NoReturn:
        """Write no prompt; nobody would read it."""
        raise NotImplementedError

    look_budget = look = join = generate = map_prototypes = frame_encoder = prepare


class Extract:
    """Answer with the sentences that were found, and with nothing else."""

    def answer(self, model: VideoModel, asked: Asked) -> Answer:
        """Find what is about a question; see `Strategy.answer`."""
        started = time.perf_counter()
        videos = asked.video.videos
        found = [_find(one, asked.question) for one in videos]
        text = _write(found)
        if asked.on_text is not None:
            asked.on_text(text)
        frames = [
            frame
            for number, (one, places) in enumerate(zip(videos, found, strict=True))
            for frame in _report_frames(one, places, number)
        ]
        best = BestFrame(None, None)
        if len(found) == 1 and found[0]:  # rarity of words is that within one video
            best = BestFrame(found[0][0].start, 0)
        return Answer(
            text=text,
            question=asked.question,
            tokens=0,
            frames=frames,
            seconds=time.perf_counter() - started,
            best_time=best.time,
            best_video=best.video,
            words=[
                word
                for number, places in enumerate(found)
                for word in report_words(places, number)
            ],
        )


def load_words_model(read: Read = _read_all) -> VideoModel:
    """Give what answers with the sentences of a video, and asks no model.

    Args:
        read: Reads the words of a video, given its reader and a function that is told
            the progress.
    """
    backbone: Any = WordsBackbone(read)  # it has the part of a backbone that is used
    return VideoModel(backbone, strategy=Extract())


def _small(size: tuple[int, int]) -> tuple[int, int]:
    from dynfocus.methods.image_features import fit_size

    return fit_size(size, min(max(size), 192))


def _find(video: VideoIndex, question: str) -> list[Found]:
    """Find the best places of a video that are about a question."""
    start, end = video.interval
    found = [
        one
        for one in find_related(video.features.texts, question)
        if one.start < end and one.end >= start and _is_sure(one)
    ]
    return [one for one in found if one.score >= _CLOSE * found[0].score][:_MOST_PLACES]


def _is_sure(found: Found) -> bool:
    """Tell whether a place is told as an answer, which takes more than a look there."""
    return found.words >= RELATED_WORDS or (found.meaning or 0.0) >= _SURE_MEANING


def _write(found: Sequence[Sequence[Found]]) -> str:
    """Write the answer: that no model was asked, and what was read at which times."""
    labels = label_media(len(found))
    lines = [
        f"{label}{clock(one.start)} {passage_text(one)}"
        for label, places in zip(labels, found, strict=True)
        for one in places
    ]
    if not lines:
        what = "the video" if len(found) == 1 else "the videos"
        return (
            f"{NO_MODEL_ASKED} Nothing that is written or said in {what} is about the "
            "question."
        )
    return "\n".join([f"{NO_MODEL_ASKED} Read in the video:", *lines])


def _report_frames(
    video: VideoIndex, places: Sequence[Found], number: int
) -> list[FrameReport]:
    """Tell of the frames where words were read; those of the places come first of all."""
    scores = {one.start: min(1.0, one.score) for one in places}
    times = {float(one): 0.0 for one in video.features.pts_seconds} | scores
    return [
        FrameReport(
            index=index,
            time=seconds,
            score=score,
            kind="cone" if seconds in scores else "rod",
            tokens=0,
            video=number,
        )
        for index, (seconds, score) in enumerate(sorted(times.items()))
    ]
