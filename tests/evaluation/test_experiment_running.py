"""Experiments: variants that are trained once, asked the same, and kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dynfocus.conversion import Choices, assemble
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.experiments.ablations import BASE, EXPERIMENTS
from dynfocus.evaluation.experiments.plans import Phase, Plan, Variant
from dynfocus.evaluation.experiments.running import run_variants
from dynfocus.focus import FocusSettings, VideoFeatures
from dynfocus.index import VideoIndex
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.loading import load_parts
from dynfocus.models.options import AskOptions
from dynfocus.models.video_model import VideoModel
from dynfocus.training.dataset import ConversationDataset, Layout
from dynfocus.training.starting import ModelSettings, connect
from tiny_parts import write_parts

TRAIN = "dynfocus.training.loop.train"
FOCUS = BASE | {"num_prototypes": 4, "num_noise_samples": 10}
VARIANTS = (
    Variant(name="base", label="DynFocus", options={"focus": FOCUS}, x=4, paper=(2.0,)),
    Variant(
        name="fewer",
        label="L = 2",
        options={"focus": FOCUS | {"num_prototypes": 2}},
        weights_of="base",
        x=2,
        paper=(1.0,),
    ),
    Variant(
        name="two",
        label="two phases",
        connector="llama_vid",
        phases=(Phase(stage=1, trains=("projectors", "clock")), Phase()),
        x=3,
        paper=(3.0,),
    ),
)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    parts = write_parts(folder)
    qformer = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    choices = Choices(
        focus=FocusSettings.from_dict(FOCUS | {"question": {"use_clock": True}}),
        qformer=qformer,
        question_first=True,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        dtype=torch.float32,
        seed=None,
    )
    made = assemble(*parts, choices=choices)
    made.model.save_pretrained(folder / "model")
    made.processor.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory):
    """Run all variants once: their plan, folder and records, and what was told."""
    folder = tmp_path_factory.mktemp("experiment")
    asked = WorldBenchmark(
        name="short",
        num_videos=2,
        seconds=(8.0, 9.0),
        kinds=("needle", "presence", "count", "order"),
        max_per_kind=1,
    )
    plan = Plan(
        start=str(start),
        patches=str(folder / "patches"),
        num_steps=1,
        num_caption_steps=1,
        batch_size=2,
        num_training_videos=2,
        training_seconds=(6.0, 8.0),
        max_training_frames=6,
        sets=(asked,),
    )
    told: list[str] = []
    records = run_variants(VARIANTS, plan, folder / "runs", told.append)
    return plan, folder / "runs", records, told


@pytest.fixture
def plan(finished):
    return finished[0]


@pytest.fixture
def runs(finished, tmp_path):
    """Copy the folder of the finished run, for a test to change."""
    return shutil.copytree(finished[1], tmp_path / "runs")


@pytest.fixture
def trained(monkeypatch):
    """Train nothing, but tell what would be."""
    outputs: list[str] = []

    def stop(recipe, *arguments, **options):
        outputs.append(Path(recipe.output).name)
        raise KeyboardInterrupt

    monkeypatch.setattr(TRAIN, stop)
    return outputs


def test_variants_are_asked_the_same(finished):
    _, runs, records, told = finished
    asked = {
        name: [(r["video"], r["question"]) for r in found]
        for name, found in records.items()
    }
    assert asked["base"] == asked["fewer"] == asked["two"]
    assert len(asked["base"]) >= 4
    assert told.count("3 of 3: two phases, seed 0: training") == 2  # two phases
    assert told[-1] == "3 of 3: two phases, seed 0: asking (short)"
    assert all(r["tokens"] == 2 * 8 or r["tokens"] == 2 * 9 for r in records["two"])
    folders = sorted(p.name for p in runs.iterdir() if p.is_dir())
    assert folders == ["base-seed0-phase1", "two-seed0-phase1", "two-seed0-phase2"]
    assert not list(runs.rglob("checkpoint-*"))


def test_nothing_is_run_twice(finished, trained):
    plan, runs, records, _ = finished
    told: list[str] = []
    assert run_variants(VARIANTS, plan, runs, told.append) == records
    assert told == trained == []


def test_a_budget_is_asked_with_the_same_weights_and_never_exceeded(
    finished, runs, trained
):
    plan, _, whole, _ = finished
    fitted = replace(plan.sets[0], max_video_tokens=14)
    told: list[str] = []
    both = replace(plan, sets=(*plan.sets, fitted))
    records = run_variants(VARIANTS, both, runs, told.append)
    assert trained == []
    assert told[0] == "1 of 3: DynFocus, seed 0: asking (short, at most 14 tokens)"
    for name, found in records.items():
        assert found[: len(whole[name])] == whole[name]
        within = [r for r in found if r["set"] == fitted.title]
        assert [r["question"] for r in within] == [r["question"] for r in whole[name]]
        assert all(0 < r["tokens"] <= 14 for r in within)


@pytest.mark.parametrize("name", ["flash-vstream", "storm", "longvu"])
def test_arms_of_others_are_trained_and_asked(finished, tmp_path, name):
    plan = finished[0]
    fitted = replace(plan.sets[0], max_video_tokens=40)
    (arm,) = [one for one in EXPERIMENTS["methods"].variants if one.name == name]
    both = replace(plan, sets=(plan.sets[0], fitted))
    found = run_variants((arm,), both, tmp_path / "runs", lambda text: None)[name]
    assert (tmp_path / "runs" / f"{name}-seed0-phase1").is_dir()
    within = [record for record in found if record["set"] == fitted.title]
    assert len(within) == len(found) - len(within) >= 4
    assert all(0 < record["tokens"] <= 40 for record in within)
    assert all(record["tokens"] > 0 and record["answer"] for record in found)


def test_an_oracle_is_shown_the_evidence_alone_and_the_blind_nothing(
    finished, runs, trained
):
    plan, _, records, _ = finished
    oracle = replace(VARIANTS[0], name="oracle", weights_of="base", shown="evidence")
    blind = replace(oracle, name="blind", shown="nothing")
    three = (VARIANTS[0], oracle, blind)
    asked = run_variants(three, plan, runs, lambda text: None)
    assert trained == []
    assert {r["tokens"] for r in asked["blind"]} == {0}
    assert {r["evidence_seen"] for r in asked["blind"]} == {None}
    found = asked["oracle"]
    pairs = list(zip(found, records["base"], strict=True))
    assert all(told["question"] == usual["question"] for told, usual in pairs)
    known = [told for told in found if told["evidence_seen"] is not None]
    assert known
    assert all(told["evidence_seen"] for told in known)
    assert any(told["tokens"] < usual["tokens"] for told, usual in pairs)


def test_a_budget_below_a_frame_is_refused_before_anything_is_trained(plan, tmp_path):
    small = replace(plan, sets=(replace(plan.sets[0], max_video_tokens=3),))
    with pytest.raises(
        ValueError, match="budget of 3 .* frame of DynFocus has 12; give"
    ):
        run_variants(VARIANTS, small, tmp_path / "runs", print)
    assert not (tmp_path / "runs").exists()


def test_a_stopped_run_goes_on_with_the_phase_it_was_in(plan, runs, trained):
    shutil.rmtree(runs / "two-seed0-phase2")
    (runs / "two-seed0-short.jsonl").unlink()
    for _ in range(2):  # the second time it finds what the first has left
        with pytest.raises(KeyboardInterrupt):
            run_variants(VARIANTS, plan, runs, lambda text: None)
    assert trained == ["two-seed0-phase2"] * 2
    told: list[str] = []
    finished = VARIANTS[:2]
    run_variants(finished, plan, runs, told.append)
    assert told == []


def test_answers_of_other_settings_are_refused(plan, runs):
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        run_variants(VARIANTS[:1], replace(plan, num_steps=2), runs, print)
    (runs / "base-seed0-short.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="line 1 is no record of a run"):
        run_variants(VARIANTS[:1], plan, runs, print)


def test_weights_of_other_settings_are_refused(plan, runs):
    (runs / "base-seed0-short.jsonl").unlink()
    other = replace(plan, learning_rate=0.5)
    with pytest.raises(ValueError, match="base-seed0-phase1 was trained with other"):
        run_variants(VARIANTS[:1], other, runs, print)


def test_finished_weights_are_used_after_their_folder_has_moved(
    finished, runs, trained
):
    plan, _, records, _ = finished
    (runs / "two-seed0-short.jsonl").unlink()
    again = run_variants(VARIANTS[2:], plan, runs, lambda text: None)
    texts = [[r["answer"] for r in run["two"]] for run in (records, again)]
    assert texts[0] == texts[1]
    assert trained == []


def test_the_prompt_of_an_answer_is_the_one_of_training(start):
    own = ModelSettings(connector="llama_vid")
    model, processor = connect(*load_parts(start, device="cpu"), own)
    asked = VideoModel(FeatureBackbone(model, processor, "llama_vid"))
    video = VideoIndex(
        features=VideoFeatures(
            spatial=torch.randn(3, 16, 12), pts_seconds=torch.arange(3.0).double()
        ),
        source=None,
        duration=3.0,
        fps=1.0,
    )
    question = "What letter is on the red square?"
    prompt = asked.prepare(video, question, AskOptions()).input_ids
    turns = [
        {"from": "human", "value": f"<image>\n{question}"},
        {"from": "gpt", "value": "C"},
    ]
    sample = {"id": "a", "video": "a.mp4", "conversations": turns}
    shown = SimpleNamespace(num_frames=3)
    store = SimpleNamespace(load=lambda medium: shown, num_frames=lambda medium: 3)
    count = model.focus_network.num_tokens
    layout = Layout(template="roles")
    dataset = ConversationDataset([sample], store, processor, count, layout)
    full = dataset[0]["input_ids"]
    length = prompt.shape[1]
    assert prompt[0].tolist() == full[:length].tolist()
    assert len(processor.lead_in(question)) > 0
    assert full[length:].tolist() == processor.tokenizer.encode(
        " C", add_special_tokens=False
    ) + [2]
