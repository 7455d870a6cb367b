"""``dynfocus eval``: what it was told is what is asked; pages and comparisons."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "docs/results"
_WITHOUT_TRAINING = """
import sys
sys.modules["accelerate"] = sys.modules["peft"] = None
import dynfocus.evaluation.experiments.plugged
import dynfocus.evaluation.experiments.running  # trains when it runs, not before
from dynfocus.cli import main
for words in sys.argv[1:]:
    code = main(["eval", *words.split()])
    if code:
        sys.exit(code)
"""


def test_what_trains_nothing_needs_no_extra(tmp_path):
    shutil.copy(RESULTS / "recall.json", tmp_path / "page.json")
    commands = (
        "recall --short-videos 1 --medium-videos 0 --long-videos 0 -K 1 --out .",
        "focusworld --num-videos 1 --min-seconds 10 --max-seconds 10 --rules --out .",
        "page page.json",
    )
    program = [sys.executable, "-c", _WITHOUT_TRAINING, *commands]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.name for path in tmp_path.glob("*.md")}
    assert pages == {"recall.md", "focusworld-10-10s.md", "page.md"}
    assert "no language model" in (tmp_path / "focusworld-10-10s.md").read_text()


def test_answers_are_compared(run, tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    row = {"video": 0, "question": "Which?", "answer": "A", "tokens": 8}
    first.write_text(json.dumps(row))
    second.write_text(json.dumps({**row, "answer": "B"}))
    outcome = run("eval", "compare", first, first)
    assert (outcome.code, outcome.out) == (
        0,
        "1 the same, 0 changed, 0 only before, 0 only after\n",
    )
    outcome = run("eval", "compare", first, second)
    assert outcome.code == 1
    assert outcome.out.startswith("Which? | A (8 tokens) | B (8 tokens)\n")
    outcome = run("eval", "compare", first, second, "--json")
    assert outcome.document["changed"][0]["after"]["answer"] == "B"


def test_a_split_that_is_none_is_refused_in_one_sentence(run, tmp_path):
    outcome = run("eval", "focusworld", "--split", "secret", "--out", tmp_path)
    assert outcome.code == 1
    assert "split must be one of" in outcome.err
    assert len(outcome.err_lines) == 1


def test_kinds_shares_and_videos_reach_the_plan(run, monkeypatch, tmp_path):
    plans = []

    def measure(plan, answers, progress):
        plans.append(plan)
        raise ValueError("measured enough")

    monkeypatch.setattr(
        "dynfocus.evaluation.experiments.plugged.measure_plugged", measure
    )
    outcome = run(
        *("eval", "plugged", "HOST", "--kind", "order", "--kind", "needle"),
        *("--kind", "order", "--max-per-kind", "5", "--share", "0.2", "--share", "0.1"),
        *("--medium-videos", "0", "--long-videos", "0", "--short-videos", "3"),
        *("--out", tmp_path, "--runs", tmp_path),
    )
    assert outcome.err == "dynfocus: measured enough\n"
    (plan,) = plans
    assert plan.sets[0].kinds == ("order", "needle")
    assert plan.shares == (0.1, 0.2)
    assert plan.sets[0].max_per_kind == 5
    assert [(s.name, s.num_videos) for s in plan.sets if s.num_videos] == [("short", 3)]


def test_a_kind_that_is_none_is_refused_in_one_sentence(run, tmp_path):
    outcome = run("eval", "plugged", "HOST", "--kind", "smell", "--out", tmp_path)
    assert outcome.code == 1
    assert "kind must be one of needle, attribute" in outcome.err
    assert "got 'smell'" in outcome.err
    assert len(outcome.err_lines) == 1
