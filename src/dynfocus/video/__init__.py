"""A video file becomes frames with their true times, and frames become a file."""

from dynfocus.errors import (
    DamagedVideoWarning,
    StuckVideoError,
    UnreadableVideoError,
)
from dynfocus.video.collecting import SampledFrames
from dynfocus.video.discovery import find_videos
from dynfocus.video.frames import frame_array, is_frame, read_image, read_video
from dynfocus.video.live import LiveReader
from dynfocus.video.probe import VideoProbe, probe_video
from dynfocus.video.reader import VideoReader
from dynfocus.video.trial import MediumTrial, try_video
from dynfocus.video.writer import VideoWriter

__all__ = [
    "DamagedVideoWarning",
    "LiveReader",
    "MediumTrial",
    "SampledFrames",
    "StuckVideoError",
    "UnreadableVideoError",
    "VideoProbe",
    "VideoReader",
    "VideoWriter",
    "find_videos",
    "frame_array",
    "is_frame",
    "probe_video",
    "read_image",
    "read_video",
    "try_video",
]
