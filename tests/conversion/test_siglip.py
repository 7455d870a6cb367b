from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import (
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    SiglipVisionModel,
)

from dynfocus.conversion import siglip_tower
from dynfocus.conversion.siglip import siglip_dual_encoder, siglip_processor
from dynfocus.models.loading import load_parts
from dynfocus.models.vision import encode_pixels


@pytest.fixture
def tower() -> InstructBlipVisionModel:
    torch.manual_seed(0)
    config = InstructBlipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        initializer_range=0.3,
    )
    model = InstructBlipVisionModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def ignore_class_token(tower: InstructBlipVisionModel) -> None:
    """Let no patch attend to the class token, in the literal way."""

    def blocked(mask: torch.Tensor) -> torch.Tensor:
        mask[..., 0] = float("-inf")
        return mask

    for layer in tower.encoder.layers:
        attention = layer.self_attn

        def forward(hidden_states, attention=attention, **_):
            batch, length, width = hidden_states.shape
            shape = (batch, length, 3, attention.num_heads, -1)
            q, k, v = attention.qkv(hidden_states).view(shape).permute(2, 0, 3, 1, 4)
            logits = blocked(q @ k.transpose(2, 3) * attention.scale)
            mixed = (
                (logits.softmax(3) @ v).transpose(1, 2).reshape(batch, length, width)
            )
            return attention.projection(mixed), None

        attention.forward = forward


def test_without_attention_to_the_class_token_the_two_are_equal(
    tower: InstructBlipVisionModel,
) -> None:
    pixels = torch.randn(3, 3, 28, 28)
    rebuilt = encode_pixels(siglip_tower(tower), pixels)
    ignore_class_token(tower)
    with torch.no_grad():
        own = encode_pixels(tower, pixels)
    torch.testing.assert_close(rebuilt.content, own.content)
    torch.testing.assert_close(rebuilt.normalised, own.normalised[:, 1:])


def test_the_original_stays_as_it_is(tower: InstructBlipVisionModel) -> None:
    before = copy.deepcopy(tower.state_dict())
    rebuilt = siglip_tower(tower.half())
    assert isinstance(rebuilt, SiglipVisionModel)
    assert rebuilt.dtype == torch.float16
    for parameter in rebuilt.parameters():
        parameter.data.zero_()
    for name, value in tower.state_dict().items():
        torch.testing.assert_close(value, before[name].half())


def test_a_pooling_head_is_added_on_demand(tower: InstructBlipVisionModel) -> None:
    pixels = torch.randn(2, 3, 28, 28)
    assert siglip_tower(tower)(pixels).pooler_output is None
    pooled = siglip_tower(tower, pooling_head=True)(pixels).pooler_output
    assert pooled.shape == (2, 16)


def test_a_tower_of_another_kind_is_refused(tower: InstructBlipVisionModel) -> None:
    with pytest.raises(ValueError, match="got a SiglipVisionModel; start from a model"):
        siglip_tower(siglip_tower(tower))


def test_patches_of_nano_hardly_change() -> None:
    model, _ = load_parts("nano")
    pixels = torch.rand(4, 3, 112, 112) * 4 - 2
    with torch.no_grad():
        own = encode_pixels(model.vision_tower, pixels).content
        rebuilt = encode_pixels(siglip_tower(model.vision_tower), pixels).content
    assert (own - rebuilt).abs().mean() < 0.03 * own.std()


def test_a_dual_encoder_sees_with_the_tower_and_reads_with_the_model_s_words(
    tower: InstructBlipVisionModel,
) -> None:
    model = siglip_dual_encoder(
        tower, vocab_size=600, num_text_layers=1, max_question_tokens=12
    )
    pixels = torch.randn(2, 3, 28, 28)
    seen = model.vision_model(pixels, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(seen, encode_pixels(siglip_tower(tower), pixels).content)
    assert model.get_image_features(pixels).pooler_output.shape == (2, 16)
    _, own = load_parts("nano")
    processor = siglip_processor(own, 12)
    words = ["where ?", "What letter is on the red square, the blue one or any other?"]
    ids = processor(text=words, padding="max_length", truncation=True)["input_ids"]
    assert [len(row) for row in ids] == [12, 12]
    assert ids[0][:4] == own.tokenizer("where ?")["input_ids"][:4]
    assert ids[0][-1] == own.tokenizer.pad_token_id
    text = model.get_text_features(torch.tensor(ids)).pooler_output
    assert text.shape == (2, 16)


def test_pixels_are_those_of_the_model_s_own_processor() -> None:
    _, own = load_parts("nano")
    frames = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    found = siglip_processor(own, 12)(images=list(frames), return_tensors="pt")
    torch.testing.assert_close(found["pixel_values"], own.pixel_values(frames))
