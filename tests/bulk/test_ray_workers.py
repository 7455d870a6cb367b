"""Over Ray Data: two actors, one killed in the middle, a run that was stopped before."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from bulk_stand_ins import StandInLoader

from dynfocus.bulk import Asker, VideoJob, run_rows
from dynfocus.bulk.ray_workers import RayAsker, read_records

TIMEOUT_SECONDS = 900


@pytest.mark.slow
def test_a_killed_actor_loses_nothing_and_repeats_nothing(tmp_path, logged):
    pytest.importorskip("ray.data", reason="the extra dynfocus[ray] is not installed")
    import ray_run

    # Ray's workers are nicer than anybody else, so that a busy machine starves them.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, ray_run.__file__, str(tmp_path)],
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "told.json").read_text())) == 10
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    records = {record["id"]: record for record in map(json.loads, lines)}
    rows = ray_run.make_rows()
    assert len(lines) == len(records) == len(rows)
    assert set(records) == {row.id for row in rows}
    assert records["damaged"]["error"] == "damaged.mp4: this is no video."
    assert records["3/die once?"]["answer"] == "v3.mp4: die once?"
    counts = logged()
    assert counts["ask v3.mp4 die once?"] == 2  # the killed, and the one after it
    assert counts["ask v0.mp4 slow?"] == 1  # told before
    assert counts["load"] <= 1 + 3


def test_an_actor_that_cannot_load_the_model_says_why(tmp_path):
    actor = RayAsker(Asker(StandInLoader(str(tmp_path), fails=True)), None)
    (told,) = actor({"job": [pickle.dumps(VideoJob("v.mp4", ()))]})["told"]
    with pytest.raises(ValueError, match="^there is no model here$"):
        read_records(told)


def test_without_ray_the_extra_is_named(asker, make_rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'dynfocus\[ray\]'"):
        run_rows(asker, make_rows(1, "What?"), workers=2, ray="local")
