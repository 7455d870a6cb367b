"""Choosing frames: exact budgets, true times, events first, relevance where it is known."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from dynfocus.methods import FrameScorer, select_frames
from dynfocus.video import VideoReader
from phone_video import SIZE, TIMES, number_of, write_phone_video

BOUNDS = (0.0, 8.0, 10.0, 16.0, 20.0)


class FakeScorer(FrameScorer):
    """Score what looks like one of the scenes, which are unlike in colour."""

    name = "fake"

    def __init__(self, scenes: Path, scene: int | None) -> None:
        self.questions: list[str] = []
        self.num_encoded = 0
        sample = VideoReader(scenes).sample(times=[4.0, 9.0, 13.0, 18.0], size=(36, 64))
        self.looks = sample.frames.astype(float)
        self.scene = scene

    def size(self, own: tuple[int, int]) -> tuple[int, int]:
        return own[0] // 2, own[1] // 2

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape[1:] == (36, 64, 3)
        self.num_encoded += len(frames)
        unlike = frames[:, None].astype(float) - self.looks
        return np.eye(4)[np.abs(unlike).mean((2, 3, 4)).argmin(1)]

    def encode_text(self, text: str) -> np.ndarray:
        self.questions.append(text)
        return np.zeros(4) if self.scene is None else 0.1 + 0.2 * np.eye(4)[self.scene]


def scene_of(time: float) -> int:
    return int(np.searchsorted(BOUNDS, time, "right")) - 1


@pytest.mark.parametrize("budget", [1, 4, 5, 33, 100])
def test_the_budget_is_met_exactly_with_different_frames_in_time_order(scenes, budget):
    chosen = select_frames(scenes, "What?", budget)
    times = [frame.time for frame in chosen.frames]
    assert len(set(times)) == budget
    assert times == sorted(times)
    assert sorted(frame.rank for frame in chosen.frames) == list(range(1, budget + 1))
    num_cones = sum(frame.kind == "cone" for frame in chosen.frames)
    assert num_cones == min(budget, max(4, round(budget / 4)))
    assert {f.rank for f in chosen.frames if f.kind == "cone"} == set(
        range(1, num_cones + 1)
    )
    assert chosen.num_looked_at >= budget
    assert chosen == select_frames(scenes, "What?", budget)


def test_every_event_comes_before_a_second_frame_of_one(scenes):
    chosen = select_frames(scenes, "What?", 4)
    assert [scene_of(frame.time) for frame in chosen.frames] == [0, 1, 2, 3]
    assert max(frame.importance for frame in chosen.frames) == 1
    assert all(frame.relevance is None for frame in chosen.frames)


def test_a_still_video_is_covered_evenly(still):
    chosen = select_frames(still, "What?", 9)
    times = np.array([frame.time for frame in chosen.frames])
    assert np.abs(times - (np.arange(9) + 0.5) * 20 / 9).max() <= 0.5


def test_the_scorer_decides_which_frames_come_first(scenes):
    scorer = FakeScorer(scenes, 1)
    chosen = select_frames(scenes, "Which?", 8, scorer=scorer, num_cones=1)
    (cone,) = (frame for frame in chosen.frames if frame.kind == "cone")
    assert 8 <= cone.time < 10
    assert cone.relevance == 1
    assert {frame.relevance for frame in chosen.frames} == {0, 1}
    assert {scene_of(frame.time) for frame in chosen.frames} == {0, 1, 2, 3}
    assert scorer.questions == ["Which?"]
    assert chosen.scorer == "fake"
    assert scorer.num_encoded == chosen.num_looked_at  # each frame once


def test_only_frames_that_a_rule_asks_about_are_scored(scenes):
    scorer = FakeScorer(scenes, 1)
    chosen = select_frames(scenes, "Which?", 8, scorer=scorer, rule="uniform")
    assert scorer.num_encoded == 8
    assert {frame.relevance for frame in chosen.frames} == {0, 1}
    first = min(chosen.frames, key=lambda frame: frame.rank)
    assert (first.relevance, scene_of(first.time)) == (1, 1)


def test_equal_scores_are_as_good_as_none(scenes):
    plain = select_frames(scenes, "Which?", 6)
    scored = select_frames(scenes, "Which?", 6, scorer=FakeScorer(scenes, None))
    assert {frame.relevance for frame in scored.frames} == {1}
    assert [scene_of(f.time) for f in plain.frames] == [
        scene_of(f.time) for f in scored.frames
    ]


def test_a_rule_that_sizes_frames_is_shown_in_its_sizes(scenes):
    scorer = FakeScorer(scenes, 1)
    chosen = select_frames(scenes, "Which?", 8, scorer=scorer, rule="qframe", fps=5.0)
    assert [
        sum(f.kind == kind and f.scale == scale for f in chosen.frames)
        for kind, scale in (("cone", 1.0), ("cone", 0.5), ("rod", 1.0))
    ] == [4, 8, 32]
    sizes = [picture.shape[1] for _, picture in chosen.pictures(128, "cone")]
    assert sorted(sizes) == [64] * 8 + [128] * 4
    assert {picture.shape[1] for _, picture in chosen.pictures(32, "rod")} == {32}
    times = [time for time, _ in chosen.pictures(128, "cone")]
    assert times == sorted(times)
    with pytest.raises(ValueError, match="'qframe' says how large each frame is"):
        select_frames(scenes, "Which?", 8, scorer=scorer, rule="qframe", num_cones=2)


@pytest.mark.parametrize("rule", ["aks", "bolt"])
def test_a_published_rule_chooses_and_ranks_by_the_scores(scenes, rule):
    scorer = FakeScorer(scenes, 1)
    chosen = select_frames(scenes, "Which?", 8, scorer=scorer, rule=rule, fps=2.0)
    times = [frame.time for frame in chosen.frames]
    assert len(set(times)) == 8
    assert times == sorted(times)
    assert sorted(frame.rank for frame in chosen.frames) == list(range(1, 9))
    inside = {frame.rank for frame in chosen.frames if 8 <= frame.time < 10}
    assert inside == set(range(1, len(inside) + 1))
    assert len(inside) == (4 if rule == "bolt" else 1)  # AKS: one an eighth
    assert {f.rank for f in chosen.frames if f.kind == "cone"} == {1, 2, 3, 4}
    assert chosen.rule == rule
    assert max(frame.importance for frame in chosen.frames) <= 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "magic",
            "rule must be one of air, aks, bolt, .*, uniform, got 'magic'",
        ),
        ("bolt", "rule 'bolt' chooses .* give a scorer"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(scenes, rule, message):
    with pytest.raises(ValueError, match=message):
        select_frames(scenes, "Which?", 4, rule=rule)


def test_times_are_true_in_turned_videos_of_variable_rate(tmp_path):
    path = write_phone_video(tmp_path / "phone.mp4")
    chosen = select_frames(path, "What?", 7, num_cones=2)
    known = {round(time, 6): number for number, time in enumerate(TIMES)}
    numbers = [known[round(frame.time, 6)] for frame in chosen.frames]
    assert len(set(numbers)) == 7
    assert chosen.size == SIZE
    frames, times = chosen.read(64)
    assert frames.shape[1:] == (64, 48, 3)
    assert [number_of(frame) for frame in frames] == numbers
    np.testing.assert_allclose(times, [frame.time for frame in chosen.frames])
    assert (frames[:, 5, :, 0].mean(1) > frames[:, 5, :, 2].mean(1)).all()  # upright
    assert len(chosen.read(64, "cone").times) == 2
    assert len(chosen.read(64, "rod").times) == 5
    every = select_frames(path, "What?", 12)
    assert [round(frame.time, 6) for frame in every.frames] == list(TIMES)


def test_fast_looks_at_key_frames_and_no_others(tmp_path):
    path = tmp_path / "noise.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"g": "10", "bf": "0"})
        stream.width = stream.height = 64
        for _ in range(60):
            picture = (
                rng.integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            )
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        out.mux(stream.encode(None))
    with av.open(str(path)) as video:
        packets = [p for p in video.demux(video=0) if p.pts is not None]
    keys = {float(p.pts * p.time_base) for p in packets if p.is_keyframe}
    assert 6 <= len(keys) < len(packets)
    chosen = select_frames(path, "What?", 5, fast=True)
    assert chosen.num_looked_at == len(keys)
    assert {round(f.time, 6) for f in chosen.frames} < {round(k, 6) for k in keys}
    assert len(chosen.read(64).times) == 5
    with pytest.raises(ValueError, match=r"than the \d+ key frames .* without fast"):
        select_frames(path, "What?", len(keys) + 1, fast=True)


def test_frames_are_never_enlarged_and_kinds_may_be_empty(scenes):
    chosen = select_frames(scenes, "What?", 2)
    assert chosen.read(4096).frames.shape[1:] == (72, 128, 3)
    none = chosen.read(64, "rod")
    assert (len(none.frames), len(none.times)) == (0, 0)


def test_a_selection_is_plain_data(scenes):
    document = select_frames(scenes, 'Is it "red"?', 3).to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["question"] == 'Is it "red"?'
    assert [sorted(frame) for frame in document["frames"]] == [
        ["importance", "kind", "rank", "rating", "relevance", "scale", "time"]
    ] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 0}, "the budget must be at least 1 frame, got 0"),
        ({"budget": 101}, "101 frames is more than the 100 that scenes.mp4 shows; ask"),
        (
            {"budget": 30, "fps": 1.0},
            r"30 frames is more than the 20 .* or look at more",
        ),
        ({"num_cones": 5}, "Cones must be from 0 to the budget of 4, got 5"),
        ({"num_cones": -1}, "Cones must be from 0 to the budget of 4, got -1"),
        ({"question": " "}, "the question is empty"),
    ],
)
def test_what_cannot_be_met_is_refused(scenes, changes, message):
    given = {"question": "What?", "budget": 4} | changes
    with pytest.raises(ValueError, match=message):
        select_frames(scenes, **given)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        select_frames(Path(tmp_path / "none.mp4"), "What?", 4)


@pytest.fixture
def damaged(tmp_path) -> Path:
    """Write sixty frames of noise, a key frame every ten, and spoil the last half."""
    path = tmp_path / "damaged.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"g": "10", "bf": "0"})
        stream.width = stream.height = 64
        for _ in range(60):
            noise = rng.integers(0, 255, (64, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        out.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"moov") - 4
    content[end // 2 : end] = bytes(end - end // 2)
    path.write_bytes(content)
    return path


def test_a_damaged_video_gives_the_frames_that_it_has(damaged, recwarn):
    chosen = select_frames(damaged, "What?", 50)
    assert 20 <= len(chosen.frames) < 50
    assert sorted(f.rank for f in chosen.frames) == list(
        range(1, len(chosen.frames) + 1)
    )
    messages = [str(one.message) for one in recwarn]
    assert len(messages) == 1
    assert "wanted frames were kept" in messages[0]
    assert len(chosen.read(32).times) >= len(chosen.frames) - 1  # one shows damage
