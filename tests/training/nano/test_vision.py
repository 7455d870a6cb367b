"""The nano vision tower's task: data, starts, loss, measure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import InstructBlipVisionConfig, InstructBlipVisionModel

from dynfocus.conversion.preparing import read_colours
from dynfocus.training import load_recipe
from dynfocus.training.nano import vision
from dynfocus.training.nano.vision import (
    PIXEL_MEAN,
    PIXEL_STD,
    DenseVisionModel,
    SnapshotDataset,
    collate_snapshots,
    disturb_pixels,
    make_vision_job,
    measure_vision,
    normalise_pixels,
    place_patches,
    unit_scale,
    whiten_patch_embedding,
)
from dynfocus.world.snapshots import IGNORED, NUM_CLASSES


def build_config() -> InstructBlipVisionConfig:
    return InstructBlipVisionConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=112,
        patch_size=14,
        initializer_range=0.2,
    )


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(vision, "NUM_START_PICTURES", 64)
    monkeypatch.setattr(vision, "NUM_SCALE_PICTURES", 48)


@pytest.fixture
def model() -> DenseVisionModel:
    torch.manual_seed(0)
    return DenseVisionModel(build_config())


def test_samples_repeat_and_differ():
    data = SnapshotDataset(3, 10)
    assert len(data) == 10
    one, again, other = data[2], SnapshotDataset(3, 99)[2], data[3]
    for name, tensor in one.items():
        assert torch.equal(tensor, again[name])
    assert not torch.equal(one["pixel_values"], other["pixel_values"])
    seeded = SnapshotDataset(4, 10)[2]["pixel_values"]
    assert not torch.equal(one["pixel_values"], seeded)


def test_batches_are_disturbed_a_little_and_always_alike():
    samples = [SnapshotDataset(0, 4)[i] for i in range(4)]
    one, again = (collate_snapshots(list(samples)) for _ in range(2))
    assert torch.equal(one["pixel_values"], again["pixel_values"])
    clean = torch.stack([s["pixel_values"] for s in samples])
    assert one["pixel_values"].dtype == torch.uint8
    change = (one["pixel_values"].float() - clean.float()).abs()
    assert (change.mean((1, 2, 3)) > 0).all()
    assert change.mean() < 15
    assert set(one) == {"pixel_values", *NUM_CLASSES}
    for name in NUM_CLASSES:
        assert torch.equal(one[name], torch.stack([s[name] for s in samples]))


def test_each_picture_is_disturbed_differently():
    picture = SnapshotDataset(0, 1)[0]["pixel_values"]
    generator = torch.Generator().manual_seed(0)
    first, second = disturb_pixels(torch.stack([picture, picture]), generator)
    assert not torch.equal(first, second)


def test_pixels_are_normalised_channels_first():
    pictures = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    values = normalise_pixels(pictures)
    assert values.shape == (1, 3, 1, 1)
    torch.testing.assert_close(values.flatten(), torch.tensor([-2.0, 0.00784, 2.0]))


def test_the_loss_is_that_of_every_labelled_patch(model):
    batch = collate_snapshots([SnapshotDataset(0, 2)[i] for i in range(2)])
    outputs = model(**batch)
    axis = torch.linspace(-1, 1, 8)
    hidden = model.vision_tower(
        normalise_pixels(batch["pixel_values"]), output_hidden_states=True
    ).hidden_states[-1]
    places = model.place(model.norm(hidden[:, 1:]))
    total = torch.zeros(())
    for b in range(2):
        for n in range(64):
            truth = torch.stack([axis[n // 8], axis[n % 8]])
            total = total + 0.1 * (places[b, n] - truth).square().mean() / 128
    for name in NUM_CLASSES:
        terms = [
            functional.cross_entropy(outputs["logits"][name][b, n], batch[name][b, n])
            for b in range(2)
            for n in range(64)
            if batch[name][b, n] != IGNORED
        ]
        total = total + torch.stack(terms).mean()
    torch.testing.assert_close(outputs["loss"], total)
    outputs["loss"].backward()
    assert model.vision_tower.embeddings.patch_embedding.weight.grad.abs().sum() > 0


def test_a_whitened_start_gives_every_component_unit_variance():
    torch.manual_seed(0)
    tower = InstructBlipVisionModel(build_config())
    whiten_patch_embedding(tower, seed=0, num_pictures=96)
    data = SnapshotDataset(1_000_003, 96)
    pictures = torch.stack([data[i]["pixel_values"] for i in range(96)])
    patches = tower.embeddings.patch_embedding(normalise_pixels(pictures))
    flat = patches.movedim(1, 3).flatten(0, 2)
    assert flat.mean(0).abs().max() < 1e-3
    covariance = torch.cov(flat.T)
    assert covariance.diagonal().min() > 0.8
    assert covariance.diagonal().max() < 1.01
    rest = covariance - torch.diag(covariance.diagonal())
    assert rest.abs().max() < 0.02


def test_neighbours_start_with_similar_places():
    tower = InstructBlipVisionModel(build_config())
    place_patches(tower)
    table = tower.embeddings.position_embedding[0]
    assert not table[0].any()
    table = table[1:].view(8, 8, 24)
    near = (table[3, 3] - table[3, 4]).norm()
    assert near < (table[3, 3] - table[3, 7]).norm()
    torch.testing.assert_close(near, (table[3, 3] - table[4, 3]).norm())
    distances = torch.cdist(table.flatten(0, 1), table.flatten(0, 1))
    assert (distances + torch.eye(64) > 0.05).all()  # no two places are alike


def test_unit_scale_changes_the_patches_only_by_a_factor():
    torch.manual_seed(0)
    tower = InstructBlipVisionModel(build_config()).eval()
    with torch.no_grad():
        for parameter in tower.parameters():  # no bias may be zero
            parameter.add_(0.2 * torch.randn_like(parameter))
    pixels = normalise_pixels(SnapshotDataset(5, 1)[0]["pixel_values"][None])
    before = tower(pixels, output_hidden_states=True)
    factor = unit_scale(tower)
    assert unit_scale(tower) == pytest.approx(1.0, abs=1e-3)
    after = tower(pixels, output_hidden_states=True)
    torch.testing.assert_close(
        after.hidden_states[-1] * factor,
        before.hidden_states[-1],
        rtol=1e-3,
        atol=1e-3,
    )
    torch.testing.assert_close(
        after.last_hidden_state, before.last_hidden_state, rtol=1e-2, atol=1e-2
    )


class Oracle(nn.Module):
    """Answers as it is told: right everywhere, or the class after the right one."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, pixel_values, **labels):
        logits = {}
        for name, target in labels.items():
            said = (target.clamp(min=0) + self.shift) % NUM_CLASSES[name]
            logits[name] = functional.one_hot(said, NUM_CLASSES[name]).float()
        return {"logits": logits}


