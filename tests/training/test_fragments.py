"""Fragments of any video: every answer is what the pictures show."""

from __future__ import annotations

import re

import numpy as np
import pytest

import dynfocus
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.fragments import (
    CHANGES,
    PLACES,
    TASKS,
    Fragment,
    draw_square,
    parse_fragment,
)
from dynfocus.training.sources import load_frames
from dynfocus.training.stages import MODEL, make_stage_job
from dynfocus.video import VideoWriter

SEEDS = range(12)


@pytest.fixture(scope="module")
def dawn(tmp_path_factory):
    """Write ten seconds that grow lighter, red on the left; every moment differs."""
    path = tmp_path_factory.mktemp("dawn") / "a dawn.mp4"
    with VideoWriter(path, fps=5, size=(64, 64)) as writer:
        for number in range(50):
            frame = np.full((64, 64, 3), 30 + 3 * number, np.uint8)
            frame[:, :32, 1:] //= 4
            writer.write(frame)
    return path


def cut(task, seed, video, num_frames=5):
    count = 2 if task == "consistency" else num_frames
    fragment = Fragment(task=task, seed=seed, num_frames=count, source=str(video))
    frames = load_frames(
        str(fragment), "video", fps=2.0, max_frames=None, frame_size=64
    )
    assert frames.times.tolist() == [number / 2 for number in range(count)]
    assert frames.duration == count / 2
    return fragment, frames.frames.astype(int), dict(fragment.turns())


def order_of(frames):
    """Number the frames by their light, which is their order in time."""
    return [int(number) + 1 for number in np.argsort([f.mean() for f in frames])]


def test_an_address_comes_back(dawn):
    fragment = Fragment(task="disorder", seed=7, num_frames=6, source=str(dawn))
    assert parse_fragment(str(fragment)) == fragment
    assert parse_fragment(str(dawn)) is None
    for wrong in ("fragment:disorder/7", "fragment:x/7?frames=3&of=a", "fragment:"):
        with pytest.raises(ValueError, match="is not the address of a fragment"):
            parse_fragment(wrong)


@pytest.mark.parametrize("seed", range(3))
def test_a_count_is_the_number_of_frames(dawn, seed):
    _, frames, turns = cut("counting", seed, dawn, 3 + seed % 3)
    assert turns == {"How many frames are shown?": str(len(frames))}
    assert order_of(frames) == [*range(1, len(frames) + 1)]


def test_disorder_and_its_undoing_are_what_the_light_says(dawn):
    answers = set()
    for seed in SEEDS:
        _, frames, turns = cut("disorder", seed, dawn)
        in_order = order_of(frames) == [1, 2, 3, 4, 5]
        (answer,) = turns.values()
        assert answer == ("yes" if in_order else "no")
        answers.add(answer)
        _, frames, turns = cut("rearrangement", seed, dawn)
        order = order_of(frames)
        assert order != [1, 2, 3, 4, 5]
        assert list(turns.values()) == [", ".join(map(str, order))]
    assert answers == {"yes", "no"}


def look(first, second):
    """Say what differs between two frames."""
    if np.abs(first - second).max() == 0:
        return "nothing"
    if np.abs(second[:32]).max() == 0 and np.array_equal(first[32:], second[32:]):
        return "its upper half is black"
    if np.array_equal(first[:, ::-1], second):
        return "it is mirrored"
    if np.ptp(second, axis=2).max() == 0:
        return "it has no colours"
    return "it is darker" if second.mean() < first.mean() / 2 else ""


def test_the_change_is_the_one_that_can_be_seen(dawn):
    seen = set()
    for seed in range(24):
        _, frames, turns = cut("consistency", seed, dawn)
        assert list(turns.values()) == [look(*frames)]
        seen.update(turns.values())
    assert seen == CHANGES.keys()


def find_square(frames):
    """Find the frames with a square, and its quarter, by its white."""
    is_white = (frames > 250).all(3)
    shown = is_white.any((1, 2)).nonzero()[0] + 1
    rows, columns = is_white.any(0).nonzero()
    lengthwise = "bottom" if rows.mean() > 32 else "top"
    return shown.tolist(), f"{lengthwise} {'right' if columns.mean() > 32 else 'left'}"


def test_the_square_is_when_and_where_the_answers_say(dawn):
    asked = set()
    for seed in range(24):
        _, frames, turns = cut("localisation", seed, dawn)
        (question, answer), (where, place) = turns.items()
        shown, seen = find_square(frames)
        assert (where, place) == ("Where is it?", seen)
        asked.add(question.split()[-1])
        if question.endswith("disappear?"):
            assert shown == [*range(1, int(answer))]
        elif question.endswith("appear?"):
            assert shown == [*range(int(answer), 6)]
        else:
            ends = [int(number) for number in re.findall(r"\d+", answer)]
            assert shown == [*range(ends[0], ends[-1] + 1)]
    assert asked == {"appear?", "disappear?", "square?"}


