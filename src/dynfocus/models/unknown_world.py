"""Nano answers about FocusWorld alone: who asks it about anything else is told, once.

Every way to ask goes through an index of the video, where this is called; a session,
whose video never ends, calls it with the frames that came last.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dynfocus.errors import UnknownWorldWarning
from dynfocus.video.addresses import show_address

if TYPE_CHECKING:
    from dynfocus.video import RemoteFile
    from dynfocus.world.recognition import Frames

UNKNOWN_WORLD = (
    "does not look like FocusWorld, and nano knows nothing else, so its answers about it "
    "mean nothing; name a model that knows the real world"
)
"""What the warning says of a video."""


def warn_of_unknown_world(
    pictures: Frames, source: str | RemoteFile | None = None
) -> bool:
    """Warn where nano is asked about a video that is not FocusWorld.

    Args:
        pictures: Frames of the video, ``[T, H, W, 3]``, of which a few are looked at.
        source: Its file, if it has one.

    Returns:
        Whether it warned.
    """
    from dynfocus.world.recognition import is_world

    if is_world(pictures):
        return False
    shown = "the video" if source is None else show_address(str(source))
    warnings.warn(f"{shown} {UNKNOWN_WORLD}", UnknownWorldWarning, stacklevel=5)
    return True
