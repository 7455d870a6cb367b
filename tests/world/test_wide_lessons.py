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
from dynfocus.world.video import World
from dynfocus.world.vocabulary import COLOURS, is_held_out
from dynfocus.world.wide import Painter, facts_of, make_wide_scene
from dynfocus.world.wide.lessons import make_lessons, write_log
from dynfocus.world.wide.script import MAX_ON_PAGE, make_album, page_seconds
from dynfocus.world.wide.snapshots import IGNORED, NUM_CLASSES, make_wide_snapshots
from dynfocus.world.wide.wordings import forms

WIDE = World(wide=True)


def snapshots(num=60, pages=4, **options):
    return [
        snapshot
        for n in range(num // pages)
        for snapshot in make_wide_snapshots(
            np.random.default_rng([7, n]), pages, **options
        )
    ]


def test_labels_stand_where_the_colour_of_their_object_is():
    num_checked = 0
    for number in range(30):
        scene = make_album(np.random.default_rng([7, number]), num_pages=2)
        pages = make_wide_snapshots(np.random.default_rng([7, number]), 2, 224, 28)
        for page, snapshot in enumerate(pages):
            seconds = page_seconds(page)
            if any(a.start <= seconds < a.end for a in scene.anomalies):
                continue
            shown = [s for s in scene.stays if s.start <= seconds < s.end]
            colours = [scene.cast[stay.thing].colour for stay in shown]
            if len(set(colours)) < len(colours):
                continue
            grid = snapshot.picture.reshape(8, 28, 8, 28, 3).swapaxes(1, 2)
            colour = snapshot.labels["colour"].reshape(8, 8)
            gains = np.asarray(scene.style.cast)
            for stay in shown:
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


def test_an_album_of_training_shows_no_combination_that_is_kept_out():
    for split, may in (("train", False), ("test", True)):
        kept_out = 0
        for number in range(40):
            cast = make_album(np.random.default_rng([7, number]), split).cast
            kept_out += sum(is_held_out(t.shape, t.colour, t.letter) for t in cast)
        assert (kept_out > 0) == may


def test_pages_of_an_album_differ_and_repeat():
    one, again = (
        list(make_wide_snapshots(np.random.default_rng(5), 3)) for _ in range(2)
    )
    for first, second in zip(one, again, strict=True):
        assert (first.picture == second.picture).all()
    assert not (one[0].picture == one[1].picture).all()
    painter = Painter(make_album(np.random.default_rng(5), num_pages=3))
    shown = [len(painter.covers(page_seconds(page))) for page in range(3)]
    assert sum(shown) == len(painter.scene.stays)
    assert max(shown) <= MAX_ON_PAGE
    (large,) = make_wide_snapshots(np.random.default_rng(5), 1, 168, 14)
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


def test_the_evidence_of_what_is_absent_is_that_no_frame_shows_it():
    scene = make_wide_scene(4, 60.0, "train")
    lessons = make_lessons(scene, np.random.default_rng(1))
    absent = {"presence": "no", "absent": "it does not appear", "count": "0"}
    plain = make_lessons(scene, np.random.default_rng(1), plain=True)
    gone = [q for q in plain if q.answer == absent.get(q.kind)]
    assert {question.kind for question in gone} == set(absent)
    assert {question.evidence for question in gone} == {((0.0, 0.0),)}
    known = {q.kind for q in lessons if q.evidence and q.evidence != ((0.0, 0.0),)}
    assert {"needle", "presence", "when"} <= known
    assert all(not q.evidence for q in lessons if q.kind == "topic")


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
    expected = np.stack([Painter(scene, 128).draw(t / 2) for t in range(18)])
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
