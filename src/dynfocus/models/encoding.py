"""A video becomes its question-independent half: read, thinned to a budget, encoded.

Letters: T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dynfocus.focus import plan_budget
from dynfocus.index import VideoFeatures, VideoIndex
from dynfocus.models.chat import check_count
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.models.dynfocus.blocks import join_frames
from dynfocus.models.dynfocus.frames import Video
from dynfocus.models.dynfocus.media import take_evenly
from dynfocus.models.sources import OpenedVideo, make_thumbnails, open_video
from dynfocus.video import SampledFrames

_WINDOW = 64

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""


class VideoEncoder:
    """Encode videos, frames of a window together, for any number of questions.

    Args:
        model: The model.
        processor: Its processor.
    """

    def __init__(
        self, model: DynFocusForConditionalGeneration, processor: DynFocusProcessor
    ) -> None:
        self._model = model
        self._processor = processor

    def index(
        self,
        video: Video,
        *,
        fps: float,
        max_frames: int | None,
        progress: Progress | None,
    ) -> VideoIndex:
        """Encode a file or frames whole; see `FocusedModel.index`."""
        opened = self._open(video, fps, max_frames, progress)
        return VideoIndex(
            features=self.encode(opened.sampled, progress),
            source=opened.source,
            duration=opened.duration,
            fps=fps,
            thumbnails=make_thumbnails(opened.sampled.frames, opened.size),
        )

    def features(
        self,
        video: Video,
        *,
        fps: float,
        max_frames: int | None,
        max_video_tokens: int | None,
        progress: Progress | None,
    ) -> VideoFeatures:
        """Encode a video unless it is encoded, no more frames than the budget holds.

        Args:
            video: A file, frames, or an encoded video.
            fps: Frames per second to sample; an index keeps its own.
            max_frames: At most so many frames, taken evenly.
            max_video_tokens: At most so many video tokens.
            progress: Called with the steps done and the steps in all.

        Returns:
            The question-independent half.
        """
        content: SampledFrames | VideoFeatures
        if isinstance(video, VideoIndex | VideoFeatures):
            content = video.features if isinstance(video, VideoIndex) else video
            num_frames = content.num_frames
            if max_frames is not None:
                check_count("max_frames", max_frames)
                num_frames = min(num_frames, max_frames)
        else:
            content = self._open(video, fps, max_frames, progress).sampled
            num_frames = len(content.frames)
        if max_video_tokens is not None:
            settings = self._model.settings
            num_frames = plan_budget(num_frames, settings, max_video_tokens).num_frames
        content = take_evenly(content, num_frames)
        if isinstance(content, VideoFeatures):
            return content
        return self.encode(content, progress)

    def encode(
        self, sampled: SampledFrames, progress: Progress | None = None
    ) -> VideoFeatures:
        """Encode frames that were read, in windows, so that memory stays bounded."""
        num_frames = len(sampled.frames)
        parts = []
        with torch.no_grad():
            for start in range(0, num_frames, _WINDOW):
                window = sampled.frames[start : start + _WINDOW]
                pixels = self._processor.pixel_values(window)
                parts.append(self._model.encode_frames(pixels))
                if progress is not None:
                    done = min(start + _WINDOW, num_frames)
                    progress(num_frames + done, 2 * num_frames)
            features = join_frames(parts, torch.from_numpy(sampled.times))
            return self._model.add_prototypes(features)

    def _open(
        self,
        video: Any,
        fps: float,
        max_frames: int | None,
        progress: Progress | None,
    ) -> OpenedVideo:
        return open_video(
            video,
            fps=fps,
            max_frames=max_frames,
            frame_size=self._processor.frame_size,
            progress=None if progress is None else _first_half(progress),
        )


def _first_half(progress: Progress) -> Progress:
    """Let decoding fill the first half of the steps; encoding fills the second."""
    return lambda done, total: progress(done, 2 * total)
