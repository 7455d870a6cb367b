"""Options that several commands have, and checks of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Precision(StrEnum):
    """The precisions that weights are kept in."""

    bfloat16 = "bfloat16"
    float16 = "float16"
    float32 = "float32"


class Quantization(StrEnum):
    """The bits of a matrix of the language model."""

    eight = "8bit"
    four = "4bit"


def positive(value: float | None) -> float | None:
    """Refuse numbers that are not above zero, as a wrong call."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value:g} is not a number above 0")
    return value


def at_least_one(value: int | None) -> int | None:
    """Refuse counts below one, as a wrong call."""
    if value is not None and value < 1:
        raise typer.BadParameter(f"{value} is not a count of 1 or more")
    return value


def not_negative(value: int) -> int:
    """Refuse numbers below zero, as a wrong call."""
    if value < 0:
        raise typer.BadParameter(f"{value} is below 0")
    return value


Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.")]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help='"nano", a folder with a model, or a name on the hub.'
    ),
]
AnsweringModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help='"nano", a folder with a model, or a name on the hub. By default '
        "$DYNFOCUS_MODEL or the user's settings; else nano for FocusWorld videos, and "
        "what dynfocus download fetched for all others.",
        show_default=False,
    ),
]
Dtype = Annotated[
    Precision | None,
    typer.Option(
        "--dtype", help="Precision; by default float32 on a CPU, else the model's own."
    ),
]
Quantize = Annotated[
    Quantization | None,
    typer.Option(
        "--quantize", help="Keep the language model's matrices in so many bits."
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        "--device-map",
        metavar="auto",
        help="Spread a large model over the GPUs, then the CPU.",
    ),
]
Fps = Annotated[
    float,
    typer.Option("--fps", callback=positive, help="Frames sampled a second."),
]
MaxFrames = Annotated[
    int | None,
    typer.Option(
        "--max-frames",
        callback=at_least_one,
        help="Sample at most so many frames, spread evenly.",
    ),
]
MaxVideoTokens = Annotated[
    int | None,
    typer.Option(
        "--max-video-tokens",
        callback=at_least_one,
        help="Never spend more video tokens than this.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="The system that chooses the tokens; by default the model's. Vision "
        "language models of others also have none, uniform and, with --scorer, aks and "
        "bolt.",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        metavar="NAME",
        help="With another vision language model: an image-text encoder, a folder or a "
        "name on the hub, that tells which frames belong to the question.",
    ),
]
MaxNewTokens = Annotated[
    int,
    typer.Option(
        "--max-new-tokens",
        callback=at_least_one,
        help="Longest answer, in text tokens.",
    ),
]
NoIndex = Annotated[
    bool,
    typer.Option(
        "--no-index", help="Read the video; neither use nor fill the index on disk."
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output."),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", callback=not_negative, help="The same seed gives the same video."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the weights of a model are loaded."""

    dtype: Dtype = None
    quantize: Quantize = None
    device_map: DeviceMap = None

    def fields(self) -> dict[str, Any]:
        """Give the fields of `LoadOptions`."""
        return {
            "dtype": None if self.dtype is None else self.dtype.value,
            "quantize": None if self.quantize is None else self.quantize.value,
            "device_map": self.device_map,
        }


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which frames of a video are read, and how many tokens they may cost."""

    fps: Fps = 1.0
    max_frames: MaxFrames = None
    max_video_tokens: MaxVideoTokens = None
