"""Frames chosen for a question: options of the commands that do so, and the scorer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dynfocus.cli.console import choose_scorer, load_model, quiet_libraries, say
from dynfocus.cli.options import WordShare, at_least_one, not_negative, positive

if TYPE_CHECKING:
    from dynfocus.methods import FrameScorer


Budget = Annotated[
    int,
    typer.Option(
        "--budget",
        metavar="N",
        callback=at_least_one,
        help="How many frames to choose, exactly; of a rule that sizes frames itself "
        "(f2c, free-video-llm, qframe, ts-llava) their area in large ones. Many models take one token for every "
        "784 pixels: about 420 for a Cone of 768x432, 26 for a Rod of 192x108.",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        metavar="NAME",
        help="What compares frames with the question: CLIP, SigLIP and their like, or a "
        "DynFocus model; a folder or a name on the hub. text: what is written and said "
        "near them; text+NAME: both. By default the one that "
        "dynfocus download --scorer fetched; without it, or with none, frames are "
        "chosen by their look.",
    ),
]
Rule = Annotated[
    str,
    typer.Option(
        "--rule",
        metavar="NAME",
        help="events: every event before a second frame of one. uniform: even frames. "
        "Published rules, most of which need --scorer: air, aks, bolt, date, dcode, f2c, "
        "focus, free-video-llm, mdp3, mmr, ocsampler, qframe, ranked, scenetilling, "
        "ts-llava, tstar-search; docs/methods.md tells what each does. Other packages may "
        "add rules.",
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
    Literal["sheets", "images", "video", "file"],
    typer.Option(
        "--layout",
        help="sheets: Cones as pictures, Rods on contact sheets. images: every frame a "
        "picture. video: all of one size as one video, for vLLM, started with "
        "--trust-request-mm-kwargs since 0.33. file: the video as it is; a vLLM with the "
        "reader of dynfocus chooses, see docs/servers.md.",
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
class Choosing:
    """What to choose, and how it is put into a request."""

    budget: Budget = 16
    scorer: Scorer = None
    cones: Cones = None
    layout: Layout = "sheets"


@dataclass(frozen=True, kw_only=True)
class Looking:
    """By which rule among which frames, and how large the chosen ones are shown."""

    rule: Rule = "events"
    fps: Looks = None
    fast: Fast = False
    cone_pixels: ConePixels = 768
    rod_pixels: RodPixels = 192
    word_share: WordShare = 0.25


def load_frame_scorer(named: str | None) -> FrameScorer | None:
    """Load what compares frames with a question; None where nothing does.

    Args:
        named: What the call names, if it does; ``"none"`` for nothing.
    """
    from dynfocus.backends import frame_scorers

    name = choose_scorer(named)
    if name is None:
        return None
    quiet_libraries()
    return frame_scorers.load_frame_scorer(name, partial(load_model, needs="scores"))


def note_scorer(scorer: FrameScorer | None) -> None:
    """Say so where nothing compared the frames with the question."""
    if scorer is None:
        say(
            "No scorer looked at the question: the frames show what happens, whatever is "
            "asked. dynfocus download --scorer fetches one, --scorer names another."
        )
