"""Scripts: what happens in a FocusWorld video, second by second, from a seed.

A video is a chain of rooms in which objects come and go. An object is a shape of a
colour and a size that carries a letter. Between visits nothing happens: most of a long
video is redundant, which is what the method is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dynfocus.text import check_choice
from dynfocus.world.vocabulary import (
    ANOMALIES,
    BASE_PIXELS,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZE_PIXELS,
    SIZES,
    is_held_out,
)

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

LANES = (31.0, 81.0)
"""Heights at which objects move, in pixels of a ``BASE_PIXELS`` frame: they never overlap."""

MIN_VISIT_SECONDS = 5.0
MAX_VISIT_SECONDS = 11.0
REST_SECONDS = 3.0
"""Least pause of a lane, and of an object, between two visits."""

MAX_VISITS_PER_OBJECT = 6
SHORTEST_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class WorldObject:
    """One member of the cast."""

    shape: str
    colour: str
    size: str
    letter: str

    @property
    def name(self) -> str:
        """The words that name it in a question, such as ``red square``."""
        return f"{self.colour} {self.shape}"

    @property
    def pixels(self) -> int:
        """Width and height in a frame of ``BASE_PIXELS`` pixels."""
        return SIZE_PIXELS[self.size]

    @property
    def held_out(self) -> bool:
        """Whether training never shows this combination."""
        return is_held_out(self.shape, self.colour, self.letter)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One stay of an object in the picture, from ``start`` to ``end`` in seconds.

    The centre of the object is inside the picture exactly in the half-open interval
    ``[start, end)``. ``path`` is ``left`` or ``right`` for a visit that crosses the
    picture that way at constant speed, and ``stay`` for one that comes in, rests at
    ``stop`` and goes back the way it came (or on, if ``leaves_ahead``).
    """

    object_index: int
    start: float
    end: float
    lane: int
    path: Literal["left", "right", "stay"]
    from_left: bool
    leaves_ahead: bool
    stop: float

    def x_at(self, seconds: float) -> float:
        """Return the horizontal centre in pixels of a ``BASE_PIXELS`` frame."""
        width = float(BASE_PIXELS)
        if self.path != "stay":
            share = (seconds - self.start) / (self.end - self.start)
            return width * share if self.path == "right" else width * (1.0 - share)
        entry, other = (0.0, width) if self.from_left else (width, 0.0)
        leave = other if self.leaves_ahead else entry
        walk = min(1.5, (self.end - self.start) / 4)
        times = (self.start, self.start + walk, self.end - walk, self.end)
        if seconds < self.start:
            return entry - (self.stop - entry) * (self.start - seconds) / walk
        if seconds > self.end:
            return leave + (leave - self.stop) * (seconds - self.end) / walk
        return float(np.interp(seconds, times, (entry, self.stop, self.stop, leave)))


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Something that lasts: a room, or an anomaly, in ``[start, end)`` seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that happens in one video."""

    seed: int
    split: Split
    duration: float
    cast: tuple[WorldObject, ...]
    visits: tuple[Visit, ...]
    rooms: tuple[Stretch, ...]
    anomalies: tuple[Stretch, ...]

    def visits_of(self, object_index: int) -> tuple[Visit, ...]:
        """Return the visits of one object in time order."""
        return tuple(v for v in self.visits if v.object_index == object_index)

    def room_seconds(self) -> dict[str, float]:
        """Return how long each room is shown, in seconds."""
        seconds = dict.fromkeys(ROOMS, 0.0)
        for room in self.rooms:
            seconds[room.name] += room.end - room.start
        return seconds


def scene_generator(seed: int, split: Split) -> np.random.Generator:
    """Return the random generator of a seed; the splits never share a stream."""
    check_choice(split, "split", SPLITS)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    return np.random.default_rng([SPLITS.index(split), seed])


def make_scene(seed: int, duration: float, split: Split = "test") -> Scene:
    """Write the script of one video.

    Args:
        seed: Number of the video within its split; the same seed gives the same scene.
        duration: Length in seconds, at least 5.
        split: ``train``, ``validation`` or ``test``. The splits draw from disjoint random
            streams, and only ``test`` shows held-out combinations.

    Raises:
        ValueError: If the duration is below 5 seconds or the seed is negative.
    """
    if not SHORTEST_SECONDS <= duration < float("inf"):
        raise ValueError(
            f"duration must be at least {SHORTEST_SECONDS:g} seconds, got {duration:g}"
        )
    rng = scene_generator(seed, split)
    num_visits = max(
        1, round(float(rng.uniform(0.8, 1.25)) * 3 * (duration / 10) ** 0.5)
    )
    cast = _make_cast(rng, num_visits, allow_held_out=split == "test")
    visits = _schedule(rng, len(cast), num_visits, duration)
    return Scene(
        seed=seed,
        split=split,
        duration=float(duration),
        cast=cast,
        visits=visits,
        rooms=make_rooms(rng, duration),
        anomalies=make_anomalies(rng, duration),
    )


def _make_cast(
    rng: np.random.Generator, num_visits: int, *, allow_held_out: bool
) -> tuple[WorldObject, ...]:
    """Draw objects with distinct names and distinct letters."""
    most = max(2, min(10, num_visits))
    size = int(rng.integers(max(1, min(3, most)), most + 1))
    kinds = rng.permutation(len(SHAPES) * len(COLOURS))[:size]
    letters = [LETTERS[i] for i in rng.permutation(len(LETTERS))]
    cast = []
    for kind in kinds:
        shape, colour = SHAPES[kind % len(SHAPES)], COLOURS[kind // len(SHAPES)]
        letter = next(
            x for x in letters if allow_held_out or not is_held_out(shape, colour, x)
        )
        letters.remove(letter)
        size_word = SIZES[int(rng.integers(len(SIZES)))]
        cast.append(
            WorldObject(shape=shape, colour=colour, size=size_word, letter=letter)
        )
    return tuple(cast)


def _schedule(
    rng: np.random.Generator, num_objects: int, num_visits: int, duration: float
) -> tuple[Visit, ...]:
    """Place visits in the two lanes without collision, the favourite object most often."""
    weights = rng.dirichlet(np.full(num_objects, 0.7)) + 0.02
    visits: list[Visit] = []
    for number in range(num_visits):
        order = rng.permutation(num_objects)
        favourite = int(rng.choice(num_objects, p=weights / weights.sum()))
        index = int(order[number]) if number < num_objects else favourite
        if sum(v.object_index == index for v in visits) >= MAX_VISITS_PER_OBJECT:
            continue
        for _ in range(30):
            visit = _draw_visit(rng, index, duration)
            if not any(_collide(visit, other) for other in visits):
                visits.append(visit)
                break
    return tuple(sorted(visits, key=lambda v: (v.start, v.lane)))


def _draw_visit(rng: np.random.Generator, index: int, duration: float) -> Visit:
    length = float(rng.uniform(MIN_VISIT_SECONDS, MAX_VISIT_SECONDS))
    length = min(length, 0.8 * duration)
    start = float(rng.uniform(0.0, duration - length))
    path = ("left", "right", "stay", "stay")[int(rng.integers(4))]
    return Visit(
        object_index=index,
        start=start,
        end=start + length,
        lane=int(rng.integers(len(LANES))),
        path=path,  # type: ignore[arg-type]
        from_left=bool(rng.integers(2)) if path == "stay" else path == "right",
        leaves_ahead=bool(rng.integers(2)) if path == "stay" else True,
        stop=float(rng.uniform(30, BASE_PIXELS - 30)),
    )


def _collide(a: Visit, b: Visit) -> bool:
    if a.lane != b.lane and a.object_index != b.object_index:
        return False
    return a.start < b.end + REST_SECONDS and b.start < a.end + REST_SECONDS


def make_rooms(rng: np.random.Generator, duration: float) -> tuple[Stretch, ...]:
    """Cut the video into one to six stretches of rooms, no two alike in a row."""
    num_stretches = int(rng.integers(1, 2 + min(5, int(duration // 20))))
    cuts = np.sort(rng.uniform(0.05, 0.95, num_stretches - 1)) * duration
    bounds = [0.0, *(float(c) for c in cuts), float(duration)]
    rooms: list[Stretch] = []
    previous = -1
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        choices = [i for i in range(len(ROOMS)) if i != previous]
        previous = choices[int(rng.integers(len(choices)))]
        rooms.append(Stretch(name=ROOMS[previous], start=start, end=end))
    return tuple(rooms)


def make_anomalies(rng: np.random.Generator, duration: float) -> tuple[Stretch, ...]:
    """Let one strange thing happen in every second video."""
    happens = bool(rng.integers(2))
    name = ANOMALIES[int(rng.integers(len(ANOMALIES)))]
    length = min(float(rng.uniform(3.0, 5.0)), 0.5 * duration)
    start = float(rng.uniform(0.0, duration - length))
    return (Stretch(name=name, start=start, end=start + length),) if happens else ()
