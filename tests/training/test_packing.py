"""Packed rows: the same loss and gradients as padded ones, and never beyond the limit."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MambaConfig, MambaForCausalLM

from dynfocus.focus import FocusBudget
from dynfocus.training import run_recipe
from dynfocus.training.batches import Collator, collate
from dynfocus.training.conversation import IGNORED
from dynfocus.training.dataset import ConversationDataset, FrameReader, Layout
from dynfocus.training.packing import (
    check_rows_are_apart,
    pack_samples,
    plan_rows,
)
from dynfocus.training.sources import load_samples
from dynfocus.training.stages import set_trainable

SOURCES = [
    {"world_videos": {"num_videos": 3, "seconds": [5, 12]}},
    {"world_logs": {"num_logs": 3}},
]


@pytest.fixture
def make_data(make_tiny):
    def make(**layout):
        model, processor = make_tiny()
        count = FocusBudget(settings=model.settings).num_tokens
        reader = FrameReader(processor=processor)
        samples = load_samples(SOURCES)
        return model, ConversationDataset(
            samples, reader, processor, count, Layout(**layout)
        )

    return make


def learn(model, batch):
    """Return the loss of a batch and its gradients."""
    model.zero_grad()
    torch.manual_seed(0)  # the same noise and the same dropout
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("blocks", ["first", "every_turn"])
def test_packed_rows_learn_what_padded_rows_learn(make_data, attention, blocks):
    model, data = make_data(blocks=blocks)
    model.language_model.set_attn_implementation(attention)
    set_trainable(model, 2)
    model.train()
    encoded = [data[number] for number in range(len(data))]
    limit = 2 * max(len(sample["input_ids"]) for sample in encoded)
    rows = plan_rows([len(sample["input_ids"]) for sample in encoded], limit)
    assert any(len(row) > 1 for row in rows)
    assert len(rows) > 1
    packed = collate(encoded, 0, packed_tokens=limit)
    padded = collate([encoded[number] for row in rows for number in row], 0)
    assert packed["input_ids"].shape[0] == len(rows)
    loss, gradients = learn(model, packed)
    expected, expected_gradients = learn(model, padded)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert set(gradients) == set(expected_gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected_gradients[name], rtol=1e-5, atol=1e-5, msg=name
        )


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30),
    st.integers(50, 120),
)
def test_no_row_is_longer_than_its_limit_and_none_is_lost(lengths, limit):
    rows = plan_rows(lengths, limit)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= limit for row in rows)
    assert rows == plan_rows(lengths, limit)
    # first fit: no two rows would have gone into one
    sums = sorted(sum(lengths[number] for number in row) for row in rows)
    assert len(sums) < 2 or sums[0] + sums[1] > limit


def test_positions_start_anew_and_first_tokens_are_no_answers():
    samples = [
        {"input_ids": torch.tensor(ids), "labels": torch.tensor(ids)}
        for ids in ([5, 6, 7], [8, 9], [3])
    ]
    batch = pack_samples(samples, [[0, 1], [2]], pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [3, 0, 0, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]]
    own = [[IGNORED, 6, 7, IGNORED, 9], [IGNORED] * 5]
    assert batch["labels"].tolist() == own
    assert samples[0]["labels"].tolist() == [5, 6, 7]


def test_a_sample_longer_than_a_row_fails_by_name(make_data):
    _, data = make_data(packed_tokens=20)
    failure = data[0]["failure"]
    assert "and a row has data.packed_tokens 20; raise it" in failure.reason


def test_only_real_tokens_are_counted(make_data):
    _, data = make_data(packed_tokens=600)
    encoded = [data[number] for number in range(len(data))]
    batch = Collator(data)(encoded)
    real = sum(len(sample["input_ids"]) for sample in encoded)
    assert batch["facts"].num_tokens == real < batch["input_ids"].numel()


def test_a_language_model_that_mixes_a_row_is_refused(make_tiny):
    model, _ = make_tiny()
    check_rows_are_apart(model.language_model)
    torch.manual_seed(0)
    mixing = MambaForCausalLM(
        MambaConfig(vocab_size=20, hidden_size=8, state_size=4, num_hidden_layers=1)
    )
    with pytest.raises(ValueError, match="MambaForCausalLM mixes the samples of a row"):
        check_rows_are_apart(mixing)


def history(output):
    state = json.loads((output / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.fixture
def run(make_tiny, write_recipe, tmp_path):
    """Train on packed or padded rows."""
    model, processor = make_tiny()
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")

    def start(name, sources, **data):
        recipe = write_recipe(
            output=str(tmp_path / name),
            start={"model": str(tmp_path / "base")},
            data={"sources": sources, **data},
            schedule={"num_steps": 4, "save_every": 2, "batch_size": 3},
        )
        return run_recipe(recipe)

    return start


def test_a_run_on_packed_rows_has_the_losses_of_one_on_padded_rows(run):
    padded = history(run("padded", SOURCES[1:]))
    packed = history(run("packed", SOURCES[1:], packed_tokens=600))
    assert packed == pytest.approx(padded, abs=1e-4)
    assert len(set(packed)) == 4


def test_a_stopped_run_on_packed_rows_goes_on_with_the_same_losses(run):
    output = run("packed", SOURCES, packed_tokens=700)
    whole = history(output)
    shutil.rmtree(output / "checkpoint-4")
    assert history(run("packed", SOURCES, packed_tokens=700)) == whole
