"""Video features: what they check, what can be taken of them."""

from __future__ import annotations

import pytest
import torch

from dynfocus.focus import EventBatch, VideoFeatures


def build_features(num_frames: int = 4, patches: bool = False) -> VideoFeatures:
    generator = torch.Generator().manual_seed(0)
    return VideoFeatures(
        pooled=torch.randn(num_frames, 4, 8, generator=generator),
        spatial=torch.randn(num_frames, 6, 8, generator=generator),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64) / 3,
        patches=torch.randn(num_frames, 17, 8) if patches else None,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooled": torch.zeros(4, 8)}, "pooled must have 3 dimensions"),
        ({"spatial": torch.zeros(5, 6, 8)}, "spatial must have one entry a frame"),
        ({"spatial": torch.zeros(4, 6, 9)}, "same width, got 8 and 9"),
        ({"patches": torch.zeros(3, 17, 8)}, "patches must have one entry a frame"),
        (
            {
                "pooled": torch.zeros(0, 4, 8),
                "spatial": torch.zeros(0, 6, 8),
                "pts_seconds": torch.zeros(0),
            },
            "at least one frame",
        ),
    ],
)
def test_features_check_themselves(changes, message):
    features = build_features()
    fields = {name: getattr(features, name) for name in ("pooled", "spatial")}
    with pytest.raises(ValueError, match=message):
        VideoFeatures(**{"pts_seconds": features.pts_seconds, **fields, **changes})


def test_frames_can_be_taken_and_moved():
    features = build_features(5, patches=True)
    some = features.take(torch.tensor([1, 3]))
    assert some.num_frames == 2
    torch.testing.assert_close(some.patches, features.patches[[1, 3]])
    prototypes = EventBatch(
        torch.zeros(1, 2, 4, 8),
        torch.tensor([[0, 3]]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 5, dtype=torch.long),
    )
    with_prototypes = VideoFeatures(
        pooled=features.pooled,
        spatial=features.spatial,
        pts_seconds=features.pts_seconds,
        prototypes=prototypes,
    )
    half = with_prototypes.to("cpu", torch.float16)
    assert half.pooled.dtype == half.prototypes.features.dtype == torch.float16
    assert half.prototypes.frames.dtype == torch.int64
    assert half.pts_seconds.dtype == torch.float64
