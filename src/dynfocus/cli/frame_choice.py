"""Frames chosen for a question: options, requests to a server, and its answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dynfocus.cli.commands import (
    WordShare,
    at_least_one,
    not_negative,
    positive,
)
from dynfocus.cli.console import (
    choose_scorer,
    count_kinds,
    describe_trust,
    describe_videos,
    load_model,
    print_json,
    progress_bar,
    quiet_libraries,
    say,
    warn,
)
from dynfocus.cli.servers import Serving, printed_pieces
from dynfocus.errors import RefusedFrameTimesError
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.backends import ChatClient, Completion, FrameRequest, Server
    from dynfocus.methods import FrameScorer, FrameSelection
    from dynfocus.video import VideoReader


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


def choose(
    videos: Sequence[VideoReader], question: str, choosing: Choosing, looking: Looking
) -> list[FrameSelection]:
    """Choose frames of each video, with a progress bar; all share the budget.

    Says so where nothing reads the question.
    """
    from dynfocus.focus import share_budget
    from dynfocus.methods import find_selector, select_frames

    named = choose_scorer(choosing.scorer)
    try:
        has_scorer = named is not None
        selector = find_selector(
            looking.rule, "rule", has_scorer=has_scorer, rest="dropped"
        )
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from error
    budgets, cones = [choosing.budget], [choosing.cones]
    if len(videos) > 1:
        counts = [video.frame_count for video in videos]
        least = [1] * len(videos)
        try:
            budgets = share_budget(choosing.budget, counts, least, "budget")
        except ValueError as error:
            raise typer.BadParameter(f"--{error}") from error
        if choosing.cones is not None:
            cones = [*share_budget(choosing.cones, budgets, [0] * len(videos))]
        else:
            cones = [None] * len(videos)
    scorer = None if named is None else load_frame_scorer(named)
    chosen: list[FrameSelection] = []
    for video, budget, num_cones in zip(videos, budgets, cones, strict=True):
        with progress_bar("Reading the video") as progress:
            one = select_frames(
                video,
                question,
                budget,
                scorer=scorer,
                rule=looking.rule,
                num_cones=num_cones,
                fps=looking.fps,
                fast=looking.fast,
                progress=progress,
            )
        chosen.append(one)
        if len(one.frames) < budget and selector.counts == "frames":
            warn(
                f"{plural(len(one.frames), 'frame')} of the {budget} that were asked "
                f"for{f' of {video.path}' if len(videos) > 1 else ''} could be decoded"
            )
    if scorer is None:
        say(
            "No scorer looked at the question: the frames show what happens, whatever is "
            "asked. dynfocus download --scorer fetches one, --scorer names another."
        )
    return chosen


def make_request(
    chosen: Sequence[FrameSelection],
    choosing: Choosing,
    looking: Looking,
    model: str,
    max_new_tokens: int,
    server: Server | None = None,
) -> FrameRequest:
    """Write the request about chosen frames, and say in one line what it costs."""
    from dynfocus.backends import FrameSizes, frame_request

    assert choosing.layout != "file"  # which sends no frames
    sizes = FrameSizes(cone_pixels=looking.cone_pixels, rod_pixels=looking.rod_pixels)
    made = frame_request(
        chosen,
        model,
        layout=choosing.layout,
        sizes=sizes,
        max_new_tokens=max_new_tokens,
        server=server,
        word_share=looking.word_share,
    )
    words = f", {made.word_tokens:,} tokens of words" if made.word_tokens else ""
    say(
        f"{plural(made.num_pictures, 'picture')} of "
        f"{made.num_pixels / 1e6:.1f} megapixels together{words}"
    )
    return made


def _make_file_request(
    video: VideoReader,
    question: str,
    choosing: Choosing,
    model: str,
    max_new_tokens: int,
    server: Server,
) -> FrameRequest:
    """Write the request that sends a video as it is, and say how large it is."""
    from dynfocus.backends import file_request
    from dynfocus.video.files import size_of

    made = file_request(
        video,
        question,
        choosing.budget,
        model,
        max_new_tokens=max_new_tokens,
        server=server,
    )
    say(
        f"The whole file of {size_of(video.path) / 1e6:,.1f} MB; the server chooses frames"
    )
    return made


def ask_about_frames(
    videos: Sequence[VideoReader],
    question: str,
    choosing: Choosing,
    looking: Looking,
    serving: Serving,
    model: str,
    *,
    max_new_tokens: int,
    json: bool,
) -> None:
    """Choose frames, send them with the question, and show the answer as it comes.

    Args:
        videos: The video, or several.
        question: The question.
        choosing: What to choose.
        looking: How it is chosen.
        serving: The server.
        model: Name of the model there.
        max_new_tokens: Longest answer, in tokens.
        json: Print one document in place of the answer.
    """
    started = time.perf_counter()
    connection = serving.connect(model)
    assert connection is not None  # there is a backend
    server = connection.server
    layout = choosing.layout
    chosen: list[FrameSelection] = []
    if layout == "file":
        made = _make_file_request(
            videos[0], question, choosing, model, max_new_tokens, server
        )
    else:
        chosen = choose(videos, question, choosing, looking)
        made = make_request(chosen, choosing, looking, model, max_new_tokens, server)
    try:
        completion = _complete(connection.client, made, json)
    except RefusedFrameTimesError as error:
        warn(f"{error}; they are sent as sheets")
        layout = "sheets"
        choosing = replace(choosing, layout=layout)
        chosen = chosen or choose(videos, question, choosing, looking)
        made = make_request(chosen, choosing, looking, model, max_new_tokens, server)
        completion = _complete(connection.client, made, json)
    seconds = time.perf_counter() - started
    best_time = _find_best_time(chosen[0]) if len(chosen) == 1 else None
    frames = [
        asdict(frame) | ({"video": number} if len(chosen) > 1 else {})
        for number, one in enumerate(chosen)
        for frame in one.frames
    ]
    if json:
        print_json(
            {
                **describe_videos(videos),
                "question": question,
                "backend": "openai",
                "url": server.url,
                "model": model,
                "layout": layout,
                "scorer": chosen[0].scorer if chosen else None,
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.prompt_tokens,
                "word_tokens": made.word_tokens,
                "frames": frames if chosen else None,
                "best_time": best_time,
                "confidence": completion.confidence,
                "seconds": round(seconds, 3),
            }
        )
    warn_if_cut(completion, max_new_tokens)
    if not chosen:
        say(f"{describe_trust(None, completion.confidence)}{seconds:.2f} s")
        return
    say(
        f"{describe_trust(best_time, completion.confidence)}"
        f"{plural(len(frames), 'frame')} "
        f"({count_kinds([frame['kind'] for frame in frames])}), {seconds:.2f} s"
    )


def warn_if_cut(completion: Completion, max_new_tokens: int) -> None:
    """Say so where an answer ended because it may not be longer."""
    if completion.finish_reason == "length":
        warn(
            f"the answer was cut at {plural(max_new_tokens, 'token')}; allow more with "
            "--max-new-tokens"
        )


def _complete(client: ChatClient, made: FrameRequest, json: bool) -> Completion:
    """Ask the server; the pieces are printed as they come unless a document is wanted."""
    if json:
        return client.complete(made.body)
    with printed_pieces() as show:
        return client.complete(made.body, show)


def _find_best_time(chosen: FrameSelection) -> float | None:
    """Find the time of the frame most relevant to the question, if a scorer looked."""
    rated = [
        (one.relevance, -one.time) for one in chosen.frames if one.relevance is not None
    ]
    return -max(rated)[1] if rated else None


def load_frame_scorer(name: str) -> FrameScorer:
    """Load what compares frames with a question."""
    from dynfocus.defaults import OWN_TYPES, model_type
    from dynfocus.methods import DualEncoder, FocusedScorer, load_scorer
    from dynfocus.methods.scorers import TEXT

    quiet_libraries()
    if name == "host":
        raise ValueError(
            "scorer 'host' is the attention of a vision language model that runs here: "
            "use dynfocus ask --model, or name an encoder"
        )
    if name.partition("+")[0] == TEXT:
        scorer = load_scorer(name)
        assert scorer is not None  # it has a name
        return scorer
    if model_type(name) not in OWN_TYPES:
        return DualEncoder(name)
    return FocusedScorer(load_model(name, needs="scores"))
