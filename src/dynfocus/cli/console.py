"""What every command shares: the standard streams, progress bars, loading a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dynfocus.cli.startup import import_lightly
from dynfocus.text import (
    check_text,
    decode_text,
    is_blank,
    plural,
    read_text,
    round_floats,
    to_json,
)

if TYPE_CHECKING:
    from dynfocus.bulk.asking import OnStep
    from dynfocus.cli.options import Excerpt
    from dynfocus.models import Answer, LookReport, VideoModel
    from dynfocus.video import VideoName, VideoReader


Progress = Callable[[int, int], None]


def say(text: str) -> None:
    """Write a line for people on standard error."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Write a warning in one line on standard error."""
    say(f"dynfocus: warning: {' '.join(text.split())}")


def print_json(document: Any) -> None:
    """Write one JSON document on standard output."""
    print(to_json(round_floats(document), indent=2))


def _bars() -> Any:
    """Make bars on standard error that go when they are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress
    from rich.progress import TimeRemainingColumn as Remaining

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), Remaining())
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextmanager
def progress_bar(description: str) -> Iterator[Progress | None]:
    """Show a progress bar on standard error if that is a terminal.

    Args:
        description: What is going on, in a few words.

    Yields:
        What to call with the work done and the work in all, or None.
    """
    if not sys.stderr.isatty():
        yield None
        return
    with _bars() as bars:
        task = bars.add_task(description, total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield advance


@contextmanager
def status_line(is_wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Show one line that changes on standard error if that is a terminal.

    Args:
        is_wanted: Show it at all.

    Yields:
        What to call with the newest state.
    """
    if not (is_wanted and sys.stderr.isatty()):
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def name_model(
    named: str | None, videos: Sequence[VideoReader], *, only_own: bool = False
) -> tuple[str, str]:
    """Settle which model answers, and say so unless the call names it.

    Args:
        named: What the call names, if it does.
        videos: What is asked about.
        only_own: Whether only a model of the project's own will do.

    Returns:
        What the model is called, and what it is loaded from.
    """
    if named is not None:
        return named, named
    if only_own:
        return "nano", "nano"
    from dynfocus.defaults import choose_for_all

    chosen = choose_for_all(videos)
    say(f"Model: {chosen.name}, {chosen.reason}")
    return chosen.name, chosen.source


def choose_scorer(named: str | None) -> str | None:
    """Settle what compares frames with the question, and say so unless the call does.

    Args:
        named: What the call names, if it does; ``"none"`` for nothing.

    Returns:
        What is named, else the recommended scorer if it was downloaded; None for nothing.
    """
    if named is not None:
        return None if named == "none" else named
    from dynfocus.defaults import RECOMMENDED_SCORER, find_downloaded

    folder = find_downloaded(RECOMMENDED_SCORER)
    if folder is None:
        return None
    say(
        f"Scorer: {RECOMMENDED_SCORER}, as it was downloaded; --scorer none leaves it out"
    )
    return str(folder)


def scorer_of(model: str, named: str | None) -> str | None:
    """Settle the scorer that goes with a model; one of the project's own needs none.

    Args:
        model: ``"nano"``, a folder, or a hub id.
        named: What the call names, if it does; ``"none"`` for nothing.
    """
    from dynfocus.defaults import OWN_TYPES, WORDS, model_type

    if model == WORDS:
        return None
    if named is None and model_type(model) in OWN_TYPES:
        return None
    return choose_scorer(named)


def load_model(name: str, *, needs: str | None = None, **options: Any) -> VideoModel:
    """Load a model without the notes that libraries write meanwhile.

    Args:
        name: ``"nano"``, a folder, or a hub id.
        needs: One of `Backbone.abilities` that the command cannot do without.
        **options: Fields of `LoadOptions`; None is what they are by default.

    Raises:
        ValueError: It cannot be loaded, or cannot do what is needed.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if name == "nano" and not given.keys() & {"dtype", "quantize", "device_map"}:
        import_lightly()
    import dynfocus

    quiet_libraries()
    model = dynfocus.load(name, **given)
    if needs is not None:
        model.require(needs)
    return model


def quiet_libraries() -> None:
    """Keep the notes and progress bars of transformers off standard error."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def read_input(name: str) -> str:
    """Read a text file, or standard input where it is called ``-``.

    Raises:
        ValueError: It is not UTF-8; the line is named.
    """
    if name != "-":
        return read_text(name)
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:  # somebody has put another in its place
        return sys.stdin.read()
    return decode_text(stream.read(), "standard input")


def read_question(question: str) -> str:
    """Take the question from the call or from standard input; see `clean_question`."""
    return clean_question(read_input("-") if question == "-" else question)


