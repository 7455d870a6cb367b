"""Plans of experiments: which videos are asked about, and with how many tokens."""

import pytest

from dynfocus.evaluation.benchmarks import usual_benchmarks
from dynfocus.evaluation.experiments.ablations import EXPERIMENTS
from dynfocus.evaluation.experiments.plans import Plan, make_plan


def test_long_videos_are_asked_with_budgets_alone():
    methods = EXPERIMENTS["methods"]
    plan = make_plan(
        methods, "nano", "patches", 8, 2, 10, usual_benchmarks(3, 2, 1), (160, 320)
    )
    assert [test.title for test in plan.sets] == [
        "short",
        "medium",
        "short, at most 160 tokens",
        "short, at most 320 tokens",
        "medium, at most 160 tokens",
        "medium, at most 320 tokens",
        "long, at most 160 tokens",
        "long, at most 320 tokens",
    ]
    assert plan.num_caption_steps == 2
    assert plan.seeds == (0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"seeds": ()}, "seeds and sets must hold at least one"),
    ],
)
def test_wrong_plans_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Plan(**changes)
