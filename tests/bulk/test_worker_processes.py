"""Workers that are killed, that cannot begin, that outlive nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bulk_stand_ins
import pytest
from bulk_stand_ins import StandInLoader

from dynfocus.bulk import Asker, Row, run_rows
from dynfocus.errors import BrokenWorkerError


def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    tmp_path, make_rows, asker, logged
):
    rows = make_rows(6, "What?", "die once?", "Who?")
    steps = []
    records = run_rows(
        asker,
        rows,
        tmp_path / "a.jsonl",
        workers=2,
        on_step=lambda *step: steps.append(step),
    )
    assert [record["id"] for record in records] == [row.id for row in rows]
    assert not any("error" in record for record in records)
    assert {video for video, _, _ in steps} == {row.video for row in rows}
    counts = logged()
    assert counts["load"] <= 3  # two workers, and one in place of the killed
    asked = {key: n for key, n in counts.items() if key.startswith("ask")}
    (again,) = [key for key, n in asked.items() if n > 1]
    assert "die once?" in again  # the row at work alone was run again
    assert counts[again] == 2
    assert sum(n for key, n in counts.items() if key.startswith("index")) == 7


def test_a_video_that_kills_every_worker_is_given_up(
    tmp_path, make_rows, asker, caplog
):
    rows = make_rows(2, "What?")
    rows.insert(1, Row(video="bad.mp4", question="die?", id="bad"))
    first, bad, last = run_rows(asker, rows, workers=2)
    assert "its worker ended before it had an answer" in bad["error"]
    assert not first.keys() & last.keys() & {"error"}
    assert caplog.text.count("its rows are run again") == 2
    assert "bad.mp4: given up" in caplog.text


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("fails", ValueError, "^there is no model here$"),
        ("kills", BrokenWorkerError, "ended before they had loaded the model"),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_the_run(
    tmp_path, make_rows, how, kind, message
):
    asker = Asker(StandInLoader(str(tmp_path), **{how: True}))
    path = tmp_path / "a.jsonl"
    with pytest.raises(kind, match=message):
        run_rows(asker, make_rows(3, "What?"), path, workers=2)
    assert path.read_text() == ""


def test_workers_have_numbers_of_their_own(tmp_path, make_rows):
    records = run_rows(NumberTeller(str(tmp_path)), make_rows(2, "What?"), workers=2)
    assert {record["answer"] for record in records} == {0, 1}


@dataclass(frozen=True)
class NumberTeller:
    """Answers with the number of the worker, when two are at work."""

    folder: str

    def __call__(self, number):
        folder = Path(self.folder)

        def answer(job, on_step):
            (folder / f"{number}.begun").touch()
            _wait_for(lambda: len(list(folder.glob("*.begun"))) == 2)
            yield {"id": job.rows[0].id, "answer": number}

        return answer


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_run_and_leave_nothing_half_written(tmp_path, kill):
    script = (
        "import sys\n"
        "from bulk_stand_ins import StandInLoader\n"
        "from dynfocus.bulk import Asker, Row, run_rows\n"
        "if __name__ == '__main__':\n"
        "    rows = [Row(video=v, question='write?', id=v) for v in 'ab']\n"
        "    run_rows(Asker(StandInLoader(sys.argv[1])), rows, workers=2)\n"
    )
    (tmp_path / "run.py").write_text(script)
    here = str(Path(bulk_stand_ins.__file__).parent)
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths},
    )
    _wait_for(lambda: len(list(tmp_path.glob(".written*"))) == 2)
    lines = (tmp_path / "log").read_text().splitlines()
    workers = {int(line.rsplit(" ", 1)[1]) for line in lines}
    run.send_signal(kill)
    run.wait(timeout=30)
    _wait_for(lambda: not any(map(_is_alive, workers)), seconds=4)
    assert list(tmp_path.glob(".written*")) == []


def _wait_for(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return False
    return state != "Z"
