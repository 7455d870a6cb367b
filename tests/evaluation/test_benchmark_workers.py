"""Benchmarks asked by several workers: two processes or actors of Ray, one of them killed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import benchmark_stand_ins
from benchmark_stand_ins import StandInLoader, put_videos, write_parquet
from dynfocus.evaluation.benchmarks.asking import RunSettings, make_asker, make_rows
from dynfocus.evaluation.benchmarks.loading import OpenedBenchmark, open_benchmark
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.benchmarks.registry import load_benchmark
from dynfocus.evaluation.benchmarks.running import run_benchmark
from dynfocus.models.options import AskOptions

NUM_VIDEOS = 4


def _open(folder: Path) -> OpenedBenchmark:
    asked = {"options": ["A. he", "B. she"], "duration": "short"}
    rows = [
        {
            "videoID": f"v{video}",
            "question_id": f"00{video}-{number}",
            "question": f"who {video} {'die once' if number == video == 2 else number}",
            "answer": "AB"[number % 2],
            **asked,
        }
        for video in range(NUM_VIDEOS)
        for number in (1, 2)
    ]
    write_parquet(folder / "videomme/test-0.parquet", rows)
    put_videos(folder, *(f"data/v{video}.mp4" for video in range(NUM_VIDEOS)))
    return open_benchmark(load_benchmark("video-mme"), folder, BenchmarkOptions())


def run_with_workers(folder: Path, settings: RunSettings) -> dict:
    """Run the benchmark of a folder; also what the process of Ray calls."""
    opened = _open(folder / "data")
    return run_benchmark(opened, StandInLoader(str(folder)), settings, folder / "out")


def test_what_workers_get_is_whole_and_names_files_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = _open(Path("data"))
    loader = StandInLoader(str(tmp_path))
    asker = pickle.loads(pickle.dumps(make_asker(opened, loader, opened.items)))
    rows = pickle.loads(pickle.dumps(make_rows(opened, opened.items, AskOptions())))
    assert asker.files["v1"] == str(tmp_path / "data/data/v1.mp4")
    assert [row.id for row in rows] == [item.id for item in opened.items]


@pytest.mark.slow
@pytest.mark.parametrize("ray", [None, "local"])
def test_two_workers_one_of_them_killed(tmp_path, ray):
    if ray is not None:
        pytest.importorskip("ray.data", reason="dynfocus[ray] is not installed")
    here = Path(benchmark_stand_ins.__file__).parent
    paths = [str(here), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "RAY_worker_niceness": "0"}
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from test_benchmark_workers import RunSettings, run_with_workers\n"
        "if __name__ == '__main__':\n"
        f"    settings = RunSettings(model='stand-in', workers=2, ray={ray!r})\n"
        "    document = run_with_workers(Path(sys.argv[1]), settings)\n"
        "    Path(sys.argv[1], 'document.json').write_text(json.dumps(document))\n"
    )
    (tmp_path / "run.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "document.json").read_text())
    assert document["counts"]["answered"] == 2 * NUM_VIDEOS
    counts = Counter((tmp_path / "log").read_text().splitlines())
    told = {line: n for line, n in counts.items() if "die once" in line}
    assert list(told.values()) == [2]  # the killed worker's, and another's
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "died").touch()
    again = run_with_workers(tmp_path / "alone", RunSettings(model="stand-in"))
    assert again["figures"] == document["figures"]
