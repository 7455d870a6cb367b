"""A benchmark's folder read and checked: questions, videos, what is missing or odd."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynfocus.evaluation.benchmarks.benchmark import Benchmark, Item, Loaded, Split
from dynfocus.evaluation.benchmarks.letters import LETTERS
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.benchmarks.video_files import VideoFiles, scan_videos
from dynfocus.text import plural

_MOST_TOLD = 3
_WRONG_KINDS = (AttributeError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class OpenedBenchmark:
    """The questions of a folder, and where their videos lie."""

    benchmark: Benchmark
    data: Path
    options: BenchmarkOptions
    loaded: Loaded
    files: VideoFiles
    split: str
    """The name of the split that has so many questions; ``unknown`` if none has."""

    @property
    def items(self) -> Sequence[Item]:
        """All questions."""
        return self.loaded.items

    def video_of(self, item: Item) -> str | None:
        """Give where the video of a question lies below the folder; None if nowhere."""
        return self.files.find(self.benchmark.video_names(item.video))

    def missing_videos(self, items: Sequence[Item]) -> list[str]:
        """Name the videos of questions that are not there, each once."""
        named = dict.fromkeys(item.video for item in items if not self.video_of(item))
        return list(named)


def open_benchmark(
    benchmark: Benchmark, data: str | Path, options: BenchmarkOptions
) -> OpenedBenchmark:
    """Read the annotations of a folder, tell the split and find the videos.

    Args:
        benchmark: The benchmark.
        data: Its folder.
        options: Which split and edition it must be.

    Raises:
        ValueError: The annotations are not there, are of another split, or hold an id
            twice.
    """
    data = Path(data)
    loaded = _load(benchmark, data, options)
    if not loaded.items:
        raise ValueError(
            f"{data} holds no questions of {benchmark.name}; fetch its annotations again"
        )
    copies = [
        n for n, count in Counter(i.id for i in loaded.items).items() if count > 1
    ]
    if copies:
        raise ValueError(
            f"{loaded.files[0]}: {plural(len(copies), 'id')} "
            f"{'stands' if len(copies) == 1 else 'stand'} twice, the first "
            f"{copies[0]!r}; leave one of each out"
        )
    split = _find_split(benchmark, loaded, options)
    has_folders = benchmark.frames_per_second is not None
    return OpenedBenchmark(
        benchmark=benchmark,
        data=data,
        options=options,
        loaded=loaded,
        files=scan_videos(data, folders_of_frames=has_folders),
        split=split,
    )


def _load(benchmark: Benchmark, data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the annotations; a row of another shape than the first is told of."""
    try:
        return benchmark.load(data, options)
    except (ArithmeticError, LookupError, *_WRONG_KINDS) as error:
        if isinstance(error, ValueError) and str(data) in str(error):
            raise  # it names the file already
        lacks = isinstance(error, KeyError)
        why = f"it lacks {error}" if lacks else f"a value is wrong: {error}"
        raise ValueError(
            f"{data}: a row of the annotations of {benchmark.name} is not like the others "
            f"({why}); fetch them again"
        ) from error


def _find_split(benchmark: Benchmark, loaded: Loaded, options: BenchmarkOptions) -> str:
    """Tell the split by its counts, and refuse another than was asked for."""
    count = len(loaded.items)
    found = next((s for s in benchmark.splits if s.questions == count), None)
    names = dict.fromkeys(split.name for split in benchmark.splits)
    wanted = options.split
    if wanted is not None and wanted not in names:
        raise ValueError(
            f"split must be one of {', '.join(names)} for {benchmark.name}, got {wanted!r}"
        )
    usual = wanted or (benchmark.splits[0].name if benchmark.splits else "")
    if found is not None and not _is_same(found.name, usual):
        raise ValueError(
            f"{loaded.files[0]} holds {count:,} questions, which is the {found.name} split "
            f"of {benchmark.title} and not {usual}; fetch that, or say --rule "
            f"split={found.name}"
        )
    if found is not None:
        return found.name
    uncounted = [split.name for split in benchmark.splits if split.questions is None]
    return wanted if wanted is not None and wanted in uncounted else "unknown"


def _is_same(found: str, wanted: str) -> bool:
    """Tell whether a split is the wanted one, or an edition of it."""
    return found.split(",")[0].split(" of ")[0] == wanted.split(",")[0].split(" of ")[0]