@pytest.mark.parametrize("place", PLACES)
def test_a_square_stands_in_the_middle_of_its_quarter(place):
    frame = np.full((64, 64, 3), 90, np.uint8)
    draw_square(frame, place)
    rows, columns = (frame != 90).any(2).nonzero()
    wanted = {"top": (8, 23), "bottom": (40, 55), "left": (8, 23), "right": (40, 55)}
    vertical, horizontal = place.split()
    assert (rows.min(), rows.max()) == wanted[vertical]
    assert (columns.min(), columns.max()) == wanted[horizontal]


def test_a_source_meets_every_task_with_every_video(dawn, load):
    videos = [str(dawn.parent), "focusworld:train/3?seconds=9"]
    samples = load([{"fragments": {"videos": videos, "num_samples": 20}}])
    found = [parse_fragment(sample["video"]) for sample in samples]
    pairs = {(one.task, one.source) for one in found}
    assert len(pairs) == len(TASKS) * 2
    assert {one.seed for one in found} == {*range(20)}
    assert all(4 <= one.num_frames <= 8 for one in found if one.task != "consistency")
    address = [one for one in found if one.source.startswith("focusworld")][-1]
    frames = load_frames(str(address), "video", fps=1, max_frames=None, frame_size=64)
    assert len(frames.frames) == address.num_frames


def test_a_video_that_is_too_short_is_a_failure(tmp_path):
    with VideoWriter(tmp_path / "short.mp4", fps=5, size=(32, 32)) as writer:
        for _ in range(2):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="too short for a fragment of 5 frames"):
        cut("counting", 0, tmp_path / "short.mp4")


@pytest.mark.parametrize(
    ("fragments", "message"),
    [
        ({"frames": [5, 4]}, "frames must be two numbers from 2.*got .5, 4."),
        ({"frames": [1, 4]}, "frames must be two numbers from 2"),
        ({"tasks": ["x"]}, "tasks.* must be one of 'counting'"),
        ({"videos": []}, "needs a video and a task at least"),
    ],
)
def test_wrong_settings_are_refused(load, fragments, message):
    own = {"videos": ["focusworld:train/3?seconds=9"], "num_samples": 1}
    with pytest.raises(ValueError, match=message):
        load([{"fragments": own | fragments}])


def test_a_missing_video_is_named(load):
    with pytest.raises(FileNotFoundError, match="nowhere.mp4 is no file"):
        load([{"fragments": {"videos": ["nowhere.mp4"], "num_samples": 1}}])


@pytest.mark.parametrize("cache", ["features", None])
def test_a_model_learns_from_any_video_and_is_asked(
    start, write_stage, dawn, tmp_path, cache
):
    own = {"videos": [str(dawn)], "num_samples": 10, "frames": [3, 4]}
    data = {"sources": [{"fragments": own}], "max_frames": 4}
    data["cache"] = cache and str(tmp_path / cache)
    recipe = write_stage(start={"model": str(start)}, data=data)
    output = run_recipe(recipe)
    job = make_stage_job(load_recipe(recipe))
    assert [job.dataset[n].get("failure") for n in range(10)] == [None] * 10
    model = dynfocus.load(output / MODEL, device="cpu", index_folder=False)
    frames = np.zeros((4, 112, 112, 3), np.uint8)
    answer = model.ask(frames, "How many frames are shown?", max_new_tokens=2)
    assert answer.tokens == model.model.focus_network.num_tokens(4)
    if cache is None:
        assert job.dataset.lengths()[0] > 4  # without a file being opened
        return
    media = job.dataset.media
    medium = job.dataset.samples[0]["video"]
    before = media.key(medium)
    dawn.touch()
    assert media.key(medium) == before
    other = tmp_path / "other.mp4"
    other.write_bytes(dawn.read_bytes() + b"x")
    fragment = parse_fragment(medium)
    moved = Fragment("counting", fragment.seed, fragment.num_frames, str(other))
    assert media.key(str(moved)).content != before.content


def test_more_frames_than_are_read_are_refused(write_stage, start):
    own = {"videos": ["focusworld:train/3?seconds=9"], "num_samples": 1}
    data = {"sources": [{"fragments": own}], "max_frames": 6}
    with pytest.raises(
        ValueError, match="max_frames must be at least 8, the frames of"
    ):
        load_recipe(write_stage(start={"model": str(start)}, data=data))
