"""What became of every tensor when a model was assembled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynfocus.conversion.key_maps import part_of, summarise_names


@dataclass(frozen=True, kw_only=True)
class AssemblyReport:
    """Account for every tensor of the model and of the files."""

    loaded: Mapping[str, tuple[str, ...]]
    """Tensors of the model that came from each source."""
    fresh: tuple[str, ...]
    """Tensors of the model that no source had, drawn at random."""
    unused: Mapping[str, tuple[str, ...]]
    """Tensors of each source that the model has no use for, by their names there."""
    num_parameters: Mapping[str, int]
    """Parameters of each part of the model."""
    notes: tuple[str, ...] = ()
    """What else was changed."""

    def to_dict(self) -> dict[str, Any]:
        """Give every name, for JSON."""
        return {
            "loaded": {source: list(names) for source, names in self.loaded.items()},
            "fresh": list(self.fresh),
            "unused": {source: list(names) for source, names in self.unused.items()},
            "num_parameters": dict(self.num_parameters),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Write it briefly, a line for each kind of fate and source."""
        parts = [f"{p} {n / 1e6:,.2f} M" for p, n in self.num_parameters.items()]
        lines = [f"parameters: {', '.join(parts)}"]
        for source, names in self.loaded.items():
            counts: dict[str, int] = {}
            for name in names:
                counts[part_of(name)] = counts.get(part_of(name), 0) + 1
            shown = ", ".join(f"{part} ({count})" for part, count in counts.items())
            lines.append(f"loaded from {source}: {shown}")
        lines.append(f"initialised fresh: {summarise_names(self.fresh) or 'nothing'}")
        for source, names in self.unused.items():
            lines.append(f"left unused in {source}: {summarise_names(names) or 'none'}")
        return [*lines, *(f"note: {note}" for note in self.notes)]
