"""A video file becomes frames with their true times, and frames become a file."""

from typing import TYPE_CHECKING

from dynfocus.errors import (
    DamagedVideoWarning,
    StuckVideoError,
    UnreachableVideoError,
    UnreadableVideoError,
)
from dynfocus.extensions import import_when_asked
from dynfocus.video.addresses import is_web_address, show_address
from dynfocus.video.collecting import SampledFrames
from dynfocus.video.digests import VideoDigests
from dynfocus.video.discovery import find_videos
from dynfocus.video.files import VideoFile, VideoName, as_file
from dynfocus.video.frames import frame_array, is_frame, read_image, read_video
from dynfocus.video.live import LiveReader
from dynfocus.video.probe import VideoProbe, probe_video
from dynfocus.video.reader import VideoReader
from dynfocus.video.remote import RemoteFile
from dynfocus.video.trial import MediumTrial, try_video
from dynfocus.video.writer import VideoWriter

if TYPE_CHECKING:
    from dynfocus.video.fetch_policy import FetchPolicy

__all__ = [
    "DamagedVideoWarning",
    "FetchPolicy",
    "LiveReader",
    "MediumTrial",
    "RemoteFile",
    "SampledFrames",
    "StuckVideoError",
    "UnreachableVideoError",
    "UnreadableVideoError",
    "VideoDigests",
    "VideoFile",
    "VideoName",
    "VideoProbe",
    "VideoReader",
    "VideoWriter",
    "as_file",
    "find_videos",
    "frame_array",
    "is_frame",
    "is_web_address",
    "probe_video",
    "read_image",
    "read_video",
    "show_address",
    "try_video",
]

# The policy of addresses, and HTTP with it, where it is wanted.
__getattr__ = import_when_asked(__name__, {"FetchPolicy": "fetch_policy"})
