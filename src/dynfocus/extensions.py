"""Names that are found when they are asked for: of our rooms, and of other packages.

It stands alone because rooms that may not know each other use it: selectors, connectors,
tower methods, families of vision language models, benchmarks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

SELECTORS = "dynfocus.selectors"
"""Group of functions that choose frames; see `dynfocus.methods.selectors`."""
CONNECTORS = "dynfocus.connectors"
"""Group of functions that build a connector; see `dynfocus.methods.connectors`."""
TOWERS = "dynfocus.towers"
"""Group of functions that build a tower method; see `dynfocus.methods.towers`."""
FAMILIES = "dynfocus.families"
"""Group of subclasses of `dynfocus.plugins.Family`."""

BENCHMARKS = "dynfocus.benchmarks"
"""Group of `dynfocus.evaluation.benchmarks.benchmark.Benchmark` objects."""


def list_extensions(group: str) -> list[str]:
    """List the names of what installed packages offer in a group; nothing is loaded."""
    return sorted({point.name for point in _points(group, tuple(sys.path))})


def load_extensions(group: str) -> dict[str, Any]:
    """Load what installed packages offer in a group of entry points.

    Args:
        group: The group, such as ``"dynfocus.selectors"``.

    Returns:
        What each entry point names, by the name of the entry point.

    Raises:
        ValueError: An entry point names what is not there, or two have one name.
    """
    found: dict[str, Any] = {}
    for point in _points(group, tuple(sys.path)):
        where = f"the entry point {point.name} = {point.value} in {group}"
        if point.name in found:
            raise ValueError(f"{where} has a name that is taken; uninstall one of both")
        try:
            found[point.name] = point.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{where} cannot be loaded: {error}; correct or uninstall its package"
            ) from error
    return found


@lru_cache
def _points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """List the entry points of a group; reading all packages takes ten milliseconds."""
    return tuple(entry_points(group=group))


def import_when_asked(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Let a room import what it offers when that is first asked for.

    So that a part of it can be used where packages are missing that others need.

    Args:
        package: The room.
        homes: The module in it that each name stands in.

    Returns:
        What the room calls ``__getattr__``.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return find
