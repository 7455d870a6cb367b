"""Scenes of the widened world: what is in the picture at any time, and how it looks.

Places are shares of the picture, x from the left and y from the top; sizes are in short
sides of the picture. ``T`` is a number of times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dynfocus.world.scene import Split, Stretch
from dynfocus.world.vocabulary import is_held_out

Floats = NDArray[np.float64]
Variation = Literal["fonts", "walls", "paths", "cameras"]
VARIATIONS: tuple[Variation, ...] = ("fonts", "walls", "paths", "cameras")
"""What a test of generalisation shows that training never does, each by itself."""

ACTIONS = ("flash", "spin", "hop", "throw a ball")
"""What an object does in less than two seconds, by its verb."""
HOP = 0.11
"""Height of a hop, as a share of the picture."""
Shift = Literal["its letter", "its size", "its colour"]
CHANGES: tuple[Shift, ...] = ("its letter", "its size", "its colour")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An object and all that decides how it is drawn.

    ``side`` is its width in short sides of the picture, ``rgb`` its shade of the colour.
    """

    shape: str
    colour: str
    size: str
    letter: str
    side: float
    rgb: tuple[int, int, int]
    font: str
    badge: str

    @property
    def name(self) -> str:
        """The words that name it in a question, such as ``red square``."""
        return f"{self.colour} {self.shape}"

    @property
    def held_out(self) -> bool:
        """Whether training never shows this combination."""
        return is_held_out(self.shape, self.colour, self.letter)


@dataclass(frozen=True, kw_only=True)
class Stay:
    """One stay of an object: a polyline through ``points``, which it passes at ``knots``.

    Without ``fades`` it begins and ends outside the picture; else it grows out of nothing
    at its first point and shrinks at its last.
    """

    thing: int
    points: tuple[tuple[float, float], ...]
    knots: tuple[float, ...]
    fades: bool = False

    @property
    def start(self) -> float:
        """Seconds at which any of it may be drawn."""
        return self.knots[0]

    @property
    def end(self) -> float:
        """Seconds from which nothing is."""
        return self.knots[-1]

    def at(self, times: Floats) -> Floats:
        """Return its centre before the camera moves, ``[T, 2]``."""
        x, y = np.asarray(self.points).T
        return np.stack(
            [np.interp(times, self.knots, x), np.interp(times, self.knots, y)], -1
        )


@dataclass(frozen=True, kw_only=True)
class Deed:
    """An action of an object, ``[start, end)``; a ball flies to the thing ``other``."""

    thing: int
    name: str
    start: float
    end: float
    other: int = -1


@dataclass(frozen=True, kw_only=True)
class Change:
    """Within ``[start, end)`` an object becomes ``after``, and stays so."""

    thing: int
    what: Shift
    start: float
    end: float
    after: Thing


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How the picture moves.

    ``sway`` are the amplitudes of a slow drift, ``shake`` of a fast one, in shares of the
    picture; ``zoom`` is how much larger everything becomes at most.
    """

    kind: str = "still"
    sway: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0
    zoom: float = 0.0
    period: float = 30.0
    phase: float = 0.0

    def offsets(self, times: Floats) -> Floats:
        """Return how far the picture is moved, ``[T, 2]``."""
        turn = 2 * np.pi * times / self.period + self.phase
        slow = np.stack([np.sin(turn), np.cos(turn)], -1) * np.asarray(self.sway)
        quick = 2 * np.pi * times + self.phase
        fast = np.stack([np.sin(1.3 * quick), np.sin(1.9 * quick + 1)], -1)
        return slow + self.shake * fast

    def zooms(self, times: Floats) -> Floats:
        """Return how much larger everything is, ``[T]``, at least 1."""
        turn = 2 * np.pi * times / self.period + self.phase
        return 1 + self.zoom * (0.5 - 0.5 * np.cos(turn))

    def project(self, places: Floats, times: Floats) -> Floats:
        """Return where the camera shows places ``[T, 2]``, ``[T, 2]``."""
        return 0.5 + (places - 0.5) * self.zooms(times)[:, None] + self.offsets(times)

    def spans(self, stay: Stay, duration: float) -> list[tuple[float, float]]:
        """List when the centre of an object is in the picture, to 0.02 seconds."""
        times = np.arange(stay.start, stay.end, 0.02)
        places = self.project(stay.at(times), times)
        inside = ((places >= 0) & (places < 1)).all(-1)
        inside &= (times >= 0) & (times < duration)
        edges = np.flatnonzero(np.diff(np.r_[False, inside, False].astype(int)))
        return [
            (round(float(times[a]), 2), round(float(times[b - 1]) + 0.02, 2))
            for a, b in edges.reshape(-1, 2)
        ]


@dataclass(frozen=True, kw_only=True)
class Style:
    """How all of a video is filmed.

    Attributes:
        aspect: Width over height of what is filmed, without bars.
        bars: Share of the height, or if negative of the width, by which black bars make
            the picture larger, half on either side.
        light: Brightness of the left, right, top and bottom edge of the walls.
        cast: Gain of red, green and blue.
        blur: Standard deviation in hundredths of the short side.
        noise: Standard deviation of the grain, of 255.
        crf: Quality of the encoder.
        walls: Seeds the walls.
        unseen_walls: Whether walls are of kinds that training never shows.
    """

    aspect: float = 1.0
    bars: float = 0.0
    light: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 0.0
    crf: int = 20
    walls: int = 0
    unseen_walls: bool = False


@dataclass(frozen=True, kw_only=True)
class WideScene:
    """Everything that happens in one video of the widened world."""

    seed: int
    split: Split
    duration: float
    style: Style
    camera: Camera
    cast: tuple[Thing, ...]
    stays: tuple[Stay, ...]
    deeds: tuple[Deed, ...]
    changes: tuple[Change, ...]
    rooms: tuple[Stretch, ...]
    anomalies: tuple[Stretch, ...]
    unseen: tuple[Variation, ...] = ()

    def stays_of(self, thing: int) -> tuple[Stay, ...]:
        """Return the stays of one object in time order."""
        return tuple(s for s in self.stays if s.thing == thing)

    def look_of(self, thing: int, seconds: float) -> Thing:
        """Return how an object looks at a time, after what has changed."""
        look = self.cast[thing]
        for change in self.changes:
            if change.thing == thing and seconds >= change.start:
                done = (seconds - change.start) / (change.end - change.start)
                look = _halfway(look, change.after, min(1.0, done))
        return look

    def centres(self, stay: Stay, times: Floats) -> Floats:
        """Return where the centre of an object is in the picture, ``[T, 2]``."""
        places = self.camera.project(stay.at(times), times)
        for deed in self.deeds:
            if deed.thing == stay.thing and deed.name == "hop":
                share = (times - deed.start) / (deed.end - deed.start)
                inside = (share >= 0) & (share < 1)
                places[:, 1] -= HOP * np.sin(np.pi * share) * inside
        return places

    def in_view(self, stay: Stay) -> tuple[float, float] | None:
        """Return from when until when the centre is in the picture, None if never."""
        return next(iter(self.camera.spans(stay, self.duration)), None)


def _halfway(one: Thing, other: Thing, done: float) -> Thing:
    """Return a thing on its way to become another; a letter changes in the middle."""
    if done >= 1:
        return other
    red, green, blue = (
        round(a + (b - a) * done) for a, b in zip(one.rgb, other.rgb, strict=True)
    )
    side = one.side + (other.side - one.side) * round(done * 8) / 8
    return replace(one if done < 0.5 else other, rgb=(red, green, blue), side=side)
