"""KFS-Bench and LV-Haystack: their rules on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from dynfocus.evaluation.benchmarks.key_frames import (
    key_frame_figures,
    score_key_frames,
    temporal_f1,
    unified_score,
)
from dynfocus.evaluation.benchmarks.likeness import add_likeness, structural_similarity
from dynfocus.video import VideoWriter


def test_frames_in_every_scene_by_its_length_are_perfect():
    found = score_key_frames([1, 2, 11], [[(0, 4)], [(10, 12)]])
    assert found.hit_rate == found.scene_rate == found.balanced == 1
    assert found.distribution == pytest.approx(1)
    assert unified_score([found]) == pytest.approx(1)


def test_half_of_the_frames_in_one_of_two_scenes():
    found = score_key_frames([1, 2, 50, 60], [[(0, 4)], [(10, 14)]])
    assert (found.hit_rate, found.scene_rate, found.balanced) == (0.5, 0.5, 0.5)
    assert found.distribution == pytest.approx(1 / np.sqrt(2))
    assert found.unified == pytest.approx((0.25 / np.sqrt(2)) ** (1 / 3))


def test_a_long_scene_must_be_hit_more_than_once():
    scenes = [[(0.0, 30.0)], [(40.0, 50.0)]]
    few = score_key_frames([1, 41, 42, 43, 44, 45], scenes)
    assert few.balanced == 0.5  # three of six are wanted of the long one
    assert score_key_frames([1, 2, 3, 41, 42, 43], scenes).balanced == 1


def test_a_scene_of_two_stretches_is_hit_by_either():
    scenes = [[(0.0, 2.0), (20.0, 22.0)], [(10.0, 14.0)]]
    found = score_key_frames([21, 11], scenes)
    assert (found.hit_rate, found.scene_rate, found.balanced) == (1, 1, 1)
    assert found.distribution == pytest.approx(1)  # both are four seconds long


def test_nothing_found_is_not_zero_for_the_data_set():
    miss = score_key_frames([99], [[(0, 1)]])
    assert miss.unified == 0
    assert unified_score([miss]) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least one scene"):
        score_key_frames([1], [])


def test_the_haystack_example():
    assert temporal_f1([12, 181, 183], [180, 182]) == pytest.approx((2 / 3, 1, 0.8))
    assert temporal_f1([], [1]) is None


def test_likeness_of_pictures():
    rng = np.random.default_rng(0)
    picture = rng.random((24, 20, 3))
    assert structural_similarity(picture, picture) == pytest.approx(1)
    assert structural_similarity(picture, 1 - picture) < 0.2
    flat = np.full((24, 20, 3), 0.5)
    inner = structural_similarity(flat[4:-4, 4:-4], flat[4:-4, 4:-4] / 2)
    assert 0.6 < inner < 0.9  # of two greys the means alone differ


def test_likeness_is_that_of_a_convolution():
    rng = np.random.default_rng(1)
    pictures = rng.random((2, 17, 23, 3))
    taps = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(taps, taps) / taps.sum() ** 2
    kernel = window.double().expand(3, 1, 11, 11)

    def blur(some):
        return conv2d(some, kernel, padding=5, groups=3)

    one, other = torch.from_numpy(pictures).permute(0, 3, 1, 2)[:, None]
    mean, other_mean = blur(one), blur(other)
    shared = blur(one * other) - mean * other_mean
    spread = blur(one * one) - mean**2 + blur(other * other) - other_mean**2
    likeness = (2 * mean * other_mean + 1e-4) * (2 * shared + 9e-4)
    likeness = likeness / ((mean**2 + other_mean**2 + 1e-4) * (spread + 9e-4))
    assert structural_similarity(*pictures) == pytest.approx(float(likeness.mean()))


def test_likeness_is_the_best_of_each_frame(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, fps=1, size=(32, 32), crf=1) as writer:
        for grey in (0, 80, 240):
            writer.write(np.full((32, 32, 3), grey, np.uint8))
    known = {"video": "v", "kind": "", "fine_times": [0.0, 2.0], "key_times": [2.0]}
    records = [dict(known), {**known, "key_times": [99.0]}, {**known, "video": "w"}]
    add_likeness(records, {"v": str(path)})
    assert [("likeness" in one) for one in records] == [True, False, False]
    precision, recall = records[0]["likeness"]
    assert recall == pytest.approx(1)
    assert 0.5 <= precision < 0.6  # one frame is the key frame, one is black
    values = {f.label: f.estimate.value for f in key_frame_figures(records)}
    both = 2 * precision * recall / (precision + recall)
    assert values["Key frames, Likeness F1"] == pytest.approx(100 * both)


def test_a_result_tells_whether_fine_frames_saw_the_evidence():
    one = {"video": "a", "kind": "", "evidence": [[0, 4], [10, 12]]}
    records = [{**one, "fine_times": [1, 2, 11]}, {**one, "evidence": []}, one]
    values = {f.label: f.estimate.value for f in key_frame_figures(records)}
    assert values["Key frames, KFR"] == values["Key frames, BSR"] == 100
    assert values["Key frames, UKSS"] == pytest.approx(100)
    assert values["Key frames, Temporal F1"] == 100
    assert key_frame_figures(records[1:]) == []


def test_stretches_of_one_scene_and_key_frames_of_their_own_are_taken():
    one = {"video": "a", "kind": "", "evidence": [[0, 4], [10, 12]], "scenes": [3, 3]}
    moments = {"video": "b", "kind": "", "evidence": [], "key_times": [180.0, 182.0]}
    records = [
        {**one, "fine_times": [1]},
        {**moments, "fine_times": [12.0, 181.0, 183.0]},
        {**moments, "fine_times": []},
    ]
    figures = key_frame_figures(records, ("SHR", "Temporal F1"))
    values = {f.label: f.estimate.value for f in figures}
    assert values["SHR"] == 100  # either stretch will do
    assert values["Temporal F1"] == pytest.approx(100 * (2 / 3 + 0.8) / 2)
    assert [f.label for f in figures if f.is_main] == ["SHR", "Temporal F1"]
