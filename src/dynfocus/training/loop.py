"""The one training loop: ``transformers.Trainer`` set up from a recipe."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    Trainer,
    TrainerState,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import get_last_checkpoint

from dynfocus.provenance import source_commit
from dynfocus.training.optimizer import MuonWithAdamW
from dynfocus.training.recipe import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task hands to the loop.

    ``finish`` is called with the trained model and the output folder and writes what
    the next stage starts from. ``lengths``, one number a sample, puts samples of about one
    length into a batch.
    """

    model: nn.Module
    dataset: Dataset[Any]
    finish: Callable[[nn.Module, Path], None]
    collator: Callable[[list[Any]], dict[str, Any]] = default_data_collator
    lengths: Sequence[int] | None = None


class GroupedTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose batches hold samples of about one length, in random order."""

    def __init__(self, *, lengths: Sequence[int] | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lengths = lengths

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Any:
        if self._lengths is None:
            return super()._get_train_sampler(train_dataset)
        generator = torch.Generator().manual_seed(self.args.seed)
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(
            batch_size, lengths=list(self._lengths), generator=generator
        )


def train(recipe: Recipe, make_job: Callable[[Recipe], Job], *, resume: bool) -> Path:
    """Run a recipe to its end and return the folder that holds the result.

    A run that was stopped continues from its last checkpoint when ``resume`` is true:
    model, optimizer, schedule, random state and the place in the data are restored, so
    the losses are those of an undisturbed run.
    """
    output = Path(recipe.output)
    set_seed(recipe.seed)
    job = make_job(recipe)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = _last_checkpoint(output) if resume else None
    (output / "recipe.yaml").write_text(
        f"# commit: {source_commit()}\n{recipe.to_yaml()}", encoding="utf-8"
    )
    set_seed(recipe.seed)
    trainer = GroupedTrainer(
        lengths=job.lengths,
        model=job.model,
        args=_arguments(recipe, output),
        train_dataset=job.dataset,
        data_collator=job.collator,
        optimizers=(_optimizer(recipe, job.model), None),
    )
    _run(trainer, checkpoint)
    trainer.state.save_to_json(str(output / TRAINER_STATE_NAME))
    job.finish(job.model, output)
    return output


def _last_checkpoint(output: Path) -> str | None:
    """Find the last checkpoint that was written to its end; remove others after it.

    The Trainer writes its state last, so a run that died while it saved has left a
    folder without a readable one.
    """
    while (folder := get_last_checkpoint(str(output))) is not None:
        try:
            TrainerState.load_from_json(str(Path(folder, TRAINER_STATE_NAME)))
        except (OSError, ValueError, TypeError):
            logger.warning("%s was not written to its end and is removed", folder)
            shutil.rmtree(folder)
        else:
            return str(folder)
    return None


def _run(trainer: Trainer, checkpoint: str | None) -> None:
    """Train to the last step, from a checkpoint if there is one."""
    if checkpoint is None:
        trainer.train()
        return
    logger.warning("continuing from %s", checkpoint)
    state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
    if state.global_step < trainer.args.max_steps:
        trainer.train(resume_from_checkpoint=checkpoint)
        return
    # the Trainer would take one step more before it sees that none is left
    trainer._load_from_checkpoint(checkpoint)
    trainer.state = state


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer | None:
    """Build the optimizer that is not the Trainer's own."""
    plan = recipe.schedule
    if plan.optimizer == "adamw":
        return None
    return MuonWithAdamW(model, plan.learning_rate, plan.weight_decay, plan.adam_beta2)


def _arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    plan = recipe.schedule
    return TrainingArguments(
        output_dir=str(output),
        max_steps=plan.num_steps,
        per_device_train_batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=plan.schedule,
        warmup_steps=round(plan.warmup_ratio * plan.num_steps),
        weight_decay=plan.weight_decay,
        adam_beta2=plan.adam_beta2,
        max_grad_norm=plan.max_grad_norm,
        bf16=plan.precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        save_steps=plan.save_every,
        save_total_limit=2,
        logging_steps=plan.log_every,
        seed=recipe.seed,
        dataloader_num_workers=plan.num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )
