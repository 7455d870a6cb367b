"""Checkpoints that hold what learns, and that count only when they are whole."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from dynfocus.atomic import write_atomically
from dynfocus.models.fingerprint import fingerprint_parameters

logger = logging.getLogger(__name__)

WEIGHTS = "learned.safetensors"
AVERAGE = "moving_average.safetensors"
_MARK = "whole.json"


def learned_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that learn, and the statistics of norms that learn."""
    learned: dict[str, Tensor] = {
        n: p for n, p in model.named_parameters() if p.requires_grad
    }
    kept = model.state_dict(keep_vars=True)
    for place, module in model.named_modules():
        if any(p.requires_grad for p in module.parameters(recurse=False)):
            for name, buffer in module.named_buffers(place, recurse=False):
                if name in kept and buffer.is_floating_point():
                    learned[name] = buffer
    return learned


def save_learned(model: nn.Module, folder: Path) -> None:
    """Write what learns; the rest comes from where the run starts."""
    learned = {n: t.detach().contiguous() for n, t in learned_tensors(model).items()}
    save_file(learned, folder / WEIGHTS, metadata={"format": "pt"})


def load_learned(model: nn.Module, folder: Path) -> None:
    """Read what `save_learned` wrote.

    Raises:
        ValueError: If the checkpoint is of a run in which other parameters learn.
    """
    tensors = load_file(folder / WEIGHTS)
    learns = learned_tensors(model)
    differing = sorted(set(tensors) ^ set(learns))
    if differing:
        raise ValueError(
            f"{folder} is of a run in which other parameters learn ({differing[0]}, "
            f"{len(differing)} in all); use another output or --no-resume"
        )
    for name, parameter in learns.items():
        parameter.data.copy_(tensors[name])


class MovingAverage:
    """An average of what learns, over the last steps of a run.

    With decay ``d``, after each step ``a <- m a + (1 - m) w``, where ``m`` is the smaller of
    ``d`` and ``(1 + n) / (10 + n)`` after ``n`` steps, so that the start is soon forgotten
    (as TensorFlow's ``ExponentialMovingAverage`` has it).

    Args:
        model: What learns.
        decay: Above 0 and below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._model = model
        self._average = {
            name: tensor.detach().clone()
            for name, tensor in learned_tensors(model).items()
        }

    @torch.no_grad()
    def update(self, num_steps: int) -> None:
        """Take in the weights after a step."""
        share = 1 - min(self._decay, (1 + num_steps) / (10 + num_steps))
        weights = learned_tensors(self._model)
        names = list(self._average)
        averages = [self._average[name] for name in names]
        torch._foreach_lerp_(averages, [weights[name] for name in names], share)

    @torch.no_grad()
    def apply(self) -> None:
        """Put the average in the place of the weights."""
        weights = learned_tensors(self._model)
        for name, average in self._average.items():
            weights[name].copy_(average)

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint."""
        save_file(self._average, folder / AVERAGE, metadata={"format": "pt"})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: The checkpoint is of a run without an average.
        """
        if not (folder / AVERAGE).is_file():
            raise FileNotFoundError(
                f"{folder} has no moving average of the weights; use another output or "
                "--no-resume"
            )
        for name, average in load_file(folder / AVERAGE).items():
            self._average[name].copy_(average)


def fingerprint_frozen(model: nn.Module) -> str:
    """Hash what does not learn, which a checkpoint leaves to where the run starts."""
    return fingerprint_parameters(
        (name, parameter)
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    )


def mark_whole(folder: Path, num_processes: int, frozen: str) -> None:
    """Say that every process has written its part of a checkpoint.

    Args:
        folder: The checkpoint.
        num_processes: Those that wrote it.
        frozen: The fingerprint of what does not learn.
    """
    facts = {"num_processes": num_processes, "frozen": frozen}
    write_atomically(folder / _MARK, json.dumps(facts))


def find_checkpoint(output: Path, num_processes: int, frozen: str) -> str | None:
    """Find the last checkpoint that was written to its end.

    Args:
        output: The folder of the run.
        num_processes: Processes of the run that would continue from it.
        frozen: The fingerprint of what does not learn in that run.

    Raises:
        ValueError: If it was trained beside other frozen weights.
    """
    folder = _last_whole(output)
    if folder is None:
        return None
    facts = json.loads((folder / _MARK).read_text())
    if facts.get("frozen", frozen) != frozen:
        raise ValueError(
            f"{folder} is of a run in which other parameters learn or other weights are "
            "frozen; put back the task and the start that the recipe named then, or "
            "begin anew with --no-resume or another output"
        )
    before = facts["num_processes"]
    if before != num_processes:
        logger.warning(
            "%s was written by %d processes and continues with %d: batches and losses "
            "will differ from those of an undisturbed run",
            folder,
            before,
            num_processes,
        )
    return str(folder)


def remove_checkpoints(output: Path, *, keeps_whole: bool) -> None:
    """Remove checkpoints that a run must not continue from.

    Args:
        output: The folder of the run.
        keeps_whole: Whether only those go that stand after the last whole one, left by a
            run that died saving; else all, because the run starts over.
    """
    kept = _last_whole(output) if keeps_whole else None
    why = "was not written to its end" if keeps_whole else "is of an earlier run"
    while (last := get_last_checkpoint(str(output))) and Path(last) != kept:
        logger.warning("%s %s and is removed", last, why)
        shutil.rmtree(last)


def _last_whole(output: Path) -> Path | None:
    if not output.is_dir():
        return None
    folders = sorted(
        (f for f in output.glob("checkpoint-*") if f.name[11:].isdigit()),
        key=lambda folder: int(folder.name[11:]),
        reverse=True,
    )
    return next((folder for folder in folders if _is_whole(folder)), None)


def _is_whole(folder: Path) -> bool:
    try:
        json.loads((folder / _MARK).read_text())
        TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
    except (OSError, ValueError, TypeError):
        return False
    return True
