"""The models and scorers that tools for agents use: loaded when first needed, and kept."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from dynfocus.defaults import (
    NANO,
    OWN_TYPES,
    RECOMMENDED_SCORER,
    choose_model,
    find_downloaded,
    model_type,
)

if TYPE_CHECKING:
    from dynfocus.methods import FrameScorer
    from dynfocus.models import VideoModel
    from dynfocus.video import VideoReader

_MOST_KEPT = 2


class AgentModels:
    """Choose and load what answers about a video and what rates its frames.

    Args:
        model: What answers, if it is named.
        scorer: What rates frames, if it is named; ``"none"`` for nothing.
    """

    def __init__(self, model: str | None, scorer: str | None) -> None:
        self._named_model = model
        self._named_scorer = scorer
        self._lock = threading.Lock()
        self._kept = lru_cache(maxsize=_MOST_KEPT)(_load)
        self._encoders = lru_cache(maxsize=1)(_load_encoder)

    def answerer(self, reader: VideoReader) -> tuple[str, VideoModel]:
        """Give what answers about a video, and what it is called.

        Raises:
            NoModelError: None is named, and none here knows what the video shows.
            ValueError: It cannot be loaded.
        """
        name = source = self._named_model
        if name is None or source is None:
            chosen = choose_model(reader)
            name, source = chosen.name, chosen.source
        with self._lock:
            return name, self._kept(source)

    def scorer(self, reader: VideoReader) -> FrameScorer | None:
        """Give what rates the frames of a video for a question; None if nothing does.

        A named scorer comes first, then nano for a FocusWorld video, the scorer that was
        downloaded, and a model of the project's own that is named, if its scores see the
        question.

        Raises:
            ValueError: A named scorer cannot be loaded.
        """
        if self._named_scorer == "none":
            return None
        if self._named_scorer is not None:
            return self._scorer_of(self._named_scorer)
        folder = find_downloaded(RECOMMENDED_SCORER)
        own = self._own_model(reader)
        if own == NANO or (folder is None and own is not None):
            return self._scorer_of(own)
        return None if folder is None else self._scorer_of(str(folder))

    def _own_model(self, reader: VideoReader) -> str | None:
        """Name the model of the project's own that answers about a video, if one does."""
        if self._named_model is not None:
            source = self._named_model
        else:
            from dynfocus.world import is_world_video

            source = NANO if is_world_video(reader) else ""
        return source if source and model_type(source) in OWN_TYPES else None

    def _scorer_of(self, name: str) -> FrameScorer | None:
        from dynfocus.methods import FocusedScorer
        from dynfocus.methods.scorers import TEXT

        with self._lock:
            is_text = name.partition("+")[0] == TEXT
            if is_text or model_type(name) not in OWN_TYPES:
                return self._encoders(name)
            model = self._kept(name)
        return FocusedScorer(model) if model.scores_see_question else None


def _load(source: str) -> VideoModel:
    import dynfocus

    return dynfocus.load(source)


def _load_encoder(name: str) -> FrameScorer:
    from dynfocus.backends.frame_scorers import load_frame_scorer

    return load_frame_scorer(name)
