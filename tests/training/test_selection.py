"""Teaching the selection: the evidence decides, nothing else changes."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.evidence import shows_answer
from dynfocus.training.selection import LEARNS, make_selection_job

SOURCE = {"num_videos": 3, "seconds": [8, 12], "turns_per_sample": 1}


@pytest.fixture
def recipe(write_lesson):
    def write(sources=None, **changes):
        return write_lesson(
            "selection", sources or [{"world_videos": SOURCE}], **changes
        )

    return write


def test_evidence_is_half_open():
    times = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]).double()
    shown = shows_answer(times, [(1.0, 2.0), (3.5, 9.0)])
    assert shown.tolist() == [False, True, False, False, True]


def test_every_question_with_evidence_is_a_sample(recipe):
    dataset = make_selection_job(load_recipe(recipe())).dataset
    assert len(dataset) > 5
    for medium, question, evidence in dataset.questions:
        assert medium.startswith("focusworld:")
        assert question.endswith("?")
        assert evidence
    sample = dataset[0]
    num_prototypes = len(sample["shows_answer"])
    assert sample["events"].shape[:2] == (num_prototypes, 4)
    assert sample["spatial"].shape[:2] == (num_prototypes, 6)


def test_the_loss_is_the_mean_log_share_of_the_right_prototypes(recipe):
    job = make_selection_job(load_recipe(recipe()))
    lesson = job.model.eval()
    samples = [job.dataset[i] for i in range(4)]
    batch = job.collator(samples)
    del batch["facts"]
    found = lesson(**batch)
    expected, hits = [], []
    for sample in samples:
        if not sample["shows_answer"].any():
            continue
        alone = job.collator([sample])
        del alone["facts"]
        events = lesson.model.event_prototypes
        ids = alone["qformer_input_ids"]
        text = lesson.model.encode_question(ids, torch.ones_like(ids))
        prototypes = type("P", (), {})()
        prototypes.features, prototypes.mask = alone["events"], alone["prototype_mask"]
        scores = events.rate(prototypes, alone["spatial"], text)[0]
        shares = scores.exp() / scores.exp().sum()
        right = sample["shows_answer"]
        expected.append(-shares[right].log().mean())
        hits.append(bool(right[scores.argmax()]))
    assert expected
    torch.testing.assert_close(found["loss"], torch.stack(expected).mean())
    assert found["hits"].item() == pytest.approx(sum(hits) / len(hits))


def test_a_question_that_no_prototype_answers_teaches_nothing(recipe):
    job = make_selection_job(load_recipe(recipe()))
    sample = job.dataset[0]
    nothing = {**sample, "shows_answer": torch.zeros_like(sample["shows_answer"])}
    one, two = job.collator([sample]), job.collator([sample, nothing])
    del one["facts"], two["facts"]
    losses = [job.model(**batch)["loss"] for batch in (one, two)]
    torch.testing.assert_close(losses[0], losses[1])
    alone = job.collator([nothing])
    del alone["facts"]
    assert job.model(**alone)["loss"].item() == 0


def test_only_the_score_network_changes_and_it_learns(recipe, start):
    path = recipe(
        schedule={"num_steps": 60, "batch_size": 16, "learning_rate": 0.01}
        | {"log_every": 10, "group_by_length": False}
    )
    output = run_recipe(path)
    before = load_parts(start, device="cpu")[0].state_dict()
    after = load_parts(output / "model", device="cpu")[0].state_dict()
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert changed
    assert all(name.startswith(LEARNS) for name in changed)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]


def test_selection_can_be_taught_blind_to_the_question(recipe, start):
    output = run_recipe(
        recipe(model={"focus": {"question": {"use_question_scores": False}}})
    )
    model, processor = load_parts(output / "model", device="cpu")
    assert not model.settings.extensions.use_question_scores
    assert processor.settings == model.settings
    assert model.event_prototypes.question_context is None
    old = load_parts(start, device="cpu")[0]
    for name, tensor in model.state_dict().items():
        if not name.startswith(LEARNS):
            assert torch.equal(tensor, old.state_dict()[name]), name


def test_fresh_scores_forget_the_old_ones(recipe):
    def job(**model):
        return make_selection_job(load_recipe(recipe(model=model))).model.model

    old = job().state_dict()
    fresh = job(fresh_scores=True).state_dict()
    same = {name for name in old if torch.equal(old[name], fresh[name])}
    drawn = {n for n in old if n.startswith(LEARNS) and n.endswith("weight")}
    assert drawn
    assert not drawn & same
    assert {n for n in old if not n.startswith(LEARNS)} <= same


def test_settings_without_weights_may_change_on_the_way(recipe, start):
    focus = {"question": {"max_read_frames": 6}}
    job = make_selection_job(load_recipe(recipe(model={"focus": focus})))
    assert job.model.model.settings.max_read_frames == 6
    old = load_parts(start, device="cpu")[0].state_dict()
    new = job.model.model.state_dict()
    assert all(torch.equal(new[name], tensor) for name, tensor in old.items())
    other = load_recipe(recipe(model={"focus": {"question": {"use_clock": False}}}))
    with pytest.raises(ValueError, match="model.focus changes the shape of the model"):
        make_selection_job(other)


def test_evidence_may_stand_beside_llava_conversations(recipe, tmp_path, start):
    turns = [
        {"from": "human", "value": "<image>\nWhat happens?"},
        {"from": "gpt", "value": "nothing"},
        {"from": "human", "value": "When does it end?"},
        {"from": "gpt", "value": "late"},
    ]
    address = "focusworld:train/3?seconds=9"
    sample = {"id": "a", "video": address, "conversations": turns}
    path = tmp_path / "data.json"

    def build(evidence):
        path.write_text(json.dumps([sample | {"evidence": evidence}]))
        job = make_selection_job(load_recipe(recipe([{"json": str(path)}])))
        return job.dataset.questions

    assert build([[], [[2, 4.5]]]) == [(address, "When does it end?", [(2.0, 4.5)])]
    with pytest.raises(ValueError, match="one list of .* a question .2., got 1"):
        build([[[2, 4]]])
    with pytest.raises(ValueError, match="no question says under 'evidence'"):
        build([[], []])


def test_wrong_settings_are_refused(recipe):
    with pytest.raises(ValueError, match="model: unknown setting 'fresh'"):
        make_selection_job(load_recipe(recipe(model={"fresh": True})))
    with pytest.raises(ValueError, match="task selection needs start.model"):
        make_selection_job(load_recipe(recipe(start={})))
