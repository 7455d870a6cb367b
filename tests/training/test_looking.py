"""Samples for SlowFocus: asked when, and shown it from close by, as in use."""

from __future__ import annotations

import json

import pytest
import torch

from dynfocus.methods.intervals import find_intervals
from dynfocus.methods.loops import Look, focused_question, grounding_prompt
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.dataset import Collator, ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos, FrameReader
from dynfocus.training.looking import LookAgain, write_looks
from dynfocus.training.sources import load_frames
from dynfocus.training.stages import make_stage_job
from dynfocus.training.time_tokens import TIME_GRID

VIDEO = "focusworld:train/3?seconds=20"


def make(*turns, video=VIDEO, **fields):
    conversations = []
    for question, answer in turns:
        conversations.append({"from": "human", "value": question})
        conversations.append({"from": "gpt", "value": answer})
    return {"id": "x", "video": video, "conversations": conversations, **fields}


def texts(sample):
    return [turn["value"] for turn in sample["conversations"]]


@pytest.fixture
def sample():
    return make(
        ("<image>\nWhat falls?", "A cup."),
        ("When does it fall?", "At 00:12."),
        ("Who is it?", "A child."),
        evidence=[[[3.0, 5.0]], [[12.0, 13.0]], []],
    )


def test_a_sample_becomes_the_two_that_use_has(sample):
    (answer, when), failures = write_looks([sample], LookAgain(num_dense=8))
    assert not failures
    shown = focused_question("What falls?", ((3.0, 5.0),), 20.0, TIME_GRID)
    assert texts(answer) == [
        *(f"<video>\n{shown}", "A cup."),
        *("When does it fall?", "At 00:12."),  # a close look would tell
        *("Who is it?", "A child."),
    ]
    assert answer["looks"] == (Look(start=3.0, end=5.0, fps=4.0, kind="high"),)
    first = grounding_prompt("What falls?", 20.0, TIME_GRID)
    assert texts(when)[:2] == [f"<video>\n{first}", "From 150 to 250."]
    assert texts(when)[3] == "From 600 to 650."
    assert len(texts(when)) == 4
    assert "looks" not in when
    assert find_intervals(texts(when)[3], 20.0, grid=TIME_GRID) == [(12.0, 13.0)]


def test_stages_take_one_half_or_the_other(sample):
    (plain, when), _ = write_looks([sample], LookAgain(num_dense=None))
    assert plain is sample
    assert when["id"] == "x-when"
    (answer,), _ = write_looks([sample], LookAgain(teaches_intervals=False))
    assert answer["looks"][0].num_frames == 20


def test_samples_that_name_no_moment_stay_and_unknown_lengths_are_counted():
    plain, image = make(("What?", "This.")), {**make(("What?", "This.")), "video": None}
    lost = make(("What?", "This."), video="a.mp4", evidence=[[[1, 2]]])
    samples, failures = write_looks([plain, image, lost], LookAgain())
    assert samples == [plain, image]
    assert [failure.medium for failure in failures] == ["a.mp4"]
    assert "'dynfocus data check' write it" in failures[0].reason
    samples, failures = write_looks([{**lost, "duration": 9}], LookAgain())
    assert len(samples) == 2
    assert not failures


def test_dense_frames_stand_beside_the_low_ones(sample):
    (answer, _), _ = write_looks([sample], LookAgain(num_dense=8))
    frames = load_frames(
        VIDEO, "video", fps=1.0, max_frames=None, frame_size=112, looks=answer["looks"]
    )
    assert frames.is_high.sum() == 8
    dense = frames.times[frames.is_high]
    assert ((dense >= 3) & (dense < 5)).all()
    assert frames.duration == 20


@pytest.mark.parametrize("is_cached", [True, False])
def test_both_stores_give_the_model_both_frequencies(
    sample, make_tiny_slow, tmp_path, is_cached
):
    model, processor = make_tiny_slow()
    samples, _ = write_looks([sample], LookAgain(num_dense=4))
    if is_cached:
        media = EncodedVideos(tmp_path, model, processor, storage="patches")
        media.fill(samples)
    else:
        media = FrameReader(processor=processor)
    count = model.focus_network.num_tokens
    data = ConversationDataset(samples, media, processor, count, Layout())
    batch = Collator(data)([data[0], data[1]])
    del batch["facts"]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    output = model(**batch)
    marks = [tokens.is_cone for tokens in output.video_tokens]
    assert [int(mark.sum()) for mark in marks] == [4, 0]
    assert [len(mark) for mark in marks] == [24, 20]
    output.loss.backward()
    assert model.focus_network.mixing.gates.grad.abs().sum() > 0
    assert torch.isfinite(output.loss)


def test_a_model_of_one_frequency_is_refused(write_stage, tmp_path):
    source = [{"world_videos": {"num_videos": 1, "seconds": [5, 6]}}]
    path = write_stage(look={}, data={"sources": source, "cache": str(tmp_path)})
    with pytest.raises(
        ValueError, match="look teaches SlowFocus, got a dynfocus model"
    ):
        make_stage_job(load_recipe(path))
    with pytest.raises(ValueError, match=r"layout\.shift_clock would move"):
        load_recipe(write_stage(look={}, layout={"shift_clock": True}))


def test_a_slowfocus_is_made_of_nano_and_learns(write_stage, tmp_path):
    path = write_stage(
        start={"model": "nano"},
        model={"slow": {"grid_size": 2, "num_positions": 50}},
        data={"sources": [{"world_videos": {"num_videos": 1, "seconds": [6, 7]}}]},
        trains=["projectors", "clock"],
        look={"num_dense": 4},
        schedule={"num_steps": 2, "batch_size": 1, "learning_rate": 0.01},
        output=str(tmp_path / "out"),
    )
    run_recipe(path)
    made, processor = load_parts(tmp_path / "out" / "model", device="cpu")
    nano, its_own = load_parts("nano", device="cpu")
    assert made.config.model_type == "slowfocus"
    assert processor.image_mean == its_own.image_mean
    assert processor.single_turn
    for part in ("vision_tower", "language_model"):
        mine = getattr(made, part).state_dict()
        for name, tensor in getattr(nano, part).state_dict().items():
            assert torch.equal(mine[name], tensor), name


def test_a_run_learns_from_a_file_with_time_tokens(
    make_tiny_slow, write_stage, tmp_path
):
    model, processor = make_tiny_slow()
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    meta = {"duration": 20.0, "token": {"<s0>": 4.0, "<e0>": 9.5}}
    raw = make(("<video>\nWhat is from <s0> to <e0>?", "A cup."), meta=meta)
    (tmp_path / "data.json").write_text(json.dumps([raw]))
    path = write_stage(
        start={"model": str(tmp_path / "start")},
        data={"sources": [{"json": str(tmp_path / "data.json")}]},
        trains=["mixing", "language_model"],
        look={"num_dense": 4},
        schedule={"num_steps": 2, "batch_size": 2, "learning_rate": 0.01},
        output=str(tmp_path / "out"),
    )
    run_recipe(path)
    trained, _ = load_parts(tmp_path / "out" / "model", device="cpu")
    assert trained.focus_network.mixing.gates.item() != 0
    table = model.focus_network.temporal_table.rows.weight
    assert torch.equal(trained.focus_network.temporal_table.rows.weight, table)
