"""Facts hold at every moment of the scene that they are of, and the pictures show them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dynfocus.world.vocabulary import is_held_out
from dynfocus.world.wide import VARIATIONS, Painter, facts_of, make_wide_scene
from dynfocus.world.wide.looks import FONTS
from dynfocus.world.wide.scene import ACTIONS, CHANGES

SEEDS = range(30)


@cache
def scenes(split="validation"):
    return tuple(make_wide_scene(seed, 90.0, split) for seed in SEEDS)


def stays_with_facts():
    for scene in scenes():
        for number, member in enumerate(facts_of(scene).cast):
            yield from (
                (scene, stay, fact)
                for stay, fact in zip(
                    scene.stays_of(number), member.appearances, strict=True
                )
            )


def test_an_object_is_in_view_exactly_while_it_is_said_to_be():
    for scene, stay, fact in stays_with_facts():
        times = np.arange(stay.start, stay.end, 0.1)
        places = scene.camera.project(stay.at(times), times)
        inside = ((places >= 0) & (places < 1)).all(-1)
        near = np.minimum(abs(times - fact.start), abs(times - fact.end)) < 0.05
        said = (times >= fact.start) & (times < fact.end)
        assert (inside == said)[~near].all()
        assert fact.end - fact.start >= 1.9


def test_places_and_directions_are_those_of_all_moments_in_view():
    places, directions = set(), set()
    for scene, stay, fact in stays_with_facts():
        times = np.linspace(fact.start, fact.end, 40, endpoint=False)
        x, y = scene.centres(stay, times).T
        places.add(fact.place)
        directions.add(fact.direction)
        if fact.direction:
            way = stay.at(times)[:, 0] * (1 if fact.direction == "right" else -1)
            assert way[-1] - way[0] > 0.3
            assert (np.diff(way) > -1e-6).all()
        if fact.place:
            row, side = fact.place.split()
            assert ((y < 0.5) == (row == "top")).all()
            assert ((x < 0.5) == (side == "left")).all()
    assert directions == {"left", "right", ""}
    assert len(places) == 5


def test_objects_are_found_where_and_when_the_script_says():
    """Somewhere about its centre the picture has the object's own colour."""
    num_seen = 0
    for scene in scenes()[:10]:
        painter = Painter(scene, 224)
        rows, columns = painter.bars
        gains = np.asarray(scene.style.cast)
        for stay in scene.stays:
            seconds = (stay.start + stay.end) / 2
            if any(d.start - 1 < seconds < d.end + 1 for d in scene.anomalies):
                continue
            shown = [s for s in painter.shown(seconds) if s.thing.side]
            x, y = scene.centres(stay, np.array([seconds]))[0]
            look = scene.look_of(stay.thing, seconds)
            (mine,) = [s for s in shown if s.thing == look]
            if mine.lit or not (0.1 < x < 0.9 and 0.1 < y < 0.9):
                continue
            picture = painter.draw(seconds).astype(int)
            half = mine.pixels // 2
            top, left = rows + round(mine.y), columns + round(mine.x)
            part = picture[
                max(0, top - half) : top + half, max(0, left - half) : left + half
            ]
            apart = abs(part - np.clip(gains * look.rgb, 0, 255)).max(-1)
            assert (apart < 30).mean() > 0.1, (scene.seed, seconds)
            num_seen += 1
    assert num_seen > 40


def test_actions_and_changes_are_short_and_all_of_them_happen():
    deeds = [d for scene in scenes() for d in scene.deeds]
    changes = [c for scene in scenes() for c in scene.changes]
    assert {d.name for d in deeds} == set(ACTIONS)
    assert {c.what for c in changes} == set(CHANGES)
    assert all(0.29 < e.end - e.start < 2 for e in [*deeds, *changes])
    assert all((d.other >= 0) == (d.name == "throw a ball") for d in deeds)


def happenings(name):
    """List up to four events of a name, each with its scene."""
    found = [
        (scene, event)
        for scene in scenes()
        for event in [*scene.deeds, *scene.changes]
        if name in (getattr(event, "name", ""), getattr(event, "what", ""))
    ]
    assert found
    return found[:4]


def shown_at(scene, event, seconds):
    """Find how the object of an event is drawn at a time."""
    looks = [scene.cast[event.thing]]
    looks += [c.after for c in scene.changes if c.thing == event.thing]
    names = {(look.shape, look.letter) for look in looks}
    drawn = Painter(scene).shown(seconds)
    return next(s for s in drawn if (s.thing.shape, s.thing.letter) in names)


