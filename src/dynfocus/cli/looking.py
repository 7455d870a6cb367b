"""Questions to a server in several passes, each with frames that the one before asked for."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from dynfocus.cli.console import (
    choose_scorer,
    count_kinds,
    describe_looks,
    describe_note,
    describe_trust,
    print_json,
    say,
    warn,
)
from dynfocus.cli.frame_choice import (
    Choosing,
    Looking,
    load_frame_scorer,
    warn_if_cut,
)
from dynfocus.cli.servers import Serving, printed_pieces
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.video import VideoReader


def ask_server_again(
    video: VideoReader,
    question: str,
    choosing: Choosing,
    looking: Looking,
    serving: Serving,
    model: str,
    *,
    max_new_tokens: int,
    json: bool,
    method: str,
) -> None:
    """Ask in several passes, each a request, and show the answer as it comes.

    Args:
        video: The video.
        question: The question.
        choosing: How many frames are sent in all, and how.
        looking: How often the first pass looks, and how large frames are.
        serving: The server.
        model: Name of the model there.
        max_new_tokens: Longest answer, in tokens.
        json: Print one document in place of the answer.
        method: One of `dynfocus.methods.loops.LOOPS`.
    """
    from dynfocus.backends import FrameSizes, ask_again

    if choosing.layout == "file":
        raise typer.BadParameter(
            "--layout file goes without --method: the server chooses the frames"
        )
    started = time.perf_counter()
    connection = serving.connect(model)
    assert connection is not None  # there is a backend
    named = choose_scorer(choosing.scorer)
    with nullcontext() if json else printed_pieces() as show:
        found = ask_again(
            video,
            question,
            connection.client,
            connection.served_model,
            method=method,
            budget=choosing.budget,
            fps=looking.fps,
            layout=choosing.layout,
            sizes=FrameSizes(
                cone_pixels=looking.cone_pixels, rod_pixels=looking.rod_pixels
            ),
            scorer=None if named is None else load_frame_scorer(named),
            max_new_tokens=max_new_tokens,
            on_text=show,
        )
    seconds = time.perf_counter() - started
    completion, looks = found.completion, found.looks
    if found.refusal is not None:
        warn(f"{found.refusal}; they are sent as sheets")
    if json:
        print_json(
            {
                "video": str(video.path),
                **video.part,
                "question": question,
                "backend": "openai",
                "url": connection.server.url,
                "model": connection.served_model,
                "method": method,
                "layout": found.layout,
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.prompt_tokens,
                "frames": [
                    {"time": one.time, "kind": one.kind, "num_requests": one.tokens}
                    for one in found.frames
                ],
                "looks": asdict(looks),
                "confidence": completion.confidence,
                "seconds": round(seconds, 3),
            }
        )
    warn_if_cut(completion, max_new_tokens)
    say(
        f"{describe_trust(None, completion.confidence)}{describe_looks(looks)}"
        f"{plural(len(found.requests), 'request')}, {plural(len(found.frames), 'frame')} "
        f"({count_kinds([frame.kind for frame in found.frames])}), {seconds:.2f} s"
        f"{describe_note(looks)}"
    )
