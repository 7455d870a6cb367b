"""The log of failures: named once, kept over a resume, bounded."""

from __future__ import annotations

import json

import pytest

from dynfocus.errors import TooManyFailuresError
from dynfocus.training.failures import Failure, FailureLog


def fail(name):
    return Failure(sample=name, medium=f"{name}.mp4", reason="no video")


def test_each_failure_is_named_once(tmp_path, caplog):
    log = FailureLog(tmp_path, 2)
    log.add([fail("a")], 0)
    log.add([fail("a"), fail("b")], 3)
    entries = [
        json.loads(x) for x in (tmp_path / "failures.jsonl").read_text().splitlines()
    ]
    assert [(e["sample"], e["step"]) for e in entries] == [("a", 0), ("b", 3)]
    assert caplog.text.count("sample a is skipped (a.mp4): no video") == 1
    log.check()


def test_failures_of_all_processes_count(tmp_path):
    logs = [FailureLog(tmp_path, 2) for _ in range(2)]
    for log in logs:
        log.check()
        log.add([fail("a")], 0)
        log.check()
    logs[0].add([fail("b")], 1)
    logs[1].add([fail("c")], 1)
    for log in logs:
        with pytest.raises(TooManyFailuresError, match="3 samples failed, data.max_f"):
            log.check()


@pytest.mark.parametrize(("step", "kept"), [(0, []), (2, ["a"]), (5, ["a", "b"])])
def test_a_run_that_continues_keeps_what_failed_before(tmp_path, step, kept):
    log = FailureLog(tmp_path, 2)
    log.restore(step)  # there is nothing yet
    log.add([fail("a")], 1)
    log.add([fail("b")], 2)
    log.restore(step)
    entries = [
        json.loads(x) for x in (tmp_path / "failures.jsonl").read_text().splitlines()
    ]
    assert [entry["sample"] for entry in entries] == kept
