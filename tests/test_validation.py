"""Checked dataclasses: what they refuse, in one sentence."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Literal

import numpy as np
import pytest

from dynfocus.validation import Count, Positive, checked, from_mapping


class Bits(StrEnum):
    eight = "8bit"


@checked
class Inner:
    rate: Positive = 1.0
    """A rate."""
    bits: Literal["8bit", "4bit"] | None = None


@checked
class Outer:
    name: str
    count: Count | None = None
    where: str | dict[str, int] | None = None
    inner: Inner | None = None

    def __post_init__(self) -> None:
        if self.name == "taken":
            raise ValueError("the name 'taken' is taken; choose another")


def test_values_are_kept_and_frozen():
    made = Outer(name="a", count=np.int64(3), inner=Inner(rate=2, bits=Bits.eight))
    assert made == Outer(name="a", count=3, inner=Inner(rate=2.0, bits="8bit"))
    assert dataclasses.replace(made, count=4).count == 4
    assert from_mapping(Outer, {"name": "a", "inner": {"rate": 3}}) == Outer(
        name="a", inner=Inner(rate=3.0)
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.count = 5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "a", "count": 0}, "count must be at least 1, got 0"),
        ({"name": "a", "count": True}, "count must be a whole number, got True"),
        ({"name": "a", "count": 1.5}, "count must be a whole number, got 1.5"),
        ({"name": 3}, "name must be a text, got 3"),
        ({}, "name is missing; accepted are name, count, where, inner"),
        (
            {"name": "a", "cuont": 1},
            "there is no 'cuont'; accepted are name, count, where, inner",
        ),
        ({"name": "a", "where": 3}, "where must be a text or a mapping, got 3"),
        ({"name": "taken"}, "the name 'taken' is taken; choose another"),
        (
            {"name": "a", "inner": {"rat": 1.0}},
            "there is no 'inner.rat'; accepted are rate, bits",
        ),
        (
            {"name": "a", "inner": {"rate": float("inf")}},
            "inner.rate must be a finite number, got inf",
        ),
        (
            {"name": "a", "inner": {"bits": "2bit"}},
            "inner.bits must be one of '8bit' or '4bit', got '2bit'",
        ),
        (
            {"name": "a", "count": 0, "where": 3},
            "count must be at least 1, got 0; where must be a text or a mapping, got 3",
        ),
    ],
)
def test_what_is_refused_is_one_sentence(given, sentence):
    makers = [lambda: from_mapping(Outer, given)]
    if "inner" not in given:
        makers.append(lambda: Outer(**given))
    for make in makers:
        with pytest.raises(ValueError) as refused:  # noqa: PT011 the text is compared
            make()
        assert str(refused.value) == sentence
        assert type(refused.value) is ValueError
