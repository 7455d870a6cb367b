"""Budgets are met exactly, by the stated rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import HostBudget


@given(
    total=st.integers(2, 3000),
    size=st.integers(3, 300),
    steps=st.integers(1, 700),
    tail=st.integers(0, 2),
    cone=st.one_of(st.none(), st.just("whole"), st.integers(3, 400)),
)
def test_a_budget_is_met_exactly_unless_the_video_fits_whole(
    total, size, steps, tail, cone
):
    budget = HostBudget(
        max_video_tokens=total + tail,
        tokens_per_step=size,
        num_tail=tail,
        cone_tokens=cone,
    )
    kept = budget.num_steps(steps)
    shares = budget.share(kept)
    assert len(shares) == kept
    assert sum(shares) + tail == min(total + tail, steps * size + tail)
    assert all(min(2, size) <= share <= size for share in shares)
    assert shares == sorted(shares, reverse=True)
    assert kept <= steps


def test_the_rules_are_those_that_are_written_down():
    def split(total: int, steps: int, **changes) -> list[int]:
        budget = HostBudget(
            **{"max_video_tokens": total, "tokens_per_step": 16, **changes}
        )
        return budget.share(budget.num_steps(steps))

    assert split(64, 4) == [16] * 4  # rule 1: it fits
    assert split(16, 8, cone_tokens=4) == [4] * 4  # rule 2: half for Rods
    assert split(26, 6, cone_tokens=8) == [8, 8, 4, 2, 2, 2]  # rules 3 and 4
    assert split(24, 6, cone_tokens="whole") == [14, 2, 2, 2, 2, 2]
    assert split(40, 6, cone_tokens=4) == [7, 7, 7, 7, 6, 6]  # rule 4: all are Cones
    assert split(41, 6, cone_tokens=4, num_tail=1) == [7, 7, 7, 7, 6, 6]


@pytest.mark.parametrize(("whole", "cone"), [(196, 49), (65, 17), (48, 16), (9, 9)])
def test_a_cone_is_a_quarter_of_a_frame_but_no_sketch(whole, cone):
    assert HostBudget(max_video_tokens=9, tokens_per_step=whole).tokens_per_cone == cone


def test_a_budget_below_the_minimum_names_it():
    with pytest.raises(ValueError, match=r"at least 2, the tokens of one Rod, got 1;"):
        HostBudget(max_video_tokens=1, tokens_per_step=16)
    with pytest.raises(
        ValueError, match="at least 3, .* what follows the video, got 2"
    ):
        HostBudget(max_video_tokens=2, tokens_per_step=16, num_tail=1)


@pytest.mark.parametrize("cone", [2, 0, "all"])
def test_wrong_cones_are_refused(cone):
    with pytest.raises(ValueError, match=f"cone_tokens must be .*{cone}"):
        HostBudget(max_video_tokens=9, tokens_per_step=16, cone_tokens=cone)
