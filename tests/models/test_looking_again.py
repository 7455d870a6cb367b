"""SlowFocus on models of our own: DynFocus, and the trained architecture."""

from __future__ import annotations

import numpy as np
import pytest

import dynfocus
from dynfocus.models import VideoModel
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.video import VideoReader, VideoWriter
from scripted import scripted

QUESTION = "what is on the red square ?"
KINDS = ("low", "high")


@pytest.fixture
def slow(make_slow_model, make_slow_processor):
    backbone = FeatureBackbone(make_slow_model(), make_slow_processor(), "slow")
    return VideoModel(backbone)


@pytest.mark.parametrize("budget", [None, 20, 60, 200])
def test_dynfocus_looks_again_within_one_budget(focused, clip, budget):
    model, generator = scripted(focused, "from 2 to 3.5 s", "a circle")
    answer = model.ask(clip, QUESTION, method="slowfocus", max_video_tokens=budget)
    read = sum(int(turn.is_visual.sum()) for turn in generator.turns)
    assert read == answer.tokens == sum(frame.tokens for frame in answer.frames)
    assert budget is None or read <= budget
    if answer.looks.intervals:
        assert answer.text == "a circle"
        assert {frame.kind for frame in answer.frames} == {"low", "high"}
    else:
        assert "too small for two frequencies" in answer.looks.note


@pytest.fixture
def rated(make_model, make_processor):
    """A tiny DynFocus that rates frames for the question."""
    ours = ("use_question_scores", "use_ratings", "use_best_frames")
    focus = make_model().settings.changed({"question": dict.fromkeys(ours, True)})
    return VideoModel(
        FeatureBackbone(make_model(focus), make_processor(focus), "rated")
    )


@pytest.mark.parametrize("budget", [None, 13, 20, 60, 200])
def test_the_rating_proposes_and_dense_frames_become_cones(rated, clip, budget):
    model, generator = scripted(rated, "a circle")
    answer = model.ask(clip, QUESTION, method="slow-dynfocus", max_video_tokens=budget)
    (turn,) = generator.turns  # one pass of the language model
    assert turn.question == QUESTION
    assert int(turn.is_visual.sum()) == answer.tokens
    assert budget is None or answer.tokens <= budget
    if budget == 13:
        assert "too small for two frequencies" in answer.looks.note
        return
    assert answer.looks.replies == []
    intervals = answer.looks.intervals
    frames = {kind: [f for f in answer.frames if f.kind == kind] for kind in KINDS}
    assert len(frames["low"]) + len(frames["high"]) == len(answer.frames)
    for frame in frames["high"]:
        assert any(start <= frame.time < end for start, end in intervals)
    assert {frame.tokens for frame in frames["low"]} <= {2}
    cones = [frame for frame in frames["high"] if frame.tokens > 2]
    if budget is None:
        assert len(cones) == min(5, len(frames["high"]))  # of five prototypes
    else:
        assert cones


def test_proposals_for_a_file_that_is_gone_or_of_one_frame(rated, clip, tmp_path):
    with VideoWriter(tmp_path / "one.mp4", fps=4, size=(32, 64)) as writer:
        writer.write(np.full((32, 64, 3), 99, np.uint8))
    model, generator = scripted(rated, *["a circle"] * 3)
    answer = model.ask(tmp_path / "one.mp4", QUESTION, method="slow-dynfocus")
    assert "no more frames than were read" in answer.looks.note
    index = model.index(clip)
    clip.unlink()
    answer = model.ask(index, QUESTION, method="slow-dynfocus")
    assert answer.text == "a circle"
    assert answer.looks.intervals == []
    assert "The answer took one pass" in answer.looks.note
    assert clip.name in answer.looks.note
    assert len(generator.turns) == 2


def test_frames_that_all_fit_alike_let_the_model_name_the_interval(focused, clip):
    model, generator = scripted(focused, "from 2 to 3.5 s", "a circle")
    answer = model.ask(clip, QUESTION, method="slow-dynfocus")
    assert answer.looks.intervals == [(2.0, 3.5)]
    assert len(generator.turns) == 2
    cones = [f.time for f in generator.turns[1].frames if f.tokens > 2]
    assert len(cones) == 5
    assert all(2.0 <= seconds < 3.5 for seconds in cones)


def test_frames_of_one_size_have_no_rods(slow, clip):
    assert "slow-dynfocus" not in slow.methods
    with pytest.raises(ValueError, match="got 'slow-dynfocus'"):
        slow.ask(clip, QUESTION, method="slow-dynfocus")


def test_the_trained_architecture_reads_steps_of_its_grid(slow, clip):
    model, generator = scripted(slow, "From 333 to 583.", "a circle")
    answer = model.ask(clip, QUESTION, method="slowfocus")
    assert "from 000 to 999" in generator.turns[0].question
    assert "from 333 to 583" in generator.turns[1].question
    ((start, end),) = answer.looks.intervals
    assert (start, end) == pytest.approx((6 * 0.333, 6 * 0.583))
    dense = [frame.time for frame in answer.frames if frame.kind == "high"]
    assert dense
    assert all(start <= seconds < end for seconds in dense)
    passes = [len(turn.frames) for turn in generator.turns]
    assert answer.tokens == 5 * sum(passes)


@pytest.mark.parametrize("budget", [10, 40, 64])
def test_frames_of_one_size_stay_within_the_budget(slow, clip, budget):
    model, generator = scripted(slow, "From 333 to 583.", "a circle")
    answer = model.ask(clip, QUESTION, method="slowfocus", max_video_tokens=budget)
    read = sum(int(turn.is_visual.sum()) for turn in generator.turns)
    assert read == answer.tokens <= budget
    assert bool(answer.looks.intervals) == (budget > 10)


@pytest.mark.parametrize("method", ["slowfocus", "slow-dynfocus"])
def test_a_stream_is_looked_at_once_and_that_is_said(focused, make_frames, method):
    model, _ = scripted(focused, "yes")
    session = model.session()
    session.push(make_frames(5))
    answer = session.ask(QUESTION, method=method)
    assert answer.looks.intervals == []
    assert "a stream or frames, with no file" in answer.looks.note


@pytest.mark.filterwarnings("ignore::dynfocus.errors.UnknownWorldWarning")
@pytest.mark.parametrize("storage", ["exact", "compact"])
@pytest.mark.parametrize("method", ["slowfocus", "slow-dynfocus"])
def test_an_index_on_disk_is_looked_at_again(
    tmp_path, storage, clip, monkeypatch, method
):
    model = dynfocus.load("nano", index_folder=tmp_path / "index", storage=storage)
    answers = []
    reads = []
    sample = VideoReader.sample

    def count(reader, **options):
        reads.append(options)
        return sample(reader, **options)

    monkeypatch.setattr(VideoReader, "sample", count)
    for _ in range(2):
        speaking, generator = scripted(model, "from 2 to 4 s", "K")
        answers.append(speaking.ask(clip, QUESTION, method=method))
        assert len(generator.turns) == 1 + (method == "slowfocus")
    first, second = answers
    assert first.frames == second.frames
    assert sum(frame.kind == "high" for frame in first.frames) > 2
    if storage == "exact":
        num_looks = len(first.looks.intervals)
        assert len(reads) == 1 + num_looks  # the whole, and each stretch once
