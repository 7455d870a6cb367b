"""Options and arguments that several commands have, and how their values are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dynfocus.text import check_excerpt, read_moment

Precision = Literal["bfloat16", "float16", "float32"]


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


def moment(text: str) -> float:
    """Read a moment of a video, or refuse it as a wrong call."""
    try:
        return read_moment(text, "a moment")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def not_negative(value: int) -> int:
    """Refuse numbers below zero, as a wrong call."""
    if value < 0:
        raise typer.BadParameter(f"{value} is below 0")
    return value


def count_option(text: str, least: int = 1) -> typer.models.OptionInfo:
    """Make an option that takes a count."""
    option: typer.models.OptionInfo = typer.Option(min=least, help=text)
    return option


def text_option(text: str, **more: Any) -> typer.models.OptionInfo:
    """Make an option of any kind, named as its parameter."""
    option: typer.models.OptionInfo = typer.Option(help=text, **more)
    return option


Out = Annotated[Path, text_option("Where to leave the results.", metavar="FOLDER")]
Video = Annotated[
    str, typer.Argument(metavar="VIDEO", help="A video file, or its http address.")
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="VIDEO",
        help="Another video that the questions are about, too; may be given several "
        "times.",
    ),
]
Question = Annotated[
    str,
    typer.Argument(
        metavar="QUESTION", help='What to ask; "-" reads it from standard input.'
    ),
]
Questions = Annotated[
    list[str],
    typer.Argument(
        metavar="QUESTION...",
        help='What to ask, one question or several; "-" reads one from standard input.',
    ),
]
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
    Literal["8bit", "4bit"] | None,
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
MaxEncodedFrames = Annotated[
    int | None,
    typer.Option(
        "--max-encoded-frames",
        callback=at_least_one,
        help="Of the sampled frames, encode at most so many: of what looks unlike in small "
        "pictures, each some. By default all.",
    ),
]
WordShare = Annotated[
    float,
    typer.Option(
        "--word-share",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="At most this part of the token budget is for words that were read in the "
        "video, with --scorer text on a plugged model.",
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
        help="The system that chooses the tokens; by default the model's. slowfocus: the "
        "model says when, and that is looked at again; so do love-r1, spectemp, tstar and "
        "vital, untrained. slow-dynfocus: what rates frames says when. goldfish, llovi, sharegpt4video and video-lucy tell clips in "
        "words first. Vision language models of others also have none, uniform and "
        "the other rules of dynfocus frames --rule, most of which need --scorer.",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        metavar="NAME",
        help="With another vision language model: an image-text encoder, a folder or a "
        "name on the hub, that tells which frames belong to the question, host for the "
        "attention of the model itself, text for what is written and said, or text+NAME "
        "for words and an encoder; by default the one that dynfocus download --scorer "
        "fetched, with none nothing.",
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
Subtitles = Annotated[
    list[Path] | None,
    typer.Option(
        "--subtitles",
        metavar="FILE",
        help="Subtitles or a transcript of the video, in place of those beside and "
        "inside it; may be given several times.",
    ),
]
Read = Annotated[
    bool | None,
    typer.Option(
        "--read/--no-read",
        help="Read what is written in the pictures, once a file; by default where the "
        "packages for it are installed, and not with nano.",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output."),
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide", help="Of the widened world, which the shipped nano does not know."
    ),
]
Unseen = Annotated[
    Literal["fonts", "walls", "paths", "cameras"] | None,
    typer.Option("--unseen", help="Show what training never does; with --wide."),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", callback=not_negative, help="The same seed gives the same video."
    ),
]


Start = Annotated[
    float | None,
    typer.Option(
        "--start",
        metavar="TIME",
        parser=moment,
        help="Look at the video from here on: seconds, m:ss or h:mm:ss. Times that are "
        "shown stay those of the whole video.",
    ),
]
End = Annotated[
    float | None,
    typer.Option(
        "--end", metavar="TIME", parser=moment, help="Look no further than before this."
    ),
]
Stream = Annotated[
    int | None,
    typer.Option(
        "--stream",
        metavar="NUMBER",
        callback=lambda value: value if value is None else not_negative(value),
        help="Which video stream of a file with several, as dynfocus probe numbers "
        "them; by default the one that a player shows.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Which part of a video is looked at, and which of its streams."""

    start: Start = None
    end: End = None
    stream: Stream = None

    def __post_init__(self) -> None:
        try:
            check_excerpt(self.start, self.end)
        except ValueError as error:
            raise typer.BadParameter(f"--{error}") from error


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the weights of a model are loaded, as `LoadOptions` has it."""

    dtype: Dtype = None
    quantize: Quantize = None
    device_map: DeviceMap = None
    use_timestamps: Annotated[
        bool,
        typer.Option(
            "--use-timestamps",
            help="With another vision language model: write the time of each frame into "
            "its prompt, where it is not told the times anyway.",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which frames of a video are read, and how many tokens they may cost."""

    fps: Fps = 1.0
    max_frames: MaxFrames = None
    max_encoded_frames: MaxEncodedFrames = None
    max_video_tokens: MaxVideoTokens = None
    word_share: WordShare = 0.25


@dataclass(frozen=True, kw_only=True)
class Words:
    """Where what is written and said in a video is read."""

    subtitles: Subtitles = None
    read: Read = None

    def settle(self, context: typer.Context, num_videos: int = 1) -> None:
        """Have all that the command does read words so."""
        from dynfocus.words.reading import words_from

        if self.subtitles and num_videos > 1:
            raise typer.BadParameter(
                "--subtitles goes with one video; leave --also out"
            )
        from dynfocus.cli.words import tell_cost

        context.with_resource(words_from(self.subtitles or (), self.read, tell_cost))
