"""Tests of connectors and towers share: connectors of tiny sizes, videos of random patches, and how tests compare."""

from __future__ import annotations

import torch

from dynfocus.focus import VideoFeatures
from dynfocus.methods import ConnectorSizes, build_connector


def build(name, num_patches=16, dim=8, seed=0, **options):
    torch.manual_seed(seed)
    sizes = ConnectorSizes(num_patches=num_patches, dim=dim, text_dim=6, hidden_size=10)
    return build_connector(name, sizes, options).eval()


def video_of(patches):
    return VideoFeatures(
        spatial=patches, pts_seconds=torch.arange(len(patches), dtype=torch.float64)
    )


def make_video(num_frames, num_patches=16, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return video_of(torch.randn(num_frames, num_patches, dim, generator=generator))


def connect(connector, video, text=None):
    text = torch.zeros(1, 2, 6) if text is None else text
    (found,) = connector([video], text, torch.ones(text.shape[:2], dtype=torch.bool))
    return found


def near(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
