"""A video that is still coming: frames are pushed, questions are asked at any time.

Letters: F frames pushed together, H and W of a frame, S side of the model's frames.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import EventBatch
from dynfocus.index import VideoIndex
from dynfocus.models.conversation import (
    Answer,
    OnText,
    Turn,
    check_count,
)
from dynfocus.models.encoding import make_thumbnails
from dynfocus.models.frame_encoders import FrameEncoder
from dynfocus.models.frame_memory import FrameMemory
from dynfocus.models.options import AskOptions
from dynfocus.models.unknown_world import look_at_world, say_unknown
from dynfocus.video import frame_array, is_frame

if TYPE_CHECKING:
    from dynfocus.models.video_model import VideoModel
    from dynfocus.words import TimedText

MOST_FRAMES = 1024
"""So many frames are held where nothing else is said."""
_MOST_TEXTS = 20_000
_NUM_LATEST = 16
"""So many of the frames that came last tell nano whether it knows what they show."""
_STALE_SHARE = 10
"""Prototypes are estimated again when one in so many of the frames held is new."""


class _Arrived(NamedTuple):
    """Frames that wait for their window to be full."""

    taken: Tensor
    """As the encoder takes them, ``[F, ...]``."""
    times: Tensor
    """``[F]``, float64."""
    thumbnails: Tensor | None
    """Small pictures, ``[F, H, W, 3]``."""


class _FrameClock:
    """Give every frame a time that is not before the one before it.

    Args:
        fps: The rate of frames without times.
    """

    def __init__(self, fps: float) -> None:
        if not 0 < fps < float("inf"):
            raise ValueError(f"fps must be a finite number above 0, got {fps}")
        self.fps = fps
        self.num_frames = 0
        self.first_seconds = 0.0
        self.last_seconds = 0.0
        self._anchor = 0.0
        self._steps = 0

    @property
    def end_seconds(self) -> float:
        """When the last frame ends if it lasts one step."""
        return self.last_seconds + 1 / self.fps if self.num_frames else 0.0

    @property
    def seen_seconds(self) -> float:
        """How long the frames last in all."""
        return self.end_seconds - self.first_seconds

    def advance(
        self,
        num_frames: int,
        pts_seconds: float | Sequence[float] | NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Take the times of the next frames, or count them.

        Args:
            num_frames: How many frames come.
            pts_seconds: Their times; without, each comes one step after the last.

        Returns:
            Their times, shape ``[num_frames]``. After an error nothing has changed.
        """
        if pts_seconds is None:
            steps = np.arange(self._steps, self._steps + num_frames, dtype=np.float64)
            times = self._anchor + steps / self.fps
            self._steps += num_frames
        else:
            times = self._checked(num_frames, pts_seconds)
            self._anchor, self._steps = float(times[-1]), 1
        if self.num_frames == 0:
            self.first_seconds = float(times[0])
        self.num_frames += num_frames
        self.last_seconds = float(times[-1])
        return times

    def _checked(
        self,
        num_frames: int,
        pts_seconds: float | Sequence[float] | NDArray[np.float64],
    ) -> NDArray[np.float64]:
        times = np.atleast_1d(np.array(pts_seconds, dtype=np.float64))
        if times.shape != (num_frames,):
            raise ValueError(
                f"pts_seconds must have one entry a frame ({num_frames}), got shape "
                f"{list(times.shape)}"
            )
        refused = times[~np.isfinite(times)]
        if len(refused):
            raise ValueError(
                f"pts_seconds must be finite numbers of seconds, got {refused[0]}; leave "
                "frames without a time out"
            )
        before = times[:1] if self.num_frames == 0 else np.array([self.last_seconds])
        earlier = np.concatenate([before, times[:-1]])
        falls = np.flatnonzero(times < earlier)
        if len(falls):
            raise ValueError(
                f"pts_seconds must not fall, got {times[falls[0]]:g} after "
                f"{earlier[falls[0]]:g}; push frames in order of time"
            )
        return times


