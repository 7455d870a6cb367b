"""By whom the questions of ``dynfocus ask`` and ``dynfocus chat`` are answered, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from dynfocus.cli.console import check_video, load_model, name_model, scorer_of
from dynfocus.cli.frame_choice import Choosing, load_frame_scorer, note_scorer
from dynfocus.cli.options import (
    Also,
    AnsweringModel,
    Excerpt,
    Loading,
    MaxNewTokens,
    Method,
    NoIndex,
    Reading,
    Words,
)
from dynfocus.cli.servers import Backend, Connection, Serving, given_options

if TYPE_CHECKING:
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.models import VideoModel
    from dynfocus.video import VideoReader

_OF_FRAMES = frozenset({"budget", "scorer", "cones", "layout"})
_OF_MODELS = frozenset(
    {
        "device_map",
        "dtype",
        "max_encoded_frames",
        "max_frames",
        "max_video_tokens",
        "no_index",
        "quantize",
        "report",
        "served_model",
        "use_timestamps",
    }
)
REFUSED: dict[Backend | None, frozenset[str]] = {
    None: _OF_FRAMES - {"scorer"},
    "vllm": _OF_FRAMES,
    "openai": _OF_MODELS,
}
"""Options that mean nothing to a backend."""
FRAME_ANSWER_TOKENS = 512
"""How long an answer of a model that sees at a server may be, unless the call says it."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What is asked about besides the video, who answers, and how."""

    loading: Loading
    excerpt: Excerpt
    reading: Reading
    serving: Serving
    choosing: Choosing
    words: Words
    also: Also = None
    model: AnsweringModel = None
    method: Method = None
    max_new_tokens: MaxNewTokens = 64
    no_index: NoIndex = False

    @property
    def is_by_frames(self) -> bool:
        """Tell whether a server is sent frames, so that no model is loaded here."""
        return self.serving.backend == "openai"

    def open(self, context: typer.Context, video: str) -> list[VideoReader]:
        """Check the call, then open the video and those beside it."""
        videos = (video, *(self.also or ()))
        self.serving.check(context, REFUSED[self.serving.backend])
        self.words.settle(context, len(videos))
        return [check_video(one, self.excerpt) for one in videos]

    def load(
        self, videos: Sequence[VideoReader], asked: dict[str, Any]
    ) -> tuple[str, VideoModel, Connection | None]:
        """Load what answers about videos; where a server is named, that writes for it.

        Args:
            videos: What is asked about.
            asked: Fields of `AskOptions` that the model must be able to follow.

        Returns:
            What the model is called, the model, and the server.
        """
        connection = self.serving.connect()
        only_own = self.serving.backend == "vllm"
        name, source = name_model(self.model, videos, only_own=only_own)
        model = load_model(
            source,
            **asdict(self.loading),
            index_folder=False if self.no_index else None,
            scorer=scorer_of(source, self.choosing.scorer),
        )
        _check_options(model, len(videos), asked)
        if connection is not None:
            from dynfocus.backends import VllmGenerator

            client, served_model = connection.client, connection.served_model
            writer = VllmGenerator(model, client, served_model=served_model)
            model = model.with_generator(writer)
        return name, model, connection

    def load_by_frames(
        self, context: typer.Context, num_videos: int, asked: dict[str, Any]
    ) -> FrameAnswerer:
        """Make a model that sees at a server what answers; its frames are chosen here.

        Args:
            context: The call, which may say ``fps`` and ``max_new_tokens``.
            num_videos: How many videos are asked about.
            asked: Fields of `AskOptions` that it must be able to follow; they get room
                for a longer answer, unless the call says how long it may be.
        """
        from dynfocus.backends.frame_answers import FrameAnswerer
        from dynfocus.backends.frame_budget import FrameBudget

        if self.model is None:
            raise typer.BadParameter(
                "--backend openai needs --model, the name of the model at the server"
            )
        given, choosing = given_options(context), self.choosing
        if "max_new_tokens" not in given:
            asked["max_new_tokens"] = FRAME_ANSWER_TOKENS
        connection = self.serving.connect(self.model)
        assert connection is not None  # there is a backend
        answerer = FrameAnswerer(
            connection.client,
            self.model,
            scorer=load_frame_scorer(choosing.scorer),
            budget=FrameBudget(
                num_frames=choosing.budget,
                num_cones=choosing.cones,
                layout=choosing.layout,
                fps=self.reading.fps if "fps" in given else None,
            ),
        )
        _check_options(answerer, num_videos, asked)
        if choosing.layout != "file":
            note_scorer(answerer.scorer)
        return answerer


def _check_options(
    model: VideoModel | FrameAnswerer, num_videos: int, asked: dict[str, Any]
) -> None:
    """Refuse options that a model cannot follow, by their names in the call."""
    try:
        model.check(num_videos=num_videos, **asked)
    except ValueError as error:
        option, _, problem = str(error).partition(" ")
        wrong = f"--{option.replace('_', '-')} {problem}"
        raise typer.BadParameter(wrong) from error