def clean_question(question: str) -> str:
    """Refuse a question that is empty or cannot be written down, as a wrong call.

    Returns:
        The question without white space around it.
    """
    if is_blank(question):
        raise typer.BadParameter("the question is empty: say what to look for")
    try:
        return check_text(question, "the question").strip()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def check_video(video: VideoName, excerpt: Excerpt) -> VideoReader:
    """Open a video; one that is none fails before a model is loaded.

    A file whose server gives no parts is fetched whole, with a progress bar.
    """
    from dynfocus.video import RemoteFile, VideoReader, as_file

    file = as_file(video)
    if not isinstance(file, RemoteFile):
        return VideoReader(file, **asdict(excerpt))
    with progress_bar("Opening the address") as file.progress:
        return VideoReader(file, **asdict(excerpt))


def describe_videos(readers: Sequence[VideoReader]) -> dict[str, Any]:
    """Say for JSON what is read of which files; of several each value is a list."""
    found = [{"video": str(reader.path), **reader.part} for reader in readers]
    if len(found) == 1:
        return found[0]
    return {name: [one[name] for one in found] for name in found[0]}


def describe_trust(
    best_time: float | None, confidence: float | None, best_video: int | None = None
) -> str:
    """Say where an answer was seen and how sure the model was; ends with "; " if at all.

    Args:
        best_time: Time of the frame that weighed most, where there is one.
        confidence: How sure the model was, where that is known.
        best_video: Which of several videos that frame is of, from 0; None of one alone.
    """
    told = []
    if best_time is not None:
        where = "" if best_video is None else f" of video {best_video + 1}"
        told.append(f"at {int(best_time) // 60:02d}:{int(best_time) % 60:02d}{where}")
    if confidence is not None:
        told.append(f"{100 * confidence:.0f} % sure")
    return f"{', '.join(told)}; " if told else ""


def describe_cost(answer: Answer, after: str = "") -> str:
    """Say in one line where an answer was seen, how sure it is and what it cost.

    Args:
        answer: The answer.
        after: What follows its seconds.
    """
    is_of_several = any(frame.video for frame in answer.frames)
    video = answer.best_video if is_of_several else None
    return (
        f"{describe_trust(answer.best_time, answer.confidence, video)}"
        f"{describe_looks(answer.looks)}"
        f"{plural(answer.tokens, 'video token')}, {plural(len(answer.frames), 'frame')} "
        f"({count_kinds([frame.kind for frame in answer.frames])}), "
        f"{answer.seconds:.2f} s{after}{describe_note(answer.looks)}"
    )


def count_kinds(kinds: Sequence[str]) -> str:
    """Count the frames of each kind: Cones and Rods, or dense and others."""
    named = {"high": "dense", "low": "at the low frequency"}
    told = [
        plural(kinds.count(kind), noun)
        for kind, noun in (("cone", "Cone"), ("rod", "Rod"))
        if kind in kinds or not {"low", "high"} & set(kinds)
    ]
    told += [f"{kinds.count(k):,} {name}" for k, name in named.items() if k in kinds]
    return ", ".join(told)


def describe_note(looks: LookReport | None) -> str:
    """Say what did not go as it should where a video was to be looked at again."""
    return "" if looks is None or looks.note is None else f". {looks.note}"


def describe_looks(looks: LookReport | None) -> str:
    """Say what was looked at again; ends with "; " if anything was."""
    if looks is None or not looks.intervals:
        return ""
    from dynfocus.methods.intervals import write_intervals

    return f"looked again {write_intervals(looks.intervals)}; "


class FileLines:
    """Say one line for each finished video, where there is no terminal."""

    advance: OnStep | None = None

    def __init__(self, num_files: int) -> None:
        self._num_files = num_files
        self._num_done = 0

    def finish(self, outcome: dict[str, Any]) -> None:
        """Say what became of a video."""
        self._num_done += 1
        say(
            f"{self._num_done}/{self._num_files} {outcome['file']}: {outcome['state']}, "
            f"{plural(outcome['num_frames'], 'frame')}, {outcome['seconds']:.1f} s"
        )


class FileBars:
    """Show a bar over all videos and one for each that is being worked on."""

    def __init__(self, bars: Any, num_files: int) -> None:
        self._bars = bars
        self._whole = bars.add_task("Videos", total=num_files)
        self._tasks: dict[str, Any] = {}

    def advance(self, file: str, done: int, total: int) -> None:
        """Show how far a video is."""
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(Path(file).name, total=total)
        self._bars.update(self._tasks[file], completed=done, total=total)

    def finish(self, outcome: dict[str, Any]) -> None:
        """Take the bar of a video away."""
        if outcome["file"] in self._tasks:
            self._bars.remove_task(self._tasks.pop(outcome["file"]))
        self._bars.advance(self._whole)


@contextmanager
def file_progress(num_files: int) -> Iterator[FileLines | FileBars]:
    """Show progress on standard error, in bars if that is a terminal."""
    if not sys.stderr.isatty():
        yield FileLines(num_files)
        return
    with _bars() as bars:
        yield FileBars(bars, num_files)
