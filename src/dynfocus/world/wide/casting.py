"""Who plays and how it is filmed: style, camera and objects of a scene."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from dynfocus.world.scene import SPLITS, Split
from dynfocus.world.vocabulary import COLOUR_RGB, COLOURS, LETTERS, SHAPES, is_held_out
from dynfocus.world.wide.looks import BADGES, FONTS
from dynfocus.world.wide.scene import Camera, Stay, Style, Thing, Variation

_T = TypeVar("_T")

ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)
SIDES = {"small": (0.25, 0.32), "large": (0.40, 0.50)}
"""Least and largest width of each size, in short sides of the picture."""
MAX_CAST = 10


@dataclass
class Casting:
    """A scene that is being written, as far as chance has decided it."""

    rng: np.random.Generator
    duration: float
    split: Split
    unseen: frozenset[Variation]
    aspect: float = 1.0
    camera: Camera = Camera()
    cast: list[Thing] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between two."""
        return float(self.rng.uniform(low, high))

    def happens(self, probability: float) -> bool:
        """Decide whether something happens."""
        return bool(self.rng.random() < probability)

    def pick(self, words: tuple[_T, ...]) -> _T:
        """Draw one of several, all equally likely."""
        return words[int(self.rng.integers(len(words)))]

    def draw_style(self, seed: int) -> Style:
        """Draw how the video is filmed; its walls are those of the seed and the split."""
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
        """Draw how the camera moves."""
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

    def draw_cast(self, num_stays: int, at_least: int = 1) -> None:
        """Draw objects with distinct names and letters, no more than stays."""
        most = max(2, min(MAX_CAST, num_stays))
        size = int(self.rng.integers(at_least, most + 1))
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
        """Tell whether the split shows this combination."""
        return self.split == "test" or not is_held_out(shape, colour, letter)

    def shade(self, colour: str) -> tuple[int, int, int]:
        """Draw a shade of a colour."""
        jitter = self.rng.normal(0, 7, 3)
        rgb = np.clip(np.array(COLOUR_RGB[colour]) + jitter, 0, 255).round()
        return int(rgb[0]), int(rgb[1]), int(rgb[2])