class Session:
    """Watch a video while it comes, in memory that does not grow.

    Frames are encoded as they arrive. At most ``max_frames`` of them are held; when
    there are more, every second one is, and so on (`FrameMemory`). As long as all
    frames fit, an answer is the one that the same frames would get as a whole video, unless
    a host makes frames smaller the more there are or reads them in pairs.

    Pushing and asking may happen in different threads: a question is about the frames
    pushed before it, and frames can be pushed while its answer is generated.

    Example:
        >>> session = dynfocus.load("nano").session(max_frames=512)
        >>> for frames, times in camera:
        ...     session.push(frames, times)
        >>> session.ask("Which room is shown now?").text

    Args:
        model: The model.
        encoder: What encodes its frames.
        max_frames: Hold at most so many frames; without, all of them.
        fps: The rate that frames without times are taken to have.
        max_video_tokens: At most so many video tokens a question.
        window: Frames that go through the vision tower together. Fewer are encoded
            when a question comes.
        keeps_turns: Whether each question is asked with the turns before it.
        keeps_thumbnails: Whether small pictures of the frames held are kept, for
            reports.
    """

    def __init__(
        self,
        model: VideoModel,
        encoder: FrameEncoder,
        *,
        max_frames: int | None = MOST_FRAMES,
        fps: float = 1.0,
        max_video_tokens: int | None = None,
        window: int = 16,
        keeps_turns: bool = False,
        keeps_thumbnails: bool = False,
    ) -> None:
        check_count("window", window)
        self.turns: list[Turn] = []
        self._model = model
        self._encoder = encoder
        self._options = AskOptions(max_video_tokens=max_video_tokens)
        self._window = window
        self._keeps_turns = keeps_turns
        self._keeps_thumbnails = keeps_thumbnails
        self._memory = FrameMemory(max_frames)
        self._clock = _FrameClock(fps)
        self._waiting: list[_Arrived] = []
        self._size: tuple[int, int] | None = None
        self._prototypes: EventBatch | None = None
        self._estimated_at = 0
        self._latest: deque[NDArray[np.uint8]] = deque(maxlen=_NUM_LATEST)
        self._has_warned = not model.is_nano
        self._ended: deque[TimedText] = deque(maxlen=_MOST_TEXTS)
        self._shown: tuple[TimedText, ...] = ()
        self._lock = threading.Lock()

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width at which frames are best pushed; None for those of the video."""
        return self._encoder.frame_size

    @property
    def fps(self) -> float:
        """The rate that frames without times are taken to have."""
        return self._clock.fps

    @property
    def num_pushed(self) -> int:
        """Count the frames that were pushed."""
        return self._clock.num_frames

    @property
    def num_frames(self) -> int:
        """Count the frames that a question would be about now."""
        with self._lock:
            return self._memory.held_after(self._clock.num_frames)[0]

    @property
    def stride(self) -> int:
        """Tell which frames a question would be about: 1 for all, 2 for every second."""
        with self._lock:
            return self._memory.held_after(self._clock.num_frames)[1]

    @property
    def seen_seconds(self) -> float:
        """Tell how long the frames pushed so far last, in seconds."""
        with self._lock:
            return self._clock.seen_seconds

    @property
    def prototypes(self) -> EventBatch | None:
        """The event prototypes as of late, as a batch of one.

        They are brought up to date whenever a tenth of the frames held is new, and for
        every question.
        """
        with self._lock:
            return self._prototypes

    def push(
        self,
        frames: Any,
        pts_seconds: float | Sequence[float] | NDArray[np.float64] | None = None,
    ) -> None:
        """Take in the next frames.

        Args:
            frames: Frames of uint8, shape ``[F, H, W, 3]``, or one, ``[H, W, 3]``, or
                Pillow images; all frames of a session have one size.
            pts_seconds: Their times, shape ``[F]``, never falling; by default each
                follows the one before by ``1 / fps``, from 0 on.
        """
        array = frame_array([frames] if is_frame(frames) else frames)
        with self._lock:
            size = self._checked_size(array)
            times = torch.from_numpy(self._clock.advance(len(array), pts_seconds))
            self._size = size
            if not self._has_warned:
                self._latest.extend(make_thumbnails(array[-_NUM_LATEST:], size))
            start = 0
            while start < len(array):
                room = self._window - sum(len(part.times) for part in self._waiting)
                part = slice(start, start + room)
                self._waiting.append(self._prepare(array[part], times[part]))
                start += room
                if start <= len(array):
                    self._encode_waiting()
            if self._is_stale():
                prototypes = self._encoder.estimate(self._features())
                self._keep(prototypes, self._memory.num_seen)

    def ask(
        self, question: str, *, on_text: OnText | None = None, **options: Any
    ) -> Answer:
        """Answer a question about the frames pushed so far.

        Args:
            question: The question.
            on_text: Called with each finished piece of the answer.
            **options: Fields of `AskOptions`, such as ``max_new_tokens``.

        Returns:
            The answer, its cost and what became of each frame that is held.
        """
        started = time.perf_counter()
        answer = self._model.answer(
            self.index(),
            question,
            self._options.replace(**options),
            history=tuple(self.turns),
            on_text=on_text,
        )
        if self._keeps_turns:
            self.turns.append(Turn(question, answer.text))
        return replace(answer, seconds=time.perf_counter() - started)

    def hear(self, ended: Sequence[TimedText], shown: Sequence[TimedText] = ()) -> None:
        """Take in what is written and said, for a model whose scorer reads words.

        A question knows the words that begin before the last frame pushed. The latest
        20,000 texts are held.

        Args:
            ended: Texts that will not change any more.
            shown: Texts that are still there, in place of those told before.
        """
        with self._lock:
            self._ended.extend(ended)
            self._shown = tuple(shown)

    def index(self) -> VideoIndex:
        """Copy what is held; it takes the place of a path in every question."""
        with self._lock:
            if self._clock.num_frames == 0:
                raise ValueError(
                    "the session has seen no frame yet; push at least one before asking"
                )
            self._encode_waiting()
            features = self._features()
            thumbnails = self._memory.thumbnails()
            num_seen, duration = self._memory.num_seen, self._clock.end_seconds
            prototypes = self._prototypes if num_seen == self._estimated_at else None
            latest = [] if self._has_warned else list(self._latest)
            last = self._clock.last_seconds
            words = tuple(
                one for one in (*self._ended, *self._shown) if one.start <= last
            )
        if latest and not look_at_world(np.stack(latest)):
            self._has_warned = True
            say_unknown()
        if prototypes is None:
            prototypes = self._encoder.estimate(features)
            with self._lock:
                self._keep(prototypes, num_seen)
        return VideoIndex(
            features=self._encoder.complete(features, prototypes),
            source=None,
            duration=duration,
            fps=self.fps,
            words=words,
            thumbnails=None if thumbnails is None else thumbnails.numpy(),
        )

    def _checked_size(self, array: NDArray[np.uint8]) -> tuple[int, int]:
        size = array.shape[1], array.shape[2]
        if self._size not in (None, size):
            raise ValueError(
                f"the frames of a session must have one size, got {size} after "
                f"{self._size}; resize them"
            )
        return size

    def _prepare(self, array: NDArray[np.uint8], times: Tensor) -> _Arrived:
        """Take frames at once, so that what waits is as large as the model needs."""
        thumbnails = None
        if self._keeps_thumbnails:
            size = array.shape[1], array.shape[2]
            thumbnails = torch.from_numpy(make_thumbnails(array, size))
        return _Arrived(self._encoder.take(array), times, thumbnails)

    def _encode_waiting(self) -> None:
        """Encode the frames that wait, whether their window is full or not."""
        if not self._waiting:
            return
        taken, times, thumbnails = zip(*self._waiting, strict=True)
        encoded = self._encoder.encode(torch.cat(taken))
        small = None if thumbnails[0] is None else torch.cat(thumbnails)
        self._memory.add(encoded, torch.cat(times), small)
        self._waiting.clear()

    def _is_stale(self) -> bool:
        """Tell whether enough came since the prototypes were estimated."""
        if self._estimated_at and self._prototypes is None:
            return False  # the model has none
        num_new = self._memory.num_seen - self._estimated_at
        num_held = self._memory.num_frames
        return num_new > 0 and num_new * _STALE_SHARE >= num_held * self._memory.stride

    def _features(self) -> Any:
        """Make features of what is held."""
        memory = self._memory
        return self._encoder.join(
            memory.rows(), memory.pts_seconds(), self._clock.end_seconds
        )

    def _keep(self, prototypes: EventBatch | None, num_seen: int) -> None:
        """Keep prototypes unless newer ones came from another thread meanwhile."""
        if num_seen >= self._estimated_at:
            self._prototypes, self._estimated_at = prototypes, num_seen
