"""A question to a small model, and how many frames were encoded for it."""

from __future__ import annotations

import pytest
import torch

from dynfocus.models import VideoModel

QUESTION = "what is on the red square ?"


def ask(model: VideoModel, video: object, **options: object):
    answer = model.ask(video, QUESTION, max_new_tokens=5, **options)
    return answer.text, answer.tokens, answer.frames


def count_reads(model: VideoModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the number of frames whenever some are encoded."""
    seen: list[int] = []
    encode = model.model.encode_frames

    def spy(pixels: torch.Tensor) -> object:
        seen.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model.model, "encode_frames", spy)
    return seen
