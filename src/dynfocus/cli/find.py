"""``dynfocus find``: where something is written or said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import clean_question, print_json, say, warn
from dynfocus.cli.options import Json, Read, Subtitles, at_least_one
from dynfocus.text import plural, sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dynfocus.video import VideoReader
    from dynfocus.words import Found, TimedText

_THUMBNAIL_PIXELS = 320


@command(
    'dynfocus find talk.mp4 "how the dividend is paid"',
    "dynfocus find talks/ '\"red card\" after 60:00' --report found.html",
    'dynfocus find "invoice 24/0187" --json',
)
def find(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[VIDEO...] QUERY",
            help="Files, http addresses, folders, patterns in quotes, and last a question "
            'or words; a "phrase" within it in quotes, times such as: after 10:00, in '
            "the first 5 minutes. Without a video, all that the library holds is "
            "searched.",
        ),
    ],
    library: Annotated[
        Path | None,
        typer.Option(
            "--library",
            metavar="FILE",
            help="Where words are kept; by default a file in the folder of the index.",
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            metavar="N",
            callback=at_least_one,
            help="At most so many places.",
        ),
    ] = 10,
    subtitles: Subtitles = None,
    read: Read = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Write a picture of each place into a new or empty folder.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Also write a page with the places and their pictures.",
        ),
    ] = None,
) -> None:
    """Find where something is written or said, the best place first.

    Prints a line a place: its time in seconds, the video where several were searched, and
    what was read there. Words of a video are read once and kept, and read again when its
    file changes. Typing errors are forgiven; with the extra "meaning" installed, places
    are found that say it in other words. Finding nothing is no error.
    """
    from dynfocus.words.query import parse_query
    from dynfocus.words.updating import default_library

    *names, text = words
    try:
        query = parse_query(clean_question(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if subtitles and len(names) != 1:
        raise typer.BadParameter("--subtitles goes with one video: name it")
    _check_places(out, report)
    path = library or default_library()
    searched = _read_all(path, names, subtitles or [], read)
    from dynfocus.words import WordsLibrary

    with WordsLibrary(path) as opened:
        known = {one.name: one for one in opened.videos()}
        searched = [one for one in searched if one in known] if names else list(known)
        best = opened.search(query, limit=limit, videos=searched if names else None)
    found = [one for one in best if one.is_related]
    for name in dict.fromkeys(one.video for one in found):
        _warn_of_changes(name, known[name].stamp)
    document: dict[str, Any] = {
        "query": text,
        "library": str(path),
        "num_videos": len(searched),
        "num_texts": sum(known[one].num_texts for one in searched),
        "places": [one.to_dict() for one in found],
    }
    if out is not None or report is not None:
        pictures = _take_pictures(found)
        if out is not None:
            document["files"] = _write_pictures(out, pictures)
        if report is not None:
            from dynfocus.report import write_found

            write_found(report, text, found, pictures, num_videos=len(searched))
            say(f"Report: {report}")
    if json:
        print_json(document)
    else:
        for one in found:
            where = f"{one.video}\t" if len(searched) > 1 else ""
            print(f"{one.start:.3f}\t{where}{' '.join(one.text.split())}")
    if not found:
        say(
            f"Nothing found: no text of {plural(len(searched), 'video')} "
            f"({plural(document['num_texts'], 'text')}) is about this{_missing()}"
        )


def _missing() -> str:
    """Say what would find more, where it is not installed."""
    from dynfocus.words.meaning import is_meaning_installed

    if is_meaning_installed():
        return ""
    return (
        "; words alone were compared: pip install 'dynfocus[meaning]' finds other words "
        "for the same"
    )


def _check_places(out: Path | None, report: Path | None) -> None:
    """Fail before the work on what cannot be written after it."""
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise ValueError(f"{out} is there and not empty; choose another folder")
    if report is not None:
        from dynfocus.atomic import check_writable

        check_writable(report)


def _read_all(
    path: Path, names: Sequence[str], subtitles: Sequence[Path], read: bool | None
) -> list[str]:
    """Bring the library up to date about some videos; give the names it has for them.

    Raises:
        ValueError: The only video that is named cannot be read.
    """
    if not names:
        return []
    from dynfocus.cli.words import read_one
    from dynfocus.video import find_videos
    from dynfocus.words import WordStore
    from dynfocus.words.reading import is_screen_read
    from dynfocus.words.updating import update_library

    files = find_videos(names)
    store = WordStore()

    def read_words(video: VideoReader) -> list[TimedText]:
        return read_one(video, store, subtitles, read)

    done: list[str] = []
    for one in update_library(
        path, files, read_words, subtitles=subtitles, screen=is_screen_read(read)
    ):
        if one.error is None:
            done.append(one.video)
        elif len(files) == 1:
            raise ValueError(one.error)
        else:
            warn(f"{one.video} is left out: {one.error}")
    return done


def _warn_of_changes(name: str, stamp: str) -> None:
    from dynfocus.words.updating import is_changed

    change = is_changed(name, stamp)
    if change is not None:
        warn(f"{name} {change}; name it in the call to have it read again")


def _take_pictures(found: Sequence[Found]) -> list[NDArray[np.uint8] | None]:
    """Read a small picture of each place; of a video that cannot be read there is none."""
    from dynfocus.methods.image_features import fit_size
    from dynfocus.video import VideoReader

    pictures: dict[int, NDArray[np.uint8]] = {}
    for name in dict.fromkeys(one.video for one in found):
        own = [number for number, one in enumerate(found) if one.video == name]
        try:
            reader = VideoReader(name)
            last = float(reader.frame_times[-1])
            moments = [min(_middle(found[number]), last) for number in own]
            order = sorted(range(len(own)), key=lambda place: moments[place])
            longer = min(_THUMBNAIL_PIXELS, max(reader.size))
            seen = reader.sample(
                times=[moments[place] for place in order],
                size=fit_size(reader.size, longer),
            )
        except (OSError, ValueError) as error:
            warn(f"no pictures of {name}: {sentence(error)}")
            continue
        for place, frame in zip(order, seen.frames, strict=True):
            pictures[own[place]] = frame
    return [pictures.get(number) for number in range(len(found))]


def _middle(place: Found) -> float:
    """Choose the moment to show: a second after it begins, or its middle."""
    return min(place.start + 1.0, (place.start + place.end) / 2)


def _write_pictures(
    out: Path, pictures: Sequence[NDArray[np.uint8] | None]
) -> list[str | None]:
    """Write pictures as files whose names sort by rank."""
    from dynfocus.atomic import atomic_folder
    from dynfocus.report import encode_jpeg

    names: list[str | None] = []
    with atomic_folder(out) as folder:
        for rank, picture in enumerate(pictures, 1):
            names.append(None if picture is None else f"{rank:04d}.jpg")
            if picture is not None:
                (folder / f"{rank:04d}.jpg").write_bytes(encode_jpeg(picture))
    return names
