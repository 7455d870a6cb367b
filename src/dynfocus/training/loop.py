"""The one training loop: ``transformers.Trainer`` set up from a recipe."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import LengthGroupedSampler

from dynfocus.provenance import source_commit
from dynfocus.training.arguments import make_arguments, name_units
from dynfocus.training.checkpoint import (
    MovingAverage,
    find_checkpoint,
    fingerprint_frozen,
    load_learned,
    mark_whole,
    remove_checkpoints,
    save_learned,
)
from dynfocus.training.failures import BatchFacts, Failure, FailureLog
from dynfocus.training.optimizer import Muon, muon_groups, parameter_groups
from dynfocus.training.progress import Meter, ProgressReport
from dynfocus.training.recipe import RECIPE_FILE, Recipe, Schedule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task hands to the loop.

    ``finish`` is called once, in the main process, with the trained model and the output
    folder and writes what the next stage starts from. ``lengths``, one number a sample,
    puts samples of about one length into a batch; ``in_order`` takes them as they come.
    ``max_failures`` samples may turn out
    unreadable, ``failures`` among them, which were left out before; batches name others
    under ``facts``.
    """

    model: nn.Module
    dataset: Dataset[Any]
    finish: Callable[[nn.Module, Path], None]
    collator: Callable[[list[Any]], dict[str, Any]] = default_data_collator
    lengths: Sequence[int] | None = None
    in_order: bool = False
    max_failures: int = 0
    failures: Sequence[Failure] = ()


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Group samples by length, each epoch anew and the same way in every run."""

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(
            batch_size,
            lengths=list(lengths),
            generator=torch.Generator().manual_seed(seed),
        )
        self._seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; a run that is continued calls this, too."""
        self.generator.manual_seed(self._seed + epoch)


class RecipeTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that saves what learns, groups by length and reads the facts of batches."""

    def __init__(
        self,
        *,
        job: Job,
        failures: FailureLog,
        frozen: str,
        average: MovingAverage | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model=job.model,
            train_dataset=job.dataset,
            data_collator=job.collator,
            **kwargs,
        )
        # FSDP2 changes the model for good, so its plain form is kept for the result
        self._plain = outline(job.model) if self.is_fsdp_enabled else None
        self._lengths = job.lengths
        self._in_order = job.in_order
        self._failures = failures
        self._frozen = frozen
        self._average = average
        self._meter = Meter()
        self.remove_callback(PrinterCallback)
        report = ProgressReport(self._meter, self.args.world_size)
        self.callback_handler.callbacks.insert(0, report)
        self.add_callback(_FailureCheck(failures))
        if average is not None:
            self.add_callback(_Averaging(average))
        if self.is_fsdp_enabled:
            self.add_callback(_WholeState())

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Any:
        if self._in_order:
            return SequentialSampler(self.train_dataset)
        if self._lengths is None:
            return super()._get_train_sampler(train_dataset)
        samples_a_step = (
            self.args.train_batch_size
            * self.args.gradient_accumulation_steps
            * self.args.world_size
        )
        return EpochSampler(samples_a_step, self._lengths, self.args.seed)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Compute the loss of a batch, after taking its facts out.

        A step whose samples have all failed has nothing to divide by; its loss is zero.
        """
        facts = inputs.pop("facts", None)
        if isinstance(facts, BatchFacts):
            self._meter.add(facts)
            self._failures.add(facts.failures, self.state.global_step)
        if isinstance(num_items_in_batch, torch.Tensor):
            num_items_in_batch = num_items_in_batch.clamp(min=1)
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if isinstance(outputs, dict):
            self._meter.add_losses(outputs)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log an entry with the parts of the loss, if it has several."""
        if "loss" in logs:
            batches = self.args.gradient_accumulation_steps
            losses = self._meter.read_losses()
            logs.update({name: batches * loss for name, loss in losses.items()})
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self._is_sharded or not self.args.should_save:
            return  # FSDP and DeepSpeed write the weights with their optimizer
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_learned(self.model, folder)
        if self._average is not None:
            self._average.save(folder)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        if self._is_sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_learned(self.model, Path(resume_from_checkpoint))
        if self._average is not None:
            self._average.load(Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # until each has written its random state
        if self.args.should_save:
            folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
            mark_whole(folder, self.args.world_size, self._frozen)

    @property
    def _is_sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def whole_model(self) -> nn.Module:
        """Return the trained model, gathered from the processes if they share it.

        Every process must call this; the model is whole in the main process alone.
        """
        model = self._plain or self.accelerator.unwrap_model(self.model)
        if self._is_sharded:
            state = self.accelerator.get_state_dict(self.model_wrapped)
            if self.args.should_save:
                model.load_state_dict(state, assign=True)
                for part in model.modules():
                    if isinstance(part, PreTrainedModel):
                        part.tie_weights()
        return model


def outline(model: nn.Module) -> nn.Module:
    """Copy a model without memory for its weights."""
    weightless: dict[int, Any] = {
        id(weight): nn.Parameter(
            torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad
        )
        for weight in model.parameters()
    }
    return copy.deepcopy(model, weightless)


class _FailureCheck(TrainerCallback):  # type: ignore[misc]
    """Stop a run after a step in which too many samples had failed."""

    def __init__(self, failures: FailureLog) -> None:
        self._failures = failures

    def on_step_end(self, *given: Any, **kwargs: Any) -> None:
        """Count the failures of all processes."""
        self._failures.check()


class _Averaging(TrainerCallback):  # type: ignore[misc]
    """Take the weights into their average after every step."""

    def __init__(self, average: MovingAverage) -> None:
        self._average = average

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, *given: Any, **kwargs: Any
    ) -> None:
        """Update the average."""
        self._average.update(state.global_step)


class _WholeState(TrainerCallback):  # type: ignore[misc]
    """Give an optimizer state to weights that are never read, parts of the Q-Former.

    FSDP2 refuses to load a checkpoint in which a weight that learns has none.
    """

    def on_pre_optimizer_step(self, *given: Any, **kwargs: Any) -> None:
        """Let weights without gradient and state have a gradient of zeros, once."""
        known = kwargs["optimizer"].state
        for weight in kwargs["model"].parameters():
            if weight.requires_grad and weight.grad is None and weight not in known:
                weight.grad = torch.zeros_like(weight)


def train(recipe: Recipe, make_job: Callable[[Any], Job], *, resume: bool) -> Path:
    """Run a recipe to its end and return the folder that holds the result.

    A run that was stopped continues from its last checkpoint when ``resume`` is true:
    model, optimizer, schedule, random state and the place in the data are restored, so
    the losses are those of an undisturbed run. Several processes, as ``torchrun`` starts
    them, share the work as ``schedule.sharding`` says.
    """
    output = Path(recipe.output)
    if output.is_file():
        raise ValueError(f"output: {output} is a file; name a folder for the run")
    arguments = make_arguments(recipe, output)
    logger.info("running on %s", arguments.device)  # here the processes connect
    set_seed(recipe.seed)
    job = make_job(recipe)
    frozen = fingerprint_frozen(job.model)
    name_units(arguments, job.model)
    failures = FailureLog(output, job.max_failures)
    with arguments.main_process_first(local=False, desc="preparing the output"):
        checkpoint = _prepare(recipe, arguments, failures, frozen if resume else None)
        if arguments.should_save:
            failures.add(job.failures, step=0)
        failures.check()
    set_seed(recipe.seed)
    decay = recipe.schedule.moving_average
    average = None if decay is None else MovingAverage(job.model, decay)
    trainer = RecipeTrainer(
        job=job,
        failures=failures,
        frozen=frozen,
        average=average,
        args=arguments,
        optimizer_cls_and_kwargs=_optimizer(recipe.schedule, job.model),
    )
    _run(trainer, checkpoint)
    if average is not None:
        average.apply()
    model = trainer.whole_model()
    if arguments.should_save:
        trainer.state.save_to_json(str(output / TRAINER_STATE_NAME))
        job.finish(model, output)
    trainer.accelerator.wait_for_everyone()
    return output


def _prepare(
    recipe: Recipe,
    arguments: TrainingArguments,
    failures: FailureLog,
    frozen: str | None,
) -> str | None:
    """Make the output folder and find where to continue; the main process comes first.

    ``frozen``, the fingerprint of what does not learn, is None where nothing is resumed.
    """
    output = Path(recipe.output)
    if arguments.should_save:
        output.mkdir(parents=True, exist_ok=True)
        remove_checkpoints(output, keeps_whole=frozen is not None)
    checkpoint = None
    if frozen is not None:
        checkpoint = find_checkpoint(output, arguments.world_size, frozen)
    if arguments.should_save:
        failures.restore(_load_state(checkpoint).global_step if checkpoint else 0)
        (output / RECIPE_FILE).write_text(
            f"# commit: {source_commit()}\n{recipe.to_yaml()}", encoding="utf-8"
        )
    return checkpoint


def _load_state(checkpoint: str) -> TrainerState:
    return TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))


def _run(trainer: Trainer, checkpoint: str | None) -> None:
    """Train to the last step, from a checkpoint if there is one."""
    if checkpoint is None:
        trainer.train()
        return
    logger.warning("continuing from %s", checkpoint)
    state = _load_state(checkpoint)
    last = trainer.args.max_steps if trainer.args.max_steps > 0 else state.max_steps
    if state.global_step < last:
        trainer.train(resume_from_checkpoint=checkpoint)
        return
    # the Trainer would take one step more before it sees that none is left
    trainer._load_from_checkpoint(checkpoint)
    trainer.state = state


def _optimizer(
    plan: Schedule, model: nn.Module
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]] | None:
    """Name the optimizer and its groups of parameters, where not the Trainer's own."""
    common = {"lr": plan.learning_rate, "betas": (0.9, plan.adam_beta2)}
    if plan.optimizer == "muon":
        return Muon, {"params": muon_groups(model, plan.weight_decay), **common}
    if not plan.learning_rates:
        return None
    groups = parameter_groups(
        model, plan.learning_rate, plan.learning_rates, plan.weight_decay
    )
    return torch.optim.AdamW, {"params": groups, **common}
