"""Facts: what is true of a scene and can be asked, whatever draws its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynfocus.world.scene import SPLITS, Stretch
from dynfocus.world.wide.scene import Stay, WideScene

Interval = tuple[float, float]
MIN_WAY = 0.4
"""Share of the picture that an object must cross for its direction to be plain."""
MIN_OFF_MIDDLE = 0.05
"""Share of the picture by which an object must keep off its middle to be in a quarter."""
MIN_MEETING_SECONDS = 1.0


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
        becomes: The words that name it after that; empty for the same.
    """

    shape: str
    colour: str
    size: str
    letter: str
    held_out: bool = False
    appearances: tuple[Appearance, ...] = ()
    actions: tuple[Moment, ...] = ()
    changes: tuple[Moment, ...] = ()
    becomes: str = ""

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


def facts_of(scene: WideScene) -> SceneFacts:
    """Tell what is true of a scene and can be seen."""
    views = [
        (stay, view)
        for stay in scene.stays
        if (view := scene.in_view(stay)) is not None
    ]
    cast = tuple(
        Member(
            shape=thing.shape,
            colour=thing.colour,
            size=thing.size,
            letter=thing.letter,
            held_out=thing.held_out,
            appearances=tuple(
                _appearance(scene, stay, view)
                for stay, view in views
                if stay.thing == number
            ),
            actions=tuple(
                Moment(name=deed.name, start=deed.start, end=deed.end)
                for deed in scene.deeds
                if deed.thing == number
            ),
            changes=tuple(
                Moment(name=change.what, start=change.start, end=change.end)
                for change in scene.changes
                if change.thing == number
            ),
            becomes=next(
                (c.after.name for c in scene.changes if c.thing == number), thing.name
            ),
        )
        for number, thing in enumerate(scene.cast)
    )
    return SceneFacts(
        video=f"{scene.split}/{scene.seed}",
        duration=scene.duration,
        cast=cast,
        rooms=_moments(scene.rooms),
        anomalies=_moments(scene.anomalies),
        meetings=_meetings(views),
        key=(SPLITS.index(scene.split), scene.seed),
    )


def _appearance(scene: WideScene, stay: Stay, view: Interval) -> Appearance:
    """Tell which way an object goes and in which quarter it stays, if that is plain."""
    times = np.linspace(view[0], view[1], 50, endpoint=False)
    x = stay.at(times)[:, 0]
    steps = np.diff(x)
    direction = ""
    if abs(x[-1] - x[0]) >= MIN_WAY:
        direction = (
            "right"
            if (steps >= -1e-9).all()
            else "left"
            if (steps <= 1e-9).all()
            else ""
        )
    places = scene.centres(stay, times)
    rows = "top", "bottom", places[:, 1]
    columns = "left", "right", places[:, 0]
    words = []
    for low, high, values in (rows, columns):
        if values.max() <= 0.5 - MIN_OFF_MIDDLE:
            words.append(low)
        elif values.min() >= 0.5 + MIN_OFF_MIDDLE:
            words.append(high)
    place = " ".join(words) if len(words) == 2 else ""
    return Appearance(start=view[0], end=view[1], direction=direction, place=place)


def _meetings(
    views: list[tuple[Stay, Interval]],
) -> tuple[tuple[int, int, Interval], ...]:
    """List who is in view together with whom for long enough to be noticed."""
    found = []
    for number, (one, view) in enumerate(views):
        for other, seen in views[number + 1 :]:
            start, end = max(view[0], seen[0]), min(view[1], seen[1])
            if end - start >= MIN_MEETING_SECONDS:
                found.append((one.thing, other.thing, (start, end)))
    return tuple(found)


def _moments(stretches: tuple[Stretch, ...]) -> tuple[Moment, ...]:
    return tuple(Moment(name=s.name, start=s.start, end=s.end) for s in stretches)
