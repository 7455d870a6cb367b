from __future__ import annotations

from pathlib import Path

import pytest

import dynfocus.training
from dynfocus.cli import doctor as doctor_module
from dynfocus.cli.demo import choose_questions
from dynfocus.world import WorldQuestion, find_questions


def test_storyboard_needs_no_model(run, clip, monkeypatch):
    outcome = run("storyboard", clip)
    assert outcome.code == 0
    assert outcome.out == "clip-storyboard.png\n"
    assert Path("clip-storyboard.png").read_bytes().startswith(b"\x89PNG")
    assert outcome.err == "3 event prototypes from 48 frames\n"


def test_storyboard_as_json_and_page(run, clip):
    outcome = run("storyboard", clip, "--out", "s.html", "--json")
    prototypes = outcome.document["prototypes"]
    assert outcome.document["file"] == "s.html"
    assert [p["stretches"] for p in prototypes] == [[[0, 2]], [[2, 4]], [[4, 6]]]
    assert Path("s.html").read_text().count("<img ") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "s.pdf"), "a storyboard file must end in .png or .html, got s.pdf"),
        (("--out", "no/s.png"), "the storyboard cannot be written to no/s.png"),
        (("--num-prototypes", 99), "num_prototypes must be from 1 to the 48 frames"),
    ],
)
def test_storyboard_that_cannot_be_made(run, clip, options, message):
    outcome = run("storyboard", clip, *options)
    assert outcome.code == 1
    assert outcome.out == ""
    assert message in outcome.err
    assert not list(Path().iterdir())


def test_redundancy_of_any_video(run, clip):
    outcome = run("redundancy", clip, clip, "--fps", "4", "--out", "r.png", "--json")
    assert outcome.code == 0
    first, second = outcome.document["videos"]
    assert first == second
    assert first["frames"] == 24  # three scenes of two seconds that stand still
    assert first["repeated"] == pytest.approx(21 / 23, abs=1e-4)
    assert outcome.document["mean"] == {"repeated": first["repeated"]}
    assert outcome.err == "histograms: r.png\n"
    assert Path("r.png").read_bytes().startswith(b"\x89PNG")
    outcome = run("redundancy", clip, clip, "--fps", "4")
    assert outcome.out == (
        "clip.mp4: 91.3 % repeated\nclip.mp4: 91.3 % repeated\nmean: 91.3 % repeated\n"
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--out", "r.txt"), 2, "--out must end in .png, .svg, .pdf, got 'r.txt'"),
        (("--out", "no/r.png"), 1, "the histograms cannot be written to no/r.png"),
        (("--repeat-threshold", "1.5"), 2, "1.5 is not between 0 and 1"),
        (("--questions", "no.jsonl"), 1, "questions file no.jsonl does not exist"),
        (("--encoder", "no/folder"), 1, "the encoder 'no/folder' could not be loaded"),
    ],
)
def test_redundancy_that_cannot_be_measured(run, clip, options, code, message):
    outcome = run("redundancy", clip, *options)
    assert outcome.code == code
    assert outcome.out == ""
    assert message in outcome.err
    assert not Path("r.png").exists()


def test_redundancy_names_questions_about_other_videos(run, clip):
    Path("q.jsonl").write_text('{"video": "other.mp4", "question": "What?"}\n')
    outcome = run("redundancy", clip, "--questions", "q.jsonl")
    assert outcome.code == 0
    assert "warning: q.jsonl has no question about these files" in outcome.err


def test_world_make_writes_videos_and_questions(run):
    outcome = run(
        "world",
        "make",
        "w",
        "--num-videos",
        2,
        "--duration",
        6,
        "--split",
        "train",
        "--json",
    )
    assert outcome.code == 0
    assert outcome.document == {"folder": "w", "num_videos": 2, "split": "train"}
    assert len(list(Path("w", "videos").glob("*.mp4"))) == 2
    assert Path("w", "benchmark.jsonl").is_file()


def test_train_passes_recipe_changes_and_resume(run, monkeypatch):
    calls = []

    def run_recipe(path, overrides=(), *, resume=True):
        calls.append((path, list(overrides), resume))
        return Path("runs/x")

    monkeypatch.setattr(dynfocus.training, "run_recipe", run_recipe)
    outcome = run("train", "r.yaml", "--no-resume", "--set", "a.b=1", "--set", "c=x")
    assert outcome.out == "runs/x\n"
    assert calls == [(Path("r.yaml"), ["a.b=1", "c=x"], False)]


def test_train_without_a_recipe_is_one_sentence(run):
    outcome = run("train", "none.yaml")
    assert outcome.code == 1
    assert "none.yaml" in outcome.err
    assert len(outcome.err_lines) == 1


def test_demo_shows_answers_beside_the_truth_and_leaves_a_report(run, models):
    outcome = run("demo", "--duration", 40, "--out", "d", "--seed", 2)
    assert outcome.code == 0
    for word in ("kind", "truth", "right?", "video tokens", "seconds", "presence"):
        assert word in outcome.out
    assert outcome.out.splitlines()[-2:] == [
        "Report:   d/report.html",
        "Timeline: d/timeline.png",
    ]
    assert "answers right" in outcome.out
    names = sorted(path.name for path in Path("d").iterdir())
    assert names == ["questions.json", "report.html", "timeline.png", "video.mp4"]
    assert "http" not in Path("d/report.html").read_text()
    assert models[0].num_indexed == 1


