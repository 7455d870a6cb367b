"""What other packages add: one entry point a name, found when it is asked for.

It stands alone because rooms that may not know each other use it: selectors, connectors,
families of vision language models, benchmarks.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

SELECTORS = "dynfocus.selectors"
"""Group of functions that choose frames; see `dynfocus.methods.selectors`."""
CONNECTORS = "dynfocus.connectors"
"""Group of functions that build a connector; see `dynfocus.methods.connectors`."""
FAMILIES = "dynfocus.families"
"""Group of subclasses of `dynfocus.plugins.Family`."""

BENCHMARKS = "dynfocus.benchmarks"
"""Group of `dynfocus.evaluation.benchmarks.benchmark.Benchmark` objects."""


def list_extensions(group: str) -> list[str]:
    """List the names of what installed packages offer in a group; nothing is loaded."""
    return sorted({point.name for point in entry_points(group=group)})


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
    for point in entry_points(group=group):
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
