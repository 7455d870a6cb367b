"""A benchmark run: questions asked in bulk, judged, marked, summed up, kept on the way.

Files of a run: ``NAME.jsonl`` with every answer as it comes, ``NAME.judge.jsonl`` with
the replies of a judge, ``NAME.scored.jsonl`` with a mark a question, and the result itself
as ``NAME.json``, ``NAME.md`` and a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.atomic import write_atomically
from dynfocus.bulk import Asker, Row, run_rows
from dynfocus.evaluation.benchmarks.benchmark import Benchmark, Item
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, sample
from dynfocus.evaluation.judges.grading import Grades, grade
from dynfocus.evaluation.judges.judge import Judge
from dynfocus.models.fingerprint import fingerprint_parameters
from dynfocus.models.options import AskOptions
from dynfocus.text import plural, to_json

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

    def __call__(self, number: int = 0) -> AnswerJob:
        """Load the model, and give what answers the rows of a video."""
        model = self.load(number)
        named = model.model.named_parameters()
        describe = partial(_describe, weights=fingerprint_parameters(named))
        asker = Asker(lambda _: model, partial(_open, self.files), describe)
        return asker(number)


def _open(files: Mapping[str, str], name: str) -> AbstractContextManager[str]:
    return nullcontext(files[name])


def _describe(
    row: Row, answer: Answer, index: VideoIndex, weights: str
) -> dict[str, Any]:
    return {"num_frames": len(answer.frames), "weights": weights}


def find_files(opened: OpenedBenchmark, items: Sequence[Item]) -> dict[str, str]:
    """Give the file of each video that is there, by the name that questions use."""
    named = {item.video: opened.video_of(item) for item in items}
    return {name: str(opened.data / path) for name, path in named.items() if path}


def make_rows(
    opened: OpenedBenchmark, items: Sequence[Item], ask: AskOptions
) -> list[Row]:
    """Make the rows of the runner; those without a video say so in their records."""
    benchmark, options = opened.benchmark, opened.options
    files = find_files(opened, items)
    rows = []
    for item in items:
        tokens = LETTER_TOKENS if item.choices else benchmark.max_new_tokens
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
                },
                problem="" if item.video in files else f"{_MISSING}: {item.video}",
            )
        )
    return rows


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
        BenchmarkAsker(load, find_files(opened, items)),
        make_rows(opened, items, settings.ask),
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
    write_atomically(scored, "".join(f"{to_json(_short(r))}\n" for r in marked))
    return summarise(opened, settings, marked, grades, scored.name)


def make_stamp(opened: OpenedBenchmark, settings: RunSettings) -> dict[str, Any]:
    """Name all that an answer depends on; how it is marked may change later."""
    options = opened.options
    return {
        "benchmark": opened.benchmark.name,
        "model": settings.model,
        "ask": asdict(settings.ask),
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


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Keep of a record what tables and people need."""
    return {name: record[name] for name in _SHORT if name in record}


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
    needs_judge = [r for r in marked if benchmark.to_judge(r)]
    figured = marked
    if needs_judge and grades is None:  # what nobody judged has no figure
        judged_ids = {r["id"] for r in needs_judge}
        figured = [r for r in marked if r["id"] not in judged_ids and r["choices"]]
    figures = benchmark.figures(figured, options) if figured else []
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
        "ask": asdict(settings.ask),
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