def test_demo_as_json_asks_many_kinds(run, models):
    document = run("demo", "--duration", 60, "--json").document
    questions = document["questions"]
    kinds = [question["kind"] for question in questions]
    assert len(questions) >= 8
    assert len(set(kinds)) >= 7
    assert max(kinds.count(kind) for kind in kinds) <= 2
    assert document["num_right"] == sum(question["right"] for question in questions)


def test_demo_ends_on_the_page_about_its_video(run, models, monkeypatch):
    opened = []
    monkeypatch.setenv("DYNFOCUS_LIBRARY", "library")
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(
        "dynfocus.serving.running.run",
        lambda settings, on_start: on_start("http://127.0.0.1:1"),
    )
    outcome = run("demo", "--duration", 30, "--out", "d", "--open")
    assert outcome.code == 0
    (page,) = opened
    assert f"The page: {page}" in outcome.err
    address, _, name = page.removesuffix("?ask").rpartition("/")
    assert address == "http://127.0.0.1:1/#/videos"
    kept = Path("library/videos") / name
    assert (kept / "content").read_bytes() == Path("d/video.mp4").read_bytes()
    assert find_questions(kept / "content") == find_questions("d/video.mp4")


def test_demo_into_a_file_is_one_sentence(run, models):
    Path("d").write_text("a file")
    outcome = run("demo", "--out", "d")
    assert outcome.code == 1
    assert len(outcome.err_lines) == 1
    assert models == []


def test_questions_are_chosen_one_of_each_kind_first():
    questions = [
        WorldQuestion(kind=kind, question=f"{kind}{number}", answer="")
        for kind, count in (("a", 4), ("b", 1), ("c", 3))
        for number in range(count)
    ]
    names = [question.question for question in choose_questions(questions, 4)]
    assert names == ["a0", "a1", "b0", "c0"]
    assert len(choose_questions(questions, 99)) == 5


def fine() -> str:
    return "good"


def broken() -> str:
    raise RuntimeError("it is\nbroken")


def test_doctor_is_content(run, monkeypatch):
    monkeypatch.setattr(doctor_module, "CHECKS", (("thing", fine, "mend it"),))
    outcome = run("doctor")
    assert outcome.code == 0
    assert outcome.out == "ok      thing: good\n"


def test_doctor_names_a_remedy_and_goes_on(run, monkeypatch):
    checks = (("bad", broken, "mend it"), ("thing", fine, "mend it"))
    monkeypatch.setattr(doctor_module, "CHECKS", checks)
    outcome = run("doctor")
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        "FAILED  bad: it is broken",
        "        to do: mend it",
        "ok      thing: good",
    ]
    document = run("doctor", "--json").document
    assert document["ok"] is False
    assert [check["ok"] for check in document["checks"]] == [False, True]


def test_every_check_but_those_of_the_model_passes_here():
    checks = [c for c in doctor_module.CHECKS if c[0] not in ("weights", "question")]
    assert len(checks) == 7
    assert all(check() for _, check, _ in checks)


def test_the_last_check_asks_a_question(models, monkeypatch):
    name, check, _ = doctor_module.CHECKS[-1]
    monkeypatch.setattr("dynfocus.cli.doctor.load_model", _load_answering)
    assert name == "question"
    assert "3 video tokens" in check()


def _load_answering(name: str, index_folder: bool) -> _Answering:
    assert index_folder is False  # a check leaves nothing behind
    return _Answering()


class _Answering:
    def ask(self, path, question):
        assert Path(path).is_file()
        from dynfocus.models import Answer

        return Answer(text="A", question=question, tokens=3, frames=[], seconds=0.1)


def test_an_unknown_ablation_is_a_wrong_call(run):
    outcome = run("eval", "ablation", "magic")
    assert outcome.code == 2
    assert "NAME must be one of cones-rods, prototypes" in outcome.err
    assert "got 'magic'" in outcome.err


def test_an_experiment_is_run_as_asked_and_written(run, monkeypatch, tmp_path):
    seen = {}

    def run_variants(variants, plan, folder, progress):
        seen.update(variants=variants, plan=plan, folder=folder)
        progress("1 of 1")
        record = {"set": "short", "training_seed": 0, "kind": "needle", "right": True}
        record |= {"tokens": 5, "seconds": 1.0, "prepare_seconds": 0.0, "video": 0}
        record |= {"evidence_seen": None, "fine_share": 0.0, "truth": "A"}
        return {one.name: [record] for one in variants}

    monkeypatch.setattr(
        "dynfocus.evaluation.experiments.running.run_variants", run_variants
    )
    outcome = run(
        *("eval", "ablation", "fusion", "--steps", "8", "--num-seeds", "2"),
        *("--medium-videos", "0", "--short-videos", "3", "--out", "out", "--json"),
    )
    assert outcome.code == 0
    assert outcome.document[0]["page"] == "out/ablation-fusion.md"
    assert outcome.err == "1 of 1\n"
    plan = seen["plan"]
    assert (plan.num_steps, plan.num_caption_steps, plan.seeds) == (8, 2, (0, 1))
    assert [test.num_videos for test in plan.sets] == [3]
    assert [one.name for one in seen["variants"]][-1] == "base"
    page = (tmp_path / "out" / "ablation-fusion.md").read_text()
    assert "| cross-attention | 5 | 100.0 |" in page
