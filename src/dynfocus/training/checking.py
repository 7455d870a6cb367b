"""Training data looked through before training: what is malformed, missing or unreadable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from dynfocus.text import sentence
from dynfocus.training.samples import (
    PLACEHOLDER,
    Medium,
    Sample,
    check_sample,
    drawn_seconds,
    is_drawn,
    media_of,
)
from dynfocus.training.sources import read_entries, write_samples
from dynfocus.video import MediumTrial, as_file, try_video
from dynfocus.video.watchdog import deaf_to_interrupts

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What a check found."""

    num_samples: int
    problems: Sequence[tuple[str, str]]
    """Samples that were left out, each with the reason."""
    damaged: Sequence[tuple[str, str]]
    """Samples that stay though their video has damage."""
    clean: Path
    """The list of all other samples."""


def check_data(
    path: str | Path,
    *,
    root: str | Path | None = None,
    clean: str | Path | None = None,
    num_workers: int | None = None,
    is_full: bool = False,
    progress: Progress | None = None,
) -> DataReport:
    """Look through training data and write the list of what is good.

    Args:
        path: Samples, ``.json`` or ``.jsonl``.
        root: Folder of the media; the file's by default.
        clean: The list to write; ``NAME.clean.jsonl`` beside the file by default. Its
            videos have a ``duration``, by which batches are grouped.
        num_workers: Processes that decode; one a core by default.
        is_full: Decode a frame of every second, not three a video.
        progress: Called with the media done and in all.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it holds no list of samples.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    clean = path.with_suffix(".clean.jsonl") if clean is None else Path(clean)
    entries = read_entries(path)
    if clean.resolve() == path.resolve():
        raise ValueError(f"the clean list must be another file than the data, {path}")
    checked = [_check(entry, root) for _, entry in entries]
    media = dict.fromkeys(
        medium
        for sample in checked
        if isinstance(sample, dict)
        for medium in media_of(sample)
    )
    trials = try_media(list(media), num_workers, is_full=is_full, progress=progress)
    problems, damaged, good = [], [], []
    for (name, entry), sample in zip(entries, checked, strict=True):
        if isinstance(sample, str):
            problems.append((name, sample))
            continue
        tried = [trials[medium] for medium in media_of(sample)]
        wrong = [trial.problem for trial in tried if trial.problem is not None]
        if wrong:
            problems.append((name, wrong[0]))
            continue
        damaged += [(name, trial.damage) for trial in tried if trial.damage is not None]
        seconds = [trial.seconds for trial in tried if trial.seconds is not None]
        told = seconds[0] if len(seconds) == 1 else seconds
        good.append({**entry, "duration": told} if seconds else entry)
    write_samples(good, clean)
    return DataReport(
        num_samples=len(entries), problems=problems, damaged=damaged, clean=clean
    )


def _check(entry: Any, root: Path) -> Sample | str:
    """Return a sample with its file's whole path, or what is wrong with it."""
    try:
        sample = check_sample(entry, root)
    except (ValueError, OSError) as error:
        return str(error)
    texts = [turn["value"] for turn in sample["conversations"]]
    if not media_of(sample) and any(PLACEHOLDER in text for text in texts):
        return f"has the mark {PLACEHOLDER}, but names neither a video nor an image"
    return sample


def try_media(
    media: Sequence[Medium],
    num_workers: int | None = None,
    *,
    is_full: bool = False,
    progress: Progress | None = None,
) -> Mapping[Medium, MediumTrial]:
    """Open every video and image, and decode some of it, several at a time.

    Videos are opened in processes of their own, so that a file that makes the decoder
    crash is found, too, and takes nothing along.

    Args:
        media: Each behind its kind, ``video`` or ``image``.
        num_workers: Processes; one a core by default; 1 uses this one.
        is_full: Decode a frame of every second.
        progress: Called with the media done and in all.
    """
    found: dict[Medium, MediumTrial] = {}

    def note(kind: str, medium: str, trial: MediumTrial) -> None:
        found[kind, medium] = trial
        if progress is not None:
            progress(len(found), len(media))

    files: dict[str, list[str]] = {"video": [], "image": []}
    for kind, medium in media:
        if is_drawn(medium):
            seconds = drawn_seconds(medium) if kind == "video" else None
            note(kind, medium, MediumTrial(seconds=seconds))
        else:
            files[kind].append(medium)
    num_workers = num_workers or os.cpu_count() or 1
    with ThreadPoolExecutor(num_workers) as pool:
        trials = pool.map(try_image, files["image"])
        for path, trial in zip(files["image"], trials, strict=True):
            note("image", path, trial)
    attempt = partial(try_video, is_full=is_full)
    if min(num_workers, len(files["video"])) <= 1:
        for path in files["video"]:
            note("video", path, attempt(path))
    else:
        for path, trial in _in_processes(attempt, files["video"], num_workers):
            note("video", path, trial)
    return found


def try_image(path: str) -> MediumTrial:
    """Open and decode an image."""
    try:
        with as_file(path).open("rb") as file, Image.open(file) as image:
            image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return MediumTrial(problem=sentence(error))
    return MediumTrial()


def _in_processes(
    attempt: Callable[[str], MediumTrial], paths: Sequence[str], num_workers: int
) -> Iterator[tuple[str, MediumTrial]]:
    """Give the trials as they come; a crash is one, too.

    A crash takes all that is at work along; those are tried again, one at a time.
    """
    left = list(paths)
    while left:
        done = set()
        for path, trial in _until_a_crash(attempt, left, num_workers):
            done.add(path)
            yield path, trial
        left = [path for path in left if path not in done]
        at_work, left = left[: 2 * num_workers + 1], left[2 * num_workers + 1 :]
        for path in at_work:
            alone = dict(_until_a_crash(attempt, [path], 1))
            crashed = MediumTrial(problem=f"{path}: the decoder crashes on it")
            yield path, alone.get(path, crashed)


def _until_a_crash(
    attempt: Callable[[str], MediumTrial], paths: Sequence[str], num_workers: int
) -> Iterator[tuple[str, MediumTrial]]:
    num_workers = min(num_workers, len(paths))
    with ProcessPoolExecutor(num_workers, get_context("spawn")) as pool:
        asked: dict[Future[MediumTrial], str] = {}
        with suppress(BrokenProcessPool), deaf_to_interrupts():
            for path in paths:
                asked[pool.submit(attempt, path)] = path
        for future in as_completed(asked):
            if not isinstance(future.exception(), BrokenProcessPool):
                yield asked[future], future.result()
