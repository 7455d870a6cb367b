from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import (
    CountedBudget,
    FocusBudget,
    FocusSettings,
    HostBudget,
    QuestionSettings,
    TokenPlan,
    VideoTokens,
    share_budget,
)

PAPER, OFFICIAL = FocusSettings.paper(), FocusSettings.official()


def count(
    num_frames: int, settings: FocusSettings, max_cones: int | None = None
) -> int:
    return FocusBudget(settings=settings).num_tokens(num_frames, max_cones)


def plan_of(num_frames: int, settings: FocusSettings, budget: int) -> TokenPlan:
    return FocusBudget(settings=settings, max_video_tokens=budget).plan(num_frames)


def plan_with(num_frames: int, num_cones: int, num_tokens: int) -> TokenPlan:
    return TokenPlan(num_frames, num_cones, num_tokens)


@pytest.mark.parametrize(
    ("num_frames", "num_tokens"),
    [(1, 40), (2, 80), (32, 824), (80, 920), (200, 1160), (1000, 2760)],
)
def test_paper_counts(num_frames: int, num_tokens: int) -> None:
    assert count(num_frames, PAPER) == num_tokens


@pytest.mark.parametrize(
    ("num_frames", "num_tokens"),
    [(1, 40), (2, 40), (8, 160), (16, 320), (32, 604), (80, 1456), (200, 1696)]
    + [(1000, 3296)],
)
def test_official_counts(num_frames: int, num_tokens: int) -> None:
    assert count(num_frames, OFFICIAL) == num_tokens


def test_a_limit_on_cones_lowers_the_count() -> None:
    assert count(200, PAPER, 1) == 438
    assert count(200, PAPER, 99) == 1160
    assert count(200, OFFICIAL, 2) == 2 * 38 + 198 * 2
    with pytest.raises(ValueError, match="max_cones must be at least 1, got 0"):
        count(200, PAPER, 0)


def test_no_frame_has_no_tokens() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        count(0, PAPER)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        plan_of(0, PAPER, 100)


@given(
    st.sampled_from([PAPER, OFFICIAL, FocusSettings(selection_ratio=1.0)])
    | st.builds(
        FocusSettings,
        num_event_tokens=st.sampled_from([1, 4, 9]),
        num_spatial_prototypes=st.just((1,)),
        num_spatial_neighbors=st.just((1,)),
        selection_ratio=st.sampled_from([0.1, 1.0]),
        cones_with_rods=st.booleans(),
    ),
    st.integers(1, 300),
    st.integers(1, 2000),
)
def test_a_budget_is_never_exceeded_nor_wasted(
    settings: FocusSettings, num_frames: int, budget: int
) -> None:
    if budget < count(1, settings):
        with pytest.raises(ValueError, match="max_video_tokens must be at least"):
            plan_of(num_frames, settings, budget)
        return
    plan = plan_of(num_frames, settings, budget)
    assert plan.num_tokens <= budget
    assert 1 <= plan.num_frames <= num_frames
    assert 1 <= plan.num_cones <= settings.num_cones_for(plan.num_frames)
    assert plan.num_tokens == count(plan.num_frames, settings, plan.num_cones)
    if plan.num_frames < num_frames:
        assert plan.num_cones == 1 or settings.num_tokens_per_cone == 2
        assert count(plan.num_frames + 1, settings, 1) > budget
    elif plan.num_cones < settings.num_cones_for(num_frames):
        more = count(num_frames, settings, plan.num_cones + 1)
        assert more > budget


def test_budgets_of_the_paper() -> None:
    assert plan_of(200, PAPER, 5000) == plan_with(200, 20, 1160)
    assert plan_of(200, PAPER, 500) == plan_with(200, 2, 476)
    assert plan_of(200, PAPER, 100) == plan_with(31, 1, 100)
    assert plan_of(200, PAPER, 40) == plan_with(1, 1, 40)
    with pytest.raises(
        ValueError, match="at least 40, the tokens of one frame, got 39"
    ):
        plan_of(200, PAPER, 39)


