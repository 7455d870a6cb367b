"""lmms-eval runs nano on an export of FocusWorld, found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from dynfocus.evaluation.benchmarks.world_export import export_world

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).parents[2] / "src"
METADATA = "Metadata-Version: 2.1\nName: dynfocus\nVersion: 0.1.0\n"
ENTRY = "[lmms_eval.models]\ndynfocus = dynfocus.harnesses.lmms_registry:manifests\n"


@pytest.mark.parametrize("more", [(), ("--force_simple",)])
def test_a_task_on_focusworld_is_answered_and_kept(tmp_path, more):
    python = os.environ.get("LMMS_EVAL_PYTHON")
    if python is None or not Path(python).is_file():
        pytest.skip("LMMS_EVAL_PYTHON names no Python with lmms-eval 0.7.3")
    world = tmp_path / "world"
    export_world(world, "lmms-eval", num_videos=2, duration=20.0, seed=800)
    info = tmp_path / "site" / "dynfocus-0.1.0.dist-info"  # as if it were installed
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(info.parent)]),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "DYNFOCUS_INDEX": str(tmp_path / "index"),
    }
    program = Path(python).with_name("lmms-eval")
    words = ["eval", "--model", "dynfocus", "--model_args", "pretrained=nano,fps=1"]
    words += ["--tasks", "focusworld_open", "--include_path", "task", *more]
    words += ["--batch_size", "1", "--device", "cpu", "--limit", "8"]
    words += ["--output_path", str(tmp_path / "out"), "--log_samples"]
    done = subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=world,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (tmp_path / "out").rglob("*results.json")
    figures = json.loads(results.read_text())["results"]["focusworld_open"]
    assert figures["accuracy,none"] >= 0.5  # nano knows its world
    (samples,) = (tmp_path / "out").rglob("*samples_focusworld_open.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == 8
    assert all(line["filtered_resps"] for line in lines)
