"""A run over a local Ray with two actors, in a process of its own; leaves a summary."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from bulk_stand_ins import StandInLoader

from dynfocus.bulk import BulkRow, answer_here, answer_on_ray, run_bulk


def make_rows() -> list[BulkRow]:
    """Make rows of seven videos; the fourth kills its worker once, the last is none."""
    rows = [
        BulkRow(video=f"v{v}.mp4", question=question, id=f"{v}/{question}")
        for v in range(6)
        for question in ("slow?", "die once?" if v == 3 else "Who?")
    ]
    rows.append(BulkRow(video="damaged.mp4", question="What?", id="damaged"))
    return rows


def main(folder: Path) -> None:
    rows, out = make_rows(), folder / "a.jsonl"
    loader = StandInLoader(str(folder))
    run_bulk(rows[:3], out, partial(answer_here, loader=loader))  # stopped after three
    answerer = partial(answer_on_ray, loader=loader, num_workers=2)
    summary = run_bulk(rows, out, answerer)
    (folder / "summary.json").write_text(json.dumps(vars(summary)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
