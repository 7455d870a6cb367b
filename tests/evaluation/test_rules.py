"""Answers by rule: stretches of the rating, and what each kind makes of them."""

import pytest
import torch

from dynfocus.evaluation.benchmarks.rules import (
    RULE_KINDS,
    answer_by_rule,
    find_stretches,
)
from dynfocus.focus.question import number_visits

TIMES = torch.arange(8.0)
RATINGS = {
    "square": torch.tensor([0.0, 0.95, 0.5, 0.92, 0.0, 0.0, 0.9, 0.05]),
    "star": torch.tensor([0.0, 0.3, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    "ring": torch.tensor([0.0, 0.0, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0]),
}


def rate(question):
    return next(found for name, found in RATINGS.items() if name in question)


def test_a_stretch_begins_at_nine_tenths_and_ends_below_one():
    assert find_stretches(RATINGS["square"]) == [(1, 3), (6, 6)]
    assert find_stretches(RATINGS["star"]) == [(5, 7)]
    assert find_stretches(RATINGS["ring"]) == []
    assert find_stretches(torch.tensor([1.0, 0.0, 1.0])) == [(0, 0), (2, 2)]


def test_stretches_are_as_many_as_the_model_counts():
    torch.manual_seed(0)
    for _ in range(20):
        ratings = torch.rand(30).mul(3).sub(1).clamp(0, 1)
        counted = int(number_visits(ratings[None])[0, -1])
        assert len(find_stretches(ratings)) == counted


@pytest.mark.parametrize(
    ("kind", "question", "answer"),
    [
        ("presence", "Does a square appear?", "yes"),
        ("presence", "Does a ring appear?", "no"),
        ("count", "How many times does the square appear?", "2"),
        ("count", "How many times does the ring appear?", "0"),
        ("when", "When does the square appear?", "from 00:01 to 00:03"),
        ("when", "When does the ring appear?", "from 00:02 to 00:03"),
        (
            "order",
            "Which appears first, the red star or the blue square?",
            "the blue square",
        ),
        (
            "order",
            "Which appears first, the red star or the blue ring?",
            "the red star",
        ),
    ],
)
def test_each_kind_has_its_rule(kind, question, answer):
    assert answer_by_rule(kind, question, rate, TIMES) == answer
    assert kind in RULE_KINDS


def test_an_order_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="does not ask which of two appears first"):
        answer_by_rule("order", "Which comes first?", rate, TIMES)
