"""Pictures of the widened world: a scene and times become frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.world.render import Picture, apply_anomaly
from dynfocus.world.vocabulary import BASE_PIXELS
from dynfocus.world.wide.looks import badge_pixels, smooth, sprite, wall
from dynfocus.world.wide.scene import Deed, Stay, Style, Thing, WideScene

Mask = NDArray[np.bool_]
_MARGIN = 0.14
"""Share of the picture by which a wall is larger on each side, for a camera that moves."""
_ZOOM_STEPS = 64
_GRAIN_SHIFTS = 61


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An object in one picture: centre in pixels, width in pixels, and how it is drawn."""

    thing: Thing
    x: float
    y: float
    pixels: int
    degrees: int = 0
    lit: bool = False


def picture_size(style: Style, size: int) -> tuple[int, int]:
    """Return height and width of what is filmed, even; ``size`` is the shorter."""
    long = round(size * max(style.aspect, 1 / style.aspect) / 2) * 2
    return (size, long) if style.aspect >= 1 else (long, size)


class Painter:
    """Draws the pictures of one scene.

    Args:
        scene: The script.
        size: Pixels of the shorter side, even, at least 112.

    Raises:
        ValueError: The size is odd or too small for letters.
    """

    def __init__(self, scene: WideScene, size: int = BASE_PIXELS) -> None:
        if size < BASE_PIXELS or size % 2:
            raise ValueError(
                f"size must be even and at least {BASE_PIXELS}, got {size}"
            )
        self.scene = scene
        self.size = size
        self.height, self.width = picture_size(scene.style, size)
        bars = scene.style.bars
        self.bars = (
            round(self.height * max(0.0, bars) / 2),
            round(self.width * max(0.0, -bars) / 2),
        )
        self._blur = scene.style.blur * size / 100
        gains = np.asarray(scene.style.cast)
        self._gains = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
        self._wall = lru_cache(maxsize=24)(self._paint_wall)

    def draw(self, seconds: float) -> Picture:
        """Return the picture at a time, ``[H, W, 3]`` uint8."""
        picture = self._background(seconds)
        for shown in self.shown(seconds):
            self._paste(picture, self._sprite(shown), shown.x, shown.y)
        for deed in self.scene.deeds:
            if deed.other >= 0 and deed.start <= seconds < deed.end:
                self._paste_ball(picture, deed, seconds)
        for anomaly in self.scene.anomalies:
            if anomaly.start <= seconds < anomaly.end:
                rng = np.random.default_rng([self.scene.seed, int(seconds * 8)])
                apply_anomaly(picture, anomaly.name, rng)
        if self.scene.style.noise:
            picture = self._noisy(picture, seconds)
        return self._barred(picture)

    def shown(self, seconds: float) -> list[Shown]:
        """Return what is drawn at a time, from back to front."""
        return [
            shown
            for stay in self.scene.stays
            if stay.start <= seconds < stay.end
            for shown in [self._show(stay, seconds)]
            if shown.pixels >= 4
        ]

    def _show(self, stay: Stay, seconds: float) -> Shown:
        now = np.array([seconds])
        (x, y), zoom = self.scene.centres(stay, now)[0], self.scene.camera.zooms(now)[0]
        thing = self.scene.look_of(stay.thing, seconds)
        grown = 1.0
        if stay.fades:
            since = min(seconds - stay.start, stay.end - seconds)
            grown = min(1.0, max(0.0, round(since / 0.4 * 8) / 8))
        zoom = round(zoom * _ZOOM_STEPS) / _ZOOM_STEPS
        degrees, lit = 0, False
        for deed in self.scene.deeds:
            if deed.thing == stay.thing and deed.start <= seconds < deed.end:
                share = (seconds - deed.start) / (deed.end - deed.start)
                if deed.name == "spin":
                    degrees = round(share * 24) * 15 % 360
                elif deed.name == "flash":
                    lit = int((seconds - deed.start) / 0.15) % 2 == 0
        return Shown(
            thing=thing,
            x=float(x) * self.width,
            y=float(y) * self.height,
            pixels=round(thing.side * self.size * zoom * grown),
            degrees=degrees,
            lit=lit,
        )

    def _sprite(self, shown: Shown) -> NDArray[np.uint8]:
        return sprite(
            shown.thing,
            shown.pixels,
            degrees=shown.degrees,
            lit=shown.lit,
            blur=self._blur,
        )

    def _paint_wall(self, room: str, zoom: int) -> Picture:
        """Paint what is behind the objects, larger than the picture on all sides."""
        height = round(self.height * (1 + 2 * _MARGIN))
        width = round(self.width * (1 + 2 * _MARGIN))
        if zoom == _ZOOM_STEPS:
            painted = Image.fromarray(wall(room, height, width, self.scene.style))
            return self._toned(smooth(painted, self._blur))
        factor = zoom / _ZOOM_STEPS
        size = round(width * factor), round(height * factor)
        painted = Image.fromarray(self._wall(room, _ZOOM_STEPS))
        return np.asarray(painted.resize(size, Image.Resampling.BILINEAR))

    def _background(self, seconds: float) -> Picture:
        rooms = self.scene.rooms
        room = next((r for r in rooms if r.start <= seconds < r.end), rooms[-1])
        now = np.array([seconds])
        zoom = round(float(self.scene.camera.zooms(now)[0]) * _ZOOM_STEPS)
        dx, dy = self.scene.camera.offsets(now)[0]
        painted = self._wall(room.name, zoom)
        top = round((painted.shape[0] - self.height) / 2 - dy * self.height)
        left = round((painted.shape[1] - self.width) / 2 - dx * self.width)
        top = min(max(top, 0), painted.shape[0] - self.height)
        left = min(max(left, 0), painted.shape[1] - self.width)
        return painted[top : top + self.height, left : left + self.width].copy()

    def _toned(self, rgb: Picture) -> Picture:
        if self.scene.style.cast == (1.0, 1.0, 1.0):
            return rgb
        return np.stack([self._gains[:, i][rgb[..., i]] for i in range(3)], -1)

    def _paste(
        self, picture: Picture, image: NDArray[np.uint8], x: float, y: float
    ) -> None:
        """Blend RGBA ``[S, S, 4]`` into the picture about a centre, cut at the edges."""
        where, part = self._cut(image, x, y)
        alpha = part[..., 3:].astype(np.uint16)
        mixed = (
            self._toned(part[..., :3]) * alpha + picture[where] * (255 - alpha) + 127
        )
        picture[where] = (mixed // 255).astype(np.uint8)

    def _cut(
        self, image: NDArray[Any], x: float, y: float
    ) -> tuple[tuple[slice, slice], NDArray[Any]]:
        """Return where an image ``[S, S, ...]`` lies in the picture, and its part there."""
        side = image.shape[0]
        left, top = round(x - side / 2), round(y - side / 2)
        x0, y0 = max(left, 0), max(top, 0)
        x1 = max(x0, min(left + side, self.width))
        y1 = max(y0, min(top + side, self.height))
        part = image[y0 - top : y1 - top, x0 - left : x1 - left]
        return (slice(y0, y1), slice(x0, x1)), part

    def covers(self, seconds: float) -> list[tuple[Shown, Mask, Mask, float]]:
        """Return what is drawn at a time, and where it is seen.

        Returns:
            For each object, from back to front: how it is drawn, where it is seen and
            where its badge is, ``[H, W]`` bool, and which share of the badge that is.
        """
        found: list[tuple[Shown, Mask, Mask, float]] = []
        for shown in self.shown(seconds):
            mask, badge = (np.zeros((self.height, self.width), bool) for _ in range(2))
            where, part = self._cut(self._sprite(shown), shown.x, shown.y)
            mask[where] = part[..., 3] > 127
            for _, lower, lower_badge, _ in found:
                lower &= ~mask
                lower_badge &= ~mask
            box = np.ones((round(badge_pixels(shown.thing, shown.pixels)),) * 2, bool)
            where, part = self._cut(box, shown.x, shown.y)
            badge[where] = part
            found.append((shown, mask, badge, float(box.size)))
        return [
            (shown, self._barred(mask), self._barred(badge), float(badge.sum()) / size)
            for shown, mask, badge, size in found
        ]

    def _paste_ball(self, picture: Picture, deed: Deed, seconds: float) -> None:
        """Draw the ball on its way, in an arc from one object to another."""
        now = np.array([seconds])
        share = (seconds - deed.start) / (deed.end - deed.start)
        ends = []
        for thing in (deed.thing, deed.other):
            for stay in self.scene.stays_of(thing):
                if stay.start <= seconds < stay.end:
                    ends.append(self.scene.centres(stay, now)[0])
        if len(ends) < 2:
            return
        x, y = ends[0] + share * (ends[1] - ends[0])
        y -= 0.12 * np.sin(np.pi * share)
        ball = Thing(
            shape="circle",
            colour="",
            size="",
            letter="",
            side=0.1,
            rgb=(252, 252, 252),
            font="DejaVuSans-Bold",
            badge="outline",
        )
        image = sprite(ball, round(0.1 * self.size), blur=self._blur)
        self._paste(picture, image, float(x) * self.width, float(y) * self.height)

    def _noisy(self, picture: Picture, seconds: float) -> Picture:
        """Add grain, each frame another part of one table."""
        table = _grain(self.height, self.width)
        frame = round(seconds * 1000)
        top, left = 7 * frame % _GRAIN_SHIFTS, 13 * frame // 64 % _GRAIN_SHIFTS
        part = table[top : top + self.height, left : left + self.width]
        noise = part * np.int16(round(4 * self.scene.style.noise)) >> 8
        return np.clip(picture + noise, 0, 255).astype(np.uint8)

    def _barred(self, picture: NDArray[Any]) -> NDArray[Any]:
        rows, columns = self.bars
        if not rows and not columns:
            return picture
        sides = ((rows, rows), (columns, columns), (0, 0))
        return np.pad(picture, sides[: picture.ndim])


@lru_cache(maxsize=8)
def _grain(height: int, width: int) -> NDArray[np.int16]:
    """Draw noise of standard deviation 64, for pictures of a size and all their shifts."""
    shape = (height + _GRAIN_SHIFTS, width + _GRAIN_SHIFTS, 3)
    noise = np.random.default_rng(41).normal(0, 64, shape)
    return noise.clip(-300, 300).round().astype(np.int16)


def render(
    scene: WideScene, times: Sequence[float], size: int = BASE_PIXELS
) -> Iterator[Picture]:
    """Draw a scene at the given times, in any order; see `Painter`."""
    painter = Painter(scene, size)
    for seconds in times:
        yield painter.draw(seconds)
