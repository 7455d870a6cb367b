"""Answer questions about long videos with few tokens (DynFocus and SlowFocus)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from dynfocus.models import Answer, FocusedModel
    from dynfocus.plugins import PluggedModel, Scorer

__all__ = ["ask", "load", "plug"]


def load(
    name: str | Path = "nano",
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    quantize: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    index_folder: str | Path | bool | None = None,
    storage: str | None = None,
) -> FocusedModel | PluggedModel:
    """Load a model that answers questions about videos.

    A vision language model of a supported family is plugged with the settings of
    ``plug``; see there for others.

    Args:
        name: ``"nano"``, a folder that ``save_pretrained`` wrote, or a hub id.
        device: Where the model goes; the first GPU if there is one, by default.
        dtype: Precision; float32 on a CPU and the checkpoint's elsewhere by default.
        quantize: ``"8bit"`` or ``"4bit"``: matrices of the language model in so many
            bits.
        device_map: Where each module goes, or ``"auto"`` to fill the GPUs, then the
            CPU; in place of ``device``.
        index_folder: Where files are kept once they are encoded; by default
            ``$DYNFOCUS_INDEX`` or a folder in the user's cache; ``False`` for nowhere.
        storage: How they are kept, ``"exact"`` or ``"compact"``; by default exact for
            a model whose indexes are small.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: There is no such model, its files are not those of a model, or an
            option does not fit it.
        ImportError: A package that it needs is not installed; the message names it.
        DownloadError: It cannot be fetched from the hub.
    """
    if str(name) != "nano":
        from dynfocus.plugins import host_type, load_host

        if host_type(name) is not None:
            if storage is not None or index_folder:
                raise ValueError(
                    f"{name} is not a model of the project's own, so its videos are not "
                    "kept on disk; leave index_folder and storage out"
                )
            return load_host(
                name,
                device=device,
                dtype=dtype,
                quantize=quantize,
                device_map=device_map,
            )
    from dynfocus.models import load_model

    return load_model(
        name,
        device=device,
        dtype=dtype,
        quantize=quantize,
        device_map=device_map,
        index_folder=index_folder,
        storage=storage,
    )


def ask(
    video: Any,
    question: str,
    *,
    model: str | Path | None = None,
    fps: float = 1.0,
    max_frames: int | None = None,
    max_video_tokens: int | None = None,
    method: str | None = None,
    max_new_tokens: int = 64,
    progress: Callable[[int, int], None] | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Answer one question about a video; the model is loaded once and kept.

    Args:
        video: A file, frames, or what ``FocusedModel.index`` gave.
        question: The question.
        model: ``"nano"``, a folder, or a hub id. By default, for a file, what
            `dynfocus.defaults.choose_model` chooses; for all else ``"nano"``.
        fps: Frames per second to sample.
        max_frames: At most so many frames, taken evenly.
        max_video_tokens: At most so many video tokens.
        method: ``"dynfocus"``, which is also the default.
        max_new_tokens: At most so many tokens in the answer.
        progress: Called with the steps done and the steps in all.
        on_text: Called with each finished piece of the answer.

    Returns:
        The answer, its cost and what became of each frame.

    Raises:
        ValueError: The question is empty, or an option does not fit the video.
        FileNotFoundError: There is no such video.
        UnreadableVideoError: The file holds no video that can be decoded.
        StuckVideoError: Reading the video made no progress.
        NoModelError: No model is named and none here knows what the video shows.
        NonFiniteLogitsError: The model's numbers are not finite.
    """
    if model is None:
        model = _choose(video)
    return _load_once(str(model)).ask(
        video,
        question,
        fps=fps,
        max_frames=max_frames,
        max_video_tokens=max_video_tokens,
        method=method,
        max_new_tokens=max_new_tokens,
        progress=progress,
        on_text=on_text,
    )


def plug(
    model: Any,
    processor: Any,
    *,
    method: str = "dynfocus",
    max_video_tokens: int = 2048,
    scorer: str | Path | Scorer | None = None,
    cone_tokens: int | Literal["whole"] | None = None,
) -> PluggedModel:
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
    if not isinstance(video, str | Path):
        return "nano"
    from dynfocus.defaults import choose_model

    return choose_model(video).source


@functools.lru_cache(maxsize=1)
def _load_once(name: str) -> FocusedModel | PluggedModel:
    return load(name)
