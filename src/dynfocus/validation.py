"""Checked dataclasses: settings, options and rows whose errors are one sentence.

`checked` makes a class a frozen, keyword-only pydantic dataclass. Types are strict: text
is no number and a number no switch. A wrong value or an unknown name is a ``ValueError``
of one sentence that says the value received and the values accepted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any, TypeVar, cast, dataclass_transform, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass

from dynfocus.text import read_moment

_CONFIG = ConfigDict(
    arbitrary_types_allowed=True,
    extra="forbid",
    strict=True,
    use_attribute_docstrings=True,  # a field's docstring is in the JSON schema
)
_MOST_SHOWN = 80
_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "is_instance_of": "a {class}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "literal_error": "one of {expected}",
    "string_type": "a text",
    "tuple_type": "a list",
}
_Class = TypeVar("_Class")


def _unwrap(value: Any) -> Any:
    """Take the number out of a scalar of NumPy."""
    return value.item() if type(value).__module__ == "numpy" else value


def _read_moment(value: Any, info: ValidationInfo) -> float:
    """Read a moment of a video that people may have written as a text."""
    return read_moment(_unwrap(value), info.field_name or "the moment")


Count = Annotated[int, Field(ge=1), BeforeValidator(_unwrap)]
"""A whole number from 1."""
Natural = Annotated[int, Field(ge=0), BeforeValidator(_unwrap)]
"""A whole number from 0."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_unwrap)]
"""A finite number above 0."""
Share = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_unwrap)
]
"""A number from 0 to 1."""
Moment = Annotated[float, BeforeValidator(_read_moment)]
"""A moment of a video: seconds from 0, or a text ``m:ss`` or ``h:mm:ss``."""


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(Field, field)
)
def checked(cls: type[_Class]) -> type[_Class]:
    """Make a class a frozen, keyword-only dataclass that checks its fields.

    Args:
        cls: A class with annotated fields, as for ``dataclasses.dataclass``. Fields may
            be of checked classes, too.

    Returns:
        The dataclass; making one raises ``ValueError`` in one sentence.
    """
    made: Any = dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)
    build = made.__init__

    @functools.wraps(build)
    def __init__(self: Any, /, **given: Any) -> None:  # noqa: N807 the class's own
        try:
            build(self, **given)
        except ValidationError as error:
            raise ValueError(explain(error, made)) from None

    made.__init__ = __init__
    return cast(type[_Class], made)


def from_mapping(cls: type[_Class], mapping: Mapping[str, Any]) -> _Class:
    """Make a checked dataclass of what JSON or YAML holds, groups within groups.

    Args:
        cls: The checked class.
        mapping: Its fields; lists stand for tuples and mappings for checked classes.

    Raises:
        ValueError: In one sentence, as by making the class itself.
    """
    try:
        return TypeAdapter(cls).validate_json(json.dumps(mapping, default=str))
    except ValidationError as error:
        raise ValueError(explain(error, cls)) from None


def explain(error: ValidationError, cls: Any) -> str:
    """Say in one sentence what pydantic refused.

    Args:
        error: What it raised.
        cls: The checked class that was to be made.
    """
    found: dict[tuple[Any, ...], list[Any]] = {}  # alternatives of a union together
    for one in error.errors(include_url=False):
        key = (one["loc"][:1], one["type"] in _WANTED, id(one["input"]))
        found.setdefault(key, []).append(one)
    return "; ".join(_sentence(together, cls) for together in found.values())


def _sentence(together: Sequence[dict[str, Any]], cls: Any) -> str:
    one = together[0]
    kind, loc = one["type"], one["loc"] if len(together) == 1 else one["loc"][:1]
    name = ".".join(map(str, loc))
    if kind == "unexpected_keyword_argument":
        return f"there is no {name!r}; accepted are {_accepted(cls, loc)}"
    if kind.startswith("missing"):
        return f"{name} is missing; accepted are {_accepted(cls, loc)}"
    if kind == "value_error":  # a check of our own
        return str(one["ctx"]["error"])
    shown = repr(one["input"])
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[:_MOST_SHOWN]}..."
    if kind in _WANTED:
        kinds = [
            _WANTED[each["type"]].format(**each.get("ctx", {})) for each in together
        ]
        return f"{name} must be {' or '.join(dict.fromkeys(kinds))}, got {shown}"
    return f"{name}: {one['msg'][0].lower()}{one['msg'][1:]}, got {shown}"


def _accepted(cls: Any, loc: Sequence[Any]) -> str:
    """List the fields of the class that a wrong name was given to."""
    for name in loc[:-1]:
        inner = cls.__pydantic_fields__.get(name)
        cls = cls if inner is None else next(_dataclasses(inner.annotation), cls)
    return ", ".join(one.name for one in fields(cls))


def _dataclasses(annotation: Any) -> Iterator[Any]:
    """Yield the dataclasses in a type, such as ``Schedule | None``."""
    if is_dataclass(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _dataclasses(part)
