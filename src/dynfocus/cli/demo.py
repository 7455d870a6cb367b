"""``dynfocus demo``: a video, questions, answers beside the truth, and a report."""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json, progress_bar, say
from dynfocus.cli.options import Json, Model, Seed, positive
from dynfocus.cli.serve import Serve, load_server
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.models import Answer, VideoModel
    from dynfocus.world import WideQuestion, WorldQuestion

    Question = WorldQuestion | WideQuestion

NUM_QUESTIONS = 12
"""Questions asked where the video gives that many; one or two of each kind."""

_TABLE_WIDTH = 110
_CELL = 120


@command(
    "dynfocus demo",
    "dynfocus demo --duration 60 --seed 7 --json",
    "dynfocus demo --duration 60 --open",
)
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where to leave the files.")
    ] = Path("dynfocus-demo"),
    duration: Annotated[
        float,
        typer.Option(
            "--duration", callback=positive, help="Seconds of video, 30 or more."
        ),
    ] = 240.0,
    seed: Seed = 0,
    model: Model = "nano",
    json: Json = False,
    open: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Then serve the video and open the page about it; Ctrl-C ends it.",
        ),
    ] = False,
) -> None:
    """Make a video, ask about it, show the answers beside the truth, leave a report."""
    if duration < 30:
        raise typer.BadParameter(
            f"--duration must be 30 seconds or more for eight questions, got {duration:g}"
        )
    from dynfocus.atomic import check_writable

    serve = load_server("dynfocus demo --open") if open else None
    from dynfocus.report import write_report

    report, pictures = out / "report.html", out / "timeline.png"
    out.mkdir(parents=True, exist_ok=True)
    check_writable(report)
    focused = load_model(model, index_folder=False, needs="maps")
    video, questions = _make_video(out, duration, seed)
    started = time.perf_counter()
    with progress_bar("Reading the video") as progress:
        index = focused.index(video, progress=progress)
    index_seconds = time.perf_counter() - started
    rows = _ask_all(focused, index, questions)
    write_report(
        report,
        index,
        [row.answer for row in rows],
        title="FocusWorld demo",
        truths=[row.asked.answer for row in rows],
        verdicts=[row.is_right for row in rows],
        evidence=[row.asked.evidence for row in rows],
        maps=[focused.map_prototypes(index, row.answer, num_frames=1) for row in rows],
    )
    _write_timelines(pictures, index, rows)
    if json:
        facts = {"video": str(video), "report": str(report), "timeline": str(pictures)}
        print_json(facts | _document(rows, index_seconds))
    else:
        _print_table(rows)
        _print_summary(rows, index, index_seconds)
        print(f"Video:    {video}\nReport:   {report}\nTimeline: {pictures}")
    if serve is not None:
        _open_page(serve, video, model)


@dataclass(frozen=True)
class _Row:
    asked: Question
    answer: Answer
    is_right: bool


def choose_questions(
    questions: Sequence[Question], count: int = NUM_QUESTIONS
) -> list[Question]:
    """Take one question of each kind, then second ones until there are enough.

    Args:
        questions: All of a video, grouped by kind.
        count: How many to take.

    Returns:
        At most ``count`` questions, still grouped by kind.
    """
    nth_of_kind: dict[str, int] = {}
    rounds: list[tuple[int, int]] = []
    for place, question in enumerate(questions):
        nth = nth_of_kind.get(question.kind, 0)
        nth_of_kind[question.kind] = nth + 1
        if nth < 2:
            rounds.append((nth, place))
    chosen = sorted(place for _, place in sorted(rounds)[:count])
    return [questions[place] for place in chosen]


def _make_video(out: Path, duration: float, seed: int) -> tuple[Path, list[Question]]:
    from dynfocus.atomic import write_atomically
    from dynfocus.world import make_video

    path = out / "video.mp4"
    with progress_bar("Making the video") as progress:
        made = make_video(path, duration, seed, progress=progress)
    truth = json_format.dumps(made.to_dict(), ensure_ascii=False, indent=1)
    write_atomically(out / "questions.json", f"{truth}\n")
    return path, choose_questions(made.questions)


def _open_page(serve: Serve, video: Path, model: str) -> None:
    """Serve the library with this video in it, and show its page."""
    import webbrowser

    from dynfocus.serving import ServerSettings
    from dynfocus.serving.library import Library
    from dynfocus.serving.world_videos import add_world_video

    settings = ServerSettings(model=model, port=0)
    library = Library(settings.library_folder, passing_bytes=settings.passing_bytes)
    added = add_world_video(library, video)

    def show(address: str) -> None:
        page = f"{address}/#/videos/{added.id}?ask"
        say(f"The page: {page}, until Ctrl-C")
        webbrowser.open(page)

    serve(settings, show)


def _ask_all(
    focused: VideoModel, index: VideoIndex, questions: Sequence[Question]
) -> list[_Row]:
    from dynfocus.evaluation import is_right

    rows = []
    with progress_bar("Asking") as progress:
        for number, asked in enumerate(questions, 1):
            answer = focused.ask(index, asked.question)
            rows.append(_Row(asked, answer, is_right(asked, answer.text)))
            if progress is not None:
                progress(number, len(questions))
    return rows


def _write_timelines(path: Path, index: VideoIndex, rows: Sequence[_Row]) -> None:
    """Draw the first two questions whose evidence is some part of the video."""
    from dynfocus.report import QuestionTimeline, write_timelines

    shown = [row for row in rows if row.asked.evidence][:2] or rows[:2]
    timelines = [
        QuestionTimeline(
            question=row.asked.question,
            frames=row.answer.frames,
            evidence=row.asked.evidence,
        )
        for row in shown
    ]
    write_timelines(path, index, timelines)


def _document(rows: Sequence[_Row], index_seconds: float) -> dict[str, Any]:
    return {
        "index_seconds": round(index_seconds, 3),
        "num_right": sum(row.is_right for row in rows),
        "questions": [
            {
                "kind": row.asked.kind,
                "question": row.asked.question,
                "answer": row.answer.text,
                "truth": row.asked.answer,
                "right": row.is_right,
                "tokens": row.answer.tokens,
                "seconds": round(row.answer.seconds, 3),
            }
            for row in rows
        ],
    }


def _print_table(rows: Sequence[_Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=_TABLE_WIDTH)
    table = Table()
    for name in ("kind", "question", "answer", "truth", "right?"):
        table.add_column(name, overflow="fold")
    table.add_column("video tokens", justify="right")
    table.add_column("seconds", justify="right")
    for row in rows:
        right = Text("yes", "green") if row.is_right else Text("no", "red")
        cells = (row.asked.kind, row.asked.question, row.answer.text, row.asked.answer)
        table.add_row(
            *(Text(_shorten(cell)) for cell in cells),
            right,
            f"{row.answer.tokens:,}",
            f"{row.answer.seconds:.2f}",
        )
    console.print(table)


def _shorten(text: str) -> str:
    """Keep the table readable; the report and --json have every word."""
    return text if len(text) <= _CELL else f"{text[: _CELL - 3]}..."


def _print_summary(
    rows: Sequence[_Row], index: VideoIndex, index_seconds: float
) -> None:
    num_right = sum(row.is_right for row in rows)
    print(f"{num_right} of {plural(len(rows), 'answer')} right.")
    say(
        f"The video ({index.duration:g} s, {plural(index.num_frames, 'frame')}) was read once, in "
        f"{index_seconds:.1f} s; each question took "
        f"{sum(row.answer.seconds for row in rows) / max(1, len(rows)):.2f} s."
    )
