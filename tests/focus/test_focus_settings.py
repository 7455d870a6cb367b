import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import FocusSettings


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


@pytest.mark.parametrize("preset", [FocusSettings.paper(), FocusSettings.official()])
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
        ({"num_event_tokens": 0}, "num_event_tokens must be a whole number .* got 0"),
        ({"num_prototypes": 2.5}, "num_prototypes must be a whole number .* got 2.5"),
        ({"num_prototypes": True}, "num_prototypes must be a whole number"),
        ({"selection_ratio": 0}, "selection_ratio must be above 0 .* got 0"),
        ({"selection_ratio": 1.1}, "at most 1, got 1.1"),
        ({"selection_ratio": "all"}, "selection_ratio must be above 0 .* got 'all'"),
        ({"noise_sigma": 0.0}, "noise_sigma must be above 0 and finite, got 0.0"),
        ({"noise_sigma": float("nan")}, "noise_sigma must be above 0 .* got nan"),
        (
            {"temporal_clustering": "mean"},
            "must be one of 'dpc', 'kmeans', 'weighted_kmeans', got 'mean'",
        ),
        ({"event_merge": None}, "event_merge must be one of .* got None"),
        ({"spatial_gate": 1}, "spatial_gate must be True or False, got 1"),
        (
            {"event_frame": "relevant"},
            "needs relevance_encoding='question', got 'none'",
        ),
        ({"visit_encoding": "count"}, "visit_encoding='count' needs relevance_enc"),
        ({"event_frame": "first"}, "must be one of 'center', 'relevant', got 'first'"),
        ({"num_spatial_prototypes": ()}, "num_spatial_prototypes must be a list"),
        ({"num_spatial_prototypes": (16, 0)}, r"list of whole .* got \(16, 0\)"),
        ({"num_spatial_prototypes": (6, 16)}, r"must never increase, got \(6, 16\)"),
        ({"num_spatial_neighbors": (8,)}, "each of the 2 layers .* got 1"),
        ({"num_frames": 3}, "unknown focus settings 'num_frames'; accepted are cones_"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocusSettings.from_dict(changes)
    with pytest.raises(ValueError, match=message):
        FocusSettings.official(**changes)


def test_all_events_must_be_read() -> None:
    settings = FocusSettings(num_prototypes=4, max_read_frames=4)
    assert settings.num_read_frames_for(3) == 3
    assert settings.num_read_frames_for(9) == 4
    assert FocusSettings().num_read_frames_for(9000) == 9000
    for limit in (3, 0, True, 4.5):
        with pytest.raises(
            ValueError, match=r"max_read_frames must be None or .* \(4\)"
        ):
            FocusSettings(num_prototypes=4, max_read_frames=limit)  # type: ignore[arg-type]
