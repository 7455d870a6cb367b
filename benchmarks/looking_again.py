"""Measure what a second look costs and brings, within one budget of video tokens.

    python benchmarks/looking_again.py --videos 20

Unseen FocusWorld videos are indexed on disk once. Each question is asked in one pass, by
SlowFocus and by SlowFocus with events and the rating (slow-dynfocus), twice: at first a look
decodes its segment, the second time the index holds it. Writes looking-again.md and
looking-again.json: processor seconds of an answer beside those of one pass, and right answers,
with 95 % intervals over videos.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import dynfocus
from dynfocus.evaluation.metrics import accuracy, is_right, paired_difference
from dynfocus.evaluation.pages import table
from dynfocus.models import VideoModel
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.world import make_video
from dynfocus.world.questions import make_questions

ONE_PASS = "one pass"
WAYS = {ONE_PASS: None, "slowfocus": "slowfocus", "slow-dynfocus": "slow-dynfocus"}
TIMES = ("first", "again")
_NUM_DRAWS = 2000


def measure(
    model: VideoModel, options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Ask every way everything, twice; a record an answer."""
    records = []
    asked = {"max_video_tokens": options.budget}
    for number in range(options.videos):
        seed = options.seed + number
        path = folder / f"{seed}.mp4"
        made = make_video(path, options.seconds, seed, split=options.split)
        index = model.index(path, fps=options.fps)
        for question in make_questions(made.scene, options.per_kind):
            for way, method in WAYS.items():
                for turn in TIMES:
                    began = time.process_time()
                    answer = model.ask(index, question.question, method=method, **asked)
                    records.append(
                        {
                            "video": str(seed),
                            "kind": question.kind,
                            "truth": question.answer,
                            "way": way,
                            "time": turn,
                            "answer": answer.text,
                            "right": is_right(question, answer.text),
                            "seconds": time.process_time() - began,
                            "tokens": answer.tokens,
                            "looked": bool(answer.looks and answer.looks.intervals),
                        }
                    )
        path.unlink()
        print(f"{number + 1} of {options.videos} videos", flush=True)  # noqa: T201 progress
    return records


def ratio(records: list[dict[str, Any]], way: str, turn: str) -> list[float]:
    """Give the seconds of a way beside those of one pass, with the interval over videos."""
    videos = sorted({record["video"] for record in records})

    def seconds(way: str, turn: str) -> np.ndarray:
        found = dict.fromkeys(videos, 0.0)
        for record in records:
            if (record["way"], record["time"]) == (way, turn):
                found[record["video"]] += record["seconds"]
        return np.array([found[video] for video in videos])

    ours, theirs = seconds(way, turn), seconds(ONE_PASS, "again")
    draws = np.random.default_rng(0).integers(
        len(videos), size=(_NUM_DRAWS, len(videos))
    )
    drawn = ours[draws].sum(1) / theirs[draws].sum(1)
    return [
        float(ours.sum() / theirs.sum()),
        *np.percentile(drawn, (2.5, 97.5)).tolist(),
    ]


def summarise(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make a row a way."""
    of_way = {
        way: [r for r in records if (r["way"], r["time"]) == (way, "again")]
        for way in WAYS
    }
    rows = []
    for way, own in of_way.items():
        gap = paired_difference(own, of_way[ONE_PASS], over_kinds=True)
        rows.append(
            {
                "way": way,
                "questions": len(own),
                "looked_again": float(np.mean([record["looked"] for record in own])),
                "tokens": float(np.mean([record["tokens"] for record in own])),
                "cost": {turn: ratio(records, way, turn) for turn in TIMES},
                "right": str(accuracy(own, over_kinds=True)),
                "difference": gap.as_difference(),
            }
        )
    return rows


def write(rows: list[dict[str, Any]], out: Path, facts: dict[str, Any]) -> None:
    """Write the results as a page and as a document."""

    def times(cost: list[float]) -> str:
        return f"{cost[0]:.2f} ({cost[1]:.2f} to {cost[2]:.2f})"

    head = ["way", "right, %", "against one pass", "looked again, %", "tokens"]
    head += ["cost at first", "with the segment in the index"]
    cells = [
        [
            row["way"],
            row["right"],
            row["difference"],
            f"{100 * row['looked_again']:.0f}",
            f"{row['tokens']:.0f}",
            *(times(row["cost"][turn]) for turn in TIMES),
        ]
        for row in rows
    ]
    lines = [
        "# looking-again",
        "",
        f"`{facts['command']}`, commit {str(facts['commit'])[:12]}, {facts['hardware']}.",
        f"`{facts['model']}`, {facts['videos']} {facts['split']} videos of "
        f"{facts['seconds']:g} s, seeds from {facts['seed']}, indexed at {facts['fps']:g} fps, "
        f"{rows[0]['questions']} questions, at most {facts['budget']} video tokens each, both "
        "passes together. Costs are processor seconds beside those of one pass, whose answers "
        "are asked a second time, too. In brackets 95 % intervals over videos.",
        "",
        *table(head, cells),
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / "looking-again.md").write_text("\n".join(lines), encoding="utf-8")
    document = json.dumps(facts | {"rows": rows}, indent=1)
    (out / "looking-again.json").write_text(document + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--fps", type=float, default=1.0, help="the low frequency")
    parser.add_argument("--per-kind", type=int, default=3, help="questions a video")
    parser.add_argument("--budget", type=int, default=400, help="video tokens")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model = dynfocus.load(options.model, index_folder=Path(folder) / "index")
        records = measure(model, options, Path(folder))
    told = {name: value for name, value in vars(options).items() if name != "out"}
    words = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in told.items()
        if value != parser.get_default(name)
    )
    facts = told | {
        "command": f"python benchmarks/looking_again.py {words}".strip(),
        "commit": source_commit(),
        "hardware": describe_hardware(),
    }
    write(summarise(records), options.out, facts)


if __name__ == "__main__":
    main()