def describe_split(opened: OpenedBenchmark) -> str:
    """Say which split the annotations are, or how far they are from the usual one."""
    count = plural(len(opened.items), "question")
    if opened.split != "unknown" or not opened.benchmark.splits:
        return f"{count}, split {opened.split}"
    usual: Split = opened.benchmark.splits[0]
    if usual.questions is None:
        return f"{count}; which split they are cannot be told by their number"
    return f"{count}, of no split that is known ({usual.name} has {usual.questions:,})"


def find_oddities(items: Sequence[Item]) -> list[str]:
    """Say what is wrong with questions: answers, options, evidence, copies."""
    odd = [
        item
        for item in items
        if item.choices
        and item.answer
        and item.answer not in LETTERS[: len(item.choices)]
    ]
    same = [item for item in items if len(set(item.choices)) < len(item.choices)]
    asked = Counter(map(_content, items))
    first = {_content(item): item for item in reversed(items)}
    again = [i for i in items if asked[_content(i)] > 1 and first[_content(i)] is not i]
    early = [i for i in items if any(end < start for start, end in i.evidence)]
    told = []
    for some, what in (
        (odd, "has an answer outside its options"),
        (same, "has options that are the same"),
        (again, "has the video, words and answer of an earlier one"),
        (early, "has evidence that ends before it begins"),
    ):
        if some:
            names = ", ".join(item.id for item in some[:_MOST_TOLD])
            verb = what if len(some) == 1 else what.replace("has", "have", 1)
            told.append(f"{plural(len(some), 'question')} {verb} ({names})")
    return told


def find_doubts(opened: OpenedBenchmark, items: Sequence[Item]) -> list[str]:
    """Say before a run what its folder lacks, and what is wrong with its questions.

    Args:
        opened: The folder.
        items: The questions that will be asked.
    """
    told = []
    splits, partial = opened.benchmark.splits, opened.files.partial
    if opened.split == "unknown" and splits and splits[0].questions is not None:
        told.append(f"{opened.loaded.files[0]} holds {describe_split(opened)}")
    missing = opened.missing_videos(items)
    for some, verb in ((missing, "not there"), (partial, "half downloaded")):
        if some:
            names = ", ".join(some[:_MOST_TOLD])
            noun = plural(len(some), "video" if some is missing else "file")
            told.append(
                f"{noun} {'is' if len(some) == 1 else 'are'} {verb} ({names}); dynfocus "
                f"eval check {opened.benchmark.name} --data {opened.data} lists all"
            )
    return [*told, *find_oddities(items)]


def _content(item: Item) -> tuple[object, ...]:
    """Give what two questions must share to be the same."""
    what = (item.video, item.question, item.choices, item.answer, item.kind)
    return (*what, item.start, item.end, item.evidence, str(item.groups))


def sample(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Take a fixed part of the questions, what belongs together whole.

    Units, by default the questions about one video, are taken in the order of a hash of
    their names until there are enough; so a larger sample holds a smaller one.

    Args:
        items: All questions.
        limit: At least so many are taken, where there are as many; None for all.
    """
    if limit is None or limit >= len(items):
        return list(items)
    units: dict[str, list[Item]] = {}
    for item in items:
        units.setdefault(item.unit or item.video, []).append(item)
    chosen: set[str] = set()
    count = 0
    for name in sorted(units, key=_hash):
        if count >= limit:
            break
        chosen.add(name)
        count += len(units[name])
    return [item for item in items if (item.unit or item.video) in chosen]


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass")).digest()


def check_folder(opened: OpenedBenchmark) -> dict[str, Any]:
    """Tell what is in a benchmark's folder, for people and programs.

    Returns:
        Counts, ``missing`` videos, ``partial`` files and ``notes``; ``is_whole`` where
        nothing is missing.
    """
    items = opened.items
    videos = list(dict.fromkeys(item.video for item in items))
    missing = opened.missing_videos(items)
    subtitled: Mapping[str, None] = dict.fromkeys(
        i.subtitles for i in items if i.subtitles
    )
    notes = [*opened.loaded.notes, *find_oddities(items)]
    return {
        "benchmark": opened.benchmark.name,
        "files": [str(path) for path in opened.loaded.files],
        "shape": opened.loaded.shape,
        "split": opened.split,
        "questions": len(items),
        "questions_by_kind": dict(Counter(item.kind for item in items)),
        "videos": len(videos),
        "videos_found": len(videos) - len(missing),
        "missing": missing,
        "partial": list(opened.files.partial),
        "subtitles_named": len(subtitled),
        "notes": notes,
        "is_whole": not missing and not opened.files.partial,
    }
