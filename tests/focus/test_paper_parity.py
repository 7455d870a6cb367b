"""The network with the paper's settings equals the paper's equations, end to end."""

from __future__ import annotations

from typing import Any

import paper_equations
import pytest
import torch

from dynfocus.focus import (
    EventPrototypes,
    FocusNetwork,
    FocusSettings,
    VideoFeatures,
)

DIM, TEXT_DIM, HIDDEN = 12, 10, 9
SMALL: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 6,
    "num_temporal_neighbors": 3,
    "num_spatial_prototypes": (5, 2),
    "num_spatial_neighbors": (4, 2),
}


def close(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 5, 6, 7, 20])
def test_video_tokens_equal_equations_1_to_13(num_frames: int) -> None:
    torch.manual_seed(num_frames)
    settings = FocusSettings.paper(**SMALL)
    network = FocusNetwork(settings, DIM, TEXT_DIM, HIDDEN).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    video = torch.randn(num_frames, 16, DIM)
    text = torch.randn(3, TEXT_DIM)
    with torch.no_grad():
        encoded = VideoFeatures.join([network.encode(video)], torch.arange(num_frames))
        (got,) = network([encoded], text[None])
        wanted, cones = paper_equations.video_tokens(network, video, text)
    assert got.is_cone.nonzero().flatten().tolist() == cones
    close(got.embeds, wanted)


@pytest.mark.parametrize("num_points", [3, 9, 30])
def test_prototypes_equal_equations_1_4_and_5(num_points: int) -> None:
    settings = FocusSettings.paper(**SMALL)
    events = EventPrototypes(DIM, **settings.event_arguments)
    draw = torch.Generator().manual_seed(num_points)
    pooled = torch.randn(1, num_points, 4, DIM, generator=draw)
    found = events.estimate(pooled, torch.ones(1, num_points, dtype=torch.bool))
    count = min(num_points, 6)
    wanted, centers, owner = paper_equations.prototypes(pooled[0].flatten(1), count, 3)
    close(found.features[0].flatten(1), wanted)
    assert found.frames[0].tolist() == centers
    assert found.assignment[0].tolist() == owner
