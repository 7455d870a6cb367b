"""What a benchmark run will take, told before it is begun."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynfocus.bulk import Row, run_rows
from dynfocus.errors import UnreadableVideoError
from dynfocus.evaluation.benchmarks.asking import (
    RunSettings,
    find_files,
    make_asker,
    make_rows,
    make_stamp,
)
from dynfocus.evaluation.benchmarks.benchmark import Item
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, sample
from dynfocus.evaluation.judges import PROMPTS
from dynfocus.video import VideoReader

if TYPE_CHECKING:
    from dynfocus.bulk.asking import Loader
    from dynfocus.models import VideoModel

_CHARACTERS_PER_TOKEN = 4
_VERDICT_TOKENS = {"scene": 300, "summary": 300}
_USUAL_VERDICT_TOKENS = 20
_USUAL_REPLY_CHARACTERS = 200


def plan_run(
    opened: OpenedBenchmark,
    settings: RunSettings,
    out: str | Path,
    load: Loader | None = None,
    *,
    price: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Estimate frames, tokens, time and the cost of a judge; nothing is spent.

    Tokens and time are those of earlier answers in the folder of results, scaled by
    frames; where there are none, the model answers one question about the shortest video,
    and that answer is kept.

    Args:
        opened: The questions.
        settings: What would answer, and how.
        out: The folder of results.
        load: Loads the model; without it, tokens and time stay unknown.
        price: What a million tokens to the judge, and from it, cost.
        progress: Called with videos looked at and videos in all.
    """
    items = sample(opened.items, settings.limit)
    files = find_files(opened, items)
    seconds = _durations(files, progress)
    made = make_rows(opened, items, settings.ask, settings.max_new_tokens)
    rows = [row for row in made if not row.problem]
    frames = {row.id: _frames(row, seconds) for row in rows if row.video in seconds}
    told: dict[str, Any] = {
        "questions": len(items),
        "videos": len({item.video for item in items}),
        "missing_videos": len({i.video for i in items} - files.keys()),
        "unreadable_videos": sorted(files.keys() - seconds.keys()),
        "video_hours": round(sum(seconds.values()) / 3600, 2),
        "frames": sum({r.video: frames.get(r.id, 0) for r in rows}.values()),
        "video_tokens": None,
        "hours": None,
    }
    asked = [row for row in rows if row.id in frames]
    if asked and load is not None:
        rates = _measure(opened, settings, Path(out), load, asked, frames)
        if rates is not None:
            tokens, time_to_read, time_to_answer = rates
            told["video_tokens"] = round(tokens * sum(frames.values()))
            whole = time_to_read * told["frames"] + time_to_answer * len(asked)
            told["hours"] = round(whole / 3600 / settings.workers, 3)
    return told | _plan_judge(opened, items, price)


def _durations(
    files: dict[str, str], progress: Callable[[int, int], None] | None
) -> dict[str, float]:
    found = {}
    for number, (name, path) in enumerate(files.items(), 1):
        try:
            found[name] = VideoReader(path).duration
        except (OSError, UnreadableVideoError):
            continue
        finally:
            if progress is not None:
                progress(number, len(files))
    return found


def _frames(row: Row, seconds: dict[str, float]) -> int:
    """Count the frames that a question samples."""
    options = row.options
    start = float(options.start or 0)
    end = min(seconds[row.video], float(options.end or math.inf))
    count = max(1, math.ceil((end - start) * options.fps))
    return min(count, options.max_frames or count, options.max_encoded_frames or count)


def _measure(
    opened: OpenedBenchmark,
    settings: RunSettings,
    out: Path,
    load: Loader,
    rows: Sequence[Row],
    frames: dict[str, int],
) -> tuple[float, float, float] | None:
    """Give tokens a frame, seconds to read a frame and seconds a question."""
    shortest = min(rows, key=lambda row: frames[row.id])
    answers = out / f"{opened.benchmark.name}.jsonl"
    loaded: list[float] = []

    def timed(number: int) -> VideoModel:
        model = load(number)
        loaded.append(time.perf_counter())
        return model

    (record,) = run_rows(
        make_asker(opened, timed, opened.items),
        [shortest],
        answers,
        stamp=make_stamp(opened, settings),
        retries=True,
    )
    ended = time.perf_counter()
    if "error" in record:
        return None
    tokens = record["tokens"] / max(1, record["num_frames"])
    reading = 0.0
    if loaded:
        reading = max(0.0, ended - loaded[0] - record["seconds"])
    return tokens, reading / max(1, frames[shortest.id]), record["seconds"]


def _plan_judge(
    opened: OpenedBenchmark, items: Sequence[Item], price: tuple[float, float] | None
) -> dict[str, Any]:
    """Count the calls of a judge and their tokens, by the length of the texts."""
    benchmark = opened.benchmark
    if not benchmark.is_judged:
        return {"judge_calls": 0}
    reply = "x" * _USUAL_REPLY_CHARACTERS
    calls, sent, written = 0, 0, 0
    for item in items:
        record = {
            "id": item.id,
            "kind": item.kind,
            "truth": item.answer,
            "groups": item.groups,
            "choices": item.choices,
            "stored_question": item.question,
            "answer": reply,
        }
        for task in benchmark.to_judge(record):
            calls += 1
            texts = PROMPTS[task.aspect].fill(task.fields)
            sent += sum(len(one["content"]) for one in texts) // _CHARACTERS_PER_TOKEN
            written += _VERDICT_TOKENS.get(task.aspect, _USUAL_VERDICT_TOKENS)
    told: dict[str, Any] = {
        "judge_calls": calls,
        "judge_tokens_in": sent,
        "judge_tokens_out": written,
    }
    if price is not None:
        told["judge_cost"] = round((price[0] * sent + price[1] * written) / 1e6, 2)
    return told
