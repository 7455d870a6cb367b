from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def questions(tmp_path: Path, clip: Path) -> Path:
    """Two questions about the clip and one about a file that is no video."""
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    rows = [
        {"video": str(clip), "question": "What is this?", "id": "a"},
        {"video": str(tmp_path / "text.mp4"), "question": "What?", "id": "b"},
        {"video": str(clip), "question": "Who?", "id": "c", "max_frames": 2},
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(path: str) -> dict[str, dict[str, object]]:
    lines = Path(path).read_text().splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


def test_rows_are_answered_and_failures_named(run, models, questions):
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other", "--no-index")
    assert outcome.code == 1
    assert outcome.out == "a.jsonl\n"
    assert outcome.err_lines[-1] == "3 rows: 0 from earlier runs, 1 failed"
    records = told("a.jsonl")
    assert records["a"]["answer"] == "words: 3"
    assert records["c"]["tokens"] == 42  # two frames
    assert "text.mp4" in records["b"]["error"]
    assert [model.index_folder for model in models] == [False]


def test_a_second_run_asks_what_is_left(run, models, questions, clip):
    run("batch", questions, "--out", "a.jsonl", "-m", "other")
    before = Path("a.jsonl").read_text()
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other")
    assert outcome.code == 1
    assert outcome.err_lines == ["3 rows: 3 from earlier runs, 1 failed"]
    assert Path("a.jsonl").read_text() == before
    assert len(models) == 1
    questions.write_text(questions.read_text().replace("text.mp4", clip.name))
    outcome = run("batch", questions, "--out", "b.jsonl", "-m", "other", "--json")
    assert outcome.code == 1  # there is no such file beside the list
    document = outcome.document
    assert document == {
        "out": "b.jsonl",
        "num_rows": 3,
        "num_earlier": 0,
        "num_failed": 1,
        "num_unknown_world": 0,
    }
    (questions.parent / clip.name).write_bytes(clip.read_bytes())
    outcome = run("batch", questions, "--out", "b.jsonl", "-m", "other", "--retry")
    assert outcome.code == 0
    assert set(told("b.jsonl")) == {"a", "b", "c"}


def test_rows_come_on_standard_input_and_may_only_be_indexed(run, models, clip):
    rows = json.dumps({"video": str(clip), "question": "What?", "id": "x"})
    outcome = run(
        "batch", "-", "--out", "a.jsonl", "-m", "other", "--index-only", stdin=rows
    )
    assert outcome.code == 0
    record = told("a.jsonl")["x"]
    assert (record["question"], record["frames"]) == (None, 6)


def test_wrong_rows_are_told_before_anything_runs(run, models, questions):
    questions.write_text(questions.read_text() + '{"video": "a", "quest": "?"}\n')
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other")
    assert outcome.code == 1
    (line,) = outcome.err_lines
    assert line.startswith(f"dynfocus: {questions}: line 4: there is no field 'quest'")
    assert not Path("a.jsonl").exists()
    assert models == []


def test_wrong_calls(run, models, questions):
    outcome = run("batch", questions, "--out", "a.jsonl", "--index-only", "--no-index")
    assert (outcome.code, models) == (2, [])
    assert run("batch", questions).code == 2
    outcome = run("batch", "no.jsonl", "--out", "a.jsonl")
    assert (outcome.code, outcome.err) == (
        1,
        "dynfocus: no.jsonl: No such file or directory\n",
    )


def test_half_a_character_fails_its_row_alone(run, models, clip):
    Path("q.jsonl").write_bytes(
        b"\xef\xbb\xbf"  # a byte order mark, as Windows writes
        + "".join(
            f'{{"id": "{name}", "video": "{clip}", "question": "{text}"}}\r\n'
            for name, text in (("a", "Why?"), ("b", "Half \\ud83d"), ("c", "Où?"))
        ).encode()
    )
    words = ("batch", "q.jsonl", "--out", "a.jsonl", "-m", "other")
    outcome = run(*words)
    assert outcome.code == 1
    assert outcome.err_lines[-1] == "3 rows: 0 from earlier runs, 1 failed"
    records = told("a.jsonl")
    assert records["b"]["error"].startswith("the question holds half a ")
    assert [records[name]["answer"] for name in "ac"] == ["words: 1", "words: 1"]
    assert run(*words).err_lines[-1] == "3 rows: 3 from earlier runs, 1 failed"


def test_another_encoding_is_named_with_its_line(run, models, questions):
    questions.write_bytes(questions.read_bytes() + '{"video": "ü"}'.encode("latin-1"))
    outcome = run("batch", questions, "--out", "a.jsonl")
    assert (outcome.code, models) == (1, [])
    assert outcome.err == (
        f"dynfocus: {questions}: line 4 is not UTF-8 (byte 0xfc); save the file as "
        "UTF-8\n"
    )


def test_null_stands_for_what_is_not_given(run, models, clip):
    row = {"video": str(clip), "question": "What?", "id": None, "max_frames": None}
    Path("q.jsonl").write_text(json.dumps(row))
    assert run("batch", "q.jsonl", "--out", "a.jsonl", "-m", "other").code == 0
    (record,) = told("a.jsonl").values()
    assert record["answer"] == "words: 1"


@pytest.mark.slow
def test_an_ended_batch_leaves_no_process_and_no_half_file(tmp_path, clip):
    rows = [{"video": str(clip), "question": f"What is {n}?"} for n in range(50)]
    rows += [row | {"fps": 7.5} for row in rows]
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes() + b"\0\0\0\x08free")
    rows += [row | {"video": str(tmp_path / "other.mp4")} for row in rows]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [sys.executable, "-m", "dynfocus", "batch", "q.jsonl"]
    process = subprocess.Popen(
        [*command, "--out", "a.jsonl", "--workers", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=os.environ | {"DYNFOCUS_INDEX": str(tmp_path / "index")},
    )
    answers = tmp_path / "a.jsonl"
    _wait_for(lambda: answers.exists() and answers.read_text().count("\n") > 3)
    workers = _children(process.pid)
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert err == b""
    _wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in workers), 4)
    assert list(tmp_path.rglob("*.part")) == []


def _wait_for(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def _children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
