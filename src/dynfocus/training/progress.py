"""What a person sees of a run: steps, loss, tokens and frames a second, time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, track
from rich.progress import TimeRemainingColumn as Remaining
from torch import Tensor
from transformers import TrainerCallback, TrainerState

from dynfocus.training.failures import BatchFacts

_LINE_SECONDS = 60.0
_Thing = TypeVar("_Thing")


class Meter:
    """Count what went through the model since the last reading."""

    def __init__(self) -> None:
        self.num_cut = 0
        self._losses: dict[str, list[Tensor]] = {}
        self._restart()

    def _restart(self) -> None:
        self._tokens = self._frames = 0
        self._since = time.perf_counter()

    def add(self, facts: BatchFacts) -> None:
        """Count a batch."""
        self._tokens += facts.num_tokens
        self._frames += facts.num_frames
        self.num_cut += facts.num_cut

    def add_losses(self, outputs: Mapping[str, Any]) -> None:
        """Note the parts of a loss that has several, named such as ``rods_loss``."""
        for name, loss in outputs.items():
            if name.endswith("_loss"):
                self._losses.setdefault(name, []).append(loss.detach())

    def read_losses(self) -> dict[str, float]:
        """Return the mean of each part of the loss since the last reading."""
        losses, self._losses = self._losses, {}
        return {name: float(torch.stack(own).mean()) for name, own in losses.items()}

    def read(self) -> dict[str, float]:
        """Return this process's rates since the last reading, if it counted at all."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        tokens, frames = self._tokens / seconds, self._frames / seconds
        self._restart()
        if not tokens:
            return {}
        return {"tokens_per_second": tokens, "frames_per_second": frames}


class ProgressReport(TrainerCallback):  # type: ignore[misc]
    """Show a bar in a terminal and a line a log entry elsewhere, on standard error.

    It stands before the other callbacks, so that the rates that it adds to the log reach
    TensorBoard and wandb. The run's own history keeps what is the same every time.

    Args:
        meter: What the Trainer counts into.
        num_processes: All of them do about as much as this one.
    """

    def __init__(self, meter: Meter, num_processes: int) -> None:
        self._meter = meter
        self._num_processes = num_processes
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._started = (0.0, 0)

    def on_train_begin(
        self, args: Any, state: TrainerState, *given: Any, **kwargs: Any
    ) -> None:
        """Open the bar."""
        self._started = (time.perf_counter(), state.global_step)
        self._meter.read()
        if not (state.is_world_process_zero and self._console.is_terminal):
            return
        columns = (
            TextColumn("Training"),
            BarColumn(),
            MofNCompleteColumn(),
            Remaining(),
            TextColumn("{task.fields[facts]}"),
        )
        self._bars = Progress(*columns, console=self._console)
        self._bars.add_task("", total=state.max_steps, facts="")
        self._bars.start()

    def on_step_end(
        self, args: Any, state: TrainerState, *given: Any, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], completed=state.global_step)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        *given: Any,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the rates to a log entry and show it."""
        if logs is None or "loss" not in logs:
            return
        rates = self._meter.read()
        logs.update({name: r * self._num_processes for name, r in rates.items()})
        if self._meter.num_cut:
            logs["cut_samples"] = self._meter.num_cut
        if not state.is_world_process_zero:
            return
        facts = describe(logs)
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], facts=facts)
            return
        left = self._seconds_left(state)
        line = (
            f"step {state.global_step}/{state.max_steps}  {facts}  {clock(left)} left"
        )
        self._console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, *given: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bars is not None:
            self._bars.stop()

    def _seconds_left(self, state: TrainerState) -> float:
        began, first = self._started
        done = max(state.global_step - first, 1)
        pace = (time.perf_counter() - began) / done
        return pace * (state.max_steps - state.global_step)


def tell_progress(things: Sequence[_Thing], what: str) -> Iterator[_Thing]:
    """Go through things and tell how far it is: with a bar, or a line a minute.

    Args:
        things: What is gone through.
        what: What is done to them, such as ``Encoding``.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(things, what, console=console)
        return
    began = told = time.perf_counter()
    for done, thing in enumerate(things):
        now = time.perf_counter()
        if now - told >= _LINE_SECONDS and done:
            told, left = now, (now - began) / done * (len(things) - done)
            line = f"{what} {done}/{len(things)}  {clock(left)} left"
            console.print(line, highlight=False, soft_wrap=True)
        yield thing


def describe(logs: dict[str, float]) -> str:
    """Write the loss and the rates of a log entry in a line."""
    parts = [f"loss {logs['loss']:.4g}"]
    for name, unit in (
        ("tokens_per_second", "tokens"),
        ("frames_per_second", "frames"),
    ):
        if name in logs:
            parts.append(f"{logs[name]:,.0f} {unit}/s")
    if "cut_samples" in logs:
        parts.append(f"{logs['cut_samples']:,} cut")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Write a time as ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
