"""``dynfocus ask``: one question about one video."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import (
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
    command,
)
from dynfocus.cli.console import (
    check_video,
    describe_cost,
    print_json,
    progress_bar,
    read_question,
    say,
)
from dynfocus.cli.frame_choice import Choosing, Looking, ask_about_frames
from dynfocus.cli.servers import (
    Backend,
    Serving,
    given_options,
    load_answerer,
    printed_pieces,
)
from dynfocus.defaults import NANO_QUESTIONS

if TYPE_CHECKING:
    from dynfocus.models import Answer, VideoModel
    from dynfocus.video import VideoReader
    from dynfocus.world import WorldQuestion

_OF_FRAMES = frozenset({"budget", "scorer", "cones", "layout"})
_OF_MODELS = frozenset(
    {
        "device_map",
        "dtype",
        "max_frames",
        "max_video_tokens",
        "method",
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

    The answers go to standard output, each on a line of its own. A line to standard
    error says the time of the frame whose score for the question is highest, how sure
    the model is (the geometric mean of the probabilities of the answer's tokens, not
    calibrated), each where it is known, and what the answer cost. With
    --backend openai, --model is the server's, --budget, --scorer, --cones, --layout and
    --fps choose the frames as in dynfocus frames, and the answer may have 512 tokens.
    A video that is not FocusWorld is answered by what dynfocus download fetched; see
    docs/models.md, and docs/plugins.md for vision language models without training.
    """
    serving.check(context, _REFUSED[serving.backend])
    questions = [read_question(one) for one in question]
    reader = check_files(video, report, excerpt)
    if serving.backend == "openai":
        given = given_options(context)
        if model is None:
            raise typer.BadParameter(
                "--backend openai needs --model, the name of the model at the server"
            )
        if len(questions) > 1:
            raise typer.BadParameter(
                "--backend openai answers one question a call, since each has frames of "
                "its own: ask them one by one"
            )
        ask_about_frames(
            reader,
            questions[0],
            choosing,
            Looking(fps=reading.fps if "fps" in given else None),
            serving,
            model,
            max_new_tokens=max_new_tokens if "max_new_tokens" in given else 512,
            json=json,
        )
        return
    truths = _find_truths(reader, questions) if report is not None else []
    name, focused, connection = load_answerer(
        model, reader, serving, loading, no_index=no_index, scorer=choosing.scorer
    )
    started = time.perf_counter()
    with progress_bar("Reading the video") as progress:
        index: Any = focused.index(
            reader, fps=reading.fps, max_frames=reading.max_frames, progress=progress
        )
    index_seconds = time.perf_counter() - started
    facts: dict[str, object] = {
        "video": str(reader.path),
        **reader.part,
        "model": name,
        "from_index": index.is_from_disk,
        "index_seconds": round(index_seconds, 3),
    }
    if connection is not None:
        facts |= {"backend": serving.backend, "url": connection.server.url}
    work = "opening its index" if index.is_from_disk else "reading the video"
    after = f" after {index_seconds:.2f} s for {work}"
    answers: list[Answer] = []
    for one in questions:
        answer = _answer(
            focused,
            index,
            one,
            is_aloud=not json,
            is_streamed=connection is not None,
            max_video_tokens=reading.max_video_tokens,
            method=method,
            max_new_tokens=max_new_tokens,
        )
        say(describe_cost(answer, "" if answers else after))
        answers.append(answer)
    if json:
        told = [answer.to_dict() for answer in answers]
        print_json(facts | (told[0] if len(told) == 1 else {"answers": told}))
    if report is not None:
        _write_report(report, focused, reader, index, answers, truths)
        say(f"Report: {report}")


def _answer(
    focused: VideoModel,
    index: Any,
    question: str,
    *,
    is_aloud: bool,
    is_streamed: bool,
    **options: Any,
) -> Answer:
    """Answer, and print the answer unless it is to be silent."""
    if is_aloud and is_streamed:
        with printed_pieces() as show:
            return focused.ask(index, question, on_text=show, **options)
    answer = focused.ask(index, question, **options)
    if is_aloud:
        print(answer.text)
    return answer


def _find_truths(
    video: VideoReader, questions: list[str]
) -> list[WorldQuestion | None]:
    """Look up the truth of each question where FocusWorld left it beside a video."""
    from dynfocus.world import find_questions, is_world_video

    found = find_questions(video.path) if is_world_video(video) else ()
    known = {one.question: one for one in found}
    return [known.get(question) for question in questions]


def _write_report(
    report: Path,
    focused: VideoModel,
    video: VideoReader,
    index: Any,
    answers: list[Answer],
    truths: list[WorldQuestion | None],
) -> None:
    from dynfocus.evaluation import is_right
    from dynfocus.report import write_report

    maps, reason = None, focused.why_not("maps")
    if reason is None:
        maps = [focused.map_prototypes(video, answer) for answer in answers]
    else:
        say(f"No prototype maps in the report: {reason}")
    write_report(
        report,
        index,
        answers,
        title=answers[0].question,
        truths=[truth.answer if truth else None for truth in truths],
        verdicts=[
            is_right(truth, answer.text) if truth else None
            for truth, answer in zip(truths, answers, strict=True)
        ],
        evidence=[truth.evidence if truth else () for truth in truths],
        maps=maps,
    )


def check_files(video: str, report: Path | None, excerpt: Excerpt) -> VideoReader:
    """Fail on a report that cannot be written or a file that is no video."""
    if report is not None:
        from dynfocus.atomic import check_writable

        check_writable(report, read=video)
    return check_video(video, excerpt)
