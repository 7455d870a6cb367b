"""Options of loading a model and of asking it, declared once for all who take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from dynfocus.text import check_choice, check_excerpt
from dynfocus.validation import Count, Moment, Natural, Positive, Share, checked

Storage = Literal["exact", "compact"]
Quantization = Literal["8bit", "4bit"]
StopText = Annotated[str, Field(min_length=1)]
_PRECISIONS = ("bfloat16", "float16", "float32")


@checked
class AskOptions:
    """How a video is read and a question about it answered."""

    fps: Positive = 1.0
    """Frames per second to sample; an index keeps its own."""
    start: Moment | None = None
    """Where the excerpt that is asked about begins: seconds, ``m:ss`` or ``h:mm:ss``."""
    end: Moment | None = None
    """Where it ends, half-open."""
    stream: Natural | None = None
    """Number of the video stream of a file; by default the one that a player shows."""
    max_frames: Count | None = None
    """At most so many frames, taken evenly."""
    max_encoded_frames: Count | None = None
    """Of these, encode at most so many: those that a look at small pictures tells apart; all
    by default. A video that is encoded already stays as it is."""
    max_video_tokens: Count | None = None
    """At most so many video tokens; a plugged model has a budget of its own by default."""
    method: str | None = None
    """What chooses the tokens: one of the model's ``methods``; by default its own."""
    max_new_tokens: Count = 64
    """At most so many tokens in the answer."""
    stop: tuple[StopText, ...] = ()
    """Texts before which the answer ends."""
    word_share: Share = 0.25
    """At most this part of the budget of video tokens is for words that were read, where
    the scorer is ``"text"``; frames have what words leave."""

    def __post_init__(self) -> None:
        check_excerpt(self.start, self.end)

    @property
    def reading(self) -> dict[str, Any]:
        """The options that decide which frames of a video are read."""
        names = ("fps", "max_frames", "max_encoded_frames", "start", "end", "stream")
        return {name: getattr(self, name) for name in names}

    def replace(self, **options: Any) -> AskOptions:
        """Give the same options but for some."""
        return replace(self, **options) if options else self


@checked
class LoadOptions:
    """Where a model goes, in which precision, and where its videos are kept."""

    device: str | None = None
    """Where the model goes; the first GPU if there is one, by default."""
    dtype: Any = None
    """Precision, a ``torch.dtype`` or its name; float32 on a CPU and the checkpoint's
    elsewhere by default."""
    quantize: Quantization | None = None
    """Matrices of the language model in so many bits."""
    device_map: str | dict[str, Any] | None = None
    """Where each module goes, or ``"auto"`` to fill the GPUs, then the CPU; in place of
    ``device``."""
    index_folder: str | Path | bool | None = None
    """Where files are kept once they are encoded; by default ``$DYNFOCUS_INDEX`` or a
    folder in the user's cache; ``False`` for nowhere."""
    storage: Storage | None = None
    """How they are kept; by default exact for a model whose indexes are small."""
    scorer: Any = None
    """For a vision language model that is plugged: a dual encoder such as CLIP or SigLIP,
    by name or folder, that tells which frames belong to the question; ``"host"`` for the
    attention of the model itself."""
    use_timestamps: bool = False
    """For a vision language model that is plugged: write the time of each frame into the
    prompt, behind it, where the model is not told the times anyway."""

    def __post_init__(self) -> None:
        if self.device is not None and self.device_map is not None:
            raise ValueError(
                f"only one of device and device_map can be given, got {self.device!r} "
                f"and {self.device_map!r}; leave one out"
            )
        dtype = self.dtype
        if isinstance(dtype, str):
            check_choice(dtype, "dtype", _PRECISIONS)

    @property
    def torch_dtype(self) -> Any:
        """Give the precision as a ``torch.dtype``, or None."""
        if not isinstance(self.dtype, str):
            return self.dtype
        import torch

        return getattr(torch, self.dtype)
