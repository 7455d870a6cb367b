"""The recipes of the full size: their numbers, what learns, two steps on tiny weights."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, LlamaConfig

import dynfocus
from dynfocus.models.dynfocus import DynFocusConfig, DynFocusForConditionalGeneration
from dynfocus.models.slowfocus import SlowFocusConfig, SlowFocusForConditionalGeneration
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.parts import add_adapters, group_of, set_trainable
from dynfocus.training.stages import TRAINS

# peft 0.21 asks transformers 5.23 by a name that is going to be renamed
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = sorted(f"7b/{path.stem}" for path in RECIPES.glob("7b/*.yaml"))
SOURCES = [
    {"world_videos": {"num_videos": 2, "seconds": [5, 8]}},
    {"world_logs": {"num_logs": 1}},
]
VICUNA_7B = LlamaConfig(
    vocab_size=32001,
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
)


@pytest.fixture(scope="module")
def full_size():
    """Build the model of the paper's size, without memory for its weights."""
    with torch.device("meta"):
        return DynFocusForConditionalGeneration(DynFocusConfig(text_config=VICUNA_7B))


@pytest.fixture
def tiny_folder(make_tiny, tmp_path):
    model, processor = make_tiny()
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def run_tiny(tiny_folder, tmp_path):
    """Run a recipe for two steps on tiny weights, through its own keys."""

    def run(name, *changes):
        return run_recipe(
            RECIPES / f"{name}.yaml",
            [
                f"output={tmp_path / 'out'}",
                f"start.model={tiny_folder}",
                f"data.sources={json.dumps(SOURCES)}",
                "schedule.num_steps=2",
                "schedule.num_epochs=null",
                "schedule.total_batch_size=4",
                "schedule.batch_size=2",
                "schedule.num_workers=0",
                "schedule.log_every=1",
                *changes,
            ],
        )

    return run


def losses(output):
    state = json.loads((output / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def learning(model, recipe):
    """Freeze a model as its recipe does, and list what learns."""
    if recipe.lora is not None:
        add_adapters(model, recipe.lora)
    return set_trainable(model, recipe.trains or TRAINS[recipe.task])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("7b/stage1", (256, 0.001, "zero1")),
        ("7b/stage2", (32, 0.00002, "none")),
        ("7b/stage3", (128, 0.000015, "zero1")),
    ],
)
def test_the_recipes_hold_the_numbers_of_table_15(name, expected):
    plan = load_recipe(RECIPES / f"{name}.yaml").schedule
    assert (plan.total_batch_size, plan.learning_rate, plan.sharding) == expected
    assert (plan.num_epochs, plan.num_steps) == (1, None)
    assert (plan.optimizer, plan.schedule) == ("adamw", "cosine")
    assert (plan.warmup_ratio, plan.weight_decay) == (0.03, 0)
    assert plan.precision == "bfloat16"
    assert plan.accumulation(8) == plan.total_batch_size // (8 * plan.batch_size)
    assert plan.accumulation(1) == 8 * plan.accumulation(8)


def test_the_stages_follow_each_other():
    starts = {n: load_recipe(RECIPES / f"{n}.yaml").start.model for n in NAMES}
    assert starts == {
        "7b/stage1": "runs/7b/base",
        "7b/stage2": "runs/7b/stage1/model",
        "7b/stage2-lora": "runs/7b/stage1/model",
        "7b/stage2-qlora": "runs/7b/stage1/model",
        "7b/stage3": "runs/7b/stage2/model",
    }


def test_the_stages_of_slowfocus_learn_what_is_published():
    parts = {}
    for stage in ("stage1", "stage2", "stage3"):
        with torch.device("meta"):
            model = SlowFocusForConditionalGeneration(
                SlowFocusConfig(text_config=VICUNA_7B)
            )
        recipe = load_recipe(RECIPES / f"7b-slow/{stage}.yaml")
        names = learning(model, recipe)
        parts[stage] = {group_of(name) for name in names}
        adapters = [name for name in names if name.startswith("language_model.")]
        assert all(".lora_" in name for name in adapters)
        assert len(adapters) == (0 if stage == "stage1" else 2 * 7 * 32)
    adapters = {"projectors", "attention", "clock"}
    assert parts == {
        "stage1": adapters,
        "stage2": {*adapters, "text_encoder", "language_model"},
        "stage3": {"mixing", "language_model"},
    }


