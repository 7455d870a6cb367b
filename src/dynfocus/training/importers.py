"""Published instruction data, turned into LLaVA's format.

Each importer reads one published format and gives samples whose videos are named as the
publisher names them; ``root`` in a recipe says where they lie.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.text import check_choice, read_text
from dynfocus.training.samples import PLACEHOLDER, Sample
from dynfocus.training.sources import write_samples

CAPTION_PROMPTS = (
    "Describe the video in one sentence.",
    "What does this video show?",
    "Write a short caption for the video.",
    "Sum up what can be seen in the video.",
    "Give a brief description of this clip.",
    "Tell in a few words what happens in the video.",
)
"""What is asked where the published data has a caption alone."""

_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import wrote."""

    num_samples: int
    num_without_video: int


def import_data(
    kind: str,
    source: str | Path,
    target: str | Path,
    *,
    media: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Turn published data into a file of LLaVA samples, whole or not at all.

    Args:
        kind: One of `IMPORTERS`.
        source: The published file.
        target: What to write: a list in ``.json``, or one sample a line in ``.jsonl``.
        media: Folder of the videos. Samples whose video is not in it are left out and
            counted, and names without an ending get that of the file.
        progress: Called with the samples read so far and in all.

    Raises:
        FileNotFoundError: If the file or the folder is missing.
        ValueError: If the file is not of this kind, or the target neither of the two.
    """
    source, target = Path(source), Path(target)
    check_choice(kind, "kind", IMPORTERS)
    if target.suffix not in (".json", ".jsonl"):
        raise ValueError(f"the target must end in .json or .jsonl, got {target}")
    if not source.is_file():
        raise FileNotFoundError(f"{source} does not exist; give the published file")
    files = None if media is None else _Files(Path(media))
    samples = IMPORTERS[kind](source)
    num_read = num_written = 0

    def kept() -> Iterator[Sample]:
        nonlocal num_read, num_written
        for sample in samples:
            num_read += 1
            if progress is not None and num_read % 1000 == 0:
                progress(num_read, num_read)
            name = sample["video"] if files is None else files.find(sample["video"])
            if name is None:
                continue
            num_written += 1
            yield {**sample, "video": name if files else _with_ending(name)}

    write_samples(kept(), target)
    return ImportReport(
        num_samples=num_written, num_without_video=num_read - num_written
    )


def read_video_chatgpt(path: Path) -> Iterator[Sample]:
    """Read Video-ChatGPT's instructions: ``[{"q", "a", "video_id"}, ...]``."""
    for number, entry in enumerate(_read_list(path)):
        q, a, video = _texts(entry, ("q", "a", "video_id"), path, number)
        yield _sample(f"{video}-{number}", video, [(q, a)])


def read_webvid(path: Path) -> Iterator[Sample]:
    """Read WebVid's captions: a CSV with ``videoid``, ``name`` and ``page_dir``.

    A video lies in the folder of its page, as WebVid's downloader puts it.
    """
    with path.open("rb") as file:
        rows = csv.DictReader(_decoded(file, path))
        lacking = {"videoid", "name"} - set(rows.fieldnames or ())
        if lacking:
            raise ValueError(
                f"{path} is no WebVid CSV: the column {min(lacking)!r} is missing"
            )
        for number, row in enumerate(rows, 2):
            name, caption = row["videoid"], (row["name"] or "").strip()
            if not name or not caption:
                raise ValueError(f"{path}, line {number}: videoid or name is empty")
            folder = row.get("page_dir") or ""
            video = f"{folder}/{name}" if folder else name
            sample = _sample(name, f"{video}.mp4", [(caption_prompt(name), caption)])
            seconds = parse_duration(row.get("duration") or "")
            yield sample if seconds is None else {**sample, "duration": seconds}


def read_videochat2(path: Path) -> Iterator[Sample]:
    """Read VideoChat2's instructions: ``[{"video", "QA": [{"i", "q", "a"}]}, ...]``.

    So are the subsets that the paper trains on: VideoChatGPT, WebVid-QA, NExT-QA and
    CLEVRER. The instruction ``i`` stands before the first question; a caption has no
    question of its own.
    """
    for number, entry in enumerate(_read_list(path)):
        (video,) = _texts(entry, ("video",), path, number)
        if "start" in entry or "end" in entry:
            raise ValueError(
                f"{path}, entry {number}: cuts of a video (start, end) cannot be "
                "imported; cut the files first and take the keys out"
            )
        pairs = entry.get("QA")
        if not isinstance(pairs, list) or not pairs:
            raise ValueError(f"{path}, entry {number}: 'QA' must be a list of answers")
        turns = []
        for turn, pair in enumerate(pairs):
            q, a = _texts(pair, ("q", "a"), path, number)
            lead = str(pair.get("i") or "").strip() if turn == 0 else ""
            asked = " ".join(part for part in (lead, q) if part)
            turns.append((asked or caption_prompt(f"{video}{turn}"), a))
        yield _sample(f"{video}-{number}", video, turns)


IMPORTERS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "video-chatgpt": read_video_chatgpt,
    "webvid": read_webvid,
    "videochat2": read_videochat2,
}
"""The published formats that can be imported."""


def caption_prompt(name: str) -> str:
    """Choose what is asked for a caption, the same for the same name."""
    return CAPTION_PROMPTS[zlib.crc32(name.encode()) % len(CAPTION_PROMPTS)]


def parse_duration(text: str) -> float | None:
    """Read a duration such as ``PT00H00M16S``; None if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


class _Files:
    """The videos in a folder, by their path without its ending."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"the folder of videos {folder} does not exist")
        paths = (path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
        self._names = set(names)
        self._by_stem = {str(Path(name).with_suffix("")): name for name in names}

    def find(self, name: str) -> str | None:
        return name if name in self._names else self._by_stem.get(name)


def _with_ending(name: str) -> str:
    return name if Path(name).suffix else f"{name}.mp4"


def _sample(name: str, video: str, turns: Iterable[tuple[str, str]]) -> Sample:
    conversations = []
    for number, (asked, answer) in enumerate(turns):
        mark = f"{PLACEHOLDER}\n" if number == 0 else ""
        conversations.append({"from": "human", "value": mark + asked})
        conversations.append({"from": "gpt", "value": answer})
    return {"id": name, "video": video, "conversations": conversations}


def _decoded(file: Iterable[bytes], path: Path) -> Iterator[str]:
    """Yield the lines of a large file as text."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: line {number} is not UTF-8; save the file as UTF-8"
            ) from error


def _read_list(path: Path) -> list[Any]:
    text = read_text(path)
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of entries, as it is published")
    return entries


def _texts(entry: Any, keys: tuple[str, ...], path: Path, number: int) -> list[str]:
    for key in keys:
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise ValueError(f"{path}, entry {number}: {key!r} must be a text")
    return [entry[key].strip() for key in keys]
