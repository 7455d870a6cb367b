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
    from dynfocus.index import VideoIndex
    from dynfocus.video import RemoteFile
    from dynfocus.world.recognition import Frames

UNKNOWN_WORLD = (
    "does not look like FocusWorld, and nano knows nothing else, so its answers about it "
    "mean nothing; name a model that knows the real world"
)
"""What the warning says of a video."""


def look_at_world(pictures: Frames) -> bool:
    """Tell whether frames ``[T, H, W, 3]``, of which a few are looked at, are FocusWorld's."""
    from dynfocus.world.recognition import is_world

    return is_world(pictures)


def warn_of_unknown_world(video: VideoIndex) -> None:
    """Warn where nano is asked about an encoded video that is not FocusWorld.

    What was seen of its frames when it was encoded decides, which is surer than what its
    small pictures show; they decide where that is not known.
    """
    is_known = video.is_world
    if is_known is None:
        if video.thumbnails is None:
            return
        is_known = look_at_world(video.thumbnails)
    if not is_known:
        say_unknown(video.source, stacklevel=6)


def say_unknown(source: str | RemoteFile | None = None, stacklevel: int = 5) -> None:
    """Warn of a video that is not FocusWorld, which came from a file or did not."""
    shown = "the video" if source is None else show_address(str(source))
    warnings.warn(
        f"{shown} {UNKNOWN_WORLD}", UnknownWorldWarning, stacklevel=stacklevel
    )
