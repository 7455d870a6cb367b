"""``dynfocus batch``: many questions about many videos."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import (
    print_json,
    progress_bar,
    read_input,
    say,
    scorer_of,
    warn,
)
from dynfocus.cli.options import (
    Json,
    Loading,
    MaxNewTokens,
    Method,
    Model,
    NoIndex,
    Read,
    Reading,
    Scorer,
    at_least_one,
)
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.bulk import Record, Row
    from dynfocus.models.options import AskOptions


@command(
    "dynfocus batch questions.jsonl --out answers.jsonl --workers 2",
    "dynfocus batch questions.jsonl --out answers.jsonl --retry --ray auto",
)
def batch(
    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS.jsonl",
            help='One {"video": ..., "question": ...} a line; "-" reads standard input. '
            'A list under "video" is asked about together.',
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="ANSWERS.jsonl",
            help="Where answers are added, a line each; what it holds is not asked again.",
        ),
    ],
    loading: Loading,
    reading: Reading,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            callback=at_least_one,
            help="Processes, or actors of Ray; each loads the model.",
        ),
    ] = 1,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again what failed in an earlier run.")
    ] = False,
    index_only: Annotated[
        bool,
        typer.Option(
            "--index-only", help="Only fill the index on disk; ask no question."
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help='Work on a Ray cluster: its address, "auto", or "local" to start one.',
        ),
    ] = None,
    model: Model = "nano",
    scorer: Scorer = None,
    read: Read = None,
    method: Method = None,
    max_new_tokens: MaxNewTokens = 64,
    no_index: NoIndex = False,
    json: Json = False,
) -> None:
    """Answer many questions, each video encoded once; a run that stops goes on.

    A row may also have "id"; "fps", "start", "end", "stream", "max_frames", "max_encoded_frames",
    "max_video_tokens", "method" and "max_new_tokens", which stand in place of the
    options of the command; "subtitles" (a file or several, for --scorer text and
    --model words); "answer" (the true one) and "evidence" (intervals in
    seconds), which are for programs that use rows; and "facts", an object that its
    record repeats. Without "question", its video is only indexed. "messages" or
    "conversations" may hold the question as turns. Rows that fail say why under
    "error", and the exit code is 1.
    """
    if index_only and no_index:
        raise typer.BadParameter("--index-only and --no-index leave nothing to do")
    from dynfocus.atomic import check_writable
    from dynfocus.bulk import Asker, ModelLoader, run_rows
    from dynfocus.models.options import AskOptions, LoadOptions
    from dynfocus.models.unknown_world import UNKNOWN_WORLD
    from dynfocus.words.picture_text import require_reader

    if read:
        require_reader()
    check_writable(
        out, what="the answers", read=None if questions == "-" else questions
    )
    defaults = AskOptions(
        **asdict(reading), method=method, max_new_tokens=max_new_tokens
    )
    rows = _read(questions, defaults, index_only=index_only)
    loader = ModelLoader(
        name=model,
        options=LoadOptions(
            **asdict(loading),
            index_folder=False if no_index else None,
            scorer=scorer_of(model, scorer),
        ),
        needs="index" if index_only else None,
    )
    new: list[Record] = []
    with progress_bar("Answering") as progress:
        records = run_rows(
            Asker(loader, screen=read),
            rows,
            out,
            workers=workers,
            ray=ray,
            retries=retry,
            progress=progress,
            on_record=new.append,
        )
    num_earlier = len(rows) - len(new)
    num_failed = sum("error" in record for record in records)
    num_unknown = sum(UNKNOWN_WORLD in str(one.get("warnings")) for one in records)
    if json:
        counts = {"num_rows": len(rows), "num_earlier": num_earlier}
        counts |= {"num_failed": num_failed, "num_unknown_world": num_unknown}
        print_json({"out": str(out), **counts})
    else:
        print(out)
    say(
        f"{plural(len(rows), 'row')}: {num_earlier:,} from earlier runs, "
        f"{num_failed:,} failed"
    )
    if num_unknown:
        warn(f"the video of {plural(num_unknown, 'row')} {UNKNOWN_WORLD}")
    if num_failed:
        raise typer.Exit(1)


def _read(questions: str, defaults: AskOptions, *, index_only: bool) -> list[Row]:
    """Read and check all rows before anything runs."""
    from dataclasses import replace

    from dynfocus.bulk import read_rows

    text = read_input(questions)
    try:
        rows = read_rows(text, defaults)
    except ValueError as error:
        raise ValueError(f"{questions}: {error}") from error
    return [replace(row, question=None) for row in rows] if index_only else rows
