"""A recipe's schedule in the words of transformers, FSDP2 and DeepSpeed."""

from __future__ import annotations

import pytest
from transformers import TrainingArguments

from dynfocus.training import arguments, load_recipe, parts, recipe
from dynfocus.training.arguments import (
    deepspeed_config,
    fsdp_config,
    make_arguments,
    name_units,
)


@pytest.fixture
def make(write_recipe, tmp_path):
    def make(**schedule):
        return make_arguments(load_recipe(write_recipe(schedule=schedule)), tmp_path)

    return make


@pytest.fixture
def eight(monkeypatch):
    """Say that there are eight processes, and catch what would start them."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setattr(arguments, "TrainingArguments", Caught)
    monkeypatch.setattr(parts, "find_spec", lambda name: True)


class Caught:
    __dataclass_fields__ = TrainingArguments.__dataclass_fields__

    def __init__(self, **given):
        self.given = given


def test_epochs_stand_for_steps(make):
    args = make(num_steps=None, num_epochs=3, warmup_ratio=0.1)
    assert (args.max_steps, args.num_train_epochs) == (-1, 3)
    assert args.get_warmup_steps(200) == 20


@pytest.mark.parametrize(
    ("precision", "is_fast", "is_half"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("bfloat16", False, True),
        ("float32", True, False),
    ],
)
def test_a_slow_precision_is_not_chosen_and_said(
    make, monkeypatch, caplog, precision, is_fast, is_half
):
    for module in (arguments, recipe):
        monkeypatch.setattr(module, "multiplies_bfloat16", lambda: is_fast)
    assert make(precision=precision).bf16 is is_half
    is_told = "does not multiply in bfloat16" in caplog.text
    assert is_told is (is_half and not is_fast)


def test_batches_are_added_up_to_the_total(make, eight):
    given = make(batch_size=4, total_batch_size=256).given
    assert given["per_device_train_batch_size"] == 4
    assert given["gradient_accumulation_steps"] == 8
    assert given["ddp_find_unused_parameters"] is True
    with pytest.raises(ValueError, match="256 is no multiple of batch_size 3 x 8 proc"):
        make(batch_size=3, total_batch_size=256)


def test_checkpointing_keeps_the_graph_of_autograd(make):
    args = make(gradient_checkpointing=True)
    assert args.gradient_checkpointing
    assert args.gradient_checkpointing_kwargs == {"use_reentrant": False}
    assert not make().gradient_checkpointing


@pytest.mark.parametrize("sharding", ["fsdp2", "zero1", "zero2", "zero3"])
def test_one_process_shares_nothing(make, sharding):
    args = make(sharding=sharding)
    assert not args.fsdp
    assert args.deepspeed is None


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_gets_the_stage_and_leaves_the_rest_to_the_recipe(make, eight, stage):
    offload = stage > 1
    given = make(sharding=f"zero{stage}", offload=offload, precision="bfloat16").given
    zero = given["deepspeed"]["zero_optimization"]
    assert zero["stage"] == stage
    assert ("offload_optimizer" in zero) == offload
    assert given["deepspeed"]["bf16"] == {"enabled": "auto"}
    assert given["deepspeed"]["gradient_accumulation_steps"] == "auto"


def test_fsdp2_checkpoints_by_itself(make, eight, monkeypatch):
    with pytest.raises(
        ValueError, match="sharding fsdp2 needs GPUs, and there is none"
    ):
        make(sharding="fsdp2")
    monkeypatch.setattr(arguments.torch.cuda, "is_available", lambda: True)
    given = make(sharding="fsdp2", gradient_checkpointing=True, offload=True).given
    assert given["fsdp"] is True
    assert given["fsdp_config"]["version"] == 2
    assert given["fsdp_config"]["activation_checkpointing"] is True
    assert given["fsdp_config"]["cpu_offload"] is True
    assert not any(
        value is True
        for name, value in given.items()
        if name.endswith("_checkpointing")
    )


def test_the_plans_are_what_transformers_takes(write_recipe, tmp_path, make_tiny):
    plan = load_recipe(write_recipe(schedule={"sharding": "fsdp2"})).schedule
    taken = TrainingArguments(
        output_dir=str(tmp_path), fsdp=True, fsdp_config=fsdp_config(plan), use_cpu=True
    )
    assert taken.fsdp_plugin_args["fsdp_version"] == 2
    assert taken.fsdp_plugin_args["state_dict_type"] == "FULL_STATE_DICT"
    model, _ = make_tiny()
    name_units(taken, model)
    assert taken.fsdp_plugin_args["transformer_cls_names_to_wrap"] == (
        "InstructBlipEncoderLayer,InstructBlipQFormerLayer,LlamaDecoderLayer"
    )
    plan = load_recipe(write_recipe(schedule={"sharding": "zero3"})).schedule
    assert deepspeed_config(plan)["zero_optimization"]["stage"] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report_to": "wandb"}, r"report_to wandb needs .* 'dynfocus\[track\]'"),
        (
            {"sharding": "zero2"},
            r"schedule.sharding zero2 needs the package deepspeed: pip install "
            r"'dynfocus\[deepspeed\]'",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(
    make, eight, monkeypatch, settings, message
):
    monkeypatch.setattr(parts, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=message):
        make(**settings)


def test_the_log_goes_where_it_is_asked_to(make, monkeypatch):
    monkeypatch.setattr(parts, "find_spec", lambda name: True)
    assert make(report_to="tensorboard").report_to == ["tensorboard"]
    assert make().report_to == []
