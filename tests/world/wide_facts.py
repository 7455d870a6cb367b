"""Facts of scenes without pictures, from the scenes of the narrow world and more."""

from __future__ import annotations

from functools import cache

import numpy as np

from dynfocus.world import make_scene
from dynfocus.world.scene import SPLITS
from dynfocus.world.wide import Appearance, Member, Moment, SceneFacts
from dynfocus.world.wide.questions import ACTIONS, CHANGES, PLACES


@cache
def make_facts(seed, seconds=150.0, split="test"):
    """Let every second object act, change or rest somewhere, and some meet."""
    scene = make_scene(seed, seconds, split)
    rng = np.random.default_rng([43, SPLITS.index(split), seed])

    def moment(names, visit):
        start = float(rng.uniform(visit.start, visit.end - 1.5))
        name = names[int(rng.integers(len(names)))]
        return (Moment(name=name, start=start, end=start + 1.0),)

    cast = []
    for number, thing in enumerate(scene.cast):
        visits = scene.visits_of(number)
        stays = tuple(
            Appearance(
                start=visit.start,
                end=visit.end,
                direction="" if visit.path == "stay" else visit.path,
                place=PLACES[int(rng.integers(4))] if visit.path == "stay" else "",
            )
            for visit in visits
        )
        cast.append(
            Member(
                shape=thing.shape,
                colour=thing.colour,
                size=thing.size,
                letter=thing.letter,
                held_out=thing.held_out,
                appearances=stays,
                actions=moment(ACTIONS, visits[0])
                if visits and rng.random() < 0.5
                else (),
                changes=moment(CHANGES, visits[0])
                if visits and rng.random() < 0.3
                else (),
            )
        )
    meetings = []
    for place in range(0, len(cast) - 1, 2):
        stays = cast[place].appearances
        if stays and cast[place + 1].appearances:
            meetings.append((place, place + 1, (stays[0].start, stays[0].end)))

    def moments(stretches):
        return tuple(Moment(name=s.name, start=s.start, end=s.end) for s in stretches)

    return SceneFacts(
        video=f"{split}/{seed}",
        duration=scene.duration,
        cast=tuple(cast),
        rooms=moments(scene.rooms),
        anomalies=moments(scene.anomalies),
        meetings=tuple(meetings),
        key=(SPLITS.index(split), seed),
    )
