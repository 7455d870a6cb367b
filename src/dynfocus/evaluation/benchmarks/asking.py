"""What a model is asked of a benchmark: videos opened, questions put, what is noted.

A question goes to the runner of `dynfocus.bulk` as one of its rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dynfocus.bulk import Asker, Row
from dynfocus.evaluation.benchmarks.benchmark import Item
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark
from dynfocus.evaluation.benchmarks.subtitles import (
    add_subtitles,
    choose_lines,
    find_subtitles,
    read_lines,
)
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.models.options import AskOptions
from dynfocus.video import VideoWriter, read_image

if TYPE_CHECKING:
    from dynfocus.bulk.asking import AnswerJob, Loader
    from dynfocus.index import VideoIndex
    from dynfocus.models import Answer, VideoModel

MISSING = "the video is not there"
"""What the record of a question says whose video is missing."""
LETTER_TOKENS = 16
"""How long a reply to a question with options may be."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a benchmark is run; what does not change an answer is not in the stamp."""

    model: str
    """What answers, as it is called."""
    ask: AskOptions = field(default_factory=AskOptions)
    """How videos are read and questions answered."""
    max_new_tokens: int | None = None
    """How long a reply may be; by default what the benchmark allows. A model that thinks
    aloud needs more than a letter."""
    limit: int | None = None
    """At least so many questions, a fixed sample; all by default."""
    workers: int = 1
    ray: str | None = None
    judge_workers: int = 4


def make_stamp(opened: OpenedBenchmark, settings: RunSettings) -> dict[str, Any]:
    """Name all that an answer depends on; how it is marked may change later."""
    options = opened.options
    return {
        "benchmark": opened.benchmark.name,
        "model": settings.model,
        "ask": {**asdict(settings.ask), "max_new_tokens": settings.max_new_tokens},
        "prompt": options.prompt,
        "subtitles": options.subtitles,
    }


@dataclass(frozen=True)
class BenchmarkAsker:
    """Ask a model about the videos of a folder, and note with which weights."""

    load: Loader
    files: Mapping[str, str]
    """The file of each video, by the name that rows use."""
    frames_per_second: float | None = None
    """Rate of videos that are folders of pictures."""
    subtitles: Literal["none", "frames", "all"] = "none"
    """Which subtitles stand before the question."""

    def __call__(self, number: int = 0) -> AnswerJob:
        """Load the model, and give what answers the rows of a video."""
        model = self.load(number)
        named = model.model.named_parameters()
        weights = fingerprint_parameters(named)
        describe = partial(_describe, model=model, weights=weights)
        put = None
        if self.subtitles != "none":
            put = partial(_with_subtitles, which=self.subtitles)
        opener = partial(_open, self.files, self.frames_per_second)
        return Asker(lambda _: model, opener, describe, put)(number)


@contextmanager
def _open(
    files: Mapping[str, str], rate: float | None, name: str
) -> Iterator[str | Path]:
    """Give the file of a video; a folder of pictures becomes one for a while."""
    path = Path(files[name])
    if rate is None or not path.is_dir():
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="dynfocus-") as folder:
        yield write_pictures(path, Path(folder) / "video.mp4", rate)


def write_pictures(folder: Path, path: Path, rate: float) -> Path:
    """Write the pictures of a folder, in the order of their names, as a video.

    Args:
        folder: The folder.
        path: The video.
        rate: Pictures a second.
    """
    names = [p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png")]
    pictures = (read_image(one).frames[0] for one in sorted(names))
    first = next(pictures)
    size = (first.shape[0] // 2 * 2, first.shape[1] // 2 * 2)
    with VideoWriter(path, fps=rate, size=size) as writer:
        for picture in chain([first], pictures):
            writer.write(picture[: size[0], : size[1]])
    return path


def _with_subtitles(row: Row, index: VideoIndex, which: str) -> str:
    """Put the subtitles before a question, those of the sampled frames or all."""
    path = row.facts.get("subtitles")
    assert row.question is not None  # every row of a benchmark asks something
    if path is None:
        return row.question
    lines = read_lines(Path(path), float(row.facts["groups"].get("starts", 0.0)))
    times = None
    if which == "frames":
        times = [float(time) for time in index.features.pts_seconds]
    return add_subtitles(row.question, choose_lines(lines, times))


def _describe(
    row: Row, answer: Answer, index: VideoIndex, model: VideoModel, weights: str
) -> dict[str, Any]:
    times = [round(frame.time, 2) for frame in answer.frames if frame.is_fine]
    is_known = bool(row.evidence) or "key_times" in row.facts
    looked = {"fine_times": times} if is_known else {}
    return {
        "num_frames": len(answer.frames),
        "resolution": _resolution(model, index),
        "weights": weights,
        **looked,
    }


def _resolution(model: VideoModel, index: VideoIndex) -> list[int]:
    """Give height and width of the frames that a model reads of a video, in pixels."""
    from dynfocus.plugins.family import HostFeatures

    features = index.features
    if isinstance(features, HostFeatures) and features.plan is not None:
        return list(features.plan.pixels.size)
    return [model.processor.frame_size] * 2


def find_files(opened: OpenedBenchmark, items: Sequence[Item]) -> dict[str, str]:
    """Give the file of each video that is there, by the name that questions use.

    Files are named in full, since a worker may stand in another folder.
    """
    data = opened.data.absolute()
    named = {item.video: opened.video_of(item) for item in items}
    return {name: str(data / path) for name, path in named.items() if path}


def make_rows(
    opened: OpenedBenchmark,
    items: Sequence[Item],
    ask: AskOptions,
    max_new_tokens: int | None = None,
) -> list[Row]:
    """Make the rows of the runner; those without a video say so in their records."""
    benchmark, options = opened.benchmark, opened.options
    files = find_files(opened, items)
    rows = []
    for item in items:
        usual = LETTER_TOKENS if item.choices else benchmark.max_new_tokens
        tokens = max_new_tokens or usual
        given = {"start": item.start, "end": item.end, "max_new_tokens": tokens}
        rows.append(
            Row(
                video=item.video,
                question=benchmark.put(item, options),
                id=item.id,
                answer=item.answer,
                evidence=item.evidence,
                options=ask.replace(
                    **{k: v for k, v in given.items() if v is not None}
                ),
                facts={
                    "kind": item.kind,
                    "truth": item.answer,
                    "choices": list(item.choices),
                    "groups": dict(item.groups),
                    "stored_question": item.question,
                    "evidence": [list(one) for one in item.evidence],
                    **_key_facts(item),
                    **_subtitle_facts(opened, item),
                },
                problem="" if item.video in files else f"{MISSING}: {item.video}",
            )
        )
    return rows


def _key_facts(item: Item) -> dict[str, list[Any]]:
    """Repeat what is known of scenes and key frames, where something is."""
    known = {"scenes": item.scenes, "key_times": item.key_times}
    return {name: list(values) for name, values in known.items() if values}


def _subtitle_facts(opened: OpenedBenchmark, item: Item) -> dict[str, str]:
    if opened.options.subtitles == "none" or item.subtitles is None:
        return {}
    found = find_subtitles(opened.data.absolute(), item.subtitles)
    return {} if found is None else {"subtitles": str(found)}


def make_asker(
    opened: OpenedBenchmark, load: Loader, items: Sequence[Item]
) -> BenchmarkAsker:
    """Make what asks the rows of some questions."""
    return BenchmarkAsker(
        load,
        find_files(opened, items),
        opened.benchmark.frames_per_second,
        opened.options.subtitles,
    )
