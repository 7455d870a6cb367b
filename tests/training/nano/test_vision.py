"""The nano vision tower's task: data, loss, scale, measure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from dynfocus.conversion.preparing import read_colours
from dynfocus.models.vision import encode_pixels
from dynfocus.training import load_recipe
from dynfocus.training.nano import vision
from dynfocus.training.nano.vision import (
    PIXEL_MEAN,
    PIXEL_STD,
    DenseVisionModel,
    SnapshotDataset,
    collate_snapshots,
    make_vision_job,
    measure_vision,
    normalise_pixels,
    unit_scale,
)
from dynfocus.world.wide.snapshots import IGNORED, NUM_CLASSES


def build_config() -> ResNetConfig:
    return ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24],
        depths=[1, 1, 2],
        layer_type="basic",
        hidden_size=24,
        image_size=128,
        patch_size=16,
    )


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(vision, "NUM_SCALE_SCENES", 8)


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
    assert one["pixel_values"].shape == (4, 128, 128, 3)
    assert not torch.equal(one["pixel_values"][0], one["pixel_values"][1])
    assert not torch.equal(one["pixel_values"], other["pixel_values"])
    seeded = SnapshotDataset(4, 10)[2]["pixel_values"]
    assert not torch.equal(one["pixel_values"], seeded)


def test_a_batch_holds_the_pictures_of_all_its_scenes():
    samples = [SnapshotDataset(0, 2)[i] for i in range(2)]
    batch = collate_snapshots(samples)
    assert set(batch) == {"pixel_values", *NUM_CLASSES}
    assert batch["pixel_values"].shape == (8, 128, 128, 3)
    for name in NUM_CLASSES:
        assert torch.equal(batch[name][4:], samples[1][name])


def test_pixels_are_normalised_channels_first():
    pictures = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    values = normalise_pixels(pictures)
    assert values.shape == (1, 3, 1, 1)
    torch.testing.assert_close(values.flatten(), torch.tensor([-2.0, 0.00784, 2.0]))


def test_the_loss_is_that_of_every_labelled_patch(model):
    model.eval()
    batch = collate_snapshots(
        [SnapshotDataset(0, 2, pictures_per_scene=1)[i] for i in (0, 1)]
    )
    outputs = model(**batch)
    axis = torch.linspace(-1, 1, 8)
    grid = model.vision_tower(normalise_pixels(batch["pixel_values"])).last_hidden_state
    places = model.place(model.norm(grid.movedim(1, 3)))
    total = torch.zeros(())
    for b in range(2):
        for row in range(8):
            for column in range(8):
                truth = torch.stack([axis[row], axis[column]])
                error = (places[b, row, column] - truth).square().mean()
                total = total + 0.1 * error / 128
    for name in NUM_CLASSES:
        terms = [
            functional.cross_entropy(outputs["logits"][name][b, n], batch[name][b, n])
            for b in range(2)
            for n in range(64)
            if batch[name][b, n] != IGNORED
        ]
        total = total + torch.stack(terms).mean()
    torch.testing.assert_close(outputs["loss"], total, rtol=1e-4, atol=1e-4)
    outputs["loss"].backward()
    first = next(model.vision_tower.parameters())
    assert first.grad.abs().sum() > 0


def test_unit_scale_changes_the_patches_only_by_a_factor():
    torch.manual_seed(0)
    tower = ResNetModel(build_config()).eval()
    with torch.no_grad():
        for name, tensor in tower.state_dict().items():  # as training leaves them
            if name.endswith(("bias", "running_mean")):
                tensor.add_(0.2 * torch.randn_like(tensor))
    pixels = normalise_pixels(SnapshotDataset(5, 1)[0]["pixel_values"])
    before = encode_pixels(tower, pixels).content
    factor = unit_scale(tower)
    assert unit_scale(tower) == pytest.approx(1.0, abs=1e-3)
    after = encode_pixels(tower, pixels).content
    torch.testing.assert_close(after * factor, before, rtol=1e-3, atol=1e-3)


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
    real = SnapshotDataset.__getitem__

    def record(self, number):
        asked.append((self.split, self.pictures_per_scene))
        return real(self, number)

    monkeypatch.setattr(SnapshotDataset, "__getitem__", record)
    measure_vision(Oracle(0), 1)
    assert asked == [("test", 1)]


def test_a_blind_model_is_near_chance(model):
    figures = measure_vision(model, 16)
    assert all(0 <= figure < 0.8 for figure in figures.values())
    assert not math.isnan(sum(figures.values()))


def test_the_tower_brings_its_colours(write_recipe, tmp_path):
    recipe = load_recipe(write_recipe(task="vision", data={"num_eval_pictures": 2}))
    job = make_vision_job(recipe)
    assert len(job.dataset) == 4
    job.finish(job.model, tmp_path)
    mean, deviation = read_colours(tmp_path / "vision_tower", 128)
    assert (tuple(mean), tuple(deviation)) == (PIXEL_MEAN, PIXEL_STD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"num_pictures": 3}},
            "no 'data.num_pictures'; accepted are size, num_samples",
        ),
        ({"model": {"focus": {}}}, "there is no 'model'; accepted are task, output"),
        ({"start": {"model": "a"}}, "there is no 'start'; accepted are task, output"),
    ],
)
def test_settings_of_other_tasks_are_refused(write_recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write_recipe(task="vision", **changes))
