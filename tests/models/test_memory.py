"""Estimates are those of the loaded model; what cannot fit is refused with a remedy."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch

import dynfocus
from dynfocus.models import loading, memory
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.memory import check_memory, estimate_memory, free_memory

GIB = 2**30
FULL = DynFocusConfig()


@pytest.fixture
def folder(tmp_path, make_model, make_processor):
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_those_of_the_loaded_model(folder, dtype):
    config = DynFocusConfig.from_pretrained(folder)
    model = dynfocus.load(folder, device="cpu", dtype=dtype).model
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    assert estimate_memory(config, dtype).weights == weights


def test_the_full_size_is_counted_without_loading():
    whole = estimate_memory(FULL, torch.bfloat16)
    assert whole.weights / GIB == pytest.approx(14.8, abs=0.1)
    assert whole.cache == 2 * 32 * 4096 * 2048 * 2  # Llama's default context is 2048
    quarter = estimate_memory(FULL, torch.bfloat16, "4bit")
    layers = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert whole.weights - quarter.weights == layers * (2 - 0.5625)
    half = estimate_memory(FULL, torch.bfloat16, "8bit")
    assert whole.weights - half.weights == layers


@pytest.mark.parametrize(
    ("free", "dtype", "quantize", "remedy"),
    [
        (20, torch.float32, None, r"would fit with dtype bfloat16 \(1\d\.\d GiB\)"),
        (12, torch.bfloat16, None, r"would fit with quantize 8bit \(\d+\.\d GiB\)"),
        (8, torch.bfloat16, None, r"would fit with quantize 4bit \(\d\.\d GiB\)"),
        (8, torch.bfloat16, "8bit", r"in 8bit, the rest bfloat16 .* quantize 4bit"),
        (8, torch.float32, None, "would fit with quantize 4bit with dtype bfloat16"),
        (1, torch.bfloat16, None, "no precision fits, so free memory or choose"),
    ],
)
def test_a_model_that_cannot_fit_is_refused_with_what_would(
    monkeypatch, free, dtype, quantize, remedy
):
    monkeypatch.setattr(memory, "free_memory", lambda device: free * GIB)
    with pytest.raises(ValueError, match=remedy) as caught:
        check_memory(FULL, "big", device="cpu", dtype=dtype, quantize=quantize)
    assert f"but cpu has {free}.0 GiB free; " in str(caught.value)


def test_a_full_gpu_is_told_to_spread(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: GIB)
    with pytest.raises(ValueError, match="spread it over more memory with device_map"):
        check_memory(FULL, "big", device="cuda:0", dtype=torch.bfloat16)


def test_loading_checks_before_it_reads_weights(folder, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    (folder / "model.safetensors").write_bytes(b"never read")
    with pytest.raises(ValueError, match="needs about 0.0 GiB in float32 .* cpu has"):
        dynfocus.load(folder, device="cpu")


def test_a_system_that_does_not_say_refuses_nothing(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    check_memory(FULL, "big", device="cpu", dtype=torch.float32)
    assert free_memory("meta") is None


def test_a_container_may_take_less_than_the_machine_has(tmp_path):
    limit, used = tmp_path / "max", tmp_path / "current"
    assert memory._group(limit, used) is None
    limit.write_text("5000\n")
    used.write_text("2000\n")
    assert memory._group(limit, used) == 3000
    limit.write_text("max\n")
    assert memory._group(limit, used) is None
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9 kB\nMemAvailable:   7 kB\n")
    assert memory._meminfo(info) == 7 * 1024


def test_a_spread_model_answers_the_same(folder, make_frames, tmp_path):
    frames = make_frames(6)
    whole = dynfocus.load(folder, device="cpu").ask(frames, "what is red ?")
    spread = dynfocus.load(folder, device_map={"": "cpu"})
    assert spread.ask(frames, "what is red ?").text == whole.text
    with pytest.raises(ValueError, match="only one of device and device_map"):
        dynfocus.load(folder, device="cpu", device_map="auto")


def test_wrong_and_missing_quantisers_are_named(folder, monkeypatch):
    with pytest.raises(ValueError, match="one of '8bit' or '4bit', got '2bit'"):
        dynfocus.load(folder, device="cpu", quantize="2bit")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match=r"install 'dynfocus\[quantization\]'"):
        dynfocus.load(folder, device="cpu", quantize="4bit")
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="need accelerate, which is not installed"):
        dynfocus.load(folder, device_map="auto")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
@pytest.mark.filterwarnings("ignore:MatMul8bitLt")
@pytest.mark.parametrize("quantize", ["8bit", "4bit"])
def test_the_shipped_model_answers_in_few_bits(tmp_path, quantize):
    from dynfocus.world import make_video

    made = make_video(tmp_path / "clip.mp4", 20.0, 1)
    question = made.questions[0]
    focused = dynfocus.load("nano", device="cpu", quantize=quantize)
    layer = focused.model.language_model.model.layers[0]
    assert type(layer.mlp.up_proj).__module__.startswith("bitsandbytes")
    encoding = focused.model.focus_network.cooperative_encoding
    assert type(encoding.key_projector) is torch.nn.Linear
    assert focused.ask(made.path, question.question).text == question.answer


def test_training_alone_quantises_the_scales_too(monkeypatch):
    monkeypatch.setattr(memory, "import_quantizer", lambda: None)
    asked = memory.quantization_config("4bit", torch.float16)
    taught = memory.quantization_config("4bit", torch.bfloat16, is_training=True)
    assert not asked.bnb_4bit_use_double_quant
    assert taught.bnb_4bit_use_double_quant
    assert asked.bnb_4bit_compute_dtype == torch.float16
    for config in (asked, taught):
        assert config.bnb_4bit_quant_type == "nf4"
        assert config.llm_int8_skip_modules == list(memory.KEPT_WHOLE)
    whole = [
        memory.quantization_config("8bit", torch.float16, is_training=t) for t in (0, 1)
    ]
    assert whole[0].to_dict() == whole[1].to_dict()
