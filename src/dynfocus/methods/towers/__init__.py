"""Tower methods: what replaces or thins a vision tower, frames of one window together.

A method runs over a tower of transformers, or in its place, and gives every frame as many
tokens; connectors start from these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import nn

from dynfocus import extensions
from dynfocus.methods.towers.gated_residual import GatedResidual
from dynfocus.methods.towers.interface import TowerMethod, TowerSizes, WrappedTower
from dynfocus.methods.towers.prompt_switch import PromptSwitch
from dynfocus.methods.towers.residual_vit import ResidualViT
from dynfocus.methods.towers.tempme import TempMe
from dynfocus.methods.towers.video_panda import VideoPanda
from dynfocus.text import check_choice

__all__ = [
    "TOWERS",
    "TowerMethod",
    "TowerSizes",
    "WrappedTower",
    "build_tower_method",
    "find_tower_methods",
]

TOWERS: dict[str, Callable[..., nn.Module]] = {
    "grt": GatedResidual,
    "prompt_switch": PromptSwitch,
    "residual_vit": ResidualViT,
    "tempme": TempMe,
    "video_panda": VideoPanda,
}
"""Tower methods by name."""


def find_tower_methods() -> Mapping[str, Callable[..., nn.Module]]:
    """Collect the tower methods by name; those of other packages come first."""
    return {**TOWERS, **extensions.load_extensions(extensions.TOWERS)}


def build_tower_method(
    name: str, sizes: TowerSizes, options: Mapping[str, Any] | None = None
) -> Any:
    """Build a tower method with fresh weights.

    Args:
        name: One of ``TOWERS``, or one of another package.
        sizes: The tower that it runs over.
        options: Its own settings.

    Raises:
        ValueError: If the name or an option is not known.
    """
    own, known = dict(options or {}), find_tower_methods()
    check_choice(name, "tower_method", sorted(known))
    accepted = [*signature(known[name]).parameters][1:]
    unknown = sorted(own.keys() - set(accepted))
    if unknown:
        raise ValueError(
            f"tower method {name!r} has no option {unknown[0]!r}; accepted are "
            f"{', '.join(accepted) or 'none'}"
        )
    return known[name](sizes, **own)
