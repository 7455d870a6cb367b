"""What is shown of a run."""

from __future__ import annotations

import itertools

import pytest
from transformers import TrainerState

from dynfocus.training.failures import BatchFacts
from dynfocus.training.progress import (
    Meter,
    ProgressReport,
    clock,
    describe,
    tell_progress,
)


def test_rates_are_read_once():
    meter = Meter()
    assert meter.read() == {}
    meter.add(BatchFacts(num_tokens=100, num_frames=7))
    meter.add(BatchFacts(num_tokens=100, num_frames=0, num_cut=2))
    rates = meter.read()
    assert rates["tokens_per_second"] == pytest.approx(
        200 / 7 * rates["frames_per_second"]
    )
    assert meter.read() == {}
    assert meter.num_cut == 2


def test_a_line_tells_loss_rates_and_time_left(capsys):
    meter = Meter()
    report = ProgressReport(meter, num_processes=2)
    state = TrainerState(global_step=0, max_steps=10)
    state.is_world_process_zero = True
    report.on_train_begin(None, state, None)
    meter.add(BatchFacts(num_tokens=1000, num_frames=50))
    state.global_step = 5
    logs = {"loss": 1.23456, "learning_rate": 0.1}
    report.on_log(None, state, None, logs=logs)
    assert {"tokens_per_second", "frames_per_second"} < set(logs)
    line = capsys.readouterr().err
    assert line.startswith("step 5/10  loss 1.235  ")
    assert "tokens/s" in line
    assert "frames/s" in line
    assert line.endswith("0:00:00 left\n")
    report.on_log(None, state, None, logs={"train_runtime": 3.0})  # the last entry
    assert capsys.readouterr().err == ""


def test_lines_are_for_people():
    logs = {"loss": 0.5, "tokens_per_second": 12345.6, "cut_samples": 1200}
    assert describe(logs) == "loss 0.5  12,346 tokens/s  1,200 cut"
    assert clock(3723.4) == "1:02:03"


def test_long_work_tells_how_far_it_is_where_there_is_no_terminal(capsys, monkeypatch):
    seconds = itertools.count(0, 25)
    monkeypatch.setattr(
        "dynfocus.training.progress.time.perf_counter", lambda: float(next(seconds))
    )
    assert list(tell_progress(range(7), "Encoding")) == list(range(7))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Encoding 2/7  0:03:08 left", "Encoding 5/7  0:01:00 left"]
