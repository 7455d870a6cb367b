"""Scripts of FocusWorld: reproducible, disjoint, without collisions, of any length."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from dynfocus.world import Scene, make_scene
from dynfocus.world.scene import (
    LANES,
    MAX_VISITS_PER_OBJECT,
    REST_SECONDS,
    SPLITS,
    scene_generator,
)
from dynfocus.world.vocabulary import (
    BASE_PIXELS,
    COLOURS,
    LETTERS,
    SHAPES,
    is_held_out,
)

LENGTHS = (5.0, 7.3, 30.0, 60.0, 180.0, 600.0)


def scenes(split: str, num_seeds: int = 25) -> list[Scene]:
    return [
        make_scene(seed, LENGTHS[seed % len(LENGTHS)], split)
        for seed in range(num_seeds)
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_seed_gives_the_same_scene(split):
    assert make_scene(7, 90.0, split) == make_scene(7, 90.0, split)
    assert make_scene(7, 90.0, split) != replace(make_scene(8, 90.0, split), seed=7)


def test_splits_draw_from_disjoint_streams():
    draws = {
        tuple(scene_generator(seed, split).integers(0, 2**62, 2).tolist())
        for split in SPLITS
        for seed in range(50)
    }
    assert len(draws) == 3 * 50
    drawn = [replace(make_scene(3, 60.0, s), split="test") for s in SPLITS]
    assert all(one != other for one, other in combinations(drawn, 2))


def test_held_out_combinations_occur_in_test_only():
    for split in ("train", "validation"):
        cast = [thing for scene in scenes(split, 150) for thing in scene.cast]
        assert len(cast) > 500
        assert not any(is_held_out(t.shape, t.colour, t.letter) for t in cast)
    cast = [thing for scene in scenes("test", 150) for thing in scene.cast]
    held_out = [t for t in cast if is_held_out(t.shape, t.colour, t.letter)]
    assert 0.05 < len(held_out) / len(cast) < 0.25
    assert all(thing.held_out == (thing in held_out) for thing in cast)


def test_one_triple_in_eight_is_held_out_and_no_pair_is():
    triples = [(s, c, x) for s in SHAPES for c in COLOURS for x in LETTERS]
    shown = [triple for triple in triples if not is_held_out(*triple)]
    assert 1 - len(shown) / len(triples) == pytest.approx(1 / 8, abs=0.01)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pairs = {(triple[one], triple[other]) for triple in triples}
        assert {(triple[one], triple[other]) for triple in shown} == pairs


@pytest.mark.parametrize("split", SPLITS)
def test_visits_never_collide(split):
    for scene in scenes(split):
        for one, other in combinations(scene.visits, 2):
            if one.lane == other.lane or one.object_index == other.object_index:
                rest = max(one.start, other.start) - min(one.end, other.end)
                assert rest >= REST_SECONDS
        for index in range(len(scene.cast)):
            assert len(scene.visits_of(index)) <= MAX_VISITS_PER_OBJECT


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_whole(split):
    for scene in scenes(split):
        assert scene.visits
        starts = [visit.start for visit in scene.visits]
        assert starts == sorted(starts)
        for visit in scene.visits:
            assert 0 <= visit.start < visit.end <= scene.duration
            assert 0 <= visit.lane < len(LANES)
            assert 0 <= visit.object_index < len(scene.cast)
        names = [thing.name for thing in scene.cast]
        letters = [thing.letter for thing in scene.cast]
        assert len(set(names)) == len(names)
        assert len(set(letters)) == len(letters)
        for anomaly in scene.anomalies:
            assert 0 <= anomaly.start < anomaly.end <= scene.duration


@pytest.mark.parametrize("split", SPLITS)
def test_rooms_follow_each_other_without_gap(split):
    for scene in scenes(split):
        ends = [0.0, *(room.end for room in scene.rooms)]
        assert [room.start for room in scene.rooms] == ends[:-1]
        assert ends[-1] == scene.duration
        names = [room.name for room in scene.rooms]
        assert all(a != b for a, b in zip(names, names[1:], strict=False))
        assert sum(scene.room_seconds().values()) == pytest.approx(scene.duration)


def test_the_centre_is_in_the_picture_exactly_during_a_visit():
    paths = set()
    for scene in scenes("train"):
        for visit in scene.visits:
            paths.add((visit.path, visit.from_left, visit.leaves_ahead))
            for number in range(1, 40):
                share = number / 40
                inside = visit.x_at(visit.start + share * (visit.end - visit.start))
                assert 0 < inside < BASE_PIXELS
            for outside in (visit.start - 0.1, visit.end + 0.1):
                assert not 0 <= visit.x_at(outside) <= BASE_PIXELS
    assert len(paths) == 6


@pytest.mark.parametrize("duration", [5.0, 5.01, 61.7, 3600.0, 5000.5])
def test_any_length_from_five_seconds_to_over_an_hour(duration):
    for seed in range(4):
        scene = make_scene(seed, duration)
        assert scene.duration == duration
        assert scene.visits
    # most of a long video is redundant
    long = make_scene(0, 4000.0)
    assert sum(v.end - v.start for v in long.visits) < 0.5 * long.duration


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4.9), r"duration must be at least 5 seconds, got 4\.9"),
        ((0, float("nan")), "duration must be at least 5 seconds, got nan"),
        ((0, float("inf")), "duration must be at least 5 seconds, got inf"),
        ((-1, 60.0), "seed must be 0 or more, got -1"),
        ((0, 60.0, "dev"), "split must be one of train, validation, test, got 'dev'"),
    ],
)
def test_impossible_scenes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_scene(*arguments)
