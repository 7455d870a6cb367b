"""Losses from evidence: each against its equation, and all of them in a stage's step."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cosine_similarity

from dynfocus.focus import FocusBudget, uniform_indices
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.dataset import Collator, ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.evidence import (
    EvidenceModel,
    EvidenceWeights,
    asked_of,
    shows_answer,
)
from dynfocus.training.parts import group_of
from dynfocus.training.stages import make_stage_job

WORLD = {"world_videos": {"num_videos": 3, "seconds": [8, 12], "turns_per_sample": 1}}
RATED = {"use_question_scores": True, "use_clock": True, "use_ratings": True}
ALL = {"relevance": 1.0, "selection": 0.5, "rods": 2.0}


@pytest.fixture(scope="module")
def samples(load):
    """Give samples with and without evidence, of videos of several lengths."""
    found = load([WORLD, {"world_logs": {"num_logs": 1}}])
    known = [s for s in found if s.get("evidence", [[]])[0]]
    unknown = [s for s in found if not s.get("evidence", [[]])[0]]
    assert len({s["video"] for s in known[::9][:4]}) > 1
    return [*known[::9][:4], unknown[0], unknown[-1]]


@pytest.fixture
def build(make_tiny, samples, tmp_path):
    """Give a model whose frames are rated, and a batch with evidence."""

    def make(weights=ALL):
        model, processor = make_tiny(question=RATED)
        cache = EncodedVideos(tmp_path / "cache", model, processor)
        cache.fill(samples)
        data = ConversationDataset(
            samples,
            cache,
            processor,
            FocusBudget(settings=model.settings).num_tokens,
            Layout(),
            has_evidence=True,
        )
        learner = EvidenceModel(model, EvidenceWeights(**weights))
        encoded = [data.encode(number) for number in range(len(samples))]
        return learner.eval(), encoded, Collator(data)

    return make


def questions(encoded, model):
    """Yield each question with evidence: its video, text features and frames."""
    for sample in encoded:
        for ids, shows in zip(
            sample.get("questions", ()), sample.get("shows_answer", ()), strict=True
        ):
            if shows is not None:
                text = model.encode_question(ids[None], torch.ones_like(ids[None]))
                yield sample, sample["shown"][0], text, shows


def losses(learner, encoded, collator, language=0.0):
    weights = {name: getattr(learner.weights, name) for name in ALL}
    learner.weights = EvidenceWeights(**weights, language=language)
    batch = collator(encoded)
    del batch["facts"]
    return learner(**batch)


def test_evidence_is_half_open():
    times = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]).double()
    shown = shows_answer(times, [(1.0, 2.0), (3.5, 9.0)])
    assert shown.tolist() == [False, True, False, False, True]
    assert not shows_answer(times, [(0.0, 0.0)]).any()


def test_that_no_frame_shows_it_is_taught_as_well(build):
    learner, encoded, collator = build(
        {"relevance": 1.0, "selection": 1.0, "rods": 1.0}
    )
    for sample in encoded:
        if "shows_answer" in sample:
            nowhere = torch.zeros(len(sample["shown"][0].pts_seconds), dtype=torch.bool)
            sample["shows_answer"] = [nowhere for _ in sample["shows_answer"]]
    learner.train()
    found = losses(learner, encoded, collator)
    assert found["relevance_loss"] > 0
    assert found["selection_loss"] == found["rods_loss"] == 0
    found["loss"].backward()
    bias = learner.model.focus_network.question_head.rating.decide.bias
    assert bias.grad > 0  # ratings sink


def test_each_question_needs_an_entry_of_evidence():
    turns = [
        {"from": "human", "value": "<image>\nWhen?"},
        {"from": "gpt", "value": "a"},
    ]
    sample = {"id": "x", "conversations": 2 * turns, "evidence": [[], [[2, 4.5]]]}
    assert [one.evidence for one in asked_of(sample)] == [[], [(2.0, 4.5)]]
    with pytest.raises(ValueError, match=r"sample x: .*one list of .* \(2\), got 1"):
        asked_of(sample | {"evidence": [[]]})


@torch.no_grad()
def test_relevance_is_the_cross_entropy_of_every_frame(build):
    learner, encoded, collator = build()
    rated, truth = [], []
    network = learner.model.focus_network.question_head.rating
    for _, video, text, shows in questions(encoded, learner.model):
        rated.append(network.rate(video.spatial[None], text, None)[0].sigmoid())
        truth.append(shows.float())
    assert len({len(row) for row in rated}) > 1
    expected = binary_cross_entropy(torch.cat(rated), torch.cat(truth))
    found = losses(learner, encoded, collator)["relevance_loss"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_selection_is_the_mean_log_share_of_the_right_prototypes(build):
    learner, encoded, collator = build()
    network = learner.model.focus_network
    expected = []
    for _, video, text, shows in questions(encoded, learner.model):
        asked = (text, None)
        scores, *_ = network.score_events(
            video.prototypes, video.spatial[None], asked, asked
        )
        scores, right = scores[0], shows[video.prototypes.frames[0]]
        if right.any():
            shares = scores.exp() / scores.exp().sum()
            expected.append(-shares[right].log().mean())
    assert expected
    found = losses(learner, encoded, collator)["selection_loss"]
    torch.testing.assert_close(found, torch.stack(expected).mean())


@torch.no_grad()
def test_rods_are_read_alone_in_at_most_four_frames(build):
    learner, encoded, collator = build()
    model = learner.model
    encoding = model.focus_network.cooperative_encoding
    table = model.get_input_embeddings().weight
    expected = []
    for sample, video, text, shows in questions(encoded, model):
        inside = shows.nonzero()[:, 0].tolist()
        count = min(4, len(inside))
        for place in uniform_indices(len(inside), count).tolist():
            spatial = video.spatial[inside[place]][None, None]
            context = encoding.attend(spatial, text, None)[0, 0]
            for project in (encoding.context_projector, encoding.multi_modal_projector):
                near = cosine_similarity(project(context)[None], table)
                says = (16 * near).softmax(0)
                expected.append(-says[sample["words"][0]].log().mean())
    found = losses(learner, encoded, collator)["rods_loss"]
    torch.testing.assert_close(found, torch.stack(expected).mean())


@torch.no_grad()
def test_rods_say_the_words_that_a_sample_shows(build):
    learner, encoded, collator = build()
    word, other = 5, 7
    found = []
    for words in ([word], [other], [word, other], []):
        for sample in encoded:
            if "words" in sample:
                sample["words"] = [torch.tensor(words, dtype=torch.long)]
        found.append(losses(learner, encoded, collator)["rods_loss"])
    torch.testing.assert_close(found[2], (found[0] + found[1]) / 2)
    assert found[0] != found[1]
    assert found[3] == 0


@torch.no_grad()
def test_the_loss_is_the_weighted_sum(build):
    learner, encoded, collator = build()
    found = losses(learner, encoded, collator, language=3.0)
    parts = {n.removesuffix("_loss"): v for n, v in found.items() if n != "loss"}
    assert set(parts) == {*ALL, "language"}
    expected = sum(w * parts[name] for name, w in {**ALL, "language": 3.0}.items())
    torch.testing.assert_close(found["loss"], expected)


@torch.no_grad()
def test_evidence_changes_nothing_of_the_language_models_loss(build):
    learner, encoded, collator = build()
    batch = collator(encoded)
    for name in ("facts", "shows_answer", "words"):
        del batch[name]
    expected = learner.model(**batch).loss
    found = losses(learner, encoded, collator, language=1.0)["language_loss"]
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_questions_are_read_once(build, monkeypatch):
    learner, encoded, collator = build()
    calls = []
    encoder = learner.model.text_encoder
    real = encoder.forward

    def count(*arguments, **options):
        calls.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(encoder, "forward", count)
    for language in (0.0, 1.0):
        found = losses(learner, encoded, collator, language=language)
        assert len(calls) == 1
        calls.clear()
        assert all(f"{name}_loss" in found for name in ALL)


@torch.no_grad()
def test_batches_that_add_up_share_the_evidence(build):
    learner, encoded, collator = build({"relevance": 1.0})
    batch = collator(encoded)
    del batch["facts"]
    num_tokens = (batch["labels"] != -100).sum()
    whole = learner(**batch)
    half = learner(**batch, num_items_in_batch=2 * num_tokens)
    torch.testing.assert_close(2 * half["loss"], whole["loss"])


def test_a_batch_without_evidence_teaches_nothing_of_it(build):
    learner, encoded, collator = build()
    assert set(losses(learner, encoded[4:], collator)) == {"loss"}
    loss = losses(learner, encoded[4:], collator)["loss"]
    assert loss.item() == 0
    loss.backward()


@pytest.fixture
def recipe(write_recipe, start_rated, tmp_path):
    def write(**changes):
        tree = {
            "task": "stage2",
            "start": {"model": str(start_rated)},
            "data": {"sources": [WORLD], "cache": str(tmp_path / "features")},
            "evidence": ALL,
        }
        return write_recipe(**(tree | changes))

    return write


@pytest.fixture
def start_rated(make_tiny, tmp_path):
    model, processor = make_tiny(question=RATED)
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


def test_evidence_alone_teaches_what_it_is_about_and_nothing_else(recipe, start_rated):
    path = recipe(
        evidence={**ALL, "language": 0.0},
        trains=["projectors", "attention", "rating", "scores"],
        schedule={
            "num_steps": 40,
            "batch_size": 8,
            "learning_rate": 0.01,
            "log_every": 8,
        },
    )
    output = run_recipe(path)
    before = load_parts(start_rated, device="cpu")[0].state_dict()
    after = load_parts(output / "model", device="cpu")[0].state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    groups = {"projectors", "attention", "rating", "scores"}
    assert {group_of(name) for name in changed} == groups
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    logged = [entry for entry in history if "loss" in entry]
    assert logged[-1]["loss"] < 0.9 * logged[0]["loss"]
    for name in ALL:
        assert f"{name}_loss" in logged[0]


def test_evidence_stands_beside_the_stage(recipe, tmp_path):
    output = run_recipe(recipe())
    state = json.loads((output / "trainer_state.json").read_text())
    first = state["log_history"][0]
    parts = {**ALL, "language": 1.0}
    expected = sum(w * first[f"{name}_loss"] for name, w in parts.items())
    assert first["loss"] == pytest.approx(expected, rel=1e-3)
    assert load_parts(output / "model", device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence": {}}, "evidence: relevance, selection and rods are all 0"),
        ({"evidence": {"rods": -1}}, "evidence.rods must be at least 0, got -1"),
        ({"evidence": {"rod": 1}}, "no 'evidence.rod'; accepted are relevance, sel"),
        ({"data": {"sources": [WORLD]}}, "evidence needs videos that are encoded once"),
    ],
)
def test_wrong_weights_are_refused(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(recipe(**changes))


def test_a_model_that_rates_no_frames_cannot_be_taught_to(recipe, start):
    with pytest.raises(ValueError, match="evidence.relevance needs a model that rates"):
        make_stage_job(load_recipe(recipe(start={"model": str(start)})))
