from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynfocus.bulk import ModelLoader


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


@pytest.fixture
def loads(monkeypatch, models):
    """Let the stand-in of the other commands be loaded here, too."""
    import dynfocus

    options: list[dict[str, object]] = []

    def load(self, number=0):
        options.append(dict(self.options))
        return dynfocus.load(self.name)

    monkeypatch.setattr(ModelLoader, "__call__", load)
    return options


def told(path: str) -> dict[str, dict[str, object]]:
    lines = Path(path).read_text().splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


def test_rows_are_answered_and_failures_named(run, loads, questions):
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other", "--no-index")
    assert outcome.code == 1
    assert outcome.out == "a.jsonl\n"
    assert outcome.err_lines[-1] == "3 rows: 0 from earlier runs, 1 failed"
    records = told("a.jsonl")
    assert records["a"]["answer"] == "words: 3"
    assert records["c"]["tokens"] == 42  # two frames
    assert "text.mp4" in records["b"]["error"]
    assert loads == [{"index_folder": False}]


def test_a_second_run_asks_what_is_left(run, loads, questions, clip):
    run("batch", questions, "--out", "a.jsonl", "-m", "other")
    before = Path("a.jsonl").read_text()
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other")
    assert outcome.code == 1
    assert outcome.err_lines == ["3 rows: 3 from earlier runs, 1 failed"]
    assert Path("a.jsonl").read_text() == before
    assert len(loads) == 1
    questions.write_text(questions.read_text().replace("text.mp4", clip.name))
    outcome = run("batch", questions, "--out", "b.jsonl", "-m", "other", "--json")
    assert outcome.code == 1  # there is no such file beside the list
    document = outcome.document
    assert document == {
        "out": "b.jsonl",
        "num_rows": 3,
        "num_earlier": 0,
        "num_failed": 1,
    }
    (questions.parent / clip.name).write_bytes(clip.read_bytes())
    outcome = run("batch", questions, "--out", "b.jsonl", "-m", "other", "--retry")
    assert outcome.code == 0
    assert set(told("b.jsonl")) == {"a", "b", "c"}


def test_rows_come_on_standard_input_and_may_only_be_indexed(run, loads, clip):
    rows = json.dumps({"video": str(clip), "question": "What?", "id": "x"})
    outcome = run(
        "batch", "-", "--out", "a.jsonl", "-m", "other", "--index-only", stdin=rows
    )
    assert outcome.code == 0
    record = told("a.jsonl")["x"]
    assert (record["question"], record["frames"]) == (None, 6)


def test_nano_says_that_it_does_not_know_this_world(run, loads, questions):
    outcome = run("batch", questions, "--out", "a.jsonl")
    assert outcome.err_lines[0].startswith("dynfocus: warning: the shipped nano model ")


def test_wrong_rows_are_told_before_anything_runs(run, loads, questions):
    questions.write_text(questions.read_text() + '{"video": "a", "quest": "?"}\n')
    outcome = run("batch", questions, "--out", "a.jsonl", "-m", "other")
    assert outcome.code == 1
    (line,) = outcome.err_lines
    assert line.startswith(f"dynfocus: {questions}: line 4: there is no field 'quest'")
    assert not Path("a.jsonl").exists()
    assert loads == []


def test_wrong_calls(run, loads, questions):
    outcome = run("batch", questions, "--out", "a.jsonl", "--index-only", "--no-index")
    assert (outcome.code, loads) == (2, [])
    assert run("batch", questions).code == 2
    outcome = run("batch", "no.jsonl", "--out", "a.jsonl")
    assert (outcome.code, outcome.err) == (
        1,
        "dynfocus: no.jsonl: No such file or directory\n",
    )
