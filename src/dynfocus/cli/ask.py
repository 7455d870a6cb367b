"""``dynfocus ask``: one question about one video."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.answer_report import find_truths, write_answers
from dynfocus.cli.commands import (
    Also,
    AnsweringModel,
    Excerpt,
    Json,
    Loading,
    MaxNewTokens,
    Method,
    NoIndex,
    Questions,
    Reading,
    Video,
    Words,
    command,
)
from dynfocus.cli.console import (
    check_video,
    describe_cost,
    describe_videos,
    print_json,
    progress_bar,
    read_question,
    say,
)
from dynfocus.cli.frame_choice import Choosing, Looking, ask_about_frames
from dynfocus.cli.looking import ask_server_again
from dynfocus.cli.servers import (
    Backend,
    Serving,
    given_options,
    load_answerer,
    printed_pieces,
)
from dynfocus.defaults import NANO_QUESTIONS
from dynfocus.text import sentence

if TYPE_CHECKING:
    from dynfocus.index import VideoGroup, VideoIndex
    from dynfocus.models import Answer, VideoModel
    from dynfocus.video import VideoReader

_OF_FRAMES = frozenset({"budget", "scorer", "cones", "layout"})
_OF_MODELS = frozenset(
    {
        "device_map",
        "dtype",
        "max_frames",
        "max_video_tokens",
        "no_index",
        "quantize",
        "report",
        "served_model",
    }
)
_REFUSED: dict[Backend | None, frozenset[str]] = {
    None: _OF_FRAMES - {"scorer"},
    "vllm": _OF_FRAMES,
    "openai": _OF_MODELS,
}


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
    loading: Loading,
    excerpt: Excerpt,
    reading: Reading,
    serving: Serving,
    choosing: Choosing,
    words: Words,
    also: Also = None,
    model: AnsweringModel = None,
    method: Method = None,
    max_new_tokens: MaxNewTokens = 64,
    no_index: NoIndex = False,
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
    --fps choose the frames as in dynfocus frames, and the answer may have 512 tokens;
    with a --method that looks again, --budget is that of all requests together.
    A video that is not FocusWorld is answered by what dynfocus download fetched; see
    docs/models.md, and docs/plugins.md for vision language models without training.
    """
    serving.check(context, _REFUSED[serving.backend])
    words.settle(context, 1 + len(also or ()))
    questions = [read_question(one) for one in question]
    readers = [check_files(one, report, excerpt) for one in (video, *(also or ()))]
    if serving.backend == "openai":
        given = given_options(context)
        _check_request(model, questions, choosing, len(readers))
        looking = Looking(
            fps=reading.fps if "fps" in given else None, word_share=reading.word_share
        )
        if "max_new_tokens" not in given:
            max_new_tokens = 512
        _ask_server(
            readers,
            questions[0],
            choosing,
            looking,
            serving,
            model or "",
            max_new_tokens=max_new_tokens,
            json=json,
            method=method,
        )
        return
    truths = {}
    if report is not None and len(readers) == 1:
        truths = find_truths(readers[0])
    asked = {
        "max_video_tokens": reading.max_video_tokens,
        "word_share": reading.word_share,
        "method": method,
        "max_new_tokens": max_new_tokens,
    }
    name, focused, connection = load_answerer(
        model,
        readers,
        serving,
        loading,
        no_index=no_index,
        scorer=choosing.scorer,
        **asked,
    )
    started = time.perf_counter()
    shown = _read(focused, readers, reading)
    index_seconds = time.perf_counter() - started
    is_known = all(one.is_from_disk for one in shown.videos)
    facts: dict[str, object] = {
        **describe_videos(readers),
        "model": name,
        "from_index": is_known,
        "index_seconds": round(index_seconds, 3),
    }
    if connection is not None:
        facts |= {"backend": serving.backend, "url": connection.server.url}
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
    if json:
        lines = [one if isinstance(one, dict) else one.to_dict() for one in told]
        print_json(facts | (lines[0] if len(lines) == 1 else {"answers": lines}))
    if report is not None and answers:
        write_answers(report, focused, readers, shown, answers, truths)
        say(f"Report: {report}")
    if len(answers) < len(questions):
        raise typer.Exit(1)


def _check_request(
    model: str | None, questions: Sequence[str], choosing: Choosing, num_videos: int
) -> None:
    """Refuse what a request with frames cannot ask."""
    from dynfocus.backends import check_layout

    if model is None:
        raise typer.BadParameter(
            "--backend openai needs --model, the name of the model at the server"
        )
    if len(questions) > 1:
        raise typer.BadParameter(
            "--backend openai answers one question a call, since each has frames of "
            "its own: ask them one by one"
        )
    try:
        check_layout(choosing.layout, num_videos)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}") from error


def _ask_server(
    readers: Sequence[VideoReader],
    question: str,
    choosing: Choosing,
    looking: Looking,
    serving: Serving,
    model: str,
    *,
    max_new_tokens: int,
    json: bool,
    method: str | None,
) -> None:
    """Send frames that a rule chooses, or look again as a loop says."""
    if method is None or _is_rule(method):
        looking = looking if method is None else replace(looking, rule=method)
        ask_about_frames(
            readers,
            question,
            choosing,
            looking,
            serving,
            model,
            max_new_tokens=max_new_tokens,
            json=json,
        )
        return
    ask_server_again(
        _check_method(readers, method),
        question,
        choosing,
        looking,
        serving,
        model,
        max_new_tokens=max_new_tokens,
        json=json,
        method=method,
    )


def _is_rule(method: str) -> bool:
    """Tell whether a method is a selector of frames, which a server is sent."""
    from dynfocus.methods import find_selectors

    return method in find_selectors("dropped")


def _check_method(readers: Sequence[VideoReader], method: str) -> VideoReader:
    """Refuse what a server cannot be asked in several passes; give the video."""
    from dynfocus.methods.loops import LOOPS

    if method not in LOOPS:
        raise typer.BadParameter(
            f"--backend openai has no --method but {', '.join(sorted(LOOPS))} and the "
            f"rules of dynfocus frames --rule, got {method!r}"
        )
    if len(readers) > 1:
        raise typer.BadParameter(
            f"--backend openai with --method {method} is asked about one video: leave "
            "--also out"
        )
    return readers[0]


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
                    progress=progress,
                )
            )
    return found[0] if len(found) == 1 else VideoGroup(tuple(found))


def _answer_all(
    focused: VideoModel,
    shown: VideoIndex | VideoGroup,
    questions: Sequence[str],
    after: str,
    **options: Any,
) -> list[Answer | dict[str, str]]:
    """Answer questions; of several, one that fails takes no other along.

    Args:
        focused: The model.
        shown: The videos.
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
        say(describe_cost(answer, after))
        after = ""
        told.append(answer)
    return told


def _answer(
    focused: VideoModel,
    shown: VideoIndex | VideoGroup,
    question: str,
    *,
    is_aloud: bool,
    is_streamed: bool,
    **options: Any,
) -> Answer:
    """Answer, and print the answer unless it is to be silent."""
    if is_aloud and is_streamed:
        with printed_pieces() as show:
            return focused.ask(shown, question, on_text=show, **options)
    answer = focused.ask(shown, question, **options)
    if is_aloud:
        print(answer.text)
    return answer


def check_files(video: str, report: Path | None, excerpt: Excerpt) -> VideoReader:
    """Fail on a report that cannot be written or a file that is no video."""
    if report is not None:
        from dynfocus.atomic import check_writable

        check_writable(report, read=video)
    return check_video(video, excerpt)
