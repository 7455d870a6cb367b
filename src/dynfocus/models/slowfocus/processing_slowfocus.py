"""The SlowFocus processor: frames of a low and of a high frequency for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.focus import SlowFocusSettings, TokenBudget
from dynfocus.models.video_processor import CLIP_MEAN, CLIP_STD, VideoProcessor
from dynfocus.video import SampledFrames, VideoName, VideoReader, read_video


class SlowFocusProcessor(VideoProcessor):
    """Prepare prompts, questions and videos for the SlowFocus model.

    Videos that `read_frequencies` gave have frames of two frequencies, all others of one.

    Args:
        tokenizer: The language model's tokenizer; it must know ``<video>``.
        slow: The settings of SlowFocus's network, as in the model's configuration; the
            paper's by default.
        frame_size: Side of the frames that the vision tower reads, in pixels.
        image_mean: Mean of each colour, from 0 to 1.
        image_std: Standard deviation of each colour.
        fps: Frames per second that are sampled from a file: the low frequency.
        max_frames: At most so many frames a video, taken evenly.
        question_first: Whether the question of a block also stands before its video
            tokens.
        single_turn: Whether the model was trained on single questions, so that the
            turns before a question are left out.
        asks_openly: Whether the model was taught open questions alone, so that one that
            lists options is asked without them, and answered by the likeliest.
        use_question_vocabulary: Whether questions have a tokenizer of their own.
        chat_template: The jinja template of conversations.
    """

    def __init__(
        self,
        tokenizer: Any = None,
        slow: SlowFocusSettings | dict[str, Any] | None = None,
        frame_size: int = 224,
        image_mean: Sequence[float] = CLIP_MEAN,
        image_std: Sequence[float] = CLIP_STD,
        fps: float = 1.0,
        max_frames: int | None = None,
        question_first: bool = False,
        single_turn: bool = False,
        asks_openly: bool = False,
        use_question_vocabulary: bool = False,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(
            tokenizer,
            frame_size=frame_size,
            image_mean=image_mean,
            image_std=image_std,
            fps=fps,
            max_frames=max_frames,
            question_first=question_first,
            single_turn=single_turn,
            asks_openly=asks_openly,
            use_question_vocabulary=use_question_vocabulary,
            chat_template=chat_template,
        )
        if not isinstance(slow, SlowFocusSettings):
            slow = SlowFocusSettings.from_dict(slow or {})
        self.slow = slow.to_dict()

    @property
    def settings(self) -> SlowFocusSettings:
        """Give the settings of SlowFocus's network."""
        return SlowFocusSettings.from_dict(self.slow)

    def budget(self, max_video_tokens: int | None = None) -> TokenBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return self.settings.budget(max_video_tokens)

    def read_frequencies(
        self,
        video: VideoName | VideoReader,
        high_seconds: Sequence[float] | NDArray[np.float64],
        *,
        fps: float | None = None,
        max_frames: int | None = None,
    ) -> SampledFrames:
        """Read a file at the low frequency and at given moments of a high one.

        Args:
            video: The file, or what reads it.
            high_seconds: The moments in seconds since the first frame, in any order.
            fps: The low frequency; by default the processor's.
            max_frames: At most so many frames of the low frequency.

        Returns:
            Frames of uint8, shape ``[T, H, W, 3]``, in order of time, with what tells the
            two apart; it takes the place of the file in a call and in `VideoModel.ask`.

        Raises:
            ValueError: A moment is outside the video.
            FileNotFoundError: There is no such file.
            UnreadableVideoError: The file holds no video that can be decoded.
            StuckVideoError: Reading the file made no progress.
        """
        reader = video if isinstance(video, VideoReader) else VideoReader(video)
        low = read_video(
            reader,
            fps=self.fps if fps is None else fps,
            max_frames=self.max_frames if max_frames is None else max_frames,
            frame_size=self.frame_size,
        )
        low.duration = reader.duration
        moments = np.asarray(high_seconds, dtype=np.float64)
        if len(moments) == 0:
            return low
        side = (self.frame_size, self.frame_size)
        return low.mix(reader.sample(times=moments, size=side))