def test_stage_1_learns_the_projectors_of_the_full_size(full_size):
    names = learning(full_size, load_recipe(RECIPES / "7b/stage1.yaml"))
    sizes = {n: p.numel() for n, p in full_size.named_parameters()}
    assert {name.removeprefix("focus_network.").split(".")[0] for name in names} == {
        "cooperative_encoding"
    }
    # projector 22.55 M, context 5.77 M, keys 1.98 M: the paper's 30.31 M; queries 1.08 M
    counts = Counter()
    for name in names:
        counts[name.removeprefix("focus_network.").split(".")[1]] += sizes[name]
    assert counts == {
        "multi_modal_projector": 1408 * 4096 + 4096 + 4096 * 4096 + 4096,
        "context_projector": 1408 * 4096 + 4096,
        "key_projector": 1408 * 1408 + 1408,
        "query_projector": 768 * 1408 + 1408,
    }
    assert counts.total() == 31_390_464


@pytest.mark.parametrize("name", ["7b/stage2", "7b/stage3"])
def test_stages_2_and_3_learn_all_but_the_tower_of_the_full_size(full_size, name):
    names = learning(full_size, load_recipe(RECIPES / f"{name}.yaml"))
    counts = Counter()
    frozen = Counter()
    for key, parameter in full_size.named_parameters():
        (counts if parameter.requires_grad else frozen)[
            key.removeprefix("focus_network.").split(".")[0]
        ] += parameter.numel()
    assert {key.removeprefix("focus_network.").split(".")[0] for key in names} == set(
        counts
    )
    assert set(counts) == {
        "language_model",
        "text_encoder",
        "event_prototypes",
        "cooperative_encoding",
    }
    assert counts["language_model"] == 6_738_423_808
    assert counts["cooperative_encoding"] == 31_390_464
    assert counts["text_encoder"] == 185_659_392
    assert counts["event_prototypes"] == 4_958_977
    assert frozen == {"vision_tower": 985_952_256}


def test_adapters_learn_in_place_of_the_language_model():
    with torch.device("meta"):
        model = DynFocusForConditionalGeneration(DynFocusConfig(text_config=VICUNA_7B))
        names = learning(model, load_recipe(RECIPES / "7b/stage2-lora.yaml"))
    adapters = [name for name in names if name.startswith("language_model.")]
    assert all(".lora_A." in name or ".lora_B." in name for name in adapters)
    assert not any("lm_head" in name for name in adapters)
    sizes = {n: p.numel() for n, p in model.named_parameters()}
    attention, mlp = 4 * (4096 + 4096), 3 * (4096 + 11008)
    assert sum(sizes[name] for name in adapters) == 32 * 64 * (attention + mlp)
    others = {
        name.removeprefix("focus_network.").split(".")[0]
        for name in names
        if name not in adapters
    }
    assert others == {"text_encoder", "event_prototypes", "cooperative_encoding"}


@pytest.mark.parametrize("name", [n for n in NAMES if n != "7b/stage2-qlora"])
def test_every_recipe_runs_two_steps_on_tiny_weights(run_tiny, tiny_folder, name):
    output = run_tiny(name)
    assert len(losses(output)) == 2
    assert all(0 < loss < 100 for loss in losses(output))
    before = DynFocusForConditionalGeneration.from_pretrained(tiny_folder).state_dict()
    model = DynFocusForConditionalGeneration.from_pretrained(
        output / "model", dtype=torch.float32
    )
    after = model.state_dict()
    assert set(after) == set(before)  # adapters are merged
    changed = {
        key.removeprefix("focus_network.").split(".")[0]
        for key, tensor in before.items()
        if not torch.allclose(tensor.bfloat16().float(), after[key], atol=1e-7)
        and not torch.allclose(tensor, after[key], atol=1e-7)
    }
    expected = {"cooperative_encoding", "question_head"}
    if name != "7b/stage1":
        expected |= {"text_encoder", "event_prototypes", "language_model"}
    assert changed == expected


def test_adapters_on_quantized_weights_run_two_steps(run_tiny):
    pytest.importorskip("bitsandbytes", reason="pip install 'dynfocus[quantization]'")
    output = run_tiny("7b/stage2-qlora")
    assert len(losses(output)) == 2
    model = DynFocusForConditionalGeneration.from_pretrained(output / "model")
    assert not any("lora" in name or "absmax" in name for name in model.state_dict())


def test_a_model_is_asked_as_it_was_trained(run_tiny, tmp_path):
    output = run_tiny("7b/stage2")
    model = dynfocus.load(str(output / "model"))
    prompt = model.processor.apply_chat_template(
        [{"role": "user", "content": "What?"}], add_generation_prompt=True
    )
    assert prompt.startswith("A chat between a curious user and an artificial")
    assert prompt.endswith("answers to the user's questions. USER: What? ASSISTANT:")
    assert AutoConfig.from_pretrained(output / "model").model_type == "dynfocus"
