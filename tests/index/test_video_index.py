"""An encoded video and its small pictures."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dynfocus.index import Pictures, VideoIndex


def test_thumbnails_match_their_frames():
    features = SimpleNamespace(num_frames=4)
    picture = torch.zeros(3, 5, 6, 3, dtype=torch.uint8).numpy()
    with pytest.raises(ValueError, match="one entry a frame .4., got .3, 5, 6, 3."):
        VideoIndex(
            features=features, source=None, duration=4.0, fps=1.0, thumbnails=picture
        )


def test_pictures_look_like_their_frames():
    flat = torch.arange(5, dtype=torch.uint8)[:, None, None, None] * 40
    frames = flat.expand(5, 30, 20, 3).numpy()
    pictures = Pictures.of(frames)
    assert pictures.shape == (5, 30, 20, 3)
    assert len(pictures) == 5
    assert pictures[2].shape == (30, 20, 3)
    few = pictures[torch.tensor([4, 0]).numpy()]
    assert abs(few.astype(int) - frames[[4, 0]]).max() <= 3
    assert pictures[[]].shape == (0, 30, 20, 3)


def test_pictures_of_noise_fit_as_well():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, 200, 112, 3), generator=generator)
    pictures = Pictures.of(noise.to(torch.uint8).numpy())
    assert pictures[0].shape == (200, 112, 3)
