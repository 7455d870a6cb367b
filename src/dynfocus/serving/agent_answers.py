"""Answers to agents: a document and pictures, within a budget of characters and bytes.

What does not fit is made smaller first and left out last, and the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynfocus.text import plural, round_floats, to_json

_SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)
_LEAST_PIXELS = 96
"""Longer side below which a picture is left out and not made smaller."""
_LEAST_TEXT = 40
"""Length below which a text is not cut."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPicture:
    """A picture and what it shows."""

    label: str
    """What it shows, in a line."""
    picture: NDArray[np.uint8]
    """The picture, ``[H, W, 3]``."""
    importance: float = 1.0
    """Those of the least importance are left out first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentAnswer:
    """What a tool found."""

    document: dict[str, Any]
    """Plain values for JSON."""
    pictures: Sequence[LabelledPicture] = field(default_factory=tuple)
    """Pictures that go with it."""

    def fit(
        self, max_characters: int, max_picture_bytes: int
    ) -> tuple[str, list[tuple[str, bytes]]]:
        """Write the answer within a budget.

        Args:
            max_characters: Most characters of the document and the labels together.
            max_picture_bytes: Most bytes of all pictures in base64.

        Returns:
            The document as JSON, and the pictures as labels and JPEG files.
        """
        pictures, note = fit_pictures(self.pictures, max_picture_bytes)
        document = (
            self.document if note is None else {**self.document, "pictures": note}
        )
        room = max_characters - sum(len(label) for label, _ in pictures)
        return fit_document(document, room), pictures


def fit_pictures(
    pictures: Sequence[LabelledPicture], max_bytes: int
) -> tuple[list[tuple[str, bytes]], str | None]:
    """Make pictures so small that all fit, or leave out the least important.

    Args:
        pictures: The pictures.
        max_bytes: Most bytes of all in base64.

    Returns:
        Labels and JPEG files in the order given; and what was done to them, if anything.
    """
    for scale in _SCALES:
        files = [(one.label, _encode(one.picture, scale)) for one in pictures]
        if sum(_sent_bytes(file) for _, file in files) <= max_bytes:
            small = f"made {scale:.0%} of their size" if scale < 1 else ""
            return (
                files,
                f"{small} to keep within {max_bytes:,} bytes" if small else None,
            )
    kept: set[int] = set()
    left = max_bytes
    for number in sorted(range(len(files)), key=lambda n: -pictures[n].importance):
        size = _sent_bytes(files[number][1])
        if size <= left:
            kept.add(number)
            left -= size
    return [files[number] for number in sorted(kept)], (
        f"{plural(len(kept), 'picture')} of {len(files)}, small, to keep within "
        f"{max_bytes:,} bytes; ask for fewer, or for a shorter excerpt"
    )


def fit_document(document: dict[str, Any], max_characters: int) -> str:
    """Write a document as JSON, with shorter lists where it is too long.

    Args:
        document: Plain values.
        max_characters: Most characters.

    Returns:
        JSON; what was left out stands under ``left_out``, by the name of its list.
    """
    document = round_floats(document)
    left_out: dict[str, int] = {}
    while len(text := to_json(document)) > max_characters:
        parts = {key: len(to_json(value)) for key, value in document.items()}
        parts.pop("left_out", None)
        key = max(parts, key=lambda name: parts[name])
        shorter = _shorten(document[key])
        if shorter is None:
            return to_json({"left_out": "everything: the answer is too long"})
        document[key], num_lost = shorter
        left_out[key] = left_out.get(key, 0) + num_lost
        document["left_out"] = left_out
    return text


def _shorten(value: Any) -> tuple[Any, int] | None:
    """Halve a list or a text; None where nothing is to be gained."""
    if isinstance(value, list | tuple) and value:
        half = len(value) // 2
        return [*value[:half]], len(value) - half
    if isinstance(value, str) and len(value) > _LEAST_TEXT:
        half = len(value) // 2
        return f"{value[:half]}...", len(value) - half
    if isinstance(value, dict) and value:
        half = len(value) // 2
        return dict(list(value.items())[:half]), len(value) - half
    return None


def _encode(picture: NDArray[np.uint8], scale: float) -> bytes:
    """Write a picture as JPEG, smaller by a factor, but not below 96 pixels."""
    from dynfocus.methods import fit_size
    from dynfocus.report import encode_jpeg

    own = picture.shape[:2]
    longer = max(round(scale * max(own)), min(_LEAST_PIXELS, max(own)))
    if longer < max(own):
        height, width = fit_size(own, longer)
        picture = np.asarray(Image.fromarray(picture).resize((width, height)))
    return encode_jpeg(picture)


def _sent_bytes(file: bytes) -> int:
    return 4 * math.ceil(len(file) / 3)
