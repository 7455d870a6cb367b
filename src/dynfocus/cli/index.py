"""``dynfocus index``: videos encoded now, asked about later; and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import file_progress, print_json, say, warn
from dynfocus.cli.options import (
    Dtype,
    Excerpt,
    Fps,
    Json,
    MaxEncodedFrames,
    MaxFrames,
    Model,
    Read,
    at_least_one,
)
from dynfocus.cli.words import read_pictures
from dynfocus.text import plural, sentence

if TYPE_CHECKING:
    from dynfocus.bulk import Record
    from dynfocus.index import IndexStore, StoredEntry


@command(
    "dynfocus index clip.mp4 talks/ 'archive/**/*.mkv' --workers 2",
    "dynfocus index talks/ --dry-run",
    "dynfocus index --list",
)
def index(
    excerpt: Excerpt,
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO...",
            help="Files, http addresses, folders that are searched for videos, patterns "
            "in quotes.",
        ),
    ] = None,
    model: Model = "nano",
    dtype: Dtype = None,
    fps: Fps = 1.0,
    max_frames: MaxFrames = None,
    max_encoded_frames: MaxEncodedFrames = None,
    storage: Annotated[
        Literal["exact", "compact"] | None,
        typer.Option(
            "--storage",
            help="Keep every bit, or about an eighth; by default what the model needs "
            "for an hour to take at most 100 MB.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="The index; by default $DYNFOCUS_INDEX or a folder in your cache.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            callback=at_least_one,
            help="Processes that work at once, each with the model.",
        ),
    ] = 1,
    read: Read = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only tell how large each index will be."),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List what the index holds.")
    ] = False,
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Remove files from the index that are no use."),
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="Remove everything from the index.")
    ] = False,
    json: Json = False,
) -> None:
    """Encode videos now, so that questions about them are answered at once.

    What is indexed is skipped, so a run that was stopped continues. A video that cannot
    be read is named at the end, and the others are done. "ask", "chat" and "timeline"
    with the same model, --fps and --stream find the index by themselves. What is written
    in the pictures is read as well and kept, whatever the model.
    """
    chores = [list_, clean, empty]
    if sum(chores) + bool(videos) != 1:
        raise typer.BadParameter(
            "give either videos or one of --list, --clean and --empty"
        )
    if any(chores):
        keep_house(folder, is_list=list_, is_empty=empty, json=json)
        return
    files, problems = _find(videos or ())
    sampling = {
        "fps": fps,
        "max_frames": max_frames,
        "max_encoded_frames": max_encoded_frames,
    }
    plan = _Plan(model, dtype, sampling, storage, excerpt)
    if dry_run:
        _predict(files, problems, plan, json=json)
        return
    started = time.perf_counter()
    outcomes = _index_all(files, plan, folder, workers)
    if read or (read is None and model != "nano"):
        read_pictures(outcomes, excerpt.stream, folder, read)
    outcomes += problems
    seconds = time.perf_counter() - started
    if json:
        print_json({"videos": outcomes})
    else:
        for outcome in outcomes:
            if outcome["entry"] is not None:
                print(f"{outcome['entry']}\t{outcome['file']}")
    _summarise(outcomes, seconds)


Outcome = dict[str, Any]
"""What became of a video, as ``--json`` shows it."""


def _find(names: Sequence[str]) -> tuple[list[Path | str], list[Outcome]]:
    """List the videos that are meant, and the names that mean none.

    Raises:
        FileNotFoundError: No name means any.
    """
    from dynfocus.video import find_videos

    files: list[Path | str] = []
    problems: dict[str, str] = {}
    for name in names:
        try:
            files += find_videos([name])
        except (FileNotFoundError, ValueError) as error:
            problems[name] = str(error)
    if not files:
        raise FileNotFoundError("; ".join(problems.values()))
    return find_videos(files), [_failed(*problem) for problem in problems.items()]


def _failed(name: str, reason: str) -> Outcome:
    return _outcome({"video": name, "error": reason})


def _outcome(record: Record) -> Outcome:
    """Take from a record of the run what the command tells."""
    name = record["video"]
    reason = record.get("error")
    return {
        "file": name,
        "state": record.get("state", "failed"),
        "entry": record.get("entry"),
        "num_bytes": record.get("num_bytes", 0),
        "num_frames": record.get("frames", 0),
        "seconds": record.get("seconds", 0.0),
        "reason": reason and reason.removeprefix(f"{name}: "),
        "warnings": record.get("warnings", []),
    }


class _Plan:
    """The model and which frames it encodes."""

    def __init__(
        self,
        model: str,
        dtype: str | None,
        sampling: dict[str, Any],
        storage: str | None,
        excerpt: Excerpt,
    ) -> None:
        from dynfocus.index.layout import check_storage
        from dynfocus.models.fingerprint import index_layouts
        from dynfocus.models.loading import load_config

        self.model, self.dtype = model, dtype
        self.sampling, self.excerpt = sampling, excerpt
        self.asked_storage = None if storage is None else check_storage(storage)
        self.layout = index_layouts(*load_config(model, dtype), storage)[0]


def _index_all(
    files: Sequence[Path | str], plan: _Plan, folder: Path | None, workers: int
) -> list[Outcome]:
    from dynfocus.bulk import Asker, ModelLoader, Row, run_rows
    from dynfocus.models.options import AskOptions, LoadOptions

    options = AskOptions(**plan.sampling, **asdict(plan.excerpt))
    rows = [Row(video=str(f), id=str(f), options=options) for f in files]
    loader = ModelLoader(
        name=plan.model,
        options=LoadOptions(
            dtype=plan.dtype,
            index_folder=folder,
            storage=plan.asked_storage,
        ),
        needs="index",
    )
    with file_progress(len(rows)) as bars:
        records = run_rows(
            Asker(loader),
            rows,
            workers=workers,
            on_record=lambda record: bars.finish(_outcome(record)),
            on_step=bars.advance,
        )
    return [_outcome(record) for record in records]


def _summarise(outcomes: Sequence[Outcome], seconds: float) -> None:
    for outcome in outcomes:
        for text in outcome["warnings"]:
            warn(text)
    failed = [outcome for outcome in outcomes if outcome["state"] == "failed"]
    counts = {s: sum(o["state"] == s for o in outcomes) for s in ("new", "done")}
    say(
        f"{counts['new']} new, {counts['done']} done before, {len(failed)} failed "
        f"in {seconds:.1f} s"
    )
    for outcome in failed:
        say(f"dynfocus: {outcome['file']} is not indexed: {outcome['reason']}")
    lost = [o for o in outcomes if o["entry"] and not Path(o["entry"]).exists()]
    if lost:
        say(
            f"dynfocus: {plural(len(lost), 'video')} of these had to make room again; "
            "set DYNFOCUS_INDEX_GB to the gigabytes that the index may take"
        )
    if failed or lost:
        raise typer.Exit(1)


def _predict(
    files: Sequence[Path | str], problems: Sequence[Outcome], plan: _Plan, *, json: bool
) -> None:
    """Tell the size of each index from the length of its video."""
    from dynfocus.video import VideoReader, show_address

    rows = [{"file": one["file"], "reason": one["reason"]} for one in problems]
    storage, sampling = plan.layout.storage, dict(plan.sampling)
    most = sampling.pop("max_encoded_frames")
    for file in files:
        row: dict[str, Any] = {"file": show_address(str(file))}
        try:
            reader = VideoReader(file, **asdict(plan.excerpt))
            num_frames = len(reader.plan_times(**sampling))
        except (OSError, ValueError) as error:
            rows.append(row | {"reason": sentence(error)})
            continue
        num_frames = min(num_frames, most or num_frames)
        num_bytes = plan.layout.num_bytes(num_frames)
        rows.append(row | {"num_frames": num_frames, "num_bytes": num_bytes})
    total = sum(row.get("num_bytes", 0) for row in rows)
    if json:
        print_json({"storage": storage, "videos": rows, "num_bytes": total})
    else:
        for row in rows:
            if "reason" not in row:
                print(f"{megabytes(row['num_bytes'])}\t{row['file']}")
        say(f"{megabytes(total)} in {plural(len(files), 'video')}, {storage} storage")
    failed = [row for row in rows if "reason" in row]
    for row in failed:
        say(f"dynfocus: {row['file']} cannot be indexed: {row['reason']}")
    if failed:
        raise typer.Exit(1)


def keep_house(
    folder: Path | None, *, is_list: bool, is_empty: bool, json: bool
) -> None:
    """List or remove what an index holds.

    Args:
        folder: Its folder; by default the user's.
        is_list: Whether to list its entries instead of removing any.
        is_empty: Whether to remove all of them instead of what is no use.
        json: Whether to print one JSON document.
    """
    from dynfocus.index import IndexStore

    store = IndexStore(folder)
    if is_list:
        _list_entries(store, json=json)
        return
    removed = store.clean(everything=is_empty)
    if json:
        files = [str(path) for path in removed]
        print_json({"folder": str(store.folder), "removed": files})
        return
    for path in removed:
        print(path)
    say(f"{plural(len(removed), 'file')} removed from {store.folder}")


def _list_entries(store: IndexStore, *, json: bool) -> None:
    entries = store.entries()
    total = sum(entry.num_bytes for entry in entries)
    if json:
        rows = [_entry_row(entry) for entry in entries]
        folder = str(store.folder)
        print_json({"folder": folder, "num_bytes": total, "entries": rows})
        return
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_seconds))
        if entry.facts is None:
            what = f"not used: {entry.problem}"
        else:
            frames = plural(entry.facts.num_frames, "frame")
            part = _describe_part(entry)
            what = f"{entry.facts.source}\t{frames}{part}, {entry.facts.model_name}"
        print(f"{used}\t{megabytes(entry.num_bytes)}\t{what}")
    say(f"{plural(len(entries), 'video')}, {megabytes(total)} in {store.folder}")


def _describe_part(entry: StoredEntry) -> str:
    """Say which part and which stream of its video an entry holds, if not the usual."""
    sampling, facts = entry.sampling, entry.facts
    assert sampling is not None  # its header was read
    assert facts is not None  # as well
    part = ""
    if sampling.start is not None or sampling.end is not None:
        end = facts.duration if sampling.end is None else sampling.end
        part = f" from {sampling.start or 0:g} s to {end:g} s"
    return part if sampling.stream is None else f"{part} of stream {sampling.stream}"


def _entry_row(entry: StoredEntry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "num_bytes": entry.num_bytes,
        "used_seconds": entry.used_seconds,
        "storage": entry.storage,
        "problem": entry.problem,
        **({} if entry.sampling is None else asdict(entry.sampling)),
        **({} if entry.facts is None else asdict(entry.facts)),
    }


def megabytes(num_bytes: int) -> str:
    """Write a size."""
    return f"{num_bytes / 1e6:.1f} MB"
