"""SlowFocus from CLIP, a Q-Former and a language model: true shapes, nothing lost."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import CLIPVisionModel, InstructBlipForConditionalGeneration

import dynfocus
from dynfocus.cli import main
from dynfocus.conversion import assemble
from dynfocus.conversion.key_maps import module_of
from dynfocus.focus import SlowFocusSettings
from dynfocus.models.slowfocus import SlowFocusConfig, SlowFocusForConditionalGeneration
from dynfocus.models.vision import encode_pixels

SLOW = SlowFocusSettings(grid_size=2, num_positions=20)
FRESH = {
    "focus_network.cooperative_encoding.context_projector",
    "focus_network.cooperative_encoding.key_projector",
    "focus_network.cooperative_encoding.multi_modal_projector",
    "focus_network.cooperative_encoding.query_projector",
    "focus_network.mixing",
    "focus_network.mixing.high_projector",
    "focus_network.mixing.low_projector",
    "focus_network.reader_projector",
    "focus_network.temporal_table.rows",
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_full_size_has_the_published_parameters():
    """CLIP ViT-L/14 less its last layer, InstructBLIP's Q-Former, Vicuna-7B."""
    with torch.device("meta"):
        config = SlowFocusConfig(qformer_config={"vocab_size": 30523})
        model = SlowFocusForConditionalGeneration(config)
    network, settings = model.focus_network, model.settings
    encoding = network.cooperative_encoding
    assert count(model.vision_tower) == 303_179_776 - 12_596_224
    assert count(model.text_encoder) == 185_660_160
    assert model.query_tokens.shape == (1, 32, 768)
    assert count(model.language_model) == 6_738_415_616
    assert {
        "reader": count(network.reader_projector) + count(network.reader_norm),
        "query": count(encoding.query_projector),
        "key": count(encoding.key_projector),
        "context": count(encoding.context_projector),
        "projector": count(encoding.multi_modal_projector),
        "table": count(network.temporal_table),
        "mixing": count(network.mixing),
    } == {
        "reader": 1024 * 1408 + 3 * 1408,
        "query": 769 * 1024,
        "key": 1025 * 1024,
        "context": 1025 * 4096,
        "projector": 1025 * 4096 + 4097 * 4096,
        "table": 1000 * 1024,
        "mixing": 2 * 1025 * 1024 + 1,
    }
    assert settings.tokens_per_frame == 65
    assert settings.budget().plan(100).num_tokens == 6500


@pytest.fixture
def made(clip, instructblip, vicuna, make_choices):
    return assemble(
        clip, vicuna, qformer_from=instructblip, choices=make_choices(slow=SLOW)
    )


def test_clip_is_read_at_the_layer_before_its_last(made, clip):
    whole = CLIPVisionModel.from_pretrained(clip)
    pixels = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        got = encode_pixels(made.model.vision_tower, pixels).content
    torch.testing.assert_close(got, expected)
    unused = made.report.unused[str(clip)]
    assert any(".layers.1." in name for name in unused)
    assert not any(".layers.0." in name for name in unused if "vision" in name)


def test_the_q_former_keeps_the_width_and_the_norm_it_learned_with(made, instructblip):
    whole = InstructBlipForConditionalGeneration.from_pretrained(instructblip)
    network = made.model.focus_network
    norm = whole.vision_model.post_layernorm
    assert torch.equal(network.reader_norm.weight, norm.weight)
    assert torch.equal(network.reader_norm.bias, norm.bias)
    assert network.reader_projector.weight.shape == (32, 16)
    assert torch.equal(made.model.query_tokens, whole.query_tokens)
    for name, tensor in whole.qformer.state_dict().items():
        assert torch.equal(made.model.text_encoder.state_dict()[name], tensor)
    assert {module_of(name) for name in made.report.fresh} == FRESH
    assert not network.mixing.gates.any()


def test_an_eva_tower_needs_no_projection(instructblip, vicuna, make_choices):
    made = assemble(instructblip, vicuna, choices=make_choices(slow=SLOW))
    assert made.model.config.vision_config.num_hidden_layers == 1
    assert not list(made.model.focus_network.reader_projector.parameters())


