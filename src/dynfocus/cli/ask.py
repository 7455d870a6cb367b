"""``dynfocus ask``: one question about one video."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import (
    AnsweringModel,
    Json,
    Loading,
    MaxNewTokens,
    Method,
    NoIndex,
    Question,
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
    "vllm": _OF_FRAMES | {"method"},
    "openai": _OF_MODELS,
}


@command(
    'dynfocus ask clip.mp4 "What letter is on the red square?"',
    "echo 'What happens?' | dynfocus ask clip.mp4 - --json --report r.html",
    'dynfocus ask clip.mp4 "Who comes in?" --model my-model --backend vllm '
    "--url http://localhost:8000",
    'dynfocus ask clip.mp4 "Who comes in?" --backend openai '
    "--url https://api.openai.com/v1 --model gpt-4o --budget 32",
)
def ask(
    context: typer.Context,
    video: Video,
    question: Question,
    loading: Loading,
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
    """Answer a question about a video.

    The answer goes to standard output, one line on what it cost to standard error. With
    --backend openai, --model is the server's, --budget, --scorer, --cones, --layout and
    --fps choose the frames as in dynfocus frames, and the answer may have 512 tokens.
    A video that is not FocusWorld is answered by what dynfocus download fetched; see
    docs/models.md, and docs/plugins.md for vision language models without training.
    """
    serving.check(context, _REFUSED[serving.backend])
    question = read_question(question)
    reader = check_files(video, report)
    if serving.backend == "openai":
        given = given_options(context)
        if model is None:
            raise typer.BadParameter(
                "--backend openai needs --model, the name of the model at the server"
            )
        ask_about_frames(
            reader,
            question,
            choosing,
            Looking(fps=reading.fps if "fps" in given else None),
            serving,
            model,
            max_new_tokens=max_new_tokens if "max_new_tokens" in given else 512,
            json=json,
        )
        return
    truth = _find_truth(reader, question) if report is not None else None
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
        "video": str(video),
        "model": name,
        "from_index": index.is_from_disk,
        "index_seconds": round(index_seconds, 3),
    }
    if connection is not None:
        facts |= {"backend": serving.backend, "url": connection.server.url}
    answer = _answer(
        focused,
        index,
        question,
        is_aloud=not json,
        is_streamed=connection is not None,
        max_video_tokens=reading.max_video_tokens,
        method=method,
        max_new_tokens=max_new_tokens,
    )
    if json:
        print_json(facts | answer.to_dict())
    work = "opening its index" if index.is_from_disk else "reading the video"
    say(f"{describe_cost(answer)} after {index_seconds:.2f} s for {work}")
    if report is not None:
        _write_report(report, focused, reader, index, answer, truth)
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


def _find_truth(video: VideoReader, question: str) -> WorldQuestion | None:
    """Look up the truth where FocusWorld left it beside a video."""
    from dynfocus.world import find_questions, is_world_video

    found = find_questions(video.path) if is_world_video(video) else ()
    return {one.question: one for one in found}.get(question)


def _write_report(
    report: Path,
    focused: VideoModel,
    video: VideoReader,
    index: Any,
    answer: Answer,
    truth: WorldQuestion | None,
) -> None:
    from dynfocus.evaluation import is_right
    from dynfocus.report import write_report

    maps, reason = None, focused.why_not("maps")
    if reason is None:
        maps = [focused.map_prototypes(video, answer)]
    else:
        say(f"No prototype maps in the report: {reason}")
    write_report(
        report,
        index,
        [answer],
        title=answer.question,
        truths=[truth.answer] if truth else None,
        verdicts=[is_right(truth, answer.text)] if truth else None,
        evidence=[truth.evidence] if truth else None,
        maps=maps,
    )


def check_files(video: Path, report: Path | None) -> VideoReader:
    """Fail on a report that cannot be written or a file that is no video."""
    if report is not None:
        from dynfocus.atomic import check_writable

        check_writable(report)
    return check_video(video)
