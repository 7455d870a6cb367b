"""Frames chosen for a question: options of the commands that do so, and the scorer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dynfocus.cli.commands import (
    WordShare,
    at_least_one,
    not_negative,
    positive,
)
from dynfocus.cli.console import choose_scorer, load_model, quiet_libraries, say
from dynfocus.cli.servers import Backend, Serving, check_options, given_options

if TYPE_CHECKING:
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.methods import FrameScorer

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


def load_frame_answerer(
    context: typer.Context,
    model: str | None,
    num_videos: int,
    serving: Serving,
    choosing: Choosing,
    **asked: Any,
) -> tuple[FrameAnswerer, dict[str, Any]]:
    """Make a model that sees at a server what answers; its frames are chosen here.

    Args:
        context: The call, which may say ``fps`` and ``max_new_tokens``.
        model: Name of the model at the server.
        num_videos: How many videos are asked about.
        serving: The server.
        choosing: How frames are chosen, and what compares them with the question.
        **asked: Fields of `AskOptions` that it must be able to follow.

    Returns:
        What answers, and the fields, with room for a longer answer by default.
    """
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.backends.frame_budget import FrameBudget

    if model is None:
        raise typer.BadParameter(
            "--backend openai needs --model, the name of the model at the server"
        )
    given = given_options(context)
    if "max_new_tokens" not in given:
        asked["max_new_tokens"] = FRAME_ANSWER_TOKENS
    connection = serving.connect(model)
    assert connection is not None  # there is a backend
    answerer = FrameAnswerer(
        connection.client,
        model,
        scorer=load_frame_scorer(choosing.scorer),
        budget=FrameBudget(
            num_frames=choosing.budget,
            num_cones=choosing.cones,
            layout=choosing.layout,
            fps=context.params["fps"] if "fps" in given else None,
        ),
    )
    check_options(answerer, num_videos, asked)
    if choosing.layout != "file":
        note_scorer(answerer.scorer)
    return answerer, asked
