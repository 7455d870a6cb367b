"""What objects do and how they change, each at most once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dynfocus.world.vocabulary import COLOURS, LETTERS
from dynfocus.world.wide.casting import SIDES
from dynfocus.world.wide.movement import Movement
from dynfocus.world.wide.scene import (
    ACTIONS,
    CHANGES,
    Change,
    Deed,
    Shift,
    Stay,
    Thing,
    WideScene,
)


class Happenings(Movement):
    """Adds actions and changes to a scene."""

    def add_events(self, scene: WideScene) -> WideScene:
        """Let some objects act and others change, each at most once."""
        views = {stay: view for stay in scene.stays if (view := scene.in_view(stay))}
        deeds: list[Deed] = []
        changes: list[Change] = []
        busy: set[int] = set()
        for thing in self.rng.permutation(len(scene.cast)).tolist():
            stays = [stay for stay in scene.stays_of(thing) if stay in views]
            if thing in busy or not stays:
                continue
            if self.happens(0.55):
                wanted = self.pick(ACTIONS)
                deed = self.draw_deed(scene, views, wanted, stays)
                if deed is not None:
                    deeds.append(deed)
                    busy |= {thing, deed.other}
            elif self.happens(0.6):
                found = self.draw_changes(
                    scene, views, self.pick(CHANGES), stays[-1], busy
                )
                changes += found
                busy |= {change.thing for change in found}
        return replace(
            scene,
            deeds=tuple(sorted(deeds, key=lambda d: d.start)),
            changes=tuple(sorted(changes, key=lambda c: (c.start, c.thing))),
        )

    def draw_deed(
        self,
        scene: WideScene,
        views: dict[Stay, tuple[float, float]],
        name: str,
        stays: list[Stay],
    ) -> Deed | None:
        """Draw an action in one of some stays; without company nobody throws a ball."""
        if name == "throw a ball":
            for stay in stays:
                for other in self.company(stay, views):
                    shared = _both(views[stay], views[other])
                    if found := self.moment(scene, (stay, other), shared, (0.7, 1.4)):
                        return Deed(
                            thing=stay.thing,
                            name=name,
                            start=found[0],
                            end=found[1],
                            other=other.thing,
                        )
            name = self.pick(ACTIONS[:3])
        stay = self.pick(tuple(stays))
        found = self.moment(scene, (stay,), views[stay], (0.6, 1.6))
        if found is None:
            return None
        return Deed(thing=stay.thing, name=name, start=found[0], end=found[1])

    def company(self, stay: Stay, views: dict[Stay, tuple[float, float]]) -> list[Stay]:
        """Return other stays that share two seconds with a stay."""
        found = []
        for other, view in views.items():
            start, end = _both(views[stay], view)
            if other.thing != stay.thing and end - start >= 2:
                found.append(other)
        return found

    def moment(
        self,
        scene: WideScene,
        stays: tuple[Stay, ...],
        view: tuple[float, float],
        seconds: tuple[float, float],
    ) -> tuple[float, float] | None:
        """Draw a moment at which all of some objects is well in sight."""
        for _ in range(12):
            length = self.uniform(*seconds)
            if view[1] - view[0] < length + 0.8:
                return None
            start = round(self.uniform(view[0] + 0.4, view[1] - 0.4 - length), 2)
            times = np.array([start, start + length / 2, start + length])
            places = [scene.centres(stay, times) for stay in stays]
            if all(((p > 0.12) & (p < 0.88)).all() for p in places) and not any(
                self.hidden(_cut(stay, times), _cut(other, times)) > 0
                for stay in stays
                for other in scene.stays
                if other.thing != stay.thing
                and other.start < times[-1]
                and other.end > times[0]
            ):
                return start, round(start + length, 2)
        return None

    def draw_changes(
        self,
        scene: WideScene,
        views: dict[Stay, tuple[float, float]],
        what: Shift,
        stay: Stay,
        busy: set[int],
    ) -> list[Change]:
        """Change an object in its last stay; two that swap badges change both."""
        before = scene.cast[stay.thing]
        if what == "its letter":
            for other in self.company(stay, views):
                last = scene.stays_of(other.thing)[-1] == other
                if other.thing in busy or not last or not self.happens(0.7):
                    continue
                theirs = scene.cast[other.thing]
                shared = _both(views[stay], views[other])
                found = self.moment(scene, (stay, other), shared, (0.3, 0.8))
                if found and self.may_swap(before, theirs):
                    pairs = (stay, before, theirs), (other, theirs, before)
                    return [
                        Change(
                            thing=s.thing,
                            what=what,
                            start=found[0],
                            end=found[1],
                            after=replace(one, letter=two.letter),
                        )
                        for s, one, two in pairs
                    ]
        found = self.moment(scene, (stay,), views[stay], (0.3, 0.8))
        after = self.changed(before, what)
        if found is None or after == before:
            return []
        return [
            Change(
                thing=stay.thing, what=what, start=found[0], end=found[1], after=after
            )
        ]

    def may_swap(self, one: Thing, other: Thing) -> bool:
        """Tell whether two may have each other's letter."""
        return self.may_show(one.shape, one.colour, other.letter) and self.may_show(
            other.shape, other.colour, one.letter
        )

    def changed(self, before: Thing, what: Shift) -> Thing:
        """Draw what an object becomes, unlike all of the cast."""
        if what == "its size":
            size = "small" if before.size == "large" else "large"
            return replace(before, size=size, side=self.uniform(*SIDES[size]))
        if what == "its letter":
            used = {thing.letter for thing in self.cast}
            free = [
                x
                for x in LETTERS
                if x not in used and self.may_show(before.shape, before.colour, x)
            ]
            return replace(before, letter=self.pick(tuple(free)))
        taken = {thing.name for thing in self.cast}
        colours = [
            c
            for c in COLOURS
            if f"{c} {before.shape}" not in taken
            and self.may_show(before.shape, c, before.letter)
        ]
        colour = self.pick(tuple(colours)) if colours else before.colour
        return replace(before, colour=colour, rgb=self.shade(colour))


def _both(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), min(one[1], other[1])


def _cut(stay: Stay, times: np.ndarray) -> Stay:
    """Return the part of a stay at some times."""
    points = tuple((float(x), float(y)) for x, y in stay.at(times))
    return replace(stay, points=points, knots=tuple(times.tolist()))
