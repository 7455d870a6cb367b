"""Teaching how well frames fit: the evidence decides, nothing else changes."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.relevance import LEARNS, make_relevance_job

SOURCE = {"num_videos": 3, "seconds": [8, 12], "turns_per_sample": 1}


@pytest.fixture
def recipe(write_lesson):
    def write(source=SOURCE, **changes):
        return write_lesson("relevance", [{"world_videos": source}], **changes)

    return write


def test_the_loss_is_that_of_every_frame_and_padding_has_none(recipe):
    job = make_relevance_job(load_recipe(recipe()))
    lesson = job.model.eval()
    samples = [job.dataset[i] for i in range(len(job.dataset))]
    samples = sorted(samples, key=lambda sample: len(sample["shows_answer"]))
    samples = [samples[0], samples[1], samples[-1]]
    assert len(samples[0]["shows_answer"]) < len(samples[-1]["shows_answer"])
    batch = job.collator(samples)
    del batch["facts"]
    found = lesson(**batch)
    losses, missed, false = [], [], []
    for sample in samples:
        ids = sample["question"][None]
        text = lesson.model.encode_question(ids, torch.ones_like(ids))
        relevance = lesson.model.cooperative_encoding.relevance_encoding
        rated = relevance.rate(sample["spatial"][None], text, None)[0].sigmoid()
        shows = sample["shows_answer"]
        losses += torch.where(shows, -rated.log(), -(1 - rated).log()).tolist()
        missed += (rated[shows] <= 0.5).tolist()
        false += (rated[~shows] > 0.5).tolist()
    assert found["loss"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert found["missed"].item() == pytest.approx(sum(missed) / len(missed))
    assert found["false"].item() == pytest.approx(sum(false) / len(false))


def test_only_the_rating_is_new_and_it_learns(recipe, start):
    path = recipe(
        model={"focus": {"question": {"max_read_frames": 16}}},
        schedule={"num_steps": 60, "batch_size": 16, "learning_rate": 0.01}
        | {"log_every": 10, "group_by_length": False},
    )
    output = run_recipe(path)
    model, processor = load_parts(output / "model", device="cpu")
    assert model.settings.extensions.use_ratings
    assert model.settings.max_read_frames == 16
    assert processor.settings == model.settings
    before = load_parts(start, device="cpu")[0].state_dict()
    after = model.state_dict()
    new = set(after) - set(before)
    place = "cooperative_encoding.relevance_encoding."
    assert {n for n in new if not n.startswith(LEARNS)} == {f"{place}marks.weight"}
    assert all(torch.equal(after[name], before[name]) for name in before)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]


def test_marks_are_as_loud_as_words_and_a_second_lesson_keeps_them(recipe):
    output = run_recipe(recipe())
    first = load_parts(output / "model", device="cpu")[0]
    marks = first.cooperative_encoding.relevance_encoding.marks.weight
    words = first.get_input_embeddings().weight
    assert marks.std().item() == pytest.approx(words.std().item(), rel=0.5)
    again = recipe(start={"model": str(output / "model")})
    second = make_relevance_job(load_recipe(again)).model.model
    kept = second.cooperative_encoding.relevance_encoding.marks.weight
    assert torch.equal(kept, marks)


def test_a_later_lesson_can_add_the_numbers_of_visits(recipe):
    output = run_recipe(recipe())
    first = load_parts(output / "model", device="cpu")[0]
    focus = {"question": {"use_ratings": True, "use_visit_counts": True}}
    again = recipe(
        start={"model": str(output / "model")},
        model={"focus": focus},
        output=str(output.parent / "again"),
    )
    model, processor = load_parts(run_recipe(again) / "model", device="cpu")
    assert processor.settings == model.settings
    assert model.settings.extensions.use_visit_counts
    relevance = model.cooperative_encoding.relevance_encoding
    before = first.cooperative_encoding.relevance_encoding
    assert torch.equal(relevance.marks.weight, before.marks.weight)
    words = first.get_input_embeddings().weight.std().item()
    assert relevance.visits.weight.std().item() == pytest.approx(words, rel=0.5)


def test_questions_without_evidence_are_refused_in_one_sentence(recipe):
    source = SOURCE | {"kinds": ["topic", "caption"]}
    with pytest.raises(ValueError, match="no question says under 'evidence'"):
        make_relevance_job(load_recipe(recipe(source)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": {}}, "needs start.model"),
        ({"model": {"fresh": 1}}, "model: unknown setting 'fresh'"),
        ({"model": {"focus": {"question": {"use_clock": False}}}}, "changes the shape"),
        ({"data": {"frames": 3}}, "data: unknown setting 'frames'"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe, changes, said):
    with pytest.raises(ValueError, match=said):
        make_relevance_job(load_recipe(recipe(**changes)))
