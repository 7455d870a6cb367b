"""Scripts of the widened world: a scene from a seed.

Training never sees the fonts, walls, paths and camera moves that `VARIATIONS` name; a
test asks for them one by one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from dynfocus.world.scene import (
    SHORTEST_SECONDS,
    Split,
    Stretch,
    make_anomalies,
    make_rooms,
    scene_generator,
)
from dynfocus.world.vocabulary import ANOMALIES, ROOMS
from dynfocus.world.wide.happenings import Happenings
from dynfocus.world.wide.looks import FONTS
from dynfocus.world.wide.scene import (
    VARIATIONS,
    Deed,
    Stay,
    Thing,
    Variation,
    WideScene,
)

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
    writer = _Script(rng, float(duration), split, frozenset(unseen))
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
    writer = _Script(rng, 2 * STILL_SECONDS, split, frozenset())
    return writer.write_still()


class _Script(Happenings):
    """Writes whole scenes."""

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