def test_the_measure_is_one_for_truth_and_zero_for_lies():
    assert measure_vision(Oracle(0), 70) == dict.fromkeys(NUM_CLASSES, 1.0)
    assert measure_vision(Oracle(1), 6) == dict.fromkeys(NUM_CLASSES, 0.0)


def test_measured_pictures_show_held_out_combinations(monkeypatch):
    asked = []
    real = SnapshotDataset.__init__

    def record(self, *arguments, **settings):
        asked.append(settings.get("allow_held_out"))
        real(self, *arguments, **settings)

    monkeypatch.setattr(SnapshotDataset, "__init__", record)
    measure_vision(Oracle(0), 1)
    assert asked == [True]


def test_a_blind_model_is_near_chance(model):
    figures = measure_vision(model, 16)
    assert all(0 <= figure < 0.8 for figure in figures.values())
    assert not math.isnan(sum(figures.values()))


def test_the_tower_brings_its_colours(write_recipe, tmp_path):
    recipe = load_recipe(write_recipe(task="vision", data={"num_eval_pictures": 2}))
    job = make_vision_job(recipe)
    assert len(job.dataset) == 4
    job.finish(job.model, tmp_path)
    mean, deviation = read_colours(tmp_path / "vision_tower", 112)
    assert (tuple(mean), tuple(deviation)) == (PIXEL_MEAN, PIXEL_STD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"num_pictures": 3}},
            "no 'data.num_pictures'; accepted are wide, size",
        ),
        ({"model": {"focus": {}}}, "there is no 'model'; accepted are task, output"),
        ({"start": {"model": "a"}}, "there is no 'start'; accepted are task, output"),
    ],
)
def test_settings_of_other_tasks_are_refused(write_recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write_recipe(task="vision", **changes))
