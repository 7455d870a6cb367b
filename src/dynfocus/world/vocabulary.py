"""The words of FocusWorld: what can be seen, and which combinations training never sees."""

from __future__ import annotations

from string import ascii_uppercase

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan")
SIZES = ("small", "large")
LETTERS = tuple(ascii_uppercase)
ROOMS = ("hall", "kitchen", "garden", "library", "garage", "attic")
ANOMALIES = ("the lights go out", "snow falls", "the picture flashes")

COLOUR_RGB: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "green": (36, 160, 52),
    "blue": (42, 78, 220),
    "yellow": (240, 214, 40),
    "purple": (136, 46, 176),
    "orange": (246, 132, 26),
    "cyan": (40, 204, 214),
}

SIZE_PIXELS: dict[str, int] = {"small": 34, "large": 46}
"""Width of an object in a frame of ``BASE_PIXELS`` pixels."""

BASE_PIXELS = 112
BADGE_PIXELS = 20


def is_held_out(shape: str, colour: str, letter: str) -> bool:
    """Tell whether training never shows this combination of shape, colour and letter.

    One triple in eight is held out; each pair of the three still occurs in training,
    so a model that composes what it sees can answer.
    """
    number = 5 * SHAPES.index(shape) + 3 * COLOURS.index(colour) + LETTERS.index(letter)
    return number % 8 == 0
