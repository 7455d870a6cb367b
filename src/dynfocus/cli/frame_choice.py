"""How frames are chosen and put into requests: options and steps of several commands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.console import load_model, plural, progress_bar, quiet_libraries
from dynfocus.cli.options import at_least_one, not_negative, positive

if TYPE_CHECKING:
    from dynfocus.backends import FrameRequest, Server
    from dynfocus.methods import FrameScorer, FrameSelection
    from dynfocus.video import VideoReader


class LayoutName(StrEnum):
    """How frames are put into a request."""

    sheets = "sheets"
    images = "images"
    video = "video"


class RuleName(StrEnum):
    """By which rule frames are chosen."""

    events = "events"
    aks = "aks"
    bolt = "bolt"


Budget = Annotated[
    int,
    typer.Option(
        "--budget",
        metavar="N",
        callback=at_least_one,
        help="How many frames to choose, exactly. Many models take one token for every "
        "784 pixels: about 420 for a Cone of 768x432, 26 for a Rod of 192x108.",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        metavar="NAME",
        help="What compares frames with the question: CLIP, SigLIP and their like, or a "
        "DynFocus model; a folder or a name on the hub. By default nothing does, and "
        "frames are chosen by their look.",
    ),
]
Rule = Annotated[
    RuleName,
    typer.Option(
        "--rule",
        help="events: every event before a second frame of one. aks and bolt: two "
        "published rules, by the similarity to the question alone; they need --scorer.",
    ),
]
Cones = Annotated[
    int | None,
    typer.Option(
        "--cones",
        metavar="K",
        callback=lambda value: value if value is None else not_negative(value),
        help="How many of them are Cones, shown large; by default a quarter, but 4 at "
        "least.",
    ),
]
Looks = Annotated[
    float | None,
    typer.Option(
        "--fps",
        callback=positive,
        help="Frames looked at a second; by default 2, but 90 to 300 in all and at "
        "least 4 for each that is chosen.",
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Look at key frames only: an hour in a few seconds, but what happens "
        "between two key frames is not seen.",
    ),
]
Layout = Annotated[
    LayoutName,
    typer.Option(
        "--layout",
        help="sheets: Cones as pictures, Rods on contact sheets. images: every frame a "
        "picture. video: all of one size as one video, for vLLM.",
    ),
]
ConePixels = Annotated[
    int,
    typer.Option("--cone-pixels", metavar="PIXELS", help="Longer side of a Cone."),
]
RodPixels = Annotated[
    int,
    typer.Option("--rod-pixels", metavar="PIXELS", help="Longer side of a Rod."),
]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to choose, and how large to show it."""

    budget: int
    scorer: str | None
    cones: int | None
    fps: float | None
    layout: LayoutName
    rule: RuleName = RuleName.events
    fast: bool = False
    cone_pixels: int = 768
    rod_pixels: int = 192


def choose(video: Path | VideoReader, question: str, choice: Choice) -> FrameSelection:
    """Choose frames, with a progress bar."""
    from dynfocus.methods import select_frames
    from dynfocus.video import VideoReader

    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    if choice.rule != RuleName.events and choice.scorer is None:
        raise typer.BadParameter(f"--rule {choice.rule.value} needs --scorer")
    scorer = None if choice.scorer is None else _load_scorer(choice.scorer, reader)
    with progress_bar("Reading the video") as progress:
        return select_frames(
            reader,
            question,
            choice.budget,
            scorer=scorer,
            rule=choice.rule.value,
            num_cones=choice.cones,
            fps=choice.fps,
            fast=choice.fast,
            progress=progress,
        )


def make_request(
    chosen: FrameSelection,
    choice: Choice,
    model: str,
    max_new_tokens: int,
    server: Server | None = None,
) -> FrameRequest:
    """Write the request about chosen frames."""
    from dynfocus.backends import FrameSizes, frame_request

    return frame_request(
        chosen,
        model,
        layout=choice.layout.value,
        sizes=FrameSizes(cone_pixels=choice.cone_pixels, rod_pixels=choice.rod_pixels),
        max_new_tokens=max_new_tokens,
        server=server,
    )


def describe_request(made: FrameRequest) -> str:
    """Say in one line what a request costs."""
    return (
        f"{plural(made.num_pictures, 'picture')} of "
        f"{made.num_pixels / 1e6:.1f} megapixels together"
    )


def frame_documents(chosen: FrameSelection) -> list[dict[str, Any]]:
    """Give the chosen frames as plain values."""
    return [asdict(frame) for frame in chosen.frames]


def _load_scorer(name: str, video: VideoReader) -> FrameScorer:
    from dynfocus.cli.ask import warn_if_meaningless
    from dynfocus.methods import (
        DualEncoder,
        FocusedScorer,
        is_dynfocus_model,
    )

    quiet_libraries()
    if not is_dynfocus_model(name):
        return DualEncoder(name)
    focused = load_model(name)
    warn_if_meaningless(focused, video, "its scores mean")
    return FocusedScorer(focused)
