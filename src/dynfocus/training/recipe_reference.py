"""The reference of all settings of recipes, written from their JSON schemas.

``python -m dynfocus.training.recipe_reference docs/recipes.md`` writes it; a test compares
them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dynfocus.training.recipe import Recipe
from dynfocus.training.tasks import TASKS

_HEAD = """# Settings of recipes

This page is written by `python -m dynfocus.training.recipe_reference docs/recipes.md` from
the classes that check recipes; change those. [Training](training.md) explains what the
settings are for. A dash stands for a setting that must be given.
"""
_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
}


def make_reference() -> str:
    """Write the page: the groups of each task, then each group once."""
    shared = TypeAdapter(Recipe).json_schema()
    lines = [_HEAD, "## Every task\n", *_table(shared, shared), ""]
    groups: dict[str, Any] = {}
    kinds: dict[type, list[str]] = {task.recipe: [] for task in TASKS.values()}
    for name, task in TASKS.items():
        kinds[task.recipe].append(f"`{name}`")
    for kind, names in kinds.items():
        schema = TypeAdapter(kind).json_schema()
        groups |= schema["$defs"]
        table = _table(schema, schema, without=shared["properties"])
        lines += [f"## Task {' or '.join(names)}\n", *table, ""]
    for name, group in sorted(groups.items()):
        text = " ".join(group["description"].replace("``", "`").split())
        lines += [f"## {name}\n", f"{text}\n", *_table(group, {"$defs": groups}), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(
    group: Mapping[str, Any], schema: Mapping[str, Any], without: Container[str] = ()
) -> Iterator[str]:
    yield "| setting | accepts | default | meaning |"
    yield "| --- | --- | --- | --- |"
    needed = group.get("required", ())
    for name, field in group["properties"].items():
        if name in without:
            continue
        inner = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        meaning = field.get("description") or inner["description"]
        meaning = " ".join(meaning.replace("``", "`").split())
        default = "-" if name in needed else _default(field.get("default"))
        yield f"| `{name}` | {_accepts(field)} | {default} | {meaning} |"


def _default(value: Any) -> str:
    return "its own" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def _accepts(field: Mapping[str, Any]) -> str:
    """Say what a setting may be, with a link where that is a group."""
    if "$ref" in field:
        group = field["$ref"].rpartition("/")[2]
        return f"[{group}](#{group.lower()})"
    if "anyOf" in field:
        return " or ".join(_accepts(choice) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{v}`" for v in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        inner = field.get("items") or field["prefixItems"][0]
        return f"list of {_accepts(inner)}"
    if isinstance(field.get("additionalProperties"), Mapping):
        return f"{_accepts(field['additionalProperties'])} by name"
    limits = [w.format(field[name]) for name, w in _LIMITS.items() if name in field]
    return " ".join([{"object": "group"}.get(field["type"], field["type"]), *limits])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(make_reference(), encoding="utf-8")