def test_what_the_published_code_trained_is_taken_with_an_open_gate(
    clip, instructblip, vicuna, make_choices, tmp_path
):
    draw = torch.Generator().manual_seed(3)
    shapes = {
        "model.temporal_embedding.weight": (20, 16),
        "model.vlm_att_bert_proj.weight": (32, 16),
        "model.vlm_att_bert_proj.bias": (32,),
        "model.vlm_att_projector.weight": (16, 24),
        "model.vlm_att_projector.bias": (16,),
        "model.mix_attn_hfreq_projector.weight": (16, 16),
        "model.mix_attn_hfreq_projector.bias": (16,),
        "model.mix_attn_lfreq_projector.weight": (16, 16),
        "model.mix_attn_lfreq_projector.bias": (16,),
    }
    trained = {n: torch.randn(s, generator=draw) for n, s in shapes.items()}
    torch.save(trained, tmp_path / "mm_projector.bin")
    slow = SlowFocusSettings(grid_size=2, num_positions=20, mixing="bi")
    made = assemble(
        clip,
        vicuna,
        qformer_from=instructblip,
        connector_from=tmp_path / "mm_projector.bin",
        choices=make_choices(slow=slow),
    )
    network = made.model.focus_network
    for name, own in {
        "model.temporal_embedding.weight": network.temporal_table.rows.weight,
        "model.vlm_att_bert_proj.bias": network.reader_projector.bias,
        "model.mix_attn_hfreq_projector.weight": network.mixing.high_projector.weight,
        "model.mix_attn_lfreq_projector.weight": network.mixing.low_projector.weight,
    }.items():
        assert torch.equal(own, trained[name])
    assert network.mixing.gates.tolist() == [1, 1]
    assert made.report.unused[str(tmp_path / "mm_projector.bin")] == ()


def test_the_context_is_extended_on_request(clip, instructblip, vicuna, make_choices):
    choices = make_choices(slow=SLOW, context_length=512)
    made = assemble(clip, vicuna, qformer_from=instructblip, choices=choices)
    text = made.model.config.text_config
    assert text.max_position_embeddings == 512
    assert (text.rope_parameters["rope_type"], text.rope_parameters["factor"]) == (
        "linear",
        2.0,
    )
    assert any("512 tokens in place of 256" in note for note in made.report.notes)
    rotations = [m for m in made.model.modules() if hasattr(m, "inv_freq")]
    assert rotations
    expected = 10000.0 ** -(torch.arange(0, 16, 2) / 16) / 2
    torch.testing.assert_close(rotations[0].inv_freq, expected)
    with pytest.raises(ValueError, match="context_length must be above the 256"):
        assemble(
            clip,
            vicuna,
            qformer_from=instructblip,
            choices=make_choices(slow=SLOW, context_length=256),
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--architecture", "slowfocus", "--focus", "official"], "are DynFocus's"),
        (["--mixing", "bi"], "--mixing needs --architecture slowfocus"),
    ],
)
def test_options_of_the_other_architecture_are_a_wrong_call(
    tmp_path, capsys, options, message
):
    sources = ["--vision-from", "a", "--language-model", "b"]
    assert main(["assemble", *sources, *options, str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_command_makes_a_folder_that_answers(
    clip, instructblip, vicuna, tmp_path, capsys
):
    out = tmp_path / "slow"
    arguments = ["--vision-from", str(clip), "--qformer-from", str(instructblip)]
    arguments += ["--language-model", str(vicuna), "--dtype", "float32"]
    arguments += ["--architecture", "slowfocus", "--mixing", "bi", "--json"]
    assert main(["assemble", *arguments, "--context-length", "1024", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["folder"] == str(out)
    model = dynfocus.load(out, device="cpu", index_folder=False)
    settings = model.model.settings
    assert settings == SlowFocusSettings(mixing="bi")
    frames = torch.zeros(3, 28, 28, 3, dtype=torch.uint8)
    answer = model.ask(frames, "w1 w2", max_new_tokens=2)
    assert [(frame.kind, frame.tokens) for frame in answer.frames] == [("low", 65)] * 3
