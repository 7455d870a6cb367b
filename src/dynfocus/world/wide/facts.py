"""Facts: what is true of a scene and can be asked, whatever draws its pictures."""

from __future__ import annotations

from dataclasses import dataclass

from dynfocus.world.scene import LANES, SPLITS, Scene, Stretch, Visit
from dynfocus.world.vocabulary import BASE_PIXELS

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happens from ``start`` to ``end``, half open, in seconds."""

    name: str
    start: float
    end: float

    @property
    def interval(self) -> Interval:
        """Start and end."""
        return self.start, self.end


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """One stay of an object in the picture.

    Attributes:
        start: Seconds from which it is in view.
        end: Seconds until which it is.
        direction: ``left`` or ``right`` if it moves that way all the time, else empty.
        place: Part of the screen that it never leaves, else empty.
    """

    start: float
    end: float
    direction: str = ""
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Member:
    """An object of the cast with all that it does.

    Attributes:
        shape: Its shape.
        colour: Its colour; no other member has both.
        size: ``small`` or ``large``.
        letter: On its badge; no other member has it.
        held_out: Whether training never shows this combination.
        appearances: Its stays, in order of time; empty if it is never seen.
        actions: What it does and when, by the verb: ``spin``.
        changes: What is no longer the same afterwards, such as ``its letter``, and when.
    """

    shape: str
    colour: str
    size: str
    letter: str
    held_out: bool = False
    appearances: tuple[Appearance, ...] = ()
    actions: tuple[Moment, ...] = ()
    changes: tuple[Moment, ...] = ()

    @property
    def name(self) -> str:
        """The words that name it, such as ``red square``."""
        return f"{self.colour} {self.shape}"

    @property
    def evidence(self) -> tuple[Interval, ...]:
        """When it is in view."""
        return tuple((stay.start, stay.end) for stay in self.appearances)


@dataclass(frozen=True, kw_only=True)
class SceneFacts:
    """All that can be asked about one video.

    Attributes:
        video: Names it, such as ``test/3``.
        duration: Seconds.
        cast: Its objects; names and letters are unique.
        rooms: Stretches that fill the video.
        anomalies: Strange things; at most one.
        meetings: Who is next to whom and when, as places in the cast.
        key: Numbers that seed what is drawn about it.
    """

    video: str
    duration: float
    cast: tuple[Member, ...]
    rooms: tuple[Moment, ...]
    anomalies: tuple[Moment, ...] = ()
    meetings: tuple[tuple[int, int, Interval], ...] = ()
    key: tuple[int, ...] = (0,)

    @property
    def seen(self) -> tuple[Member, ...]:
        """Members that come into view, in the order in which they do."""
        seen = [member for member in self.cast if member.appearances]
        return tuple(sorted(seen, key=lambda member: member.appearances[0].start))


def facts_of(scene: Scene) -> SceneFacts:
    """Tell what is true of a scene of the narrow world, where nobody acts or changes."""
    cast = tuple(
        Member(
            shape=thing.shape,
            colour=thing.colour,
            size=thing.size,
            letter=thing.letter,
            held_out=thing.held_out,
            appearances=tuple(_appearance(v) for v in scene.visits_of(number)),
        )
        for number, thing in enumerate(scene.cast)
    )
    return SceneFacts(
        video=f"{scene.split}/{scene.seed}",
        duration=scene.duration,
        cast=cast,
        rooms=_moments(scene.rooms),
        anomalies=_moments(scene.anomalies),
        key=(SPLITS.index(scene.split), scene.seed),
    )


def _appearance(visit: Visit) -> Appearance:
    direction = "" if visit.path == "stay" else visit.path
    place = ""
    rests_at_left = visit.stop < BASE_PIXELS / 2
    if not direction and not visit.leaves_ahead and rests_at_left == visit.from_left:
        row = "top" if LANES[visit.lane] < BASE_PIXELS / 2 else "bottom"
        place = f"{row} {'left' if rests_at_left else 'right'}"
    return Appearance(
        start=visit.start, end=visit.end, direction=direction, place=place
    )


def _moments(stretches: tuple[Stretch, ...]) -> tuple[Moment, ...]:
    return tuple(Moment(name=s.name, start=s.start, end=s.end) for s in stretches)
