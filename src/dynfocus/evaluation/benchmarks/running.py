"""A benchmark run: questions asked in bulk, judged, marked, summed up, kept on the way.

Files of a run: ``NAME.jsonl`` with every answer as it comes, ``NAME.judge.jsonl`` with
the replies of a judge, ``NAME.scored.jsonl`` with a mark a question, and the result itself
as ``NAME.json``, ``NAME.md`` and a picture.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dynfocus.atomic import write_atomically
from dynfocus.bulk import Asker, Row, run_rows
from dynfocus.evaluation.benchmarks.benchmark import Benchmark, Item
from dynfocus.evaluation.benchmarks.choice import counted
from dynfocus.evaluation.benchmarks.key_frames import key_frame_figures
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, sample
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.benchmarks.subtitles import (
    add_subtitles,
    choose_lines,
    find_subtitles,
    read_lines,
)
from dynfocus.evaluation.judges.grading import Grades, grade
from dynfocus.evaluation.judges.judge import Judge
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.models.options import AskOptions
from dynfocus.text import plural, to_json
from dynfocus.video import VideoWriter, read_image

if TYPE_CHECKING:
    from dynfocus.bulk.asking import AnswerJob, Loader
    from dynfocus.index import VideoIndex
    from dynfocus.models import Answer

Progress = Callable[[int, int], None]
Records = list[dict[str, Any]]
_MISSING = "the video is not there"
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
        describe = partial(_describe, weights=fingerprint_parameters(named))
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
    row: Row, answer: Answer, index: VideoIndex, weights: str
) -> dict[str, Any]:
    times = [round(frame.time, 2) for frame in answer.frames if frame.is_fine]
    looked = {"fine_times": times} if row.evidence else {}
    return {"num_frames": len(answer.frames), "weights": weights, **looked}


def find_files(opened: OpenedBenchmark, items: Sequence[Item]) -> dict[str, str]:
    """Give the file of each video that is there, by the name that questions use."""
    named = {item.video: opened.video_of(item) for item in items}
    return {name: str(opened.data / path) for name, path in named.items() if path}


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
                    **_subtitle_facts(opened, item),
                },
                problem="" if item.video in files else f"{_MISSING}: {item.video}",
            )
        )
    return rows


def _subtitle_facts(opened: OpenedBenchmark, item: Item) -> dict[str, str]:
    if opened.options.subtitles == "none" or item.subtitles is None:
        return {}
    found = find_subtitles(opened.data, item.subtitles)
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


def run_benchmark(
    opened: OpenedBenchmark,
    load: Loader,
    settings: RunSettings,
    out: str | Path,
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
    judging: Progress | None = None,
) -> dict[str, Any]:
    """Ask a model all questions, judge the answers and make the document of the result.

    What is answered or judged in the folder of results is not asked again.

    Args:
        opened: The questions.
        load: Loads the model for the worker of a number.
        settings: What answers, and how.
        out: Folder of results.
        judge: Who judges free answers; without one they are not judged.
        progress: Called with questions done and questions in all.
        judging: Called with verdicts done and verdicts in all.

    Returns:
        The document, without its page.

    Raises:
        ValueError: The folder holds answers of another run, or of other weights.
    """
    benchmark = opened.benchmark
    folder = Path(out)
    items = sample(opened.items, settings.limit)
    answers = folder / f"{benchmark.name}.jsonl"
    records = run_rows(
        make_asker(opened, load, items),
        make_rows(opened, items, settings.ask, settings.max_new_tokens),
        answers,
        workers=settings.workers,
        ray=settings.ray,
        stamp=make_stamp(opened, settings),
        retries=True,
        progress=progress,
    )
    weights = {r["weights"] for r in records if "weights" in r}
    if len(weights) > 1:
        raise ValueError(
            f"{answers} holds answers of {len(weights)} models that are all called "
            f"{settings.model}; name another folder with --out"
        )
    grades = None
    if benchmark.is_judged and judge is not None:
        kept = folder / f"{benchmark.name}.judge.jsonl"
        grades = judge_records(
            benchmark, records, judge, kept, settings.judge_workers, judging
        )
    marked = mark_records(opened, records)
    scored = folder / f"{benchmark.name}.scored.jsonl"
    lines = _short_records(benchmark, opened.options, marked)
    write_atomically(scored, "".join(f"{to_json(line)}\n" for line in lines))
    return summarise(opened, settings, marked, grades, scored.name)


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


def judge_records(
    benchmark: Benchmark,
    records: Records,
    judge: Judge,
    kept: str | Path | None = None,
    workers: int = 4,
    progress: Progress | None = None,
) -> Grades:
    """Have records judged; each gets ``verdicts``, None for what was no verdict.

    Args:
        benchmark: What says what is judged.
        records: Records of answers; changed.
        judge: Who judges.
        kept: File of replies.
        workers: Calls at a time.
        progress: Called with verdicts done and verdicts in all.
    """
    tasks = [
        (record, task) for record in records for task in benchmark.to_judge(record)
    ]
    grades = grade(
        [task for _, task in tasks], judge, kept, workers=workers, progress=progress
    )
    for (record, _), verdict in zip(tasks, grades.verdicts, strict=True):
        is_judged = verdict.state == "judged"
        record.setdefault("verdicts", []).append(verdict.values if is_judged else None)
        record.setdefault("verdict_replies", []).append(verdict.reply)
    return grades


def mark_records(opened: OpenedBenchmark, records: Sequence[dict[str, Any]]) -> Records:
    """Mark records by the rules of the benchmark, and say what became of each."""
    marked = []
    for record in records:
        state = "answered"
        if "error" in record:
            is_missing = str(record["error"]).startswith(_MISSING)
            state = "missing" if is_missing else "failed"
        whole = {**record, "state": state}
        marks = opened.benchmark.mark(whole, opened.options)
        if state == "answered" and not marks.get("is_read", True):
            whole["state"] = "unparsed"
        marked.append({**whole, **marks})
    return marked


_SHORT = (
    *("id", "video", "kind", "truth", "answer", "error", "state", "parsed", "right"),
    *("score", "verdict_replies", "tokens", "seconds", "num_frames"),
)


def _short_records(
    benchmark: Benchmark, options: BenchmarkOptions, marked: Records
) -> Records:
    """Keep of records what tables and people need.

    ``compared`` is what a record, or the group that it stands for, adds to the main
    figure; one without it is no part of that.
    """
    compared = (benchmark.compared or counted)(marked, options)
    values = {record["id"]: float(record["right"]) for record in compared}
    return [
        {name: record[name] for name in _SHORT if name in record}
        | ({"compared": values[record["id"]]} if record["id"] in values else {})
        for record in marked
    ]


def summarise(
    opened: OpenedBenchmark,
    settings: RunSettings,
    marked: Records,
    grades: Grades | None,
    scored: str,
) -> dict[str, Any]:
    """Make the document of a result.

    Args:
        opened: The questions.
        settings: What answered, and how.
        marked: Marked records.
        grades: What a judge said.
        scored: Name of the file with the marks.
    """
    benchmark, options = opened.benchmark, opened.options
    benchmark.pair_up(marked)
    needs_judge = [r for r in marked if benchmark.to_judge(r)]
    figured = marked
    if grades is None:  # what nobody judged has no figure
        kinds = {record["kind"] for record in needs_judge}
        figured = [record for record in marked if record["kind"] not in kinds]
    figures = benchmark.figures(figured, options) if figured else []
    figures += key_frame_figures(marked)
    answered = [r for r in marked if "error" not in r]
    states = Counter(record["state"] for record in marked)
    return {
        "kind": "benchmark",
        "title": f"{benchmark.title}: {settings.model}",
        "benchmark": benchmark.name,
        "model": settings.model,
        "split": opened.split,
        "figures": [figure.to_dict() for figure in figures],
        "counts": {
            "questions": len(marked),
            "of": len(opened.items),
            "videos": len({r["video"] for r in marked}),
            **{s: states[s] for s in ("answered", "unparsed", "missing", "failed")},
        },
        "missing_videos": list(
            dict.fromkeys(r["video"] for r in marked if r["state"] == "missing")
        ),
        "rules": options.to_dict(),
        "manifest": _manifest(opened, settings, answered),
        "judge": _describe_judge(grades, len(needs_judge)),
        "mean_video_tokens": _mean(answered, "tokens"),
        "mean_frames": _mean(answered, "num_frames"),
        "mean_seconds": _mean(answered, "seconds"),
        "scored": scored,
        "averages_kinds": benchmark.averages_kinds(options),
        "data_notes": list(opened.loaded.notes),
        "submission": _submission(opened, marked),
    }


def _manifest(
    opened: OpenedBenchmark, settings: RunSettings, answered: Records
) -> dict[str, Any]:
    """Say with what the answers were made; the commit and the command are added later."""
    import av

    return {
        "model": settings.model,
        "weights": answered[0]["weights"] if answered else None,
        "ask": {**asdict(settings.ask), "max_new_tokens": settings.max_new_tokens},
        "limit": settings.limit,
        "decoder": f"PyAV {av.__version__}",
        "annotations": [path.name for path in opened.loaded.files],
        "shape": opened.loaded.shape,
    }


def _describe_judge(grades: Grades | None, num_needed: int) -> dict[str, Any] | None:
    if not num_needed:
        return None
    if grades is None:
        return {"name": None, "not_judged": num_needed}
    return {
        "name": grades.judge,
        "prompts": grades.prompts,
        "calls": grades.num_calls,
        "waits": grades.num_waits,
        **grades.counts,
    }


def _mean(records: Records, name: str) -> float | None:
    known = [r[name] for r in records if r.get(name) is not None]
    return sum(known) / len(known) if known else None


def _submission(opened: OpenedBenchmark, marked: Records) -> Any:
    """Give what the benchmark's server takes, for questions without public answers."""
    make = opened.benchmark.submission
    unknown = [record for record in marked if not record["truth"]]
    if make is None or not unknown or opened.options.submission == "none":
        return None
    return make(unknown)


def describe_missing(document: dict[str, Any]) -> str | None:
    """Say which videos are missing, in a sentence; None if none is."""
    missing = document["missing_videos"]
    if not missing:
        return None
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    how = document["rules"]["missing_videos"]
    counted = "counted wrong" if how == "wrong" else "left out of the count"
    return (
        f"{plural(len(missing), 'video')} missing ({shown}): "
        f"{plural(document['counts']['missing'], 'question')} {counted}"
    )
