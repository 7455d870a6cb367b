"""What agents can do with a video: plain functions, which know no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import NoModelError
from dynfocus.methods import FrameScorer, FrameSelection, fit_size, select_frames
from dynfocus.methods.moments import Moment, rate_moments
from dynfocus.models.conversation import best_cones
from dynfocus.report import draw_frame_sheets, draw_storyboard, make_storyboard
from dynfocus.report.pages import format_time
from dynfocus.serving.agent_access import AllowedVideos
from dynfocus.serving.agent_answers import AgentAnswer, LabelledPicture
from dynfocus.serving.agent_models import AgentModels
from dynfocus.serving.agent_settings import AgentSettings, MomentSource, Part
from dynfocus.text import check_text
from dynfocus.video import RemoteFile, VideoReader

if TYPE_CHECKING:
    from dynfocus.words import Found

Progress = Callable[[int, int], None]

_LARGE, _SMALL = 640, 192
"""Longer sides of pictures."""
_MOST_FRAMES = 64
_MOST_CONES = 4
_MOST_FOUND = 10
_NO_SCORER = (
    "no scorer looked at the question: the frames show what happens, whatever is asked"
)


class AgentTools:
    """Look at videos for an agent.

    Each method gives an answer that is not yet cut to its budget, and takes ``progress``,
    which is called with steps done and steps in all.

    Args:
        settings: With which model.
        videos: What may be read.
    """

    def __init__(self, settings: AgentSettings, videos: AllowedVideos) -> None:
        self.videos = videos
        self.models = AgentModels(settings.model, settings.scorer)

    def storyboard(
        self,
        part: Part,
        *,
        num_prototypes: int | None = None,
        progress: Progress | None = None,
    ) -> AgentAnswer:
        """Show what happens in a video: its event prototypes with their times."""
        reader = self._open(part)
        board = make_storyboard(
            reader, num_prototypes=num_prototypes, progress=progress
        )
        sheet = LabelledPicture(
            label="Storyboard: a tile an event prototype, its time in the corner",
            picture=np.asarray(draw_storyboard(board)),
        )
        return AgentAnswer(document=board.to_dict(), pictures=[sheet])

    def find_frames(
        self,
        part: Part,
        question: str,
        *,
        budget: int = 8,
        progress: Progress | None = None,
    ) -> AgentAnswer:
        """Choose the frames that a question needs, and show them.

        Raises:
            ValueError: The question is empty, or there are not so many frames.
        """
        check_text(question, "the question")
        if not 1 <= budget <= _MOST_FRAMES:
            raise ValueError(f"budget must be from 1 to {_MOST_FRAMES}, got {budget}")
        reader = self._open(part)
        chosen = select_frames(
            reader,
            question,
            budget,
            scorer=self.models.scorer(reader),
            progress=progress,
        )
        document = chosen.to_dict()
        if chosen.scorer is None:
            document["note"] = _NO_SCORER
        return AgentAnswer(document=document, pictures=[*_show_selection(chosen)])

    def find_words(
        self,
        part: Part,
        query: str,
        *,
        most: int = 10,
        progress: Progress | None = None,
    ) -> AgentAnswer:
        """Find where something is written or said: subtitles, transcripts, the screen.

        Raises:
            ValueError: The query is empty.
        """
        reader = self._open(part)
        found, num_texts = self._search_words(reader, query, progress)
        document = {
            "query": query,
            "num_texts": num_texts,
            "places": [one.to_dict() for one in found[:most]],
        }
        shown = {(one.start + one.end) / 2: one.score for one in found[:_MOST_CONES]}
        inside = {t: s for t, s in shown.items() if reader.start <= t < reader.end}
        return AgentAnswer(
            document=document,
            pictures=[*_show_frames(reader, sorted(inside), inside)],
        )

    def when(
        self,
        part: Part,
        question: str,
        *,
        source: MomentSource = "auto",
        progress: Progress | None = None,
    ) -> AgentAnswer:
        """Tell when what a question asks about is shown, how sure, and by what.

        Raises:
            ValueError: The question is empty, or nothing here can tell.
        """
        check_text(question, "the question")
        reader = self._open(part)
        if source == "words":
            return self._when_said(reader, question, progress)
        scorer = None if source == "slowfocus" else self.models.scorer(reader)
        scorer = scorer and scorer.for_question(reader, question)
        if scorer is not None:
            return self._when_rated(reader, question, scorer, progress)
        if source == "rating":
            raise ValueError(
                "nothing here rates frames for a question; run dynfocus download "
                "--scorer once, or start dynfocus mcp with --scorer"
            )
        try:
            return self._when_looked(reader, question, progress)
        except NoModelError:
            said = self._when_said(reader, question, progress)
            if source != "auto" or not said.document["intervals"]:
                raise
            return said

    def ask(
        self,
        part: Part,
        question: str,
        *,
        max_video_tokens: int | None = None,
        method: str | None = None,
        progress: Progress | None = None,
    ) -> AgentAnswer:
        """Answer a question, and show the frames that weighed most.

        Raises:
            NoModelError: No model is named, and none here knows what the video shows.
            ValueError: The question is empty, or an option is wrong.
        """
        check_text(question, "the question")
        reader = self._open(part)
        name, model = self.models.answerer(reader)
        answer = model.ask(
            reader,
            question,
            max_video_tokens=max_video_tokens,
            method=method,
            progress=progress,
        )
        cones = best_cones(answer.frames, _MOST_CONES)
        scores = {frame.time: frame.score for frame in cones}
        document = {
            **asdict(replace(answer, frames=[])),
            "video": part.video,
            "model": name,
            "num_frames": len(answer.frames),
            "frames": [{"time": frame.time, "score": frame.score} for frame in cones],
        }
        return AgentAnswer(
            document=document, pictures=[*_show_frames(reader, list(scores), scores)]
        )

    def _open(self, part: Part) -> VideoReader:
        """Open a video that may be read."""
        found = self.videos.find(part.video)
        if not isinstance(found, RemoteFile) and found.is_dir():
            raise ValueError(
                f"{part.video} is a folder; name one of its videos, which probe lists"
            )
        return VideoReader(found, start=part.start, end=part.end)

    def _when_rated(
        self,
        reader: VideoReader,
        question: str,
        scorer: FrameScorer,
        progress: Progress | None,
    ) -> AgentAnswer:
        """Find the stretches whose frames a scorer rates highest."""
        moments, num_looked_at = rate_moments(reader, question, scorer, progress)
        document = {
            "question": question,
            "source": "rating",
            "by": scorer.name,
            "num_looked_at": num_looked_at,
            "intervals": [asdict(moment) for moment in moments],
        }
        return AgentAnswer(
            document=document, pictures=[*_show_moments(reader, moments)]
        )

    def _when_said(
        self, reader: VideoReader, question: str, progress: Progress | None
    ) -> AgentAnswer:
        """Give the intervals in which words about a question are shown or said."""
        found, num_texts = self._search_words(reader, question, progress)
        best = max((one.score for one in found), default=1.0)
        document = {
            "question": question,
            "source": "words",
            "by": "words",
            "num_texts": num_texts,
            "intervals": [
                {
                    "start": one.start,
                    "end": one.end,
                    "confidence": one.score / best,
                    "text": one.text,
                }
                for one in found[:_MOST_FOUND]
            ],
        }
        return AgentAnswer(document=document)

    def _search_words(
        self, reader: VideoReader, query: str, progress: Progress | None
    ) -> tuple[list[Found], int]:
        """Read the words of a video, and find those about a query; also count them."""
        from dynfocus.words import WordsLibrary
        from dynfocus.words.reading import read_words

        check_text(query, "the query")
        texts = read_words(reader, progress=progress)
        with WordsLibrary.of(texts) as library:
            found = library.search(query, limit=None)
        return [one for one in found if one.is_related], len(texts)

    def _when_looked(
        self, reader: VideoReader, question: str, progress: Progress | None
    ) -> AgentAnswer:
        """Ask a model which interval matters, as SlowFocus does before it looks again."""
        try:
            name, model = self.models.answerer(reader)
        except NoModelError as error:
            raise NoModelError(
                f"{error}. Or run dynfocus download --scorer once, which rates frames"
            ) from error
        reason = model.why_not("look")
        if reason is not None:
            raise NoModelError(f"{reason}; start dynfocus mcp with another --model")
        answer = model.ask(reader, question, method="slowfocus", progress=progress)
        looks = answer.looks
        assert looks is not None  # of a method that looks again
        document = {
            "question": question,
            "source": "slowfocus",
            "by": name,
            "intervals": [
                {"start": start, "end": end, "confidence": looks.confidence}
                for start, end in looks.intervals
            ],
            "note": looks.note,
            "answer": answer.text,
        }
        return AgentAnswer(document=document)


def _show_selection(chosen: FrameSelection) -> Iterator[LabelledPicture]:
    """Show the Cones large, each by itself, and the Rods on sheets."""
    importance = {frame.time: frame.importance for frame in chosen.frames}
    for picture, time in zip(*chosen.read(_LARGE, "cone"), strict=True):
        yield _label(picture, float(time), importance.get(float(time), 0.0))
    for sheet in draw_frame_sheets(*chosen.read(_SMALL, "rod")):
        times = ", ".join(_clock(time) for time in sheet.times)
        yield LabelledPicture(
            label=f"Contact sheet, in time order row by row: {times}",
            picture=sheet.picture,
            importance=0.0,
        )


def _show_moments(
    reader: VideoReader, moments: Sequence[Moment]
) -> Iterator[LabelledPicture]:
    """Show the best frame of each stretch."""
    sure = {moment.best_time: moment.confidence for moment in moments}
    yield from _show_frames(reader, sorted(sure), sure)


def _show_frames(
    reader: VideoReader, times: list[float], importance: dict[float, float]
) -> Iterator[LabelledPicture]:
    """Show frames at some times."""
    if not times:
        return
    size = fit_size(reader.size, min(_LARGE, max(reader.size)))
    for picture, time in zip(*reader.sample(times=times, size=size), strict=True):
        yield _label(picture, float(time), importance.get(float(time), 0.0))


def _label(
    picture: NDArray[np.uint8], time: float, importance: float
) -> LabelledPicture:
    return LabelledPicture(
        label=f"Frame at {_clock(time)} ({time:.2f} s)",
        picture=picture,
        importance=importance,
    )


def _clock(seconds: float) -> str:
    return format_time(seconds, with_tenths=True)
