"""``dynfocus eval`` of benchmarks where the user stands: the command, a stub judge."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from benchmark_stand_ins import StandInModel, put_videos, write_json
from dynfocus.bulk.asking import failure
from dynfocus.cli.benchmarks import BENCHMARKS
from dynfocus.evaluation.benchmarks.registry import OWN
from fake_package import install
from stand_in_server import StandInServer


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "msvd"
    rows = [
        {"id": n, "video_id": f"vid{n}", "question": f"who runs {n}?", "answer": "man"}
        for n in range(2)
    ]
    write_json(folder / "test_qa.json", rows)
    put_videos(folder, "videos/vid0.avi", "videos/vid1.avi")
    return folder


@pytest.fixture
def model(monkeypatch):
    stand_in = StandInModel(lambda video, question: "a man")
    monkeypatch.setattr("dynfocus.load", lambda name, **options: stand_in)
    return stand_in


def _verdict(body):
    assert body["temperature"] == 0
    yield "{'pred': 'yes', "
    yield "'score': 4}"


def test_a_benchmark_is_asked_judged_and_shown(run, data, model, tmp_path):
    with StandInServer(answer=_verdict, models=("judge-2026-01",)) as server:
        words = ("eval", "msvd-qa", "--data", data, "--out", tmp_path / "out")
        words += ("--max-frames", "8", "--judge-url", server.url)
        outcome = run(*words, "--json")
        again = run(*words)
    assert outcome.code == 0, outcome.err
    figures = {f["label"]: f["estimate"]["value"] for f in outcome.document["figures"]}
    assert figures["Accuracy"] == 100
    assert outcome.document["judge"]["name"] == "judge-2026-01 at 127.0.0.1"
    assert outcome.document["split"] == "unknown"
    assert model.read[0]["max_frames"] == 8
    assert len(model.asked) == 2
    assert len(server.bodies) == 2  # the second run asked neither model nor judge
    assert "| Accuracy | 100.0 | 2 |" in again.out


def test_a_missing_video_is_said_and_ends_with_1(run, data, model, tmp_path):
    (data / "videos/vid1.avi").rename(data / "videos/vid1.avi.part")
    outcome = run("eval", "msvd-qa", "--data", data, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert "questions, of no split that is known (test has 13,157)" in outcome.err
    assert "1 video is not there (vid1); dynfocus eval check msvd-qa" in outcome.err
    assert "1 file is half downloaded (videos/vid1.avi.part); " in outcome.err
    assert "1 video missing (vid1): 1 question counted wrong" in outcome.err
    assert "none is named; they are kept, and judged when" in outcome.err
    assert len(model.asked) == 1


def test_a_question_that_failed_is_said_with_its_reason(run, data, model, tmp_path):
    model.reply = lambda video, question: "fail" if "0" in question else "a man"
    outcome = run("eval", "msvd-qa", "--data", data, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert (
        "1 question failed, the first: the model fell over; the same command asks again"
        in outcome.err
    )


def test_workers_get_what_can_be_sent(run, data, monkeypatch, tmp_path):
    sent = {}

    def run_rows(asker, rows, out, **more):
        sent.update(more, asker=pickle.loads(pickle.dumps(asker)))
        return [failure(row, "nobody asked") for row in rows]

    monkeypatch.setattr("dynfocus.evaluation.benchmarks.running.run_rows", run_rows)
    words = ("--workers", "2", "--ray", "auto", "--dtype", "bfloat16")
    outcome = run("eval", "msvd-qa", "--data", data, "--out", tmp_path / "out", *words)
    assert outcome.code == 1  # there are no answers
    assert (sent["workers"], sent["ray"]) == (2, "auto")
    assert sent["asker"].load.name == "nano"
    assert sent["asker"].load.options.dtype == "bfloat16"


def test_the_check_says_where_what_and_whether(run, data):
    outcome = run("eval", "check", "msvd-qa", "--data", data)
    assert outcome.code == 0
    assert "YouTubeClips.tar" in outcome.out
    assert "2 questions, of no split that is known (test has 13,157)" in outcome.out
    assert outcome.out.endswith("Everything is there.\n")
    (data / "videos/vid1.avi").unlink()
    outcome = run("eval", "check", "msvd-qa", "--data", data, "--json")
    assert outcome.code == 1
    assert outcome.document["missing"] == ["vid1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "imagenet", "--data", "x"), "must be one of msvd-qa, "),
        (("mlvu", "--data", "nowhere"), "nowhere is no folder"),
        (("mlvu", "--data", ".", "--rule", "x=y"), "there is no 'x'"),
    ],
)
def test_wrong_calls_are_one_sentence(run, words, message):
    outcome = run("eval", *words)
    assert outcome.code == 1
    assert message in outcome.err
    assert len(outcome.err_lines) == 1


def test_help_lists_every_benchmark(run):
    assert {*BENCHMARKS, "focusworld"} == set(OWN)
    outcome = run("eval", "--help")
    for name in OWN:
        assert f"  {name} " in outcome.out


def _result(run, data, model, out, *more):
    outcome = run("eval", "msvd-qa", "--data", data, "--out", out, *more)
    assert outcome.code == 0, outcome.err
    return out / "msvd-qa.json"


def test_results_stand_side_by_side_with_published_rows(run, data, model, tmp_path):
    with StandInServer(answer=_verdict, models=("one",)) as server:
        first = _result(run, data, model, tmp_path / "a", "--judge-url", server.url)
        more = ("--judge-url", server.url, "--max-video-tokens", "64")
        second = _result(run, data, model, tmp_path / "b", *more)
    outcome = run("eval", "table", first, second, "--plot", tmp_path / "plot.png")
    assert outcome.code == 0, outcome.err
    assert "| nano | 100.0 | 4.00 | 12 | ours, " in outcome.out
    assert (
        "| SlowFocus (Vicuna-7B) | 70.1 | 3.9 | - | SlowFocus, table 2 |" in outcome.out
    )
    assert "nano, 64 tokens against nano: +0.0 points on 2 questions" in outcome.out
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    latex = run("eval", "table", first, "--format", "latex", "--no-published").out
    assert "nano & 100.0 & 4.00 & 12" in latex
    assert run("eval", "table", first, "--format", "csv").out.startswith("system,Acc")


def test_other_judges_are_not_mixed_unless_forced(run, data, model, tmp_path):
    results = []
    for name in ("one", "two"):
        with StandInServer(answer=_verdict, models=(name,)) as server:
            words = (tmp_path / name, "--judge-url", server.url)
            results.append(_result(run, data, model, *words))
    outcome = run("eval", "table", *results)
    assert outcome.code == 1
    assert "different judges or prompts (one at 127.0.0.1, two at" in outcome.err
    outcome = run("eval", "table", *results, "--force")
    assert outcome.out.count("100.0*") == 2
    assert "* nano: judged by two at 127.0.0.1." in outcome.out


def test_another_package_adds_a_benchmark(run, data, tmp_path, monkeypatch):
    folder = tmp_path / "package"
    folder.mkdir()
    source = (
        "from dataclasses import replace\n"
        "from dynfocus.evaluation.benchmarks.msvd_qa import BENCHMARK\n"
        "OURS = replace(BENCHMARK, name='our-qa', title='Our QA')\n"
    )
    points = "[dynfocus.benchmarks]\nour-qa = their_benchmark:OURS\n"
    install(
        folder,
        monkeypatch,
        module="their_benchmark",
        source=source,
        entry_points=points,
    )
    assert "  our-qa " in run("eval", "--help").out
    outcome = run("eval", "check", "our-qa", "--data", data)
    assert outcome.out.startswith("Our QA: ")
    assert "--rule" in run("eval", "our-qa", "--help").out


def test_a_dry_run_spends_nothing_but_one_question(run, data, model, tmp_path, clip):
    for name in ("vid0", "vid1"):
        (data / f"videos/{name}.avi").write_bytes(Path(clip).read_bytes())
    words = ("eval", "msvd-qa", "--data", data, "--out", tmp_path / "out", "--dry-run")
    outcome = run(*words, "--judge-price", "10", "20", "--json")
    assert outcome.code == 0, outcome.err
    plan = outcome.document
    assert (plan["questions"], plan["frames"], plan["judge_calls"]) == (2, 12, 2)
    assert plan["judge_cost"] >= 0
    assert plan["video_tokens"] is not None
    assert len(model.asked) == 1
    lines = (tmp_path / "out/msvd-qa.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["answer"] == "a man"  # kept for the run
