"""A training run as one YAML file: every number of it, checked before anything starts.

`Recipe` holds what all tasks share; each task has a subclass of its own with its groups
(`dynfocus.training.TASKS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import Field, TypeAdapter

from dynfocus.text import sentence
from dynfocus.validation import Count, Natural, Positive, checked

RECIPE_FILE = "recipe.yaml"
"""What a run was, in its output folder."""

Precision = Literal["float32", "bfloat16"]


def multiplies_bfloat16() -> bool:
    """Tell whether this machine multiplies matrices in bfloat16 faster than in float32.

    A CPU that does not takes about fifty times as long.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@checked
class Schedule:
    """How long and how fast a run learns."""

    batch_size: Count
    """Samples a device that go through the model together."""
    learning_rate: Positive
    """Peak learning rate."""
    num_steps: Count | None = None
    """Optimizer steps; or give ``num_epochs``."""
    num_epochs: Count | None = None
    """Passes over the data, in place of ``num_steps``."""
    total_batch_size: Count | None = None
    """Samples a step over all processes; gradients are accumulated over as many
    batches as it takes. One batch a process by default."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``adamw``, or ``muon`` for matrices with AdamW for the rest."""
    learning_rates: dict[str, Positive] = Field(default_factory=dict)
    """Peak rates of groups of the model (``trains``), such as ``projectors``; all other
    parameters have ``learning_rate``."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Share of the steps in which the rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rate after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decay of matrices a step, times the learning rate."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Decay of AdamW's second moments."""
    moving_average: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay a step of an average of the weights, which is the result in place of the last
    ones: 0.99 averages over about a hundred steps. The last ones by default."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """``float32`` or ``bfloat16`` (autocast; what learns stays in float32); ``auto`` is
    ``bfloat16`` where the processor multiplies in it, else ``float32``."""
    frozen_precision: Precision = "float32"
    """In what frozen weights are kept: ``float32``, or ``bfloat16`` in half the
    memory."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention of the language model: ``sdpa``; ``flash_attention_2`` where it is
    installed; or ``eager``, which is faster on a CPU for samples of at most about 200
    tokens."""
    sharding: Literal["none", "fsdp2", "zero1", "zero2", "zero3"] = "none"
    """What several processes share beside the data: ``none`` (each keeps everything),
    ``fsdp2``, or DeepSpeed's ``zero1``, ``zero2``, ``zero3``. One process shares
    nothing, so it ignores this."""
    offload: bool = False
    """Keep the shared parts in the memory of the host (``fsdp2``, ``zero2``, ``zero3``)."""
    group_by_length: bool = True
    """Put samples of about one length into a batch."""
    num_workers: Natural = 0
    """Processes that prepare samples ahead."""
    save_every: Count = 500
    """Steps between checkpoints."""
    log_every: Count = 20
    """Steps between log lines."""
    report_to: Literal["none", "tensorboard", "wandb"] = "none"
    """Where the log also goes."""

    def __post_init__(self) -> None:
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError(
                "schedule must give either num_steps or num_epochs, got "
                f"{self.num_steps} and {self.num_epochs}"
            )
        if self.learning_rates and self.optimizer != "adamw":
            raise ValueError(
                f"schedule.learning_rates needs optimizer adamw, got {self.optimizer}"
            )
        if self.frozen_precision == "bfloat16" and self.runs_in != "bfloat16":
            raise ValueError(
                "schedule.frozen_precision bfloat16 needs precision bfloat16, got "
                f"{self.precision}"
                + (", which is float32 here" if self.precision == "auto" else "")
            )
        if self.moving_average is not None and self.sharding != "none":
            raise ValueError(
                f"schedule.moving_average needs sharding none, got {self.sharding}"
            )
        if self.offload and self.sharding not in ("fsdp2", "zero2", "zero3"):
            raise ValueError(
                "schedule.offload needs sharding fsdp2, zero2 or zero3, got "
                f"{self.sharding}"
            )

    @property
    def runs_in(self) -> Precision:
        """The precision of this machine's steps."""
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if multiplies_bfloat16() else "float32"

    def accumulation(self, num_processes: int) -> int:
        """Count the batches that each process adds up for one step.

        Raises:
            ValueError: If ``total_batch_size`` cannot be reached exactly.
        """
        if self.total_batch_size is None:
            return 1
        batches, rest = divmod(self.total_batch_size, self.batch_size * num_processes)
        if rest:
            raise ValueError(
                f"schedule.total_batch_size {self.total_batch_size} is no multiple of "
                f"batch_size {self.batch_size} x {num_processes} processes; change "
                "schedule.batch_size"
            )
        return batches

    def num_samples(self) -> int:
        """Count the samples of a run of ``num_steps`` in one process.

        Raises:
            ValueError: If the run is given in epochs.
        """
        if self.num_steps is None:
            raise ValueError(
                "schedule.num_steps must be given: this task draws its samples as it "
                "goes, and has no epochs"
            )
        return self.num_steps * self.batch_size * self.accumulation(1)


@checked
class Recipe:
    """What every training run says; a task adds its groups in a subclass."""

    task: str
    """What is trained."""
    output: str
    """Folder of the result, the checkpoints and the log."""
    schedule: Schedule
    """How long and how fast."""
    seed: int = 0
    """Decides everything that is drawn."""

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML."""
        tree = TypeAdapter(type(self)).dump_python(self, mode="json")
        return yaml.safe_dump(tree, sort_keys=False)


@checked
class ModelStart:
    """Where a run starts."""

    model: str
    """``nano``, or the folder of a model."""


def read_tree(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe's YAML and apply ``key.sub=value`` overrides, unchecked.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no mapping in YAML, or an override is malformed.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"recipe {file} does not exist: name a YAML file such as "
            "recipes/nano/1-vision.yaml"
        )
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"recipe {file} is not valid YAML: {sentence(error)}"
        ) from error
    if not isinstance(tree, dict):
        raise ValueError(
            f"recipe {file} must be a mapping of settings, such as 'task: stage1'"
        )
    for override in overrides:
        apply_override(tree, override)
    return tree


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Change a recipe by ``key.sub=value``, in which the value is YAML.

    Raises:
        ValueError: If the override is malformed.
    """
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ValueError(f"override {override!r} must look like schedule.num_steps=100")
    *parents, last = key.split(".")
    node = tree
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ValueError(
                f"override {override!r}: {name} is not a group of settings"
            )
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(
            f"override {override!r}: the value is not valid YAML: {sentence(error)}"
        ) from error
