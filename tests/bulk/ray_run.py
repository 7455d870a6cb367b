"""A run over a local Ray with two actors, in a process of its own; leaves a summary."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bulk_stand_ins import StandInLoader

from dynfocus.bulk import Asker, Row, run_rows


def make_rows() -> list[Row]:
    """Make rows of seven videos; the fourth kills its worker once, the last is none."""
    rows = [
        Row(video=f"v{v}.mp4", question=question, id=f"{v}/{question}")
        for v in range(6)
        for question in ("slow?", "die once?" if v == 3 else "Who?")
    ]
    rows.append(Row(video="damaged.mp4", question="What?", id="damaged"))
    return rows


def main(folder: Path) -> None:
    rows, out = make_rows(), folder / "a.jsonl"
    asker = Asker(StandInLoader(str(folder)))
    run_rows(asker, rows[:3], out)  # stopped after three
    told: list[str] = []
    run_rows(
        asker,
        rows,
        out,
        workers=2,
        ray="local",
        on_record=lambda r: told.append(r["id"]),
    )
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