def make(**changes: Any) -> VideoTokens:
    values = {
        "embeds": torch.zeros(5, 3),
        "frame_indices": torch.tensor([0, 1]),
        "pts_seconds": torch.tensor([0.0, 1.5]),
        "is_cone": torch.tensor([False, True]),
        "lengths": torch.tensor([2, 3]),
        "scores": torch.zeros(2),
    }
    return VideoTokens(**{**values, **changes})


def test_spans_tell_frame_time_and_kind() -> None:
    first, second = make().spans
    assert (first.frame, first.time, first.kind) == (0, 0.0, "rod")
    assert (second.start, second.length, second.kind) == (2, 3, "cone")
    assert second.time == 1.5


def test_tokens_know_the_frame_that_they_are_of() -> None:
    assert make().starts.tolist() == [0, 2]
    assert make().frame_of_token.tolist() == [0, 0, 1, 1, 1]


def test_tokens_that_belong_to_no_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="hold the 5 tokens of all frames, got 6"):
        make(embeds=torch.zeros(6, 3))
    with pytest.raises(ValueError, match=r"scores must have shape \(2,\).* got \(3,\)"):
        make(scores=torch.zeros(3))


def test_frames_beyond_the_limit_have_no_tokens() -> None:
    settings = FocusSettings.paper(question=QuestionSettings(max_read_frames=100))
    assert count(100, settings) == count(100, PAPER)
    assert count(5000, settings) == count(100, PAPER)
    plan = plan_of(5000, settings, 10_000)
    assert plan == plan_with(100, 20, count(100, PAPER))
    assert plan_of(5000, settings, 500) == plan_of(100, PAPER, 500)


@given(st.integers(1, 300), st.integers(40, 5000))
def test_a_budget_that_does_not_bind_changes_nothing(
    num_frames: int, spare: int
) -> None:
    settings = FocusSettings.paper(question=QuestionSettings(max_read_frames=100))
    whole = FocusBudget(settings=settings).plan(num_frames)
    assert plan_of(num_frames, settings, whole.num_tokens) == whole
    assert plan_of(num_frames, settings, whole.num_tokens + spare) == whole
    host = HostBudget(max_video_tokens=spare, tokens_per_step=16)
    if num_frames * 16 <= spare:
        assert host.plan(num_frames) == plan_with(
            num_frames, num_frames, num_frames * 16
        )
    else:
        assert host.plan(num_frames).num_tokens == spare


def test_counted_tokens_buy_the_most_frames_that_fit() -> None:
    def budget(tokens: int | None) -> CountedBudget:
        return CountedBudget(max_video_tokens=tokens, count=lambda t: 3 * t + 1)

    assert budget(None).plan(40).num_frames == 40
    assert budget(22).plan(40) == plan_with(7, 0, 22)
    assert budget(24).plan(40) == plan_with(7, 0, 22)
    assert budget(24).plan(2) == plan_with(2, 0, 7)
    with pytest.raises(ValueError, match="at least 4, the tokens of one frame, got 3"):
        budget(3)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9)), min_size=1, max_size=6),
    st.integers(0, 300),
)
def test_several_videos_share_a_budget_evenly_and_leave_nothing(
    videos: list[tuple[int, int]], spare: int
) -> None:
    wanted, least = map(list, zip(*videos, strict=True))
    total = sum(least) + spare
    shares = share_budget(total, wanted, least)
    most = [max(pair) for pair in videos]
    assert sum(shares) == min(total, sum(most))
    for share, low, high in zip(shares, least, most, strict=True):
        assert low <= share <= high
    short = [share for share, high in zip(shares, most, strict=True) if share < high]
    if short:  # nobody has more than one token above whoever wants more, but by need
        held = zip(shares, least, strict=True)
        assert max([0, *(s for s, low in held if s > low)]) <= min(short) + 1
    with pytest.raises(ValueError, match=f"at least {sum(least)}, the least of"):
        share_budget(sum(least) - 1, wanted, least)
