"""How objects come and go: their paths, and when two may be in view together."""

from __future__ import annotations

import numpy as np

from dynfocus.world.wide.casting import Casting
from dynfocus.world.wide.scene import Stay

MIN_STAY_SECONDS = 4.0
MAX_STAY_SECONDS = 12.0
MIN_VIEW_SECONDS = 2.0
REST_SECONDS = 3.0
"""Least pause between two stays of an object."""
MAX_STAYS_PER_OBJECT = 6
MAX_IN_VIEW = 3
MAX_HIDDEN = 0.25
"""Share of a stay during which another object may cover some of it."""


class Movement(Casting):
    """Places the stays of the cast."""

    def draw_stays(self, num: int) -> None:
        """Place stays, each object once before any twice, some of them in company."""
        weights = self.rng.dirichlet(np.full(len(self.cast), 0.7)) + 0.02
        order = self.rng.permutation(len(self.cast))
        for number in range(num):
            favourite = int(self.rng.choice(len(self.cast), p=weights / weights.sum()))
            thing = int(order[number]) if number < len(order) else favourite
            near = (
                self.pick(tuple(self.stays))
                if self.stays and self.happens(0.4)
                else None
            )
            for _ in range(30):
                stay = self.draw_stay(thing, near)
                if self.fits(stay):
                    self.stays.append(stay)
                    break
                near = None if self.happens(0.3) else near

    def draw_stay(self, thing: int, near: Stay | None) -> Stay:
        """Draw a stay of an object, in the company of another if given."""
        length = min(
            self.uniform(MIN_STAY_SECONDS, MAX_STAY_SECONDS), 0.8 * self.duration
        )
        start = self.uniform(0.0, self.duration - length)
        if near is not None:
            start = float(
                np.clip(near.start + self.uniform(-1, 2), 0, self.duration - length)
            )
        kind = self.pick(("straight", "straight", "curve", "stop", "stop", "fade"))
        if "paths" in self.unseen:
            kind = self.pick(("zigzag", "bounce"))
        margin = self.cast[thing].side * 0.75
        points, shares = self.draw_path(
            kind, margin * min(1.0, 1 / self.aspect), margin * min(1.0, self.aspect)
        )
        knots = tuple(start + length * share for share in shares)
        return Stay(thing=thing, points=points, knots=knots, fades=kind == "fade")

    def draw_path(
        self, kind: str, mx: float, my: float
    ) -> tuple[tuple[tuple[float, float], ...], tuple[float, ...]]:
        """Return the points of a path, and when it passes them as shares of its length."""
        inside = self.inside(mx, my)
        if kind == "fade":
            other = self.inside(mx, my) if self.happens(0.3) else inside
            return (inside, inside, other, other), (0.0, 0.25, 0.75, 1.0)
        enter, leave = self.edge_points(mx, my, sideways=self.happens(0.75))
        if kind == "straight":
            return (enter, leave), (0.0, 1.0)
        if kind == "stop":
            if self.happens(0.5):  # goes back the way it came
                leave = enter
                inside = self.inside(mx, my, towards=enter)
            return (enter, inside, inside, leave), (0.0, 0.25, 0.75, 1.0)
        if kind == "bounce":
            high, low = 0.2 + my / 2, 0.8 - my / 2
            ys = [high if i % 2 else low for i in range(6)]
            xs = np.linspace(enter[0], leave[0], 6).tolist()
            return tuple(zip(xs, ys, strict=True)), tuple(np.linspace(0, 1, 6).tolist())
        if kind == "zigzag":
            turns = [enter, *(self.inside(mx, my) for _ in range(3)), leave]
            return tuple(turns), (0.0, 0.3, 0.5, 0.7, 1.0)
        shares = np.linspace(0, 1, 9)
        start, bend, end = np.array(enter), np.array(inside), np.array(leave)
        bend = bend + 0.5 * (bend - (start + end) / 2)
        curve = (
            np.outer((1 - shares) ** 2, start)
            + np.outer(2 * shares * (1 - shares), bend)
            + np.outer(shares**2, end)
        )
        points = tuple((float(x), float(y)) for x, y in curve)
        return points, tuple(shares.tolist())

    def inside(
        self, mx: float, my: float, towards: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """Draw a place that shows all of an object, in the half of an edge if given."""
        low, high = [0.7 * mx, 0.7 * my], [1 - 0.7 * mx, 1 - 0.7 * my]
        for axis, value in enumerate(towards or ()):
            if value < 0:
                high[axis] = 0.4
            elif value > 1:
                low[axis] = 0.6
            elif abs(value - 0.5) > 0.1:  # stays in its quarter
                low[axis], high[axis] = value, value
        return self.uniform(low[0], high[0]), self.uniform(low[1], high[1])

    def edge_points(
        self, mx: float, my: float, *, sideways: bool
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Draw where an object comes in and where, on the other side, it leaves."""
        first, second = (-mx, 1 + mx) if sideways else (-my, 1 + my)
        if self.happens(0.5):
            first, second = second, first
        margin = 0.6 * (my if sideways else mx)
        along = self.uniform(margin, 1 - margin)
        other = float(np.clip(along + self.rng.normal(0, 0.15), margin, 1 - margin))
        if sideways:
            return (first, along), (second, other)
        return (along, first), (other, second)

    def fits(self, stay: Stay) -> bool:
        """Tell whether a stay leaves its object alone and others in sight."""
        mine = [s for s in self.stays if s.thing == stay.thing]
        if len(mine) >= MAX_STAYS_PER_OBJECT:
            return False
        for other in mine:
            if (
                stay.start < other.end + REST_SECONDS
                and other.start < stay.end + REST_SECONDS
            ):
                return False
        spans = self.camera.spans(stay, self.duration)
        if len(spans) != 1 or spans[0][1] - spans[0][0] < MIN_VIEW_SECONDS:
            return False
        company = [s for s in self.stays if s.start < stay.end and stay.start < s.end]
        if len(company) >= MAX_IN_VIEW:
            return False
        return all(self.hidden(stay, s) <= MAX_HIDDEN for s in company)

    def hidden(self, one: Stay, other: Stay) -> float:
        """Return for which share of the shorter of two stays one covers the other."""
        times = np.arange(max(one.start, other.start), min(one.end, other.end), 0.1)
        scale = np.array([max(1.0, self.aspect), max(1.0, 1 / self.aspect)])
        apart = np.abs(one.at(times) - other.at(times)) * scale
        reach = 0.5 * (self.cast[one.thing].side + self.cast[other.thing].side)
        covered = (apart < reach).all(-1).sum() * 0.1
        return float(covered) / min(one.end - one.start, other.end - other.start)
