"""Scorers: image-text encoders and DynFocus models, told apart by their configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dynfocus
from dynfocus.defaults import model_type
from dynfocus.focus import FocusSettings
from dynfocus.methods import (
    DualEncoder,
    FocusedScorer,
    select_frames,
)
from dynfocus.world import make_video
from tiny_clip import save_tiny_clip


def test_an_encoder_scores_by_the_cosine(tmp_path):
    scorer = DualEncoder(str(save_tiny_clip(tmp_path)))
    frames = np.random.default_rng(1).integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)
    scores = scorer.score(frames, "what is this")
    pictures = scorer.encode_frames(frames)
    words = scorer.encode_text("what is this")
    expected = [float(picture @ words) for picture in pictures]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert np.linalg.norm(words) == pytest.approx(1, abs=1e-5)
    assert scorer.size((720, 1280)) == (252, 448)
    assert scorer.name == str(tmp_path / "clip")


def test_kinds_of_models_are_told_apart(tmp_path):
    clip = save_tiny_clip(tmp_path)
    assert model_type("nano") == "dynfocus"
    assert (
        model_type(str(Path(dynfocus.__file__).parent / "assets" / "nano"))
        == "dynfocus"
    )
    assert model_type(str(clip)) != "dynfocus"
    assert model_type(str(tmp_path / "none")) != "dynfocus"
    assert model_type("nothing") != "dynfocus"
    with pytest.raises(FileNotFoundError, match="'nothing' could not be loaded"):
        DualEncoder("nothing")
    with pytest.raises(FileNotFoundError, match=r"could not be loaded: Unrecognized"):
        DualEncoder(str(tmp_path))


def test_a_model_scores_by_its_events(tmp_path):
    video = make_video(tmp_path / "video.mp4", 30, 7)
    focused = dynfocus.load("nano")
    asked = next(q for q in video.questions if q.kind == "needle")
    scorer = FocusedScorer(focused)
    chosen = select_frames(video.path, asked.question, 6, scorer=scorer, fps=1.0)
    reports = focused.score_frames(focused.index(video.path), asked.question)
    scores = {report.time: report.score for report in reports}
    low, high = min(scores.values()), max(scores.values())
    for frame in chosen.frames:
        expected = (scores[frame.time] - low) / (high - low)
        assert frame.relevance == pytest.approx(expected, abs=1e-3)
    focused.model.settings = FocusSettings()
    with pytest.raises(ValueError, match="do not see the question"):
        FocusedScorer(focused)
