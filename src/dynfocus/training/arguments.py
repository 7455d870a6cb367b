"""The schedule of a recipe in the words of ``transformers.TrainingArguments``."""

from __future__ import annotations

import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from dynfocus.training.parts import need_package
from dynfocus.training.recipe import Recipe, Schedule, multiplies_bfloat16

logger = logging.getLogger(__name__)


def make_arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    """Translate a recipe; several processes find each other here.

    Raises:
        ImportError: If a setting needs a package that is not installed.
        ValueError: If a setting cannot be kept with this number of processes.
    """
    plan = recipe.schedule
    num_processes = count_processes()
    shares = plan.sharding if num_processes > 1 else "none"
    if plan.precision == "bfloat16" and not multiplies_bfloat16():
        logger.warning(
            "this machine does not multiply in bfloat16, so each step may take many times "
            "as long; set schedule.precision=auto"
        )
    if plan.report_to != "none":
        need_package(plan.report_to, f"schedule.report_to {plan.report_to}", "track")
    return TrainingArguments(
        output_dir=str(output),
        max_steps=-1 if plan.num_steps is None else plan.num_steps,
        num_train_epochs=plan.num_epochs or 1,
        per_device_train_batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.accumulation(num_processes),
        learning_rate=plan.learning_rate,
        lr_scheduler_type=plan.schedule,
        warmup_steps=_warmup(plan),
        weight_decay=plan.weight_decay,
        adam_beta2=plan.adam_beta2,
        bf16=plan.runs_in == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        save_steps=plan.save_every,
        save_total_limit=2,
        logging_steps=plan.log_every,
        seed=recipe.seed,
        # workers end with each pass: ones that stay draw no seed at the next, which the
        # first pass of a continued run does, so its random numbers would be others
        dataloader_num_workers=plan.num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        # parts of the Q-Former are never read, so their gradients never come
        ddp_find_unused_parameters=True if num_processes > 1 else None,
        remove_unused_columns=False,
        report_to=plan.report_to,
        disable_tqdm=True,
        **_checkpointing(plan.gradient_checkpointing and shares != "fsdp2"),
        **_sharing(plan, shares),
    )


def count_processes() -> int:
    """Count the processes of this run, as ``torchrun`` says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _warmup(plan: Schedule) -> float:
    """Return the steps of the warm-up, or their share where steps are not known."""
    if plan.num_steps is None:
        return plan.warmup_ratio
    return round(plan.warmup_ratio * plan.num_steps)


def _checkpointing(enabled: bool) -> dict[str, Any]:
    """Return the settings of activation checkpointing, which releases name differently."""
    known = {field.name for field in fields(TrainingArguments)}
    name = (
        "activation_checkpointing"
        if "activation_checkpointing" in known
        else "gradient_checkpointing"
    )
    return {name: enabled, f"{name}_kwargs": {"use_reentrant": False}}


def _sharing(plan: Schedule, sharding: str) -> dict[str, Any]:
    if sharding == "none":
        return {}
    if sharding == "fsdp2":
        _need_gpus()
        return {"fsdp": True, "fsdp_config": fsdp_config(plan)}
    need_package("deepspeed", f"schedule.sharding {sharding}", "deepspeed")
    return {"deepspeed": deepspeed_config(plan)}


def fsdp_config(plan: Schedule) -> dict[str, Any]:
    """Return FSDP2's settings; `name_units` adds what is sharded piece by piece."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "activation_checkpointing": plan.gradient_checkpointing,
        "cpu_offload": plan.offload,
        "state_dict_type": "FULL_STATE_DICT",
    }


def name_units(arguments: TrainingArguments, model: nn.Module) -> None:
    """Let FSDP2 shard every transformer layer of a model as a unit of its own."""
    if arguments.fsdp_plugin_args is None:
        return
    layers = {
        type(module).__name__
        for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer)
    }
    arguments.fsdp_plugin_args["transformer_cls_names_to_wrap"] = ",".join(
        sorted(layers)
    )


def deepspeed_config(plan: Schedule) -> dict[str, Any]:
    """Return DeepSpeed's settings; what the recipe says already is left to it."""
    stage = int(plan.sharding.removeprefix("zero"))
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": torch.cuda.is_available(),
        "contiguous_gradients": True,
    }
    if plan.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "zero_allow_untested_optimizer": True,
    }


def _need_gpus() -> None:
    """Refuse FSDP2 on CPUs: accelerate would leave the model whole without a word."""
    if not torch.cuda.is_available():
        raise ValueError(
            "schedule.sharding fsdp2 needs GPUs, and there is none here: accelerate "
            "shards nothing on CPUs; set schedule.sharding to none, zero1 or zero2"
        )
