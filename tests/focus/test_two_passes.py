"""One budget for two passes: what low and dense frames get of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import FrameShare, TwoPassBudget


def test_a_third_buys_low_frames_and_the_rest_dense_ones():
    budget = TwoPassBudget(max_video_tokens=3000, tokens_per_step=50)
    low = budget.low(100)
    assert low == FrameShare(20, 1.0, 1000)
    assert budget.first(low) == 1000
    assert budget.dense(50, low, has_grounded=True) == FrameShare(20, 1.0, 1000)
    assert budget.dense(50, low, has_grounded=False) == FrameShare(40, 1.0, 2000)
    assert budget.left(low) == 2000
    assert budget.left(None) == 3000


def test_frames_become_smaller_before_there_are_too_few():
    budget = TwoPassBudget(max_video_tokens=3000, tokens_per_step=196)
    assert budget.low(100) == FrameShare(20, 0.5, 980)
    assert budget.low(5) == FrameShare(5, 1.0, 980)
    large = TwoPassBudget(max_video_tokens=3000, tokens_per_step=768)
    assert large.low(100) == FrameShare(20, 0.25, 960)
    fixed = TwoPassBudget(max_video_tokens=3000, tokens_per_step=768, scales=(1.0,))
    assert fixed.low(100) is None
    assert fixed.low(1) == FrameShare(1, 1.0, 768)


def test_without_a_budget_all_wanted_frames_are_whole():
    budget = TwoPassBudget(max_video_tokens=None, tokens_per_step=65)
    low = budget.low(100)
    assert low == FrameShare(100, 1.0, 6500)
    assert budget.dense(20, low, has_grounded=True) == FrameShare(20, 1.0, 1300)
    assert budget.left(low) is None
    assert budget.first(low) is None


def test_a_budget_too_small_for_two_passes_has_no_share():
    assert TwoPassBudget(max_video_tokens=5, tokens_per_step=50).low(9) is None
    tail = TwoPassBudget(max_video_tokens=20, tokens_per_step=50, num_tail=8)
    assert tail.low(9) is None
    least = TwoPassBudget(max_video_tokens=90, tokens_per_step=None, least=40)
    assert least.low(9) is None


def test_a_model_may_allot_a_pass_itself():
    budget = TwoPassBudget(max_video_tokens=300, tokens_per_step=None, least=40)
    low = budget.low(9)
    assert low == FrameShare(9, 1.0, 100)
    assert budget.dense(20, low, has_grounded=True) == FrameShare(20, 1.0, 100)


@given(
    total=st.integers(1, 5000),
    each=st.integers(1, 800),
    per_step=st.integers(1, 2),
    tail=st.integers(0, 4),
    frames=st.tuples(st.integers(1, 500), st.integers(1, 100)),
    has_grounded=st.booleans(),
)
def test_both_passes_stay_within_the_budget(
    total, each, per_step, tail, frames, has_grounded
):
    budget = TwoPassBudget(
        max_video_tokens=total,
        tokens_per_step=each,
        frames_per_step=per_step,
        num_tail=tail,
    )
    low = budget.low(frames[0])
    if low is None:
        return
    dense = budget.dense(frames[1], low, has_grounded=has_grounded)
    assert dense is not None
    passes = 2 if has_grounded else 1
    spent = passes * (low.num_tokens + tail) + dense.num_tokens
    assert spent <= total
    for share, wanted in ((low, frames[0]), (dense, frames[1])):
        assert 1 <= share.num_frames <= wanted
        steps = -(-share.num_frames // per_step)
        assert share.num_tokens == steps * budget.step_tokens(share.scale)


@given(
    total=st.integers(1, 3000),
    whole=st.integers(1, 300),
    low=st.integers(1, 200),
    dense=st.integers(1, 60),
    tail=st.integers(0, 3),
)
def test_rods_have_half_of_what_is_left_at_most(total, whole, low, dense, tail):
    budget = TwoPassBudget(max_video_tokens=total, tokens_per_step=whole, num_tail=tail)
    shares = budget.rods_and_cones(low, dense, None)
    if shares is None:
        assert total - tail < 2 * max(2, int(whole / 16))
        return
    rods, cones = shares
    assert rods.num_tokens == rods.num_frames * min(2, whole)
    assert 2 * rods.num_tokens <= total - tail
    assert rods.num_tokens + cones.num_tokens + tail <= total
    if cones.num_frames < dense:  # as many as fit, of the smallest size
        each = budget.step_tokens(cones.scale)
        assert rods.num_tokens + cones.num_tokens + each > total - tail


def test_a_model_with_cones_counts_with_them():
    budget = TwoPassBudget(
        max_video_tokens=300, tokens_per_step=None, scales=(1.0,), cone_tokens=12
    )
    rods, cones = budget.rods_and_cones(60, 20, None)
    assert (rods.num_frames, cones.num_frames) == (60, 15)
    rods, cones = budget.rods_and_cones(60, 20, budget.low(60))
    assert (rods.num_frames, cones.num_frames) == (50, 8)
    assert budget.rods_and_cones(60, 20, None) is not None
    free = TwoPassBudget(max_video_tokens=None, tokens_per_step=65)
    assert free.rods_and_cones(60, 20, None) == (
        FrameShare(60, 0.0, 120),
        FrameShare(20, 1.0, 1300),
    )
