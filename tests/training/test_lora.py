"""Adapters: what they wrap, what merging gives, what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.training import load_recipe, parts, run_recipe
from dynfocus.training.parts import (
    LoraSettings,
    add_adapters,
    merge_adapters,
    set_trainable,
)
from dynfocus.training.stages import TRAINS

# peft 0.21 asks transformers 5.23 by a name that is going to be renamed
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
SETTINGS = LoraSettings(rank=4, alpha=8)


@torch.no_grad()
def test_merged_weights_are_the_base_plus_the_product(make_tiny):
    model, _ = make_tiny()
    fresh, _ = make_tiny()
    base = {n: p.clone() for n, p in fresh.language_model.named_parameters()}
    add_adapters(model, SETTINGS)
    set_trainable(model, TRAINS["stage2"])
    for name, parameter in model.named_parameters():
        if ".lora_B." in name or name.startswith("focus_network.cooperative_encoding"):
            parameter.normal_(std=0.1)
    merged = merge_adapters(model, fresh, SETTINGS)
    layer = model.language_model.base_model.model.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    name = "model.layers.0.self_attn.q_proj.weight"
    own = dict(merged.language_model.named_parameters())
    torch.testing.assert_close(own[name], base[name] + 8 / 4 * b @ a)
    assert set(own) == set(base)
    ids = torch.randint(4, 100, (1, 9))
    model.eval()
    merged.eval()
    torch.testing.assert_close(
        merged(input_ids=ids).logits, model(input_ids=ids).logits
    )


def test_a_killed_run_with_adapters_continues(
    write_recipe, parts, tiny_settings, tmp_path, monkeypatch
):
    path = write_recipe(
        task="stage2",
        start=dict(parts),
        model=tiny_settings,
        data={"sources": [{"world_logs": {"num_logs": 4}}]},
        lora={"rank": 2, "alpha": 4, "dropout": 0.1},
        schedule={"num_steps": 4, "save_every": 2},
    )
    whole = run_recipe(path, [f"output={tmp_path / 'whole'}"])
    killed = [f"output={tmp_path / 'killed'}"]
    with monkeypatch.context() as patched:
        patched.setattr("dynfocus.training.loop.RecipeTrainer.whole_model", stop)
        patched.setattr("dynfocus.training.progress.ProgressReport.on_step_end", stop_3)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(path, killed)
    run_recipe(path, killed)
    states = [
        json.loads((tmp_path / name / "trainer_state.json").read_text())["log_history"]
        for name in ("whole", "killed")
    ]
    assert [e["loss"] for e in states[0][:4]] == [e["loss"] for e in states[1][:4]]
    models = [
        DynFocusForConditionalGeneration.from_pretrained(f / "model").state_dict()
        for f in (whole, tmp_path / "killed")
    ]
    assert all(torch.equal(t, models[1][n]) for n, t in models[0].items())


def stop(self):
    raise AssertionError("the run was to be killed before its end")


def stop_3(self, args, state, control, **kwargs):
    if state.global_step == 3:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 4}, "lora.alpha is missing; accepted are rank, alpha"),
        ({"rank": 0, "alpha": 1}, "lora.rank must be at least 1, got 0"),
        ({"rank": 2.5, "alpha": 1}, "lora.rank must be a whole number, got 2.5"),
        ({"rank": 4, "alpha": 0}, "lora.alpha must be above 0, got 0"),
        (
            {"rank": 4, "alpha": 1, "dropout": 1},
            "lora.dropout must be below 1, got 1",
        ),
        (
            {"rank": 4, "alpha": 1, "quantization": "2bit"},
            "lora.quantization must be one of 'none', '8bit' or '4bit', got '2bit'",
        ),
        ({"rank": 4, "alpha": 1, "r": 2}, "there is no 'lora.r'; accepted are rank"),
    ],
)
def test_wrong_adapters_are_refused(write_lora, settings, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write_lora(settings))
    assert load_recipe(write_lora(None)).lora is None


@pytest.fixture
def write_lora(write_recipe, parts):
    """Write a recipe of stage 2 from its parts, with adapters."""

    def write(lora, task="stage2"):
        return write_recipe(task=task, start=dict(parts), data={"fps": 1.0}, lora=lora)

    return write


def test_runs_that_cannot_have_adapters_are_refused(write_lora):
    settings = {"rank": 4, "alpha": 8}
    with pytest.raises(ValueError, match="stage 1 does not train the language model"):
        load_recipe(write_lora(settings, task="stage1"))
    with pytest.raises(ValueError, match="lora.quantization needs a whole model to"):
        load_recipe(write_lora({**settings, "quantization": "4bit"}))


def test_packages_that_are_missing_are_named_with_their_extra(make_tiny, monkeypatch):
    monkeypatch.setattr(parts, "find_spec", lambda name: None)
    model, _ = make_tiny()
    with pytest.raises(ImportError, match=r"lora needs the package peft: pip install"):
        add_adapters(model, SETTINGS)
    with pytest.raises(ImportError, match=r"bitsandbytes: .*\[quantization\]"):
        parts.load_quantized("no", LoraSettings(rank=1, alpha=1, quantization="4bit"))
