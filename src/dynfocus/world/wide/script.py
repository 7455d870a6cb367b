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
from dynfocus.world.wide.casting import MAX_CAST
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

PAGE_SECONDS = 6.0
"""How long a page of an album is shown."""
MAX_ON_PAGE = 8
"""Most objects that a page shows."""


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


def make_album(
    rng: np.random.Generator, split: Split = "train", num_pages: int = 1
) -> WideScene:
    """Write a scene of pages: all that a page shows stands still, elsewhere on the next.

    A page shows none of the cast to most of it, anywhere, also over an edge and partly
    hidden, some of it in the middle of an action: more to learn from than a video holds
    in a moment. Look at page ``i`` at `page_seconds` of it.
    """
    writer = _Script(rng, PAGE_SECONDS * num_pages, split, frozenset())
    return writer.write_album(num_pages)


def page_seconds(page: int) -> float:
    """Return when a page of an album, counted from 0, is looked at."""
    return PAGE_SECONDS * (page + 0.5)


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

    def write_album(self, num_pages: int) -> WideScene:
        style = self.draw_style(int(self.rng.integers(1 << 40)))
        self.aspect = style.aspect
        self.camera = self.draw_camera()
        self.draw_cast(MAX_CAST, at_least=MAX_CAST)
        deeds: list[Deed] = []
        anomalies = []
        for page in range(num_pages):
            start = PAGE_SECONDS * page
            stays = self.draw_page(start)
            self.stays += stays
            deeds += [self.draw_pose(stay) for stay in stays if self.happens(0.12)]
            strange = Stretch(
                name=self.pick(ANOMALIES), start=start, end=start + PAGE_SECONDS
            )
            anomalies += [strange] if self.happens(0.15) else []
        room = Stretch(name=self.pick(ROOMS), start=0.0, end=self.duration)
        return WideScene(
            seed=int(self.rng.integers(1 << 30)),
            split=self.split,
            duration=self.duration,
            style=style,
            camera=self.camera,
            cast=tuple(self.cast),
            stays=tuple(self.stays),
            deeds=tuple(deeds),
            changes=(),
            rooms=(room,),
            anomalies=tuple(anomalies),
        )

    def draw_page(self, start: float) -> list[Stay]:
        """Draw what one page shows: as many of the cast as are wanted and find room."""
        stays: list[Stay] = []
        knots = tuple(start + share * PAGE_SECONDS for share in (0.0, 0.2, 0.8, 1.0))
        wanted = int(self.rng.integers(MAX_ON_PAGE + 1))
        for thing in self.rng.permutation(len(self.cast))[:wanted]:
            for _ in range(10):
                place = self.uniform(-0.02, 1.02), self.uniform(-0.02, 1.02)
                stay = Stay(
                    thing=int(thing), points=(place,) * 4, knots=knots, fades=True
                )
                if self.happens(0.1) or not any(self.hidden(stay, s) for s in stays):
                    stays.append(stay)
                    break
        return stays

    def draw_pose(self, stay: Stay) -> Deed:
        """Draw an action that is under way when the page is looked at."""
        seconds = (stay.start + stay.end) / 2
        return Deed(
            thing=stay.thing,
            name=self.pick(("flash", "spin")),
            start=seconds - self.uniform(0.05, 0.9),
            end=seconds + 0.1,
        )
