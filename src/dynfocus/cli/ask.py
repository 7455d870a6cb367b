"""``dynfocus ask``: one question about one video."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.atomic import check_writable
from dynfocus.cli.answer_report import find_truths, write_answers
from dynfocus.cli.answering import Answering
from dynfocus.cli.commands import command
from dynfocus.cli.console import (
    describe_cost,
    describe_videos,
    print_json,
    progress_bar,
    read_question,
    say,
    warn,
)
from dynfocus.cli.options import Json, Questions, Reading, Video
from dynfocus.cli.servers import printed_pieces
from dynfocus.defaults import NANO_QUESTIONS
from dynfocus.text import plural, sentence

if TYPE_CHECKING:
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.index import VideoGroup, VideoIndex
    from dynfocus.models import Answer, VideoModel
    from dynfocus.video import VideoReader


@command(
    'dynfocus ask clip.mp4 "What letter is on the red square?"',
    "echo 'What happens?' | dynfocus ask clip.mp4 - --json --report r.html",
    'dynfocus ask clip.mp4 "Who comes in?" --model my-model --backend vllm '
    "--url http://localhost:8000",
    'dynfocus ask clip.mp4 "Who comes in?" --backend openai '
    "--url https://api.openai.com/v1 --model gpt-4o --budget 32",
    'dynfocus ask clip.mp4 "Who comes in?" "What happens then?"',
    'dynfocus ask clip.mp4 "Who comes in?" --start 0:02 --end 0:10',
    'dynfocus ask talks/monday.mp4 --also talks/friday.mp4 "In which video is it red?"',
    ending="\n\n\b\nWhat nano was taught to answer, with other things in these places:\n"
    + "\n".join(f"- {one}" for one in NANO_QUESTIONS),
)
def ask(
    context: typer.Context,
    video: Video,
    question: Questions,
    answering: Answering,
    json: Json = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Also write a page: scores over time, token counts, the Cones, and "
            "what their spatial prototypes merged.",
        ),
    ] = None,
) -> None:
    """Answer a question, or several, about a video, which is encoded once.

    With --also the questions are about several videos together. The answers go to
    standard output, each on a line of its own. A line to standard error says the time of
    the frame whose score for the question is highest, how sure the model is (the
    geometric mean of the probabilities of the answer's tokens, not calibrated), each
    where it is known, and what the answer cost. With --backend openai, --model is the server's, --budget, --scorer, --cones, --layout and
    --fps choose the frames of each question as in dynfocus frames, and the answer may have 512 tokens;
    with a --method that looks again, --budget is that of all requests together.
    A video that is not FocusWorld is answered by what dynfocus download fetched; see
    docs/models.md, and docs/plugins.md for vision language models without training.
    """
    questions = [read_question(one) for one in question]
    readers, reading = answering.open(context, video), answering.reading
    if report is not None:
        for one in (video, *(answering.also or ())):
            check_writable(report, read=one)
    asked: dict[str, Any] = {
        "max_video_tokens": reading.max_video_tokens,
        "word_share": reading.word_share,
        "method": answering.method,
        "max_new_tokens": answering.max_new_tokens,
    }
    if answering.is_by_frames:
        answerer = answering.load_by_frames(context, len(readers), asked)
        told = _answer_all(
            answerer,
            readers,
            questions,
            "",
            is_aloud=not json,
            is_streamed=True,
            **asked,
        )
        facts = {
            **describe_videos(readers),
            "backend": "openai",
            "url": answering.serving.url,
            "model": answering.model,
            "scorer": None if answerer.scorer is None else answerer.scorer.name,
        }
        _finish(facts, told, json)
        return
    truths = {}
    if report is not None and len(readers) == 1:
        truths = find_truths(readers[0])
    name, focused, connection = answering.load(readers, asked)
    started = time.perf_counter()
    shown = _read(focused, readers, reading)
    index_seconds = time.perf_counter() - started
    is_known = all(one.is_from_disk for one in shown.videos)
    facts = {
        **describe_videos(readers),
        "model": name,
        "from_index": is_known,
        "index_seconds": round(index_seconds, 3),
    }
    if connection is not None:
        facts |= {"backend": answering.serving.backend, "url": connection.server.url}
    work = "opening its index" if is_known else "reading the video"
    if len(readers) > 1:
        work = "opening their indexes" if is_known else "reading the videos"
    told = _answer_all(
        focused,
        shown,
        questions,
        f" after {index_seconds:.2f} s for {work}",
        is_aloud=not json,
        is_streamed=connection is not None,
        **asked,
    )
    answers = [one for one in told if not isinstance(one, dict)]
    if report is not None and answers:
        write_answers(report, focused, readers, shown, answers, truths)
        say(f"Report: {report}")
    _finish(facts, told, json)


def _finish(
    facts: dict[str, Any], told: Sequence[Answer | dict[str, str]], json: bool
) -> None:
    """Print one document if that is wanted; end with a failure if a question did."""
    lines = [one if isinstance(one, dict) else one.to_dict() for one in told]
    if json:
        print_json(facts | (lines[0] if len(lines) == 1 else {"answers": lines}))
    if any(isinstance(one, dict) for one in told):
        raise typer.Exit(1)


def _read(
    focused: VideoModel, readers: Sequence[VideoReader], reading: Reading
) -> VideoIndex | VideoGroup:
    """Encode the videos, or open their indexes."""
    from dynfocus.index import VideoGroup

    found = []
    for reader in readers:
        with progress_bar("Reading the video") as progress:
            found.append(
                focused.index(
                    reader,
                    fps=reading.fps,
                    max_frames=reading.max_frames,
                    max_encoded_frames=reading.max_encoded_frames,
                    progress=progress,
                )
            )
    return found[0] if len(found) == 1 else VideoGroup(tuple(found))


def _answer_all(
    focused: VideoModel | FrameAnswerer,
    shown: VideoIndex | VideoGroup | Sequence[VideoReader],
    questions: Sequence[str],
    after: str,
    **options: Any,
) -> list[Answer | dict[str, str]]:
    """Answer questions; of several, one that fails takes no other along.

    Args:
        focused: The model.
        shown: The videos, or what reads them.
        questions: The questions.
        after: What the cost of the first answer ends with.
        **options: What `_answer` takes besides.

    Returns:
        The answers, and for a question that failed the reason under ``error``.
    """
    told: list[Answer | dict[str, str]] = []
    for question in questions:
        try:
            answer = _answer(focused, shown, question, **options)
        except (ValueError, OSError) as error:
            if len(questions) == 1:
                raise
            say(f"dynfocus: {sentence(error)}")
            told.append({"question": question, "error": sentence(error)})
            continue
        if answer.finish_reason == "length":
            most = plural(options["max_new_tokens"], "token")
            warn(f"the answer was cut at {most}; allow more with --max-new-tokens")
        say(describe_cost(answer, after))
        after = ""
        told.append(answer)
    return told


def _answer(
    focused: VideoModel | FrameAnswerer,
    shown: VideoIndex | VideoGroup | Sequence[VideoReader],
    question: str,
    *,
    is_aloud: bool,
    is_streamed: bool,
    **options: Any,
) -> Answer:
    """Answer, and print the answer unless it is to be silent."""
    with ExitStack() as stack:
        reading = stack.enter_context(ExitStack())
        if isinstance(shown, list):
            options["progress"] = reading.enter_context(
                progress_bar("Reading the video")
            )
        if is_aloud and is_streamed:
            show = stack.enter_context(printed_pieces())

            def on_text(piece: str) -> None:
                reading.close()  # a bar would take what is printed beside it
                show(piece)

            return focused.ask(shown, question, on_text=on_text, **options)
        answer = focused.ask(shown, question, **options)
    if is_aloud:
        print(answer.text)
    return answer
