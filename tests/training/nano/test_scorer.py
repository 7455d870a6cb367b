"""Teaching a dual encoder: the evidence decides, the tower stays, the result loads."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from dynfocus.conversion import siglip_tower
from dynfocus.methods import DualEncoder
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.nano.scorer import (
    EvidenceFrames,
    collate,
    make_scorer_job,
    measure_ranking,
    tokenize,
)

SOURCE = {"num_videos": 3, "seconds": [6, 12], "turns_per_sample": 1}


@pytest.fixture
def recipe(start, write_recipe, tmp_path):
    def write(data=None, **changes):
        sources = {
            "cache": str(tmp_path / "patches"),
            "sources": [{"world_videos": SOURCE}],
        }
        return write_recipe(
            **{
                "task": "scorer",
                "start": {"model": str(start)},
                "data": sources | (data or {}),
                "eval_sources": [{"world_videos": {**SOURCE, "split": "validation"}}],
            }
            | changes
        )

    return write


def test_a_sample_is_a_video_with_all_questions_that_have_evidence(recipe):
    data = make_scorer_job(load_recipe(recipe())).dataset
    assert len(data) == 3
    for number, (medium, asked) in enumerate(data.videos.items()):
        assert medium.startswith("focusworld:train/")
        assert all(asked.values())
        assert all(question.endswith("?") for question in asked)
        sample = data[number]
        num_frames = len(sample["patches"])
        assert sample["input_ids"].shape == (len(asked), 16)
        assert sample["shows_answer"].shape == (len(asked), num_frames)
        seconds = torch.arange(num_frames)
        for row, evidence in zip(sample["shows_answer"], asked.values(), strict=True):
            inside = [any(a <= t < b for a, b in evidence) for t in seconds.tolist()]
            assert row.tolist() == inside


def literal_loss(model, samples):
    """Add the sigmoid loss up question by question, frame by frame."""
    losses, hits = [], []
    tower = model.vision_model
    for sample in samples:
        for ids, answers in zip(
            sample["input_ids"], sample["shows_answer"], strict=True
        ):
            words = model.get_text_features(ids[None]).pooler_output[0]
            total, found = 0.0, []
            for patches, is_answer in zip(sample["patches"], answers, strict=True):
                frame = tower.head(tower.post_layernorm(patches[None]))[0]
                cosine = torch.cosine_similarity(frame, words, dim=0)
                logit = model.logit_scale.exp() * cosine + model.logit_bias
                share = torch.sigmoid(logit if is_answer else -logit)
                total -= math.log(share.item())
                found.append(cosine.item())
            losses.append(total / len(answers))
            if answers.any():
                hits.append(bool(answers[int(np.argmax(found))]))
    return sum(losses) / len(losses), sum(hits) / len(hits)


def test_the_loss_is_the_sigmoid_loss_over_a_videos_own_frames(recipe):
    job = make_scorer_job(load_recipe(recipe()))
    lesson = job.model.eval()
    samples = [job.dataset[i] for i in range(3)]
    samples = [
        {**s, "input_ids": s["input_ids"][:3], "shows_answer": s["shows_answer"][:3]}
        for s in samples
    ]
    assert len({len(sample["patches"]) for sample in samples}) > 1
    batch = collate(samples)
    facts = batch.pop("facts")
    assert facts.num_frames == sum(len(sample["patches"]) for sample in samples)
    with torch.no_grad():
        found = lesson(**batch)
        loss, hits = literal_loss(lesson.model, samples)
    assert found["loss"].item() == pytest.approx(loss, rel=1e-4)
    assert found["hits"].item() == pytest.approx(hits)


def test_head_and_text_model_learn_and_the_result_is_a_dual_encoder(recipe, start):
    path = recipe(
        schedule={"num_steps": 30, "batch_size": 3, "learning_rate": 0.003}
        | {"log_every": 5, "group_by_length": False}
    )
    output = run_recipe(path)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    figures = json.loads((output / "ranking.json").read_text())
    assert 0 < figures["any_frame"] < 1
    assert 0 <= figures["best_frame"] <= 1
    assert figures["questions"] > 10

    encoder = DualEncoder(str(output / "scorer"))
    model, processor = load_parts(start, device="cpu")
    trained = encoder.model.vision_model.state_dict()
    for name, value in siglip_tower(model.vision_tower).state_dict().items():
        assert torch.equal(trained[name], value) != name.startswith("post_layernorm")

    frames = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
    pixels = encoder.processor(images=list(frames), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels, processor.pixel_values(frames))
    words = "What letter is on the red square?"
    job = make_scorer_job(load_recipe(path))
    job.model.model.load_state_dict(encoder.model.state_dict())
    with torch.no_grad():
        tower = encoder.model.vision_model
        hidden = tower(pixels, output_hidden_states=True).hidden_states[-1]
        similarity = job.model.eval().similarity(
            hidden[None],
            tokenize(encoder.processor.tokenizer, [words]),
            torch.tensor([0]),
        )
    found = encoder.encode_frames(frames) @ encoder.encode_text(words)
    np.testing.assert_allclose(found, similarity[0].numpy(), atol=1e-5)
    assert encoder.encode_text(f"{words} {'red ' * 40}").shape == (24,)


def test_ranking_counts_questions_that_some_frame_answers():
    class Fixed:
        def similarity(self, patches, input_ids, video):
            return patches[video, :, 0, 0] * input_ids[:, :1]

    def sample(values, signs, answers):
        return {
            "patches": torch.tensor(values)[:, None, None],
            "input_ids": torch.tensor(signs)[:, None],
            "shows_answer": torch.tensor(answers).bool(),
        }

    data = [
        sample(
            [0.1, 0.9, 0.3, 0.2],
            [1, -1, 1],
            [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
        ),
        sample([0.5, 0.4], [1], [[1, 1]]),
    ]
    figures = measure_ranking(Fixed(), data)
    assert figures["questions"] == 3
    assert figures["best_frame"] == pytest.approx(2 / 3)
    assert figures["any_frame"] == pytest.approx((0.25 + 0.25 + 1) / 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": {}}, "start.model is missing; accepted are model"),
        (
            {"eval_sources": []},
            "eval_sources: no sample found; name at least one source",
        ),
        (
            {"data": {"sources": []}},
            "data.sources: no sample found; name at least one source",
        ),
        (
            {"data": {"videos": 3}},
            "there is no 'data.videos'; accepted are sources, cache",
        ),
        (
            {"model": {"layers": 3}},
            "there is no 'model.layers'; accepted are num_text_layers",
        ),
        (
            {"model": {"num_text_layers": 0}},
            "num_text_layers must be at least 1, got 0",
        ),
        (
            {"data": {"sources": [{"world_logs": {"num_logs": 1}}]}},
            "no question says under 'evidence' when",
        ),
    ],
)
def test_a_wrong_recipe_is_one_sentence(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        make_scorer_job(load_recipe(recipe(**changes)))


def test_questions_asked_twice_count_once(recipe):
    job = make_scorer_job(load_recipe(recipe()))
    sample = {
        "video": "focusworld:train/0?seconds=6",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat letter is on the red square?"},
            {"from": "gpt", "value": "A"},
        ],
        "evidence": [[[1.0, 3.0]]],
    }
    data = EvidenceFrames([sample, sample], None, job.dataset._tokenizer)
    assert data.videos == {
        "focusworld:train/0?seconds=6": {
            "What letter is on the red square?": [(1.0, 3.0)]
        }
    }
