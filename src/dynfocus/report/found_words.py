"""A page of places where something is written or said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dynfocus.atomic import write_atomically
from dynfocus.report.pages import format_time, render
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.words import Found

_SAID = {"screen": "on the screen", "subtitle": "subtitles", "transcript": "said"}


def write_found(
    path: str | Path,
    query: str,
    found: Sequence[Found],
    pictures: Sequence[NDArray[np.uint8] | None],
    *,
    num_videos: int,
) -> None:
    """Write a page of places.

    Args:
        path: The file.
        query: What was looked for.
        found: The places, the best first.
        pictures: A picture of each, ``[H, W, 3]``; None where there is none.
        num_videos: How many videos were searched.
    """
    places = [
        {
            "time": format_time(one.start, with_tenths=True),
            "video": Path(one.video).name if num_videos > 1 else "",
            "source": _SAID[one.source],
            "score": one.score,
            "lines": [(text.text, text.text == one.text) for text in one.passage],
            "picture": picture,
        }
        for one, picture in zip(found, pictures, strict=True)
    ]
    summary = f"{plural(len(found), 'place')} in {plural(num_videos, 'video')}"
    page = render("found.html", title=query, summary=summary, places=places)
    write_atomically(path, page)
