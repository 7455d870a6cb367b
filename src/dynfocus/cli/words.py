"""``dynfocus words``: what is written and said in videos, with its times."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import print_json, progress_bar, say, warn
from dynfocus.cli.options import Json, Read, Subtitles
from dynfocus.text import plural, sentence

if TYPE_CHECKING:
    from dynfocus.video import VideoReader
    from dynfocus.words import TimedText, WordStore

_SHORT_SECONDS = 120.0  # of video, about whose cost nothing is said


@command(
    "dynfocus words talk.mp4",
    "dynfocus words talk.mp4 --subtitles talk.srt --no-read --json",
)
def words(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="Files, http addresses, folders that are searched for videos, patterns "
            "in quotes.",
        ),
    ],
    subtitles: Subtitles = None,
    read: Read = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="The index, where readings are kept; by default $DYNFOCUS_INDEX or a "
            "folder in your cache.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print what is written and said in videos: subtitles, transcripts, the screen.

    A text is a line: its start and end in seconds, where it was found, what it says. What
    was read in the pictures is kept, so it is read once a file, and a run that was stopped
    goes on.
    """
    from dynfocus.video import VideoReader, find_videos, show_address
    from dynfocus.words import WordStore

    files = find_videos(videos)
    if subtitles and len(files) > 1:
        raise typer.BadParameter("--subtitles goes with one video; name that alone")
    rows: list[dict[str, Any]] = []
    for file in files:
        shown = show_address(str(file))
        try:
            texts = read_one(VideoReader(file), WordStore(folder), subtitles, read)
        except (OSError, ValueError) as error:
            if len(files) == 1:
                raise
            say(f"dynfocus: {shown} is not read: {sentence(error)}")
            rows.append({"video": shown, "reason": sentence(error)})
            continue
        rows.append({"video": shown, "texts": [_row(text) for text in texts]})
        if not json:
            _print_texts(texts, shown if len(files) > 1 else None)
    if json:
        print_json({"videos": rows})
    if any("reason" in row for row in rows):
        raise typer.Exit(1)


def tell_cost(video: VideoReader) -> None:
    """Say what reading the pictures of a video costs, unless it is short."""
    from dynfocus.words.reading import estimate_seconds

    if video.duration <= _SHORT_SECONDS:
        return
    least, most = (max(1, round(s / 60)) for s in estimate_seconds(video.duration))
    say(
        f"Reading the pictures of {video.path}, once: {least} to "
        f"{plural(most, 'minute')} with two cores; --no-read leaves it out"
    )


def read_one(
    video: VideoReader,
    store: WordStore,
    subtitles: Sequence[Path] | None,
    read: bool | None,
) -> list[TimedText]:
    """Read the words of a video with a bar, and say before and after what it costs."""
    from dynfocus.words import read_words
    from dynfocus.words.reading import is_screen_read, words_from

    is_read = is_screen_read(read)
    started = time.perf_counter()
    with progress_bar("Reading the words") as progress, words_from(on_read=tell_cost):
        texts = read_words(
            video,
            subtitles=list(subtitles) if subtitles else None,
            screen=is_read,
            store=store,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    say(f"{video.path}: {plural(len(texts), 'text')} in {seconds:.1f} s")
    return texts


def read_pictures(
    outcomes: Sequence[dict[str, Any]],
    stream: int | None,
    folder: Path | None,
    read: bool | None,
) -> None:
    """Read the pictures of videos that were indexed, and note how many texts they show.

    Args:
        outcomes: What became of the videos; ``num_texts`` is added.
        stream: Number of the video stream.
        folder: The index.
        read: What the call says.
    """
    from dynfocus.video import VideoReader
    from dynfocus.words import WordStore
    from dynfocus.words.reading import is_screen_read

    if not is_screen_read(read):
        return
    for outcome in outcomes:
        if outcome["state"] == "failed":
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                video = VideoReader(outcome["file"], stream=stream)
                texts = read_one(video, WordStore(folder), None, True)
            except (OSError, ValueError) as error:
                outcome["warnings"].append(f"its words are not read: {sentence(error)}")
                continue
            finally:
                for one in caught:
                    if one.category.__module__.startswith("dynfocus."):
                        outcome["warnings"].append(str(one.message))
        outcome["num_texts"] = len(texts)


def _row(text: TimedText) -> dict[str, Any]:
    from dynfocus.words.store import to_row

    return to_row(text)


def _print_texts(texts: Sequence[TimedText], name: str | None) -> None:
    """Print a line a text."""
    before = "" if name is None else f"{name}\t"
    for one in texts:
        said = " / ".join(one.text.split("\n"))
        print(f"{before}{one.start:.1f}\t{one.end:.1f}\t{one.source}\t{said}")
    if not texts:
        warn(f"{name or 'the video'}: no words were found")
