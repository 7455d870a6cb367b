"""A run over a local Ray with two actors, in a process of its own; prints what came."""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from pathlib import Path

from bulk_stand_ins import StandInLoader

from dynfocus.bulk import BulkRow, answer_on_ray, run_bulk


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    rows = [
        BulkRow(video=f"v{v}.mp4", question=question, id=f"{v}/{question}")
        for v in range(6)
        for question in ("slow?", "die once?" if v == 3 else "Who?")
    ]
    rows += [BulkRow(video="damaged.mp4", question="What?", id="damaged")]
    rows += [BulkRow(video="v0.mp4", id="index")]
    answerer = partial(answer_on_ray, loader=StandInLoader(str(folder)), num_workers=2)
    out = folder / "a.jsonl"
    first = run_bulk(rows[:-4], out, answerer)
    second = run_bulk(rows, out, answerer)
    summaries = [vars(first), vars(second)]
    print(json.dumps({"summaries": summaries, "names": [row.id for row in rows]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
