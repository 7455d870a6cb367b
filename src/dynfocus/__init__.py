"""Answer questions about long videos with few tokens (DynFocus and SlowFocus)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dynfocus.methods import FrameScorer
    from dynfocus.models import Answer, VideoModel

__all__ = ["ask", "load", "plug"]


def load(name: str | Path = "nano", **options: Any) -> VideoModel:
    """Load a model that answers questions about videos.

    A vision language model of a supported family is plugged with the settings of
    ``plug``; see there for others.

    Args:
        name: ``"nano"``, a folder that ``save_pretrained`` wrote, or a hub id; ``"words"``
            for sentences that were read in the video, without a model.
        **options: Fields of `dynfocus.models.LoadOptions`: ``device``, ``dtype``,
            ``quantize``, ``device_map``, ``index_folder``, ``storage``, ``scorer``,
            ``use_timestamps``.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: The model is not there, not whole or too large, or an option is wrong.
        ImportError: A package that it needs is not installed; the message names it.
        DownloadError: There is no such folder, and it cannot be fetched from the hub.
    """
    from dynfocus.models.options import LoadOptions

    chosen = LoadOptions(**options)
    if str(name) == "words":
        from dynfocus.models.words_model import load_words_model

        return load_words_model()
    if str(name) != "nano":
        from dynfocus.defaults import locate

        name = locate(name)
        from dynfocus.plugins import host_type, load_host

        if host_type(name) is not None:
            return load_host(name, chosen)
    from dynfocus.models import load_model

    return load_model(name, chosen)


def ask(
    video: Any, question: str, *, model: str | Path | None = None, **options: Any
) -> Answer:
    """Answer one question about a video; the model is loaded once and kept.

    Args:
        video: A file, its address, frames, or what ``VideoModel.index`` gave; or
            a list of them.
        question: The question.
        model: ``"nano"``, a folder, or a hub id. By default, for a file, what
            `dynfocus.defaults.choose_model` chooses; for all else ``"nano"``.
        **options: What ``VideoModel.ask`` takes, such as ``fps`` or ``max_frames``.

    Returns:
        The answer, its cost and what became of each frame.

    Raises:
        ValueError: As ``load`` and ``VideoModel.ask`` do, with the classes named there.
        NoModelError: No model is named and none here knows what the video shows.
    """
    from dynfocus.video import VideoName, as_file

    if isinstance(video, VideoName):
        video = as_file(video)  # of one version of a remote file alone
    if model is None:
        model = _choose(video)
    return _load_once(str(model)).ask(video, question, **options)


def plug(
    model: Any,
    processor: Any,
    *,
    method: str = "dynfocus",
    max_video_tokens: int = 2048,
    scorer: str | Path | FrameScorer | None = None,
    cone_tokens: int | Literal["whole"] | None = None,
) -> VideoModel:
    """Put DynFocus in front of a vision language model, without training.

    Args:
        model: What ``AutoModelForImageTextToText`` gives, of a supported family.
        processor: What ``AutoProcessor`` gives for it.
        method: ``"dynfocus"``; whole frames chosen by ``"aks"`` or ``"bolt"``, which need
            a scorer, or evenly by ``"uniform"``; ``"none"`` for all frames whole.
        max_video_tokens: How many video tokens the language model may read.
        scorer: A dual encoder such as CLIP or SigLIP, by name or folder, that tells
            which frames belong to the question; without one the question has no say.
        cone_tokens: Tokens of a Cone, ``"whole"``, or by default a quarter of a frame's.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: The model is of no supported family, or an option is unknown.
        ImportError: A package that it needs is not installed; the message names it.
        DownloadError: The scorer cannot be fetched from the hub.
    """
    from dynfocus.plugins import plug as plug_in

    return plug_in(
        model,
        processor,
        method=method,
        max_video_tokens=max_video_tokens,
        scorer=scorer,
        cone_tokens=cone_tokens,
    )


def _choose(video: Any) -> str:
    from dynfocus.video import VideoName

    named = video if isinstance(video, list | tuple) else [video]
    if not named or not all(isinstance(one, VideoName) for one in named):
        return "nano"
    from dynfocus.defaults import choose_for_all

    return choose_for_all(named).source


@functools.lru_cache(maxsize=1)
def _load_once(name: str) -> VideoModel:
    return load(name)
