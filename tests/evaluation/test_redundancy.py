"""Redundancy (Eq. 14, 15): the formulas, the encoders, the truth of FocusWorld."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import dynfocus
from dynfocus.bulk import Row
from dynfocus.evaluation.experiments.redundancy import (
    VideoRedundancy,
    draw_histograms,
    load_questions,
    measure_redundancy,
    relevance,
    repetition,
)
from dynfocus.methods import DualEncoder, FocusedScorer
from dynfocus.video import VideoWriter
from dynfocus.world import make_video
from tiny_clip import save_tiny_clip


def cosine(one, other):
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_scores_follow_the_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 5)), rng.normal(size=5)
    c = [cosine(x[t], x[t + 1]) for t in range(6)]
    a = [cosine(x[t], y) for t in range(7)]
    expected = [(v - min(c)) / (max(c) - min(c)) for v in c]
    np.testing.assert_allclose(repetition(x), expected, atol=1e-12)
    expected = [(v - min(a)) / (max(a) - min(a)) for v in a]
    np.testing.assert_allclose(relevance(np.array(a)), expected, atol=1e-12)


def test_a_still_picture_repeats_and_one_frame_does_not():
    still = np.tile(np.arange(1.0, 4.0), (5, 1))
    np.testing.assert_allclose(repetition(still), np.ones(4))
    assert repetition(still[:1]).shape == (0,)
    found = VideoRedundancy(
        name="a",
        num_frames=1,
        repetition=repetition(still[:1]),
        relevance=(),
        in_evidence=(),
    )
    assert found.repeated(0.8) == 0
    assert found.irrelevant(0.5) is None
    assert found.against_truth(0.5) is None


def test_shares_count_what_passes_the_threshold():
    found = VideoRedundancy(
        name="a",
        num_frames=4,
        repetition=np.array([0.0, 0.8, 0.9]),
        relevance=(np.array([0.0, 0.4, 0.5, 1.0]), np.array([0.1, 0.2, 0.3, 1.0])),
        in_evidence=(np.array([False, True, True, False]), None),
    )
    assert found.repeated(0.8) == pytest.approx(1 / 3)
    assert found.irrelevant(0.5) == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert found.against_truth(0.5) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((0, 3)), r"with a frame at least, got \(0, 3\)"),
        (np.zeros(3), r"shape \[T, C\]"),
    ],
)
def test_wrong_shapes_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        repetition(features)


@pytest.fixture
def two_scenes(tmp_path) -> Path:
    """Write ten seconds of noise that stands still and changes once, after six."""
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    path = tmp_path / "two scenes.mp4"
    with VideoWriter(path, fps=4, size=(64, 96)) as writer:
        for number in range(40):
            writer.write(scenes[int(number >= 24)])
    return path


def test_repetition_is_seen_in_any_video(two_scenes):
    found = measure_redundancy(two_scenes)
    assert found.num_frames == 10
    assert found.repeated(0.8) == pytest.approx(8 / 9)
    assert found.repetition.argmin() == 5
    asked = Row(video=str(two_scenes), question="What is this?")
    with pytest.raises(ValueError, match="name one with --encoder"):
        measure_redundancy(two_scenes, None, [asked])


@pytest.fixture
def clip_folder(tmp_path) -> Path:
    return save_tiny_clip(tmp_path)


def test_an_image_text_encoder_sees_repetition_and_relevance(clip_folder, two_scenes):
    encoder = DualEncoder(str(clip_folder))
    asked = Row(video=str(two_scenes), question="what?", answer="noise")
    found = measure_redundancy(two_scenes, encoder, [asked], fps=2)
    assert found.num_frames == 20
    assert found.repetition.argmin() == 11
    frames = np.random.default_rng(1).integers(0, 255, (3, 40, 40, 3), dtype=np.uint8)
    got = relevance(encoder.score(frames, "what? noise"))
    model, processor = encoder.model, encoder.processor
    with torch.inference_mode():
        joint = model(
            **processor(
                text=["what? noise"],
                images=list(frames),
                return_tensors="pt",
                padding="max_length",
            )
        )
    scores = joint.logits_per_image[:, 0].double()
    expected = (scores - scores.min()) / (scores.max() - scores.min())
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_an_encoder_without_words_is_refused(clip_folder):
    with pytest.raises(ValueError, match="CLIPTextModel, which does not compare"):
        DualEncoder(str(clip_folder.parent / "text"))


def test_nano_knows_which_frames_matter(tmp_path):
    video = make_video(tmp_path / "video.mp4", 100, 7)
    asked = [
        Row(video=str(video.path), question=q.question, evidence=q.evidence)
        for q in video.questions
        if q.kind == "needle"
    ]
    scorer = FocusedScorer(dynfocus.load("nano"))
    found = measure_redundancy(video.path, scorer, asked, with_answers=False)
    assert found.num_frames == 100
    assert found.repeated(0.8) > 0.5
    irrelevant = found.irrelevant(0.5)
    outside, lost = found.against_truth(0.5)
    assert irrelevant is not None
    truth = [1 - sum(b - a for a, b in question.evidence) / 100 for question in asked]
    assert outside == pytest.approx(np.mean(truth), abs=0.02)
    assert lost < irrelevant  # evidence is called irrelevant less often than the rest


def test_questions_are_read_from_json_lines(tmp_path):
    path = tmp_path / "questions.jsonl"
    row = {"video": "a/b.mp4", "question": "Why?", "evidence": [[1, 2.5]]}
    path.write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    (asked,) = load_questions(path)
    assert asked.video == str((tmp_path / "a/b.mp4").resolve())
    assert asked.evidence == ((1.0, 2.5),)
    path.write_text(json.dumps(row) + '\n{"question": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: the field 'video' is missing"):
        load_questions(path)
    path.write_text('{"video": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="a row about a has no 'question'"):
        load_questions(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_questions(tmp_path / "none.jsonl")


def test_histograms_are_drawn(tmp_path):
    found = VideoRedundancy(
        name="a",
        num_frames=4,
        repetition=np.array([0.0, 0.8, 0.9]),
        relevance=(np.array([0.0, 0.4, 0.5, 1.0]),),
        in_evidence=(None,),
    )
    draw_histograms(tmp_path / "both.svg", [found], (0.8, 0.5))
    text = (tmp_path / "both.svg").read_text(encoding="utf-8")
    assert text.count("axes_") >= 2
    assert text.count("#e08a1e") >= 2
