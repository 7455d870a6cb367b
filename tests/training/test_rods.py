"""Teaching Rods where to look: one frame must say the answer, nothing else changes."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.rods import LEARNS, make_rods_job

SOURCE = {
    "num_videos": 3,
    "seconds": [8, 12],
    "turns_per_sample": 1,
    "kinds": ["needle", "attribute"],
}


@pytest.fixture
def recipe(write_lesson):
    def write(source=SOURCE, **changes):
        return write_lesson("rods", [{"world_videos": source}], **changes)

    return write


def test_a_glance_is_one_frame_inside_the_evidence_with_the_first_word(recipe):
    job = make_rods_job(load_recipe(recipe()))
    assert len(job.dataset) > 5
    counts = {}
    for number, (_, question, answer) in enumerate(job.dataset.glances):
        sample = job.dataset[number]
        assert sample["spatial"].shape == (6, 24)
        word = job.dataset._processor.tokenizer.decode([sample["answer"]])
        assert answer.startswith(word.strip())
        counts[question] = counts.get(question, 0) + 1
    assert max(counts.values()) == 4


def test_the_loss_is_that_of_the_answer_from_one_rod_alone(recipe):
    job = make_rods_job(load_recipe(recipe()))
    lesson = job.model.eval()
    samples = [job.dataset[i] for i in range(3)]
    batch = job.collator(samples)
    del batch["facts"]
    found = lesson(**batch)
    words = lesson.model.get_input_embeddings().weight
    losses, hits = [], []
    for sample in samples:
        ids = sample["question"][None]
        text = lesson.model.encode_question(ids, torch.ones_like(ids))
        encoding = lesson.model.cooperative_encoding
        context = encoding.attend(sample["spatial"][None, None], text, None)[0, 0]
        shares = (words @ lesson.speaks(context)).softmax(0)
        losses.append(-shares[sample["answer"]].log())
        hits.append(float(shares.argmax() == sample["answer"]))
    torch.testing.assert_close(found["loss"], torch.stack(losses).mean())
    assert found["hits"].item() == pytest.approx(sum(hits) / 3)


def test_only_the_attention_changes_and_it_learns(recipe, start):
    path = recipe(
        schedule={"num_steps": 80, "batch_size": 16, "learning_rate": 0.01}
        | {"log_every": 10, "group_by_length": False}
    )
    output = run_recipe(path)
    before = load_parts(start, device="cpu")[0].state_dict()
    after = load_parts(output / "model", device="cpu")[0].state_dict()
    assert set(before) == set(after)
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert {name.rsplit(".", 1)[0] + "." for name in changed} == set(LEARNS)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]


def test_questions_without_evidence_are_refused_in_one_sentence(recipe):
    source = SOURCE | {"kinds": ["topic", "caption"]}
    with pytest.raises(ValueError, match=r"no question has a sampled frame in its"):
        make_rods_job(load_recipe(recipe(source)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": {}}, "needs start.model"),
        ({"model": {"focus": {}}}, "model: unknown setting 'focus'"),
        ({"data": {"frames": 3}}, "data: unknown setting 'frames'"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe, changes, said):
    with pytest.raises(ValueError, match=said):
        make_rods_job(load_recipe(recipe(**changes)))
