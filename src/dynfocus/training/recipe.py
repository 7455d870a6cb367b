"""A training run as one YAML file: every number of it, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

RECIPE_FILE = "recipe.yaml"
"""What a run was, in its output folder."""
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "linear", "constant")
OPTIMIZERS = ("adamw", "muon")
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
SHARDINGS = ("none", "fsdp2", "zero1", "zero2", "zero3")
TRACKERS = ("none", "tensorboard", "wandb")

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, NoneType), "a whole number"),
    "float": ((int, float), "a number such as 0.001"),
    "str": ((str,), "a text"),
    "tuple[str, ...]": ((list, tuple), "a list of names"),
    "Mapping[str, float]": ((Mapping,), "a group of settings"),
    "Mapping[str, str]": ((Mapping,), "a group of settings"),
    "Mapping[str, Any]": ((Mapping,), "a group of settings"),
}
"""What YAML may hold for the type of a field."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast a run learns."""

    batch_size: int
    """Samples a device that go through the model together."""
    learning_rate: float
    """Peak learning rate."""
    num_steps: int | None = None
    """Optimizer steps; or give ``num_epochs``."""
    num_epochs: int | None = None
    """Passes over the data, in place of ``num_steps``."""
    total_batch_size: int | None = None
    """Samples a step over all processes; gradients are accumulated over as many
    batches as it takes."""
    gradient_accumulation: int = 1
    """Batches a step and process, where ``total_batch_size`` is not given."""
    optimizer: str = "adamw"
    """``adamw``, or ``muon`` for matrices with AdamW for the rest."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Peak rates of parts of the model, by a dotted part of their names, such as
    ``multi_modal_projector``; all other parameters have ``learning_rate``."""
    frozen: tuple[str, ...] = ()
    """Parts of the model, by a dotted part of their names, that do not learn although
    the stage trains them, such as ``event_prototypes``."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the rate rises."""
    schedule: str = "cosine"
    """``cosine``, ``linear`` or ``constant``."""
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    precision: str = "float32"
    """``float32`` or ``bfloat16`` (autocast; what learns stays in float32)."""
    frozen_precision: str = "float32"
    """In what frozen weights are kept: ``float32``, or ``bfloat16`` in half the
    memory."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    attention: str = "sdpa"
    """Attention of the language model: ``sdpa``; ``flash_attention_2`` where it is
    installed; or ``eager``, which is faster on a CPU for samples of at most about 200
    tokens."""
    sharding: str = "none"
    """What several processes share beside the data: ``none`` (each keeps everything),
    ``fsdp2``, or DeepSpeed's ``zero1``, ``zero2``, ``zero3``. One process shares
    nothing, so it ignores this."""
    offload: bool = False
    """Keep the shared parts in the memory of the host (``fsdp2``, ``zero2``, ``zero3``)."""
    group_by_length: bool = True
    """Put samples of about one length into a batch."""
    num_workers: int = 0
    """Processes that prepare samples ahead."""
    save_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between log lines."""
    report_to: str = "none"
    """Where the log also goes: ``none``, ``tensorboard`` or ``wandb``."""

    def __post_init__(self) -> None:
        _check_types(self, "schedule.")
        object.__setattr__(self, "frozen", tuple(self.frozen))  # a list in YAML
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"schedule.{name} must be 1 or more, got {value}")
        for name, value in (
            ("learning_rate", self.learning_rate),
            *((f"learning_rates.{k}", v) for k, v in self.learning_rates.items()),
        ):
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"schedule.{name} must be above 0, got {value!r}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"schedule.{name} must be one of {', '.join(known)}, "
                    f"got {getattr(self, name)!r}"
                )
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse settings that exclude each other."""
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError(
                "schedule must give either num_steps or num_epochs, got "
                f"{self.num_steps} and {self.num_epochs}"
            )
        if self.total_batch_size is not None and self.gradient_accumulation != 1:
            raise ValueError(
                "schedule.gradient_accumulation follows from total_batch_size, got "
                f"{self.gradient_accumulation}; give one of the two"
            )
        if self.learning_rates and self.optimizer != "adamw":
            raise ValueError(
                f"schedule.learning_rates needs optimizer adamw, got {self.optimizer}"
            )
        if self.frozen_precision == "bfloat16" and self.precision != "bfloat16":
            raise ValueError(
                "schedule.frozen_precision bfloat16 needs precision bfloat16, got "
                f"{self.precision}"
            )
        if self.offload and self.sharding not in ("fsdp2", "zero2", "zero3"):
            raise ValueError(
                "schedule.offload needs sharding fsdp2, zero2 or zero3, got "
                f"{self.sharding}"
            )

    def accumulation(self, num_processes: int) -> int:
        """Count the batches that each process adds up for one step.

        Raises:
            ValueError: If ``total_batch_size`` cannot be reached exactly.
        """
        if self.total_batch_size is None:
            return self.gradient_accumulation
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


_COUNTS = (
    "num_steps",
    "num_epochs",
    "batch_size",
    "total_batch_size",
    "gradient_accumulation",
    "save_every",
    "log_every",
)
_CHOICES = {
    "precision": PRECISIONS,
    "frozen_precision": PRECISIONS,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "attention": ATTENTIONS,
    "sharding": SHARDINGS,
    "report_to": TRACKERS,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    ``task`` names what is trained (``dynfocus.training.TASKS``); ``start`` the folders
    that it starts from; ``model``, ``data`` and ``lora`` belong to the task, which checks
    them.
    """

    task: str
    output: str
    schedule: Schedule
    seed: int = 0
    start: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_types(self, "")

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML."""
        return yaml.safe_dump(asdict(self), sort_keys=False)


def _check_types(settings: Recipe | Schedule, prefix: str) -> None:
    """Refuse a value that has not the type of its field: YAML reads 1e-3 as a text."""
    for item in fields(settings):
        types, words = _TYPES.get(str(item.type), ((object,), ""))
        value = getattr(settings, item.name)
        is_misplaced_bool = isinstance(value, bool) and bool not in types
        if not isinstance(value, types) or is_misplaced_bool:
            raise ValueError(f"{prefix}{item.name} must be {words}, got {value!r}")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, apply ``key.sub=value`` overrides and check it.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a recipe, or holds an unknown key or a bad value.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"recipe {file} does not exist: name a YAML file such as recipes/nano-stage1.yaml"
        )
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"recipe {file} is not valid YAML: {_one_line(error)}"
        ) from error
    if not isinstance(tree, dict):
        raise ValueError(
            f"recipe {file} must be a mapping of settings, such as 'task: stage1'"
        )
    for override in overrides:
        _override(tree, override)
    return _build(tree, file)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _override(tree: dict[str, Any], override: str) -> None:
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
            f"override {override!r}: the value is not valid YAML: {_one_line(error)}"
        ) from error


def _build(tree: dict[str, Any], file: Path) -> Recipe:
    _check_keys(tree, Recipe, f"recipe {file}")
    schedule = tree.get("schedule")
    if not isinstance(schedule, dict):
        raise ValueError(f"recipe {file} needs a group 'schedule'")
    _check_keys(schedule, Schedule, f"recipe {file}, schedule")
    try:
        return Recipe(**{**tree, "schedule": Schedule(**schedule)})
    except ValueError as error:
        raise ValueError(f"recipe {file}: {error}") from error


def refuse_unknown(where: str, settings: Iterable[str], known: Iterable[str]) -> None:
    """Refuse settings that a group of a recipe does not have.

    Args:
        where: What the group is called.
        settings: Names that were given.
        known: Names that may be given.
    """
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )


def _check_keys(tree: Mapping[str, Any], kind: type, where: str) -> None:
    refuse_unknown(where, tree, [f.name for f in fields(kind)])
    missing = [
        f.name
        for f in fields(kind)
        if f.name not in tree and f.default is f.default_factory
    ]
    if missing:
        raise ValueError(f"{where}: the setting {missing[0]!r} is missing")