@pytest.mark.parametrize("name", ["flash", "spin", "hop"])
def test_an_object_that_acts_is_drawn_otherwise_for_a_moment(name):
    for scene, event in happenings(name):
        before = shown_at(scene, event, event.start - 0.05)
        after = shown_at(scene, event, event.end + 0.05)
        times = np.linspace(event.start, event.end - 0.01, 9)
        during = [shown_at(scene, event, t) for t in times]
        assert not any((s.lit, s.degrees) != (False, 0) for s in (before, after))
        if name == "flash":
            assert {s.lit for s in during} == {True, False}
        elif name == "spin":
            assert len({s.degrees for s in during}) > 4
        else:
            height = Painter(scene).height
            assert before.y - min(s.y for s in during) > 0.03 * height


def test_a_ball_flies_only_while_it_is_thrown():
    for scene, event in happenings("throw a ball"):
        nobody_throws = replace(scene, deeds=())
        for seconds in (event.start - 0.1, (event.start + event.end) / 2):
            picture, other = (
                Painter(s).draw(seconds).astype(int) for s in (scene, nobody_throws)
            )
            is_other = (abs(picture - other).max(-1) > 60).any()
            assert is_other == (event.start <= seconds < event.end)


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_stays_so(name):
    for scene, event in happenings(name):
        was = shown_at(scene, event, event.start - 0.05).thing
        is_now = shown_at(scene, event, event.end + 0.05).thing
        field = name.removeprefix("its ")
        assert getattr(was, field) != getattr(is_now, field)
        assert is_now == event.after


def test_the_objects_seen_come_in_the_order_in_which_they_do():
    facts = facts_of(scenes()[3])
    starts = [member.appearances[0].start for member in facts.seen]
    assert starts == sorted(starts)
    assert facts.video == "validation/3"


def test_training_never_shows_what_is_kept_out_of_it():
    for scene in scenes("train"):
        looks = [*scene.cast, *(change.after for change in scene.changes)]
        assert not any(is_held_out(t.shape, t.colour, t.letter) for t in looks)
        assert {t.font for t in looks} <= set(FONTS["training"])
        assert not scene.style.unseen_walls
        assert scene.camera.kind != "handheld"
        assert all(len(stay.points) in (2, 4, 9) for stay in scene.stays)
    walls = {
        split: {s.style.walls for s in scenes(split)} for split in ("train", "test")
    }
    assert walls["train"].isdisjoint(walls["test"])


@pytest.mark.parametrize("variation", VARIATIONS)
def test_a_variation_is_shown_where_it_is_asked_for(variation):
    scene = make_wide_scene(3, 90.0, "validation", (variation,))
    assert scene.unseen == (variation,)
    assert {
        "fonts": {t.font for t in scene.cast} <= set(FONTS["unseen"]),
        "walls": scene.style.unseen_walls,
        "paths": all(len(stay.points) in (5, 6) for stay in scene.stays),
        "cameras": scene.camera.kind == "handheld",
    }[variation]
    with pytest.raises(ValueError, match="train never shows"):
        make_wide_scene(3, 90.0, "train", (variation,))


def test_the_same_seed_draws_the_same_pictures_and_others_differ():
    assert make_wide_scene(5, 60.0) == make_wide_scene(5, 60.0)
    scene = make_wide_scene(5, 60.0)
    first, again = (Painter(scene).draw(12.3) for _ in range(2))
    assert (first == again).all()
    assert make_wide_scene(6, 60.0).cast != scene.cast


def test_many_shapes_of_picture_and_bars_around_some():
    drawn = [(scene, Painter(scene).draw(1.0)) for scene in scenes()]
    shapes = {picture.shape[:2] for _, picture in drawn}
    assert len(shapes) > 6
    barred = [(s, p) for s, p in drawn if s.style.bars]
    assert barred
    for scene, picture in barred:
        edge = picture[0] if scene.style.bars > 0 else picture[:, 0]
        assert edge.max() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 4.0), "at least 5 seconds"),
        ((-1, 10.0), "seed must be 0 or more"),
        ((0, 10.0, "tset"), "split must be one of"),
        ((0, 10.0, "test", ("frames",)), "unseen must be among"),
    ],
)
def test_what_is_no_scene_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_wide_scene(*arguments)


@pytest.mark.parametrize("size", [100, 225])
def test_a_size_that_is_odd_or_too_small_is_refused(size):
    with pytest.raises(ValueError, match="size must be even"):
        Painter(scenes()[0], size)
