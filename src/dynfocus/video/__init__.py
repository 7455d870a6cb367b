"""A video file becomes frames with their true times, and frames become a file."""

from dynfocus.video.errors import DamagedVideoWarning, UnreadableVideoError
from dynfocus.video.probe import MediumProbe, probe_video
from dynfocus.video.reader import SampledFrames, VideoReader
from dynfocus.video.writer import VideoWriter

__all__ = [
    "DamagedVideoWarning",
    "MediumProbe",
    "SampledFrames",
    "UnreadableVideoError",
    "VideoReader",
    "VideoWriter",
    "probe_video",
]
