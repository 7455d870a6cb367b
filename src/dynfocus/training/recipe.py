"""A training run as one YAML file: every number of it, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "linear", "constant")
OPTIMIZERS = ("adamw", "muon")
ATTENTIONS = ("sdpa", "eager")

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number such as 0.001"),
    "str": ((str,), "a text"),
    "Mapping[str, str]": ((Mapping,), "a group of settings"),
    "Mapping[str, Any]": ((Mapping,), "a group of settings"),
}
"""What YAML may hold for the type of a field."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast a run learns."""

    num_steps: int
    """Optimizer steps."""
    batch_size: int
    """Samples a step and device, before accumulation."""
    learning_rate: float
    """Peak learning rate."""
    optimizer: str = "adamw"
    """``adamw``, or ``muon`` for matrices with AdamW for the rest."""
    gradient_accumulation: int = 1
    """Batches a step."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the rate rises."""
    schedule: str = "cosine"
    """``cosine``, ``linear`` or ``constant``."""
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    precision: str = "float32"
    """``float32`` or ``bfloat16`` (autocast)."""
    attention: str = "sdpa"
    """Attention of the language model: ``sdpa``, or ``eager``, which is faster on a CPU
    for samples of at most about 200 tokens."""
    num_workers: int = 0
    """Processes that prepare samples."""
    save_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between log lines."""

    def __post_init__(self) -> None:
        _check_types(self, "schedule.")
        for name in (
            "num_steps",
            "batch_size",
            "gradient_accumulation",
            "save_every",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"schedule.{name} must be 1 or more, got {getattr(self, name)}"
                )
        if not self.learning_rate > 0:
            raise ValueError(
                f"schedule.learning_rate must be above 0, got {self.learning_rate}"
            )
        for name, known in (
            ("precision", PRECISIONS),
            ("schedule", SCHEDULES),
            ("optimizer", OPTIMIZERS),
            ("attention", ATTENTIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"schedule.{name} must be one of {', '.join(known)}, "
                    f"got {getattr(self, name)!r}"
                )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    ``task`` names what is trained (``dynfocus.training.TASKS``); ``start`` the folders
    that it starts from; ``model`` and ``data`` belong to the task, which checks them.
    """

    task: str
    output: str
    schedule: Schedule
    seed: int = 0
    start: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

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
        if not isinstance(value, types) or isinstance(value, bool):
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


def _check_keys(tree: Mapping[str, Any], kind: type, where: str) -> None:
    names = {f.name for f in fields(kind)}
    unknown = sorted(set(tree) - names)
    if unknown:
        raise ValueError(
            f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(names))}"
        )
    missing = [
        f.name
        for f in fields(kind)
        if f.name not in tree and f.default is f.default_factory
    ]
    if missing:
        raise ValueError(f"{where}: the setting {missing[0]!r} is missing")
