"""``dynfocus ask --backend openai``: chosen frames go to a server, its answer is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dynfocus.cli.console import plural, print_json, say, warn
from dynfocus.cli.frame_choice import (
    Choice,
    choose,
    describe_request,
    frame_documents,
    make_request,
)
from dynfocus.cli.servers import Serving, printed_pieces

if TYPE_CHECKING:
    from dynfocus.video import VideoReader


def ask_about_frames(
    video: VideoReader,
    question: str,
    choice: Choice,
    serving: Serving,
    model: str,
    *,
    max_new_tokens: int,
    json: bool,
) -> None:
    """Choose frames, send them with the question, and show the answer as it comes.

    Args:
        video: The video.
        question: The question.
        choice: What to choose.
        serving: The server.
        model: Name of the model there.
        max_new_tokens: Longest answer, in tokens.
        json: Print one document in place of the answer.
    """
    started = time.perf_counter()
    connection = serving.connect(model)
    assert connection is not None  # there is a backend
    server = connection.server
    chosen = choose(video, question, choice)
    made = make_request(chosen, choice, model, max_new_tokens, server)
    say(describe_request(made))
    if json:
        completion = connection.client.complete(made.body)
    else:
        with printed_pieces() as show:
            completion = connection.client.complete(made.body, show)
    seconds = time.perf_counter() - started
    if json:
        print_json(
            {
                "video": str(video.path),
                "question": question,
                "backend": "openai",
                "url": server.url,
                "model": model,
                "layout": str(choice.layout),
                "scorer": chosen.scorer,
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.prompt_tokens,
                "frames": frame_documents(chosen),
                "seconds": round(seconds, 3),
            }
        )
    num_cones = sum(frame.kind == "cone" for frame in chosen.frames)
    num_rods = len(chosen.frames) - num_cones
    if completion.finish_reason == "length":
        warn(
            f"the answer was cut at {plural(max_new_tokens, 'token')}; allow more with "
            "--max-new-tokens"
        )
    say(
        f"{plural(len(chosen.frames), 'frame')} ({plural(num_cones, 'Cone')}, "
        f"{plural(num_rods, 'Rod')}), {seconds:.2f} s"
    )
