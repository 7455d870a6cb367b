"""A video becomes its question-independent half: read, thinned, encoded.

Letters: T frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from dynfocus.focus import VideoFeatures
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.models.dynfocus.blocks import join_frames
from dynfocus.models.dynfocus.frames import Video
from dynfocus.models.sources import OpenedVideo, open_video
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

    def read(
        self,
        video: Video,
        *,
        fps: float,
        max_frames: int | None,
        progress: Progress | None,
    ) -> OpenedVideo:
        """Read the frames of a file, or take frames as they are.

        Args:
            video: A file or frames.
            fps: Frames per second to sample.
            max_frames: At most so many frames, taken evenly.
            progress: Called with the first half of the steps; encoding is the second.

        Returns:
            The frames, and the length and shape of the video.
        """
        return open_video(
            video,
            fps=fps,
            max_frames=max_frames,
            frame_size=self._processor.frame_size,
            progress=None if progress is None else _first_half(progress),
        )

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


def _first_half(progress: Progress) -> Progress:
    """Let decoding fill the first half of the steps; encoding fills the second."""
    return lambda done, total: progress(done, 2 * total)
