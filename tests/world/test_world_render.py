"""The truth of a scene against the pixels that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from dynfocus.world import Scene, make_questions, make_scene, render
from dynfocus.world.render import background, placed_objects, sprite
from dynfocus.world.scene import LANES, SPLITS, WorldObject
from dynfocus.world.vocabulary import (
    BADGE_PIXELS,
    BASE_PIXELS,
    COLOUR_RGB,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
)

CASES = [(split, seed) for split in SPLITS for seed in range(4)]


def count_colour(picture: np.ndarray, colour: str) -> int:
    distance = np.abs(picture.astype(int) - COLOUR_RGB[colour]).max(-1)
    return int((distance <= 3).sum())


def is_strange(scene: Scene, seconds: float) -> bool:
    return any(a.start <= seconds < a.end for a in scene.anomalies)


@pytest.mark.parametrize(("split", "seed"), CASES)
def test_evidence_shows_the_colour_at_its_place(split, seed):
    scene = make_scene(seed, 90.0, split)
    for index, thing in enumerate(scene.cast):
        for visit in scene.visits_of(index):
            middle = (visit.start + visit.end) / 2
            if is_strange(scene, middle):
                continue
            (picture,) = render(scene, [middle])
            x, y = round(visit.x_at(middle)), round(LANES[visit.lane])
            half = thing.pixels // 2 + 1
            box = picture[y - half : y + half, max(0, x - half) : x + half]
            assert count_colour(box, thing.colour) >= 20
            badge = picture[y - 9 : y + 11, max(0, x - 9) : x + 9]
            assert badge.max() >= 245
            assert badge.min() <= 60


@pytest.mark.parametrize(("split", "seed"), CASES)
def test_outside_its_evidence_the_colour_is_not_there(split, seed):
    scene = make_scene(seed, 90.0, split)
    needles = [q for q in make_questions(scene) if q.kind == "needle"]
    num_looked = 0
    for seconds in np.arange(0.5, 90.0, 3.0).tolist():
        if is_strange(scene, seconds):
            continue
        (picture,) = render(scene, [seconds])
        near = {
            question.question.split()[-2]
            for question in needles
            for start, end in question.evidence
            if start - 1 <= seconds <= end + 1
        }
        for colour in set(COLOURS) - near:
            assert count_colour(picture, colour) == 0
            num_looked += 1
    assert num_looked > 50


def test_the_room_is_the_one_that_is_told():
    scene = make_scene(1, 300.0)
    assert len(scene.rooms) > 1
    for room in scene.rooms:
        empty = [
            t
            for t in np.arange(room.start + 0.01, room.end, 0.5).tolist()
            if not placed_objects(scene, t) and not is_strange(scene, t)
        ]
        wall = background(room.name, BASE_PIXELS, scene.seed)
        for picture in render(scene, empty[:3]):
            np.testing.assert_array_equal(picture, wall)


def test_anomalies_change_every_picture_they_last_and_no_other():
    found = set()
    for seed in range(16):
        scene = make_scene(seed, 40.0)
        for stretch in scene.anomalies:
            found.add(stretch.name)
            calm = Scene(**{**vars(scene), "anomalies": ()})
            inside = (stretch.start + stretch.end) / 2
            times = [stretch.start - 0.01, stretch.start, inside, stretch.end]
            strange = list(render(scene, times))
            usual = list(render(calm, times))
            same = [np.array_equal(a, b) for a, b in zip(strange, usual, strict=True)]
            assert same == [True, False, False, True]
    assert len(found) == 3


def test_pictures_depend_on_the_time_alone():
    scene = make_scene(2, 60.0)
    forward = list(render(scene, [3.0, 20.0, 41.5]))
    backward = list(render(scene, [41.5, 20.0, 3.0]))
    for one, other in zip(forward, backward[::-1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert forward[0].shape == (BASE_PIXELS, BASE_PIXELS, 3)
    assert forward[0].dtype == np.uint8


def test_a_larger_picture_shows_the_same():
    scene = make_scene(2, 60.0)
    times = [v.start + 2.0 for v in scene.visits[:3]]
    for small, large in zip(
        render(scene, times), render(scene, times, 224), strict=True
    ):
        shrunk = large.reshape(112, 2, 112, 2, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 6


def test_sprites_tell_shapes_colours_sizes_and_letters_apart():
    def draw(shape: str, colour: str, size: str, letter: str) -> bytes:
        thing = WorldObject(shape=shape, colour=colour, size=size, letter=letter)
        return sprite(thing, 1).tobytes()

    first = draw("circle", "red", "small", "A")
    assert len({draw(s, "red", "small", "A") for s in SHAPES}) == len(SHAPES)
    assert len({draw("circle", c, "small", "A") for c in COLOURS}) == len(COLOURS)
    assert len({draw("circle", "red", s, "A") for s in SIZES}) == len(SIZES)
    assert len({draw("circle", "red", "small", x) for x in LETTERS}) == len(LETTERS)
    assert first == draw("circle", "red", "small", "A")


def test_the_badge_is_white_with_dark_strokes():
    for shape in SHAPES:
        thing = WorldObject(shape=shape, colour="blue", size="large", letter="E")
        image = sprite(thing, 1)
        centre = image.shape[0] // 2
        half = BADGE_PIXELS // 2 - 3
        inner = image[centre - half : centre + half, centre - half : centre + half]
        white = (inner[..., :3].min(-1) >= 240).mean()
        black = (inner[..., :3].max(-1) <= 40).mean()
        assert white > 0.2
        assert black > 0.1


def test_walls_of_a_room_differ_by_seed_and_rooms_differ():
    walls = [background(room, BASE_PIXELS, 0) for room in ROOMS]
    assert len({wall.tobytes() for wall in walls}) == len(ROOMS)
    again = background(ROOMS[0], BASE_PIXELS, 0)
    np.testing.assert_array_equal(walls[0], again)
    assert not np.array_equal(again, background(ROOMS[0], BASE_PIXELS, 1))


@pytest.mark.parametrize("size", [0, 100, 56, -112])
def test_sizes_that_are_no_multiple_are_refused(size):
    with pytest.raises(ValueError, match=f"multiple of 112, got {size}: try 112"):
        next(render(make_scene(0, 10.0), [0.0], size))
