"""Scripts of the widened world: a scene from a seed.

Training never sees the fonts, walls, paths and camera moves that `VARIATIONS` name; a
test asks for them one by one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from dynfocus.world.scene import (
    SHORTEST_SECONDS,
    SPLITS,
    Split,
    Stretch,
    make_anomalies,
    make_rooms,
    scene_generator,
)
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOUR_RGB,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    is_held_out,
)
from dynfocus.world.wide.looks import BADGES, FONTS
from dynfocus.world.wide.scene import (
    ACTIONS,
    CHANGES,
    VARIATIONS,
    Camera,
    Change,
    Deed,
    Shift,
    Stay,
    Style,
    Thing,
    Variation,
    WideScene,
)

_T = TypeVar("_T")

ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)
SIDES = {"small": (0.25, 0.32), "large": (0.40, 0.50)}
"""Least and largest width of each size, in short sides of the picture."""
MIN_STAY_SECONDS = 4.0
MAX_STAY_SECONDS = 12.0
MIN_VIEW_SECONDS = 2.0
REST_SECONDS = 3.0
"""Least pause between two stays of an object."""
MAX_STAYS_PER_OBJECT = 6
MAX_IN_VIEW = 3
MAX_HIDDEN = 0.25
"""Share of a stay during which another object may cover some of it."""
MAX_CAST = 10
STILL_SECONDS = 3.0
"""When a scene of `make_still_scene` is looked at."""


def make_wide_scene(
    seed: int,
    duration: float,
    split: Split = "test",
    unseen: Collection[Variation] = (),
) -> WideScene:
    """Write the script of one video of the widened world.

    Args:
        seed: Number of the video within its split; the same seed gives the same scene.
        duration: Length in seconds, at least 5.
        split: ``train``, ``validation`` or ``test``: disjoint random streams, disjoint
            walls. Only ``test`` shows combinations that training never does.
        unseen: What else it shows that training never does.

    Raises:
        ValueError: The duration is below 5 seconds, the seed negative, a variation
            unknown, or training asked for what is kept out of it.
    """
    if not SHORTEST_SECONDS <= duration < float("inf"):
        raise ValueError(
            f"duration must be at least {SHORTEST_SECONDS:g} seconds, got {duration:g}"
        )
    if unknown := set(unseen) - set(VARIATIONS):
        raise ValueError(
            f"unseen must be among {', '.join(VARIATIONS)}, got {min(unknown)!r}"
        )
    if unseen and split == "train":
        raise ValueError(f"split train never shows unseen {', '.join(sorted(unseen))}")
    rng = scene_generator(seed, split)
    writer = _Writer(rng, float(duration), split, frozenset(unseen))
    scene = writer.write(seed)
    return _with_unseen_fonts(scene) if "fonts" in unseen else scene


def _with_unseen_fonts(scene: WideScene) -> WideScene:
    """Put other letters on the badges of a scene; all else stays."""
    unseen = FONTS["unseen"]
    fonts = {f: unseen[i % len(unseen)] for i, f in enumerate(FONTS["training"])}

    def changed(thing: Thing) -> Thing:
        return replace(thing, font=fonts[thing.font])

    return replace(
        scene,
        cast=tuple(changed(thing) for thing in scene.cast),
        changes=tuple(replace(c, after=changed(c.after)) for c in scene.changes),
    )


def make_still_scene(rng: np.random.Generator, split: Split = "train") -> WideScene:
    """Write a scene in which all that may be seen stands still, at `STILL_SECONDS`.

    Zero to four objects anywhere, also over an edge and partly hidden, some of them in
    the middle of an action: more to learn from than a video holds in a moment.
    """
    writer = _Writer(rng, 2 * STILL_SECONDS, split, frozenset())
    return writer.write_still()


@dataclass
class _Writer:
    rng: np.random.Generator
    duration: float
    split: Split
    unseen: frozenset[Variation]
    aspect: float = 1.0
    camera: Camera = Camera()
    cast: list[Thing] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)

    def write(self, seed: int) -> WideScene:
        style = self.draw_style(seed)
        self.aspect = style.aspect
        self.camera = self.draw_camera()
        num = max(2, round(self.uniform(0.8, 1.25) * 3.2 * (self.duration / 10) ** 0.5))
        self.draw_cast(num)
        self.draw_stays(num)
        scene = WideScene(
            seed=seed,
            split=self.split,
            duration=self.duration,
            style=style,
            camera=self.camera,
            cast=tuple(self.cast),
            stays=tuple(sorted(self.stays, key=lambda s: (s.start, s.thing))),
            deeds=(),
            changes=(),
            rooms=make_rooms(self.rng, self.duration),
            anomalies=make_anomalies(self.rng, self.duration),
            unseen=tuple(v for v in VARIATIONS if v in self.unseen),
        )
        return self.add_events(scene)

    def write_still(self) -> WideScene:
        style = self.draw_style(int(self.rng.integers(1 << 40)))
        self.aspect = style.aspect
        self.camera = self.draw_camera()
        for number in range(int(self.rng.choice(5, p=(0.08, 0.2, 0.3, 0.24, 0.18)))):
            if not number:
                self.draw_cast(4)
            if number >= len(self.cast):
                break
            for _ in range(10):
                place = self.uniform(-0.02, 1.02), self.uniform(-0.02, 1.02)
                knots = 0.0, 0.5, 1.5 * STILL_SECONDS, 2 * STILL_SECONDS
                stay = Stay(thing=number, points=(place,) * 4, knots=knots, fades=True)
                if all(self.hidden(stay, other) == 0 for other in self.stays) or (
                    self.happens(0.15)
                ):
                    self.stays.append(stay)
                    break
        deeds = tuple(
            Deed(
                thing=stay.thing,
                name=self.pick(("flash", "spin")),
                start=STILL_SECONDS - self.uniform(0.05, 0.9),
                end=STILL_SECONDS + 0.1,
            )
            for stay in self.stays
            if self.happens(0.12)
        )
        room = Stretch(name=self.pick(ROOMS), start=0.0, end=self.duration)
        strange = Stretch(name=self.pick(ANOMALIES), start=0.0, end=self.duration)
        return WideScene(
            seed=int(self.rng.integers(1 << 30)),
            split=self.split,
            duration=self.duration,
            style=style,
            camera=self.camera,
            cast=tuple(self.cast),
            stays=tuple(self.stays),
            deeds=deeds,
            changes=(),
            rooms=(room,),
            anomalies=(strange,) if self.happens(0.15) else (),
        )

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, words: tuple[_T, ...]) -> _T:
        return words[int(self.rng.integers(len(words)))]

    def draw_style(self, seed: int) -> Style:
        bars = self.uniform(0.08, 0.3) if self.happens(0.15) else 0.0
        light = (1.0, 1.0, 1.0, 1.0)
        if self.happens(0.5):
            light = tuple(self.uniform(0.65, 1.2) for _ in range(4))  # type: ignore
        cast = (1.0, 1.0, 1.0)
        if self.happens(0.4):
            cast = tuple(self.uniform(0.88, 1.1) for _ in range(3))  # type: ignore
        return Style(
            aspect=self.pick(ASPECTS),
            bars=bars if self.happens(0.5) else -bars,
            light=light,
            cast=cast,
            blur=self.uniform(0.1, 0.6) if self.happens(0.3) else 0.0,
            noise=self.uniform(1, 6) if self.happens(0.4) else 0.0,
            crf=int(self.rng.integers(18, 33)),
            walls=4 * seed + SPLITS.index(self.split),
            unseen_walls="walls" in self.unseen,
        )

    def draw_camera(self) -> Camera:
        kind = self.pick(("still", "still", "pan", "zoom", "shake"))
        if "cameras" in self.unseen:
            kind = "handheld"
        camera = Camera(
            kind=kind, period=self.uniform(15, 60), phase=self.uniform(0, 6)
        )
        if kind == "pan":
            return replace(camera, sway=(self.uniform(0.03, 0.08), 0.0))
        if kind == "zoom":
            return replace(camera, zoom=self.uniform(0.08, 0.25))
        if kind == "shake":
            return replace(camera, shake=self.uniform(0.003, 0.012))
        if kind == "handheld":
            sway = self.uniform(0.02, 0.06), self.uniform(0.02, 0.06)
            return replace(camera, sway=sway, shake=0.012, zoom=0.12)
        return camera

    def draw_cast(self, num_stays: int) -> None:
        most = max(2, min(MAX_CAST, num_stays))
        size = int(self.rng.integers(1, most + 1))
        kinds = self.rng.permutation(len(SHAPES) * len(COLOURS))[:size]
        letters = [LETTERS[i] for i in self.rng.permutation(len(LETTERS))]
        fonts = FONTS["training"]
        shared = self.pick(fonts), self.pick(BADGES)
        alike = self.happens(0.5)
        for kind in kinds:
            shape, colour = SHAPES[kind % len(SHAPES)], COLOURS[kind // len(SHAPES)]
            letter = next(x for x in letters if self.may_show(shape, colour, x))
            letters.remove(letter)
            font, badge = shared if alike else (self.pick(fonts), self.pick(BADGES))
            size_word = self.pick(tuple(SIDES))
            self.cast.append(
                Thing(
                    shape=shape,
                    colour=colour,
                    size=size_word,
                    letter=letter,
                    side=self.uniform(*SIDES[size_word]),
                    rgb=self.shade(colour),
                    font=font,
                    badge=badge,
                )
            )

    def may_show(self, shape: str, colour: str, letter: str) -> bool:
        return self.split == "test" or not is_held_out(shape, colour, letter)

    def shade(self, colour: str) -> tuple[int, int, int]:
        jitter = self.rng.normal(0, 7, 3)
        rgb = np.clip(np.array(COLOUR_RGB[colour]) + jitter, 0, 255).round()
        return int(rgb[0]), int(rgb[1]), int(rgb[2])

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
