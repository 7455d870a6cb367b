"""Towers whose last layer is a map: every cell is a patch, and a frozen one stays."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForImageTextToText, ResNetConfig

from dynfocus.models.vision import build_vision_tower, count_patches, encode_pixels

TOWER = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24],
    "depths": [1, 1, 1],
    "layer_type": "basic",
    "hidden_size": 24,
    "image_size": 64,
    "patch_size": 16,
}


@pytest.fixture
def model(make_model):
    return make_model(vision_config=dict(TOWER))


def test_every_cell_of_the_last_map_is_a_patch():
    fields = {name: value for name, value in TOWER.items() if name != "model_type"}
    config = ResNetConfig(**fields)
    tower = build_vision_tower(config).eval()
    pixels = torch.randn(2, 3, 64, 64)
    found = encode_pixels(tower, pixels)
    assert count_patches(config) == 16
    assert found.content.shape == (2, 16, 24)
    grid = tower(pixels).last_hidden_state
    assert torch.equal(found.content[1, 4 * 2 + 3], grid[1, :, 2, 3])


def test_a_model_with_such_a_tower_encodes_and_comes_back(model, tmp_path):
    frames = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model.encode_video(frames, torch.arange(3.0))
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    with torch.inference_mode():
        after = again.encode_video(frames, torch.arange(3.0))
    assert torch.equal(before.spatial, after.spatial)


def test_training_leaves_the_statistics_of_a_frozen_tower_alone(model):
    model.vision_tower.requires_grad_(False)
    model.train()
    assert model.language_model.training
    before = {n: t.clone() for n, t in model.vision_tower.state_dict().items()}
    model.encode_video(torch.randn(2, 3, 64, 64), torch.arange(2.0))
    for name, tensor in model.vision_tower.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    model.vision_tower.requires_grad_(True)
    model.train()
    assert model.vision_tower.training
