"""Facts hold at every moment of the scene that they are of."""

from __future__ import annotations

import numpy as np

from dynfocus.world import make_scene
from dynfocus.world.scene import LANES
from dynfocus.world.vocabulary import BASE_PIXELS
from dynfocus.world.wide import facts_of


def test_places_and_directions_are_those_of_all_moments_in_view():
    places, directions = set(), set()
    for seed in range(20):
        scene = make_scene(seed, 120.0)
        for number, member in enumerate(facts_of(scene).cast):
            visits = scene.visits_of(number)
            assert len(visits) == len(member.appearances)
            for visit, stay in zip(visits, member.appearances, strict=True):
                times = np.linspace(visit.start, visit.end, 40).tolist()
                path = np.array([visit.x_at(t) for t in times])
                assert (stay.start, stay.end) == (visit.start, visit.end)
                places.add(stay.place)
                directions.add(stay.direction)
                if stay.direction:
                    steps = np.diff(path) * (1 if stay.direction == "right" else -1)
                    assert (steps > 0).all()
                if stay.place:
                    row, side = stay.place.split()
                    assert (row == "top") == (LANES[visit.lane] < BASE_PIXELS / 2)
                    assert ((path < BASE_PIXELS / 2) == (side == "left")).all()
    assert directions == {"left", "right", ""}
    assert len(places) == 5


def test_the_objects_seen_come_in_the_order_in_which_they_do():
    facts = facts_of(make_scene(3, 200.0, "validation"))
    starts = [member.appearances[0].start for member in facts.seen]
    assert starts == sorted(starts)
    assert all(member.appearances for member in facts.seen)
    assert facts.video == "validation/3"
