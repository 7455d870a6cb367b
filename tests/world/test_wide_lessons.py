"""What training is made of in the widened world: snapshots, lessons, logs, addresses."""

from __future__ import annotations

import numpy as np
import pytest

from dynfocus.world.conversations import (
    WorldAddress,
    log_conversation,
    parse_address,
    render_address,
    video_samples,
)
from dynfocus.world.snapshots import IGNORED, NUM_CLASSES
from dynfocus.world.video import World
from dynfocus.world.vocabulary import COLOURS, LETTERS, SHAPES, is_held_out
from dynfocus.world.wide import Painter, facts_of, make_wide_scene
from dynfocus.world.wide.lessons import make_lessons, write_log
from dynfocus.world.wide.script import STILL_SECONDS, make_still_scene
from dynfocus.world.wide.snapshots import make_wide_snapshot
from dynfocus.world.wide.wordings import forms

WIDE = World(wide=True)


def snapshots(num=60, **options):
    return [
        make_wide_snapshot(np.random.default_rng([7, n]), **options) for n in range(num)
    ]


def test_labels_stand_where_the_colour_of_their_object_is():
    num_checked = 0
    for number in range(60):
        rng = np.random.default_rng([7, number])
        scene = make_still_scene(rng)
        snapshot = make_wide_snapshot(np.random.default_rng([7, number]), 224, 28)
        if scene.anomalies or len({t.colour for t in scene.cast}) < len(scene.cast):
            continue
        grid = snapshot.picture.reshape(8, 28, 8, 28, 3).swapaxes(1, 2)
        colour = snapshot.labels["colour"].reshape(8, 8)
        gains = np.asarray(scene.style.cast)
        for stay in scene.stays:
            thing = scene.cast[stay.thing]
            mine = colour == COLOURS.index(thing.colour) + 1
            tone = np.clip(gains * thing.rgb, 0, 255)
            near = (abs(grid - tone).max(-1) < 40).mean((2, 3))
            num_checked += int(mine.sum())
            assert not (near[colour == 0] > 0.5).any()
            # a badge may fill most of a patch, but not most of its object
            assert (near[mine] > 0.02).sum() >= 0.5 * mine.sum()
    assert num_checked > 100


def test_classes_stay_in_range_and_all_occur():
    met = {name: set() for name in NUM_CLASSES}
    for snapshot in snapshots(150):
        assert snapshot.picture.shape == (112, 112, 3)
        for name, values in snapshot.labels.items():
            assert values.shape == (64,)
            met[name] |= set(values.tolist()) - {IGNORED}
    for name, count in NUM_CLASSES.items():
        assert met[name] == set(range(count)), name


def test_a_snapshot_of_training_shows_no_combination_that_is_kept_out():
    for snapshot in snapshots(100):
        labels = snapshot.labels
        for shape, colour, letter in zip(
            labels["shape"], labels["colour"], labels["letter"], strict=True
        ):
            if letter >= 0 and shape > 0 and colour > 0:
                words = SHAPES[shape - 1], COLOURS[colour - 1], LETTERS[letter]
                assert not is_held_out(*words)


def test_a_snapshot_is_the_moment_of_a_scene_and_repeats():
    one, again = (make_wide_snapshot(np.random.default_rng(5)) for _ in range(2))
    assert (one.picture == again.picture).all()
    scene = make_still_scene(np.random.default_rng(5))
    assert len(Painter(scene).covers(STILL_SECONDS)) == len(scene.stays)
    large = make_wide_snapshot(np.random.default_rng(5), 168, 14)
    assert large.picture.shape == (168, 168, 3)
    assert large.labels["shape"].shape == (144,)


def test_lessons_are_in_words_of_training_and_as_often_as_weighed():
    scene = make_wide_scene(4, 60.0, "train")
    weights = {"needle": 3.0, "order": 0.5}
    lessons = make_lessons(scene, np.random.default_rng(1), 4, weights)
    kinds = [lesson.kind for lesson in lessons]
    assert set(kinds) <= set(weights)
    needles = [lesson for lesson in lessons if lesson.kind == "needle"]
    things = {lesson.slots["thing"] for lesson in needles}
    assert len(needles) == 3 * len(things)
    assert len({lesson.question for lesson in needles}) > len(things)
    held_out = {form.clause.format(thing="X") for form in forms("needle", "held_out")}
    known = {form.clause.format(thing="X") for form in forms("needle", "training")}
    for lesson in needles:
        text = lesson.question.casefold().replace(lesson.slots["thing"], "X")
        assert not any(c.casefold() in text for c in held_out - known)


def test_a_log_says_what_the_facts_say():
    scene = make_wide_scene(11, 60.0, "train")
    facts = facts_of(scene)
    times = np.arange(0.25, 60, 0.5)
    frames = write_log(scene, times, "|").split("|")[1:]
    assert len(frames) == len(times)
    for member in facts.cast:
        if member.changes:
            continue
        words = f" {member.size} {member.name} {member.letter} "
        said = [
            seconds
            for seconds, text in zip(times, frames, strict=True)
            if words in text
        ]
        shown = [t for t in times if any(a <= t < b for a, b in member.evidence)]
        assert said == shown
    for deed in scene.deeds:
        inside = [
            f for t, f in zip(times, frames, strict=True) if deed.start <= t < deed.end
        ]
        assert all(deed.name in text for text in inside)


def test_addresses_of_the_widened_world_are_read_back_and_drawn():
    for unseen in ((), ("fonts",), ("walls", "cameras")):
        world = World(wide=True, unseen=unseen)
        address = WorldAddress(split="validation", seed=3, seconds=9.0, world=world)
        assert parse_address(str(address)) == address
    sampled = render_address(address, fps=2.0)
    scene = make_wide_scene(3, 9.0, "validation", ("walls", "cameras"))
    expected = np.stack([Painter(scene).draw(t / 2) for t in range(18)])
    assert sampled.frames.shape == expected.shape
    assert abs(sampled.frames.astype(int) - expected).mean() < 12


def test_conversations_about_a_widened_video_and_a_widened_log():
    address = WorldAddress(split="train", seed=3, seconds=40.0, world=WIDE)
    samples = video_samples(address, turns_per_sample=1, max_per_kind=1)
    kinds = len(samples)
    assert kinds > 15
    assert {sample["video"] for sample in samples} == {str(address)}
    turns = log_conversation(5, 20, 4, WIDE)
    assert turns == log_conversation(5, 20, 4, WIDE)
    assert turns[0][0].startswith("| the ")


def test_what_is_unseen_belongs_to_the_widened_world():
    with pytest.raises(ValueError, match="only the widened world"):
        World(unseen=("fonts",))
