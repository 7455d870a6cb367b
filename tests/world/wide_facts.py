"""Facts of scenes without pictures: those of the narrow world, and things that happen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from dynfocus.world import make_scene
from dynfocus.world.wide import Moment, facts_of
from dynfocus.world.wide.questions import ACTIONS, CHANGES


@cache
def make_facts(seed, seconds=150.0, split="test"):
    """Let every second object act, every third change, and some meet."""
    facts = facts_of(make_scene(seed, seconds, split))
    rng = np.random.default_rng([43, *facts.key])

    def moment(names, member, share):
        name = names[int(rng.integers(len(names)))]
        if not member.appearances or rng.random() >= share:
            return ()
        first = member.appearances[0]
        start = float(rng.uniform(first.start, first.end - 1.5))
        return (Moment(name=name, start=start, end=start + 1.0),)

    cast = tuple(
        replace(
            member,
            actions=moment(ACTIONS, member, 1 / 2),
            changes=moment(CHANGES, member, 1 / 3),
        )
        for member in facts.cast
    )
    meetings = tuple(
        (place, place + 1, cast[place].evidence[0])
        for place in range(0, len(cast) - 1, 2)
        if cast[place].evidence and cast[place + 1].evidence
    )
    return replace(facts, cast=cast, meetings=meetings)
