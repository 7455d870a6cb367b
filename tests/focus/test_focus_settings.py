import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import FocusSettings, QuestionSettings


def test_the_paper_is_the_default() -> None:
    assert FocusSettings.paper() == FocusSettings()
    settings = FocusSettings()
    assert settings.num_prototypes == 25
    assert settings.num_cones_for(1000) == 20
    assert settings.num_tokens_per_cone == 38
    assert settings.num_spatial_tokens == 22


def test_official_is_the_published_code() -> None:
    settings = FocusSettings.official()
    assert settings.temporal_clustering == "kmeans"
    assert settings.num_cones_for(80) == 36
    assert settings.num_cones_for(1) == 1
    assert settings.spatial_gate
    assert not settings.cones_with_rods
    changed = FocusSettings.official(num_prototypes=40)
    assert changed.num_prototypes == 40
    assert changed.rods_order == "content_first"


@pytest.mark.parametrize(
    "preset",
    [
        FocusSettings.paper(),
        FocusSettings.official(),
        FocusSettings(question=QuestionSettings(use_ratings=True, max_read_frames=30)),
    ],
)
def test_settings_survive_json(preset: FocusSettings) -> None:
    text = json.dumps(preset.to_dict())
    assert FocusSettings.from_dict(json.loads(text)) == preset


@given(st.integers(1, 300), st.integers(1, 100), st.floats(0.01, 1))
def test_cones_are_between_one_and_the_prototypes(
    num_frames: int, num_prototypes: int, ratio: float
) -> None:
    settings = FocusSettings(num_prototypes=num_prototypes, selection_ratio=ratio)
    kept = settings.num_cones_for(num_frames)
    assert 1 <= kept <= settings.num_prototypes_for(num_frames) <= num_frames


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_event_tokens": 15}, "num_event_tokens must be a square .* got 15"),
        ({"num_event_tokens": 0}, "num_event_tokens must be at least 1, got 0"),
        ({"num_prototypes": 2.5}, "num_prototypes must be a whole number, got 2.5"),
        ({"num_prototypes": True}, "num_prototypes must be a whole number, got True"),
        ({"selection_ratio": 0}, "selection_ratio must be above 0, got 0"),
        ({"selection_ratio": 1.1}, "selection_ratio must be at most 1, got 1.1"),
        ({"selection_ratio": "all"}, "selection_ratio must be a number, got 'all'"),
        ({"noise_sigma": 0.0}, "noise_sigma must be above 0, got 0.0"),
        ({"noise_sigma": float("nan")}, "noise_sigma must be a finite number, got nan"),
        (
            {"temporal_clustering": "mean"},
            "must be one of 'dpc', 'kmeans' or 'weighted_kmeans', got 'mean'",
        ),
        ({"event_merge": None}, "event_merge must be one of .* got None"),
        ({"spatial_gate": 1}, "spatial_gate must be true or false, got 1"),
        ({"num_spatial_prototypes": ()}, "num_spatial_prototypes: .* at least 1 item"),
        (
            {"num_spatial_prototypes": (16, 0)},
            r"prototypes.1 must be at least 1, got 0",
        ),
        ({"num_spatial_prototypes": (6, 16)}, r"must never increase, got \(6, 16\)"),
        ({"num_spatial_neighbors": (8,)}, "each of the 2 layers .* got 1"),
        (
            {"num_frames": 3},
            "there is no 'num_frames'; accepted are num_event_tokens, ",
        ),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocusSettings.from_dict(changes)
    with pytest.raises(ValueError, match=message):
        FocusSettings.official(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_best_frames": True}, "use_best_frames needs use_ratings, got False"),
        ({"use_visit_counts": True}, "use_visit_counts needs use_ratings, got False"),
        ({"use_clocks": True}, "there is no .*'; accepted are use_question_scores, "),
        ({"use_clock": "yes"}, "use_clock must be true or false, got 'yes'"),
    ],
)
def test_wrong_additions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuestionSettings(**changes)
    with pytest.raises(ValueError, match=message):
        FocusSettings.from_dict({"question": changes})


def test_all_events_must_be_read() -> None:
    def reading(limit: int) -> FocusSettings:
        question = QuestionSettings(max_read_frames=limit)
        return FocusSettings(num_prototypes=4, question=question)

    assert reading(4).num_read_frames_for(3) == 3
    assert reading(4).num_read_frames_for(9) == 4
    assert FocusSettings().num_read_frames_for(9000) == 9000
    with pytest.raises(ValueError, match=r"at least num_prototypes \(4\), got 3"):
        reading(3)


def test_changes_go_group_by_group() -> None:
    start = FocusSettings(question=QuestionSettings(use_ratings=True, use_clock=True))
    changed = start.changed({"num_prototypes": 9, "question": {"use_clock": False}})
    assert changed.num_prototypes == 9
    assert changed.question == QuestionSettings(use_ratings=True)
    assert start.changed({"question": None}).question is None
    assert start.changed({}) == start
    assert FocusSettings().changed({"question": {"use_clock": True}}).question == (
        QuestionSettings(use_clock=True)
    )
    with pytest.raises(ValueError, match="there is no 'num_frames'"):
        start.changed({"num_frames": 3})
