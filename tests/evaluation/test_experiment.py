"""Experiments: arms that are trained once, asked the same, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dynfocus.cli import evaluate as command
from dynfocus.evaluation.experiments import experiment as module
from dynfocus.evaluation.experiments.ablations import (
    ABLATIONS,
    BASE,
    EXPERIMENTS,
    Experiment,
)
from dynfocus.evaluation.experiments.comparison import (
    choose_frames,
    gains,
    recall_without_training,
    savings,
    selection_lines,
)
from dynfocus.evaluation.experiments.experiment import answer_question, run_arms
from dynfocus.evaluation.experiments.plans import Arm, Lesson, Plan, TestSet
from dynfocus.evaluation.experiments.tables import (
    accuracy,
    agreement,
    evidence_recall,
    write_experiment,
)
from dynfocus.focus import FocusSettings
from dynfocus.methods import VideoPatches
from dynfocus.models.loading import load_parts
from dynfocus.training.connectors import load_connected
from dynfocus.training.dataset import ConversationDataset, Layout
from dynfocus.training.nano.language import train_tokenizer
from dynfocus.training.stages import assemble

FOCUS = BASE | {"num_prototypes": 4, "num_noise_samples": 10}
ARMS = (
    Arm(name="base", label="DynFocus", options={"focus": FOCUS}, x=4, paper=(2.0,)),
    Arm(
        name="fewer",
        label="L = 2",
        options={"focus": FOCUS | {"num_prototypes": 2}},
        weights_of="base",
        x=2,
        paper=(1.0,),
    ),
    Arm(
        name="two",
        label="two lessons",
        connector="llama_vid",
        lessons=(Lesson(stage=1, trains=("projector",)), Lesson()),
        x=3,
        paper=(3.0,),
    ),
)
EXPERIMENT = Experiment(
    name="tiny",
    title="A tiny table",
    source="nowhere",
    paper_columns=("QA",),
    arms=ARMS,
    expects="two is best",
)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    tokenizer = train_tokenizer(20, 400)
    torch.manual_seed(0)
    tower = InstructBlipVisionConfig(
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=112,
        patch_size=28,
        initializer_range=0.1,
    )
    reader = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    InstructBlipVisionModel(tower).save_pretrained(folder / "tower")
    LlamaForCausalLM(reader).save_pretrained(folder / "reader")
    tokenizer.save_pretrained(folder / "reader")
    qformer = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = {
        "focus": FOCUS | {"question": {"use_clock": True}},
        "qformer": qformer,
        "question_first": True,
    }
    model, processor = assemble(str(folder / "tower"), str(folder / "reader"), settings)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture
def plan(start, tmp_path):
    return Plan(
        start=str(start),
        patches=str(tmp_path / "patches"),
        num_steps=1,
        num_caption_steps=1,
        batch_size=2,
        num_training_videos=2,
        training_seconds=(6.0, 8.0),
        max_training_frames=6,
        sets=(TestSet(name="short", num_videos=2, seconds=(8.0, 9.0)),),
        max_per_kind=1,
    )


def test_arms_are_asked_the_same_and_not_run_twice(plan, tmp_path, monkeypatch):
    told: list[str] = []
    records = run_arms(ARMS, plan, tmp_path / "runs", told.append)
    asked = {
        name: [(r["video"], r["question"]) for r in found]
        for name, found in records.items()
    }
    assert asked["base"] == asked["fewer"] == asked["two"]
    assert len(asked["base"]) >= 4
    assert told.count("3 of 3: two lessons, seed 0: training") == 2  # two lessons
    assert told[-1] == "3 of 3: two lessons, seed 0: asking (short)"
    assert all(r["tokens"] == 2 * 8 or r["tokens"] == 2 * 9 for r in records["two"])
    folders = sorted(p.name for p in (tmp_path / "runs").iterdir() if p.is_dir())
    assert folders == ["base-seed0-lesson1", "two-seed0-lesson1", "two-seed0-lesson2"]
    assert not list((tmp_path / "runs").rglob("checkpoint-*"))

    def refuse(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train", refuse)
    told.clear()
    assert run_arms(ARMS, plan, tmp_path / "runs", told.append) == records
    assert told == []


def test_a_budget_is_asked_with_the_same_weights_and_never_exceeded(
    plan, tmp_path, monkeypatch
):
    whole = run_arms(ARMS, plan, tmp_path, lambda text: None)
    fitted = replace(plan.sets[0], max_tokens=14)
    monkeypatch.setattr(module, "train", None)
    told: list[str] = []
    both = replace(plan, sets=(*plan.sets, fitted))
    records = run_arms(ARMS, both, tmp_path, told.append)
    assert told[0] == "1 of 3: DynFocus, seed 0: asking (short, at most 14 tokens)"
    for name, found in records.items():
        assert found[: len(whole[name])] == whole[name]
        within = [r for r in found if r["set"] == fitted.title]
        assert [r["question"] for r in within] == [r["question"] for r in whole[name]]
        assert all(0 < r["tokens"] <= 14 for r in within)


def test_a_budget_below_a_frame_is_refused_before_anything_is_trained(plan, tmp_path):
    small = replace(plan, sets=(replace(plan.sets[0], max_tokens=3),))
    with pytest.raises(
        ValueError, match="budget of 3 .* frame of DynFocus has 12; give"
    ):
        run_arms(ARMS, small, tmp_path / "runs", print)
    assert not (tmp_path / "runs").exists()


def test_a_stopped_run_keeps_its_finished_arms(plan, tmp_path, monkeypatch):
    real, calls = module.train, []

    def stop_at_the_third(recipe, *arguments, **options):
        calls.append(recipe.output)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(recipe, *arguments, **options)

    monkeypatch.setattr(module, "train", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_arms(ARMS, plan, tmp_path, lambda text: None)
    assert (tmp_path / "base-seed0-short.jsonl").is_file()
    assert not (tmp_path / "two-seed0-short.jsonl").exists()
    run_arms(ARMS, plan, tmp_path, lambda text: None)
    assert [c.rsplit("/", 1)[1] for c in calls] == [
        "base-seed0-lesson1",
        "two-seed0-lesson1",
        "two-seed0-lesson2",
        "two-seed0-lesson2",
    ]


def test_answers_of_other_settings_are_refused(plan, tmp_path):
    run_arms(ARMS[:1], plan, tmp_path, lambda text: None)
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        run_arms(ARMS[:1], replace(plan, num_steps=2), tmp_path, print)
    (tmp_path / "base-seed0-short.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="is not an answers file of an experiment"):
        run_arms(ARMS[:1], plan, tmp_path, print)


def test_weights_of_other_settings_are_refused(plan, tmp_path):
    run_arms(ARMS[:1], plan, tmp_path, lambda text: None)
    (tmp_path / "base-seed0-short.jsonl").unlink()
    other = replace(plan, learning_rate=0.5)
    with pytest.raises(ValueError, match="base-seed0-lesson1 was trained with other"):
        run_arms(ARMS[:1], other, tmp_path, print)


def test_finished_weights_are_used_after_their_folder_has_moved(
    plan, tmp_path, monkeypatch
):
    records = run_arms(ARMS[2:], plan, tmp_path / "runs", lambda text: None)
    (tmp_path / "runs").rename(tmp_path / "moved")
    (tmp_path / "moved" / "two-seed0-short.jsonl").unlink()
    monkeypatch.setattr(module, "train", None)
    again = run_arms(ARMS[2:], plan, tmp_path / "moved", lambda text: None)
    texts = [[r["answer"] for r in run["two"]] for run in (records, again)]
    assert texts[0] == texts[1]


def test_the_prompt_of_an_answer_is_the_one_of_training(start):
    model, processor = load_parts(start, device="cpu")
    connected = load_connected(model, "llama_vid", {}).eval()
    video = VideoPatches(
        patches=torch.randn(3, 16, 12), pts_seconds=torch.arange(3.0).double()
    )
    seen = {}

    def answer(input_ids, tokens, max_new_tokens):
        seen["ids"] = input_ids
        return input_ids[0, :0]

    connected.answer = answer
    question = "What letter is on the red square?"
    answer_question(connected, processor, connected.prepare(video), question)
    turns = [
        {"from": "human", "value": f"<image>\n{question}"},
        {"from": "gpt", "value": "C"},
    ]
    sample = {"id": "a", "video": "a.mp4", "conversations": turns}
    shown = SimpleNamespace(num_frames=3)
    store = SimpleNamespace(load=lambda medium: shown, num_frames=lambda medium: 3)
    dataset = ConversationDataset(
        [sample], store, processor, connected.num_tokens, Layout(template="roles")
    )
    full = dataset[0]["input_ids"]
    length = seen["ids"].shape[1]
    assert seen["ids"][0].tolist() == full[:length].tolist()
    assert len(processor.lead_in(question)) > 0
    assert full[length:].tolist() == processor.tokenizer.encode(
        " C", add_special_tokens=False
    ) + [2]


def record(right, kind="needle", seed=0, seen=None, share=0.0, test="short"):
    return {
        "set": test,
        "training_seed": seed,
        "kind": kind,
        "right": right,
        "tokens": 20,
        "seconds": 0.5,
        "prepare_seconds": 1.0,
        "evidence_seen": seen,
        "fine_share": share,
    }


def test_the_mean_is_over_kinds_and_the_spread_over_seeds():
    records = [record(True), record(True), record(True), record(False)]
    records += [record(False, "count"), record(True, "count", seed=1)]
    records += [record(True, seed=1)]
    whole = accuracy(records)
    assert whole.mean == pytest.approx((37.5 + 100) / 2)
    assert whole.spread == pytest.approx(44.194, abs=1e-3)
    assert accuracy(records, "needle").mean == pytest.approx((75 + 100) / 2)
    assert accuracy(records, "order") is None


def test_recall_counts_questions_with_evidence_alone():
    records = [record(True, seen=True, share=0.1), record(True, seen=False, share=0.3)]
    assert evidence_recall([*records, record(True)]) == pytest.approx((50, 20))
    assert evidence_recall([record(True)]) is None


def test_the_direction_of_the_paper_is_compared_pair_by_pair(plan):
    records = {
        "base": [record(True), record(False)],
        "fewer": [record(False)],
        "two": [record(False)],
    }
    said = agreement(EXPERIMENT, records, plan)
    assert (
        "The paper: two is best. 1 of 3 pairs of rows stand in its order (QA)" in said
    )
    assert said.endswith("the direction does not agree.")
    records["two"] = [record(True)]
    assert agreement(EXPERIMENT, records, plan).endswith(
        "3 of 3 pairs of rows stand in its order (QA): the direction agrees."
    )


def test_without_figures_of_the_paper_the_best_row_is_named(plan):
    arms = tuple(replace(arm, paper=()) for arm in ARMS)
    records = {arm.name: [record(False)] for arm in ARMS} | {"two": [record(True)]}
    said = agreement(replace(EXPERIMENT, arms=arms), records, plan)
    assert said == "The paper: two is best. Best here: two lessons (short)."


@pytest.mark.parametrize("axis", ["", "prototypes"])
def test_a_table_a_picture_and_what_made_them_are_written(plan, tmp_path, axis):
    records = {arm.name: [record(True, k) for k in plan.kinds] for arm in ARMS}
    experiment = replace(EXPERIMENT, axis=axis)
    page = write_experiment(
        experiment, records, plan, tmp_path, command="dynfocus x", commit="c" * 40
    )
    text = page.read_text()
    assert page.name == "ablation-tiny.md"
    assert "`dynfocus x`, commit cccccccccccc" in text
    assert (
        "| DynFocus | 20 | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 | 0.50 | 1.50 | - | 2 |"
    ) in text
    document = json.loads((tmp_path / "ablation-tiny.json").read_text())
    assert document["plan"]["num_steps"] == 1
    assert document["arms"]["two"]["results"]["short"]["video_tokens"] == 20
    picture = (tmp_path / "ablation-tiny.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_the_program_knows_every_ablation():
    assert command.ABLATIONS == ABLATIONS
    assert set(EXPERIMENTS) == {*ABLATIONS, "methods"}


def test_arms_of_one_name_are_one_arm():
    found = {}
    for experiment in EXPERIMENTS.values():
        for arm in experiment.arms:
            what = (arm.connector, json.dumps(dict(arm.options)), arm.lessons)
            assert found.setdefault(arm.name, what) == what


def test_systems_of_the_comparison_differ_in_one_thing():
    arms = {arm.name: arm for arm in EXPERIMENTS["methods"].arms}
    assert len(arms) == 8
    rated = arms["rated"].options["focus"]
    asked = {"use_question_scores": True}
    assert rated == arms["question"].options["focus"] | {
        "question": asked
        | {"use_ratings": True, "use_visit_counts": True, "use_best_frames": True}
    }
    question = arms["question"].options["focus"]
    assert question == arms["base"].options["focus"] | {"question": asked}


def test_frames_are_chosen_without_training():
    torch.manual_seed(0)
    scenes = torch.randn(4, 1, 8).repeat_interleave(5, 0) * 3
    video = VideoPatches(
        patches=scenes + 0.05 * torch.randn(20, 16, 8),
        pts_seconds=torch.arange(20.0).double(),
    )
    settings = FocusSettings.from_dict(BASE | {"num_prototypes": 8})
    chosen = choose_frames(video, settings)
    assert chosen["uniform frames"].tolist() == [2, 7, 12, 17]
    densest = chosen["T-DPC alone"]
    assert sorted(densest.tolist()) == densest.tolist()
    assert {int(frame) // 5 for frame in densest} == {0, 1, 2, 3}


def test_recall_of_evidence_needs_no_training(plan):
    found = recall_without_training(plan)
    assert set(found) == {"uniform frames", "T-DPC alone"}
    for tests in found.values():
        recall, share = tests["short"]
        assert 0 <= recall <= 100
        assert 50 <= share < 56  # 4 Cones of 8 frames, 5 of 9


def test_gains_are_ratios_and_points(plan):
    slow = record(False, seen=True, share=0.5) | {"tokens": 40, "seconds": 1.0}
    records = {a.name: [slow] for a in EXPERIMENTS["methods"].arms}
    records["question"] = [record(True, seen=True, share=0.25)]
    lines = gains(records, plan)
    assert len(lines) == 2 * (2 + 7 + 1)
    assert lines[2].endswith("| 0.50 x | 1.33 x | 2.00 x | +100.0 | +100.0 |")
    assert lines[10].startswith("| short: (g+) against |")
    assert lines[18].startswith("| (g) DynFocus, question in the score | 2.00 x |")
    assert savings(records, plan) == []
    fitted = replace(plan.sets[0], max_tokens=10)
    few = record(True, seen=True, share=0.25, test=fitted.title) | {"tokens": 10}
    records = {name: [*found, few] for name, found in records.items()}
    lines = savings(records, replace(plan, sets=(*plan.sets, fitted)))
    assert lines[0].startswith(
        "| short, at most 10 tokens: (g+) against with all tokens |"
    )
    assert lines[2].endswith("| 0.25 x | 1.33 x | 2.00 x | +100.0 | +100.0 |")
    assert len(lines) == 2 + 7 + 1
    recall = {"uniform frames": {"short": (40.0, 5.0)}}
    rows = selection_lines(records, plan, recall)
    assert rows[2] == "| uniform frames | 40 (5.0) |"
    assert rows[3] == "| (f) DynFocus | 100 (50.0) |"
    assert rows[4] == "| (g) with the question | 100 (25.0) |"
