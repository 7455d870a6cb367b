"""SF2T: five tasks about fragments of any video, whose answers follow from their making.

Hu et al., CVPR 2025. A fragment is named by an address such as
``fragment:disorder/12?frames=6&of=clip.mp4`` and cut when it is needed, so that any number
of them takes no disk. Letters: ``n`` frames of a fragment.

Differs from the original:
    There consistency and localisation are of objects that people annotated. Here the
    second of two frames is the first with one change, and the target is a square that is
    drawn into some frames, so that every answer is known of any video. Wordings, changes,
    moments and the numbers of frames are our choice; so is that frames of an order are
    numbered as they are shown. Of a video in which nothing moves no order can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from dynfocus.validation import Count, Natural, checked
from dynfocus.video import SampledFrames, VideoReader, find_videos
from dynfocus.world.conversations import PLACEHOLDER, parse_address, render_address

SCHEME = "fragment"
Task = Literal["counting", "consistency", "localisation", "disorder", "rearrangement"]
TASKS: tuple[Task, ...] = get_args(Task)
"""The five tasks."""
PLACES = ("top left", "top right", "bottom left", "bottom right")
"""Where a square or a change may be."""
_STEPS = (0.25, 2.0)  # shortest and longest time from one frame to the next, seconds

Frame = NDArray[np.uint8]


def _darken(frame: Frame) -> Frame:
    return frame // 3


def _grey(frame: Frame) -> Frame:
    mean = frame.mean(2, keepdims=True).round().astype(np.uint8)
    return mean.repeat(3, axis=2)


def _cover(frame: Frame) -> Frame:
    changed = frame.copy()
    changed[: len(frame) // 2] = 0
    return changed


CHANGES: dict[str, Callable[[Frame], Frame]] = {
    "nothing": lambda frame: frame,
    "it is mirrored": lambda frame: frame[:, ::-1],
    "it is darker": _darken,
    "it has no colours": _grey,
    "its upper half is black": _cover,
}
"""What may be different in the second of two frames, by the answer."""


@dataclass(frozen=True)
class Fragment:
    """A few frames of a video with a task about them."""

    task: Task
    """Which of the five."""
    seed: int
    """Decides moments, order, change and place."""
    num_frames: int
    """Frames, ``n``."""
    source: str
    """The video: a file, or an address of FocusWorld."""

    def __str__(self) -> str:
        return (
            f"{SCHEME}:{self.task}/{self.seed}?frames={self.num_frames}"
            f"&of={quote(self.source)}"
        )

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Which of the frames in order of time each shown one is, ``[n]``, int64."""
        order, rng = np.arange(self.num_frames), self._rng(1)
        is_shuffled = self.task == "rearrangement" or (
            self.task == "disorder" and rng.random() < 0.5
        )
        while is_shuffled and (order[:-1] < order[1:]).all():
            order = rng.permutation(self.num_frames)
        return order

    @cached_property
    def change(self) -> str:
        """What is different in the second of two frames."""
        return str(self._rng(2).choice([*CHANGES]))

    @cached_property
    def shown(self) -> tuple[int, int]:
        """The first frame that has the square, and the last, from 0."""
        rng, last = self._rng(3), self.num_frames - 1
        one, other = sorted(rng.integers(0, last + 1, 2).tolist())
        way = rng.integers(3)
        if way == 0:
            return int(rng.integers(1, last + 1)), last
        if way == 1:
            return 0, int(rng.integers(0, last))
        return one, other

    @cached_property
    def place(self) -> str:
        """Where the square is."""
        return str(self._rng(4).choice(PLACES))

    def turns(self) -> list[tuple[str, str]]:
        """Ask about the fragment: questions and their answers."""
        if self.task == "counting":
            return [("How many frames are shown?", str(self.num_frames))]
        if self.task == "consistency":
            return [("What is different in the second frame?", self.change)]
        if self.task == "localisation":
            return [self._when(), ("Where is it?", self.place)]
        if self.task == "disorder":
            in_order = bool((self.order[:-1] < self.order[1:]).all())
            answer = "yes" if in_order else "no"
            return [("Are the frames in the order of time?", answer)]
        numbers = ", ".join(str(number + 1) for number in np.argsort(self.order))
        return [("In which order should the frames stand?", numbers)]

    def _when(self) -> tuple[str, str]:
        first, last = self.shown
        if first > 0 and last == self.num_frames - 1:
            return "In which frame does a white square appear?", str(first + 1)
        if first == 0 and last < self.num_frames - 1:
            return "In which frame does a white square disappear?", str(last + 2)
        span = str(first + 1) if first == last else f"{first + 1} to {last + 1}"
        return "In which frames is a white square?", span

    def sample(self) -> dict[str, Any]:
        """Write the conversation in LLaVA's format."""
        turns: list[dict[str, str]] = []
        for question, answer in self.turns():
            mark = "" if turns else f"{PLACEHOLDER}\n"
            turns.append({"from": "human", "value": f"{mark}{question}"})
            turns.append({"from": "gpt", "value": answer})
        return {"id": str(self), "video": str(self), "conversations": turns}

    def render(self, fps: float, frame_size: int) -> SampledFrames:
        """Cut the fragment.

        Args:
            fps: Its frames are told to follow each other at this rate, so that no time
                betrays their order.
            frame_size: Side at which a file is decoded.

        Raises:
            ValueError: The video has fewer frames.
        """
        frames = self._decode(frame_size)
        if self.task == "consistency":
            frames = np.stack([frames[0], CHANGES[self.change](frames[0])])
        if self.task == "localisation":
            first, last = self.shown
            frames = frames.copy()
            for frame in frames[first : last + 1]:
                draw_square(frame, self.place)
        times = np.arange(self.num_frames, dtype=np.float64) / fps
        cut = SampledFrames(np.ascontiguousarray(frames[self.order]), times)
        cut.duration = self.num_frames / fps
        return cut

    def _decode(self, frame_size: int) -> Frame:
        """Give the frames in order of time, ``[n, H, W, 3]``."""
        count = 1 if self.task == "consistency" else self.num_frames
        address = parse_address(self.source)
        if address is not None:
            times = self._moments(address.seconds, count)
            return render_address(address, times=times).frames
        reader = VideoReader(self.source)
        times = self._moments(reader.duration, count)
        found = reader.sample(times=times, size=(frame_size, frame_size))
        if len(np.unique(found.times)) < count:
            raise ValueError(
                f"{self.source} is too short for a fragment of {count} frames; leave it "
                "out or ask for fewer"
            )
        return found.frames

    def _moments(self, duration: float, count: int) -> NDArray[np.float64]:
        """Choose moments that follow each other evenly, ``[n]``."""
        rng = self._rng(0)
        step = min(float(rng.uniform(*_STEPS)), duration / count)
        start = float(rng.uniform(0, max(0.0, duration - step * count)))
        return np.asarray(start + step * (np.arange(count) + 0.5), np.float64)

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([67, self.seed, part])


def draw_square(frame: Frame, place: str) -> None:
    """Draw a white square with a black rim into the middle of a quarter of a frame."""
    side = max(3, min(frame.shape[:2]) // 4)
    top, left = (
        length * (1 + 2 * far) // 4 - side // 2
        for length, far in (
            (frame.shape[0], place.startswith("bottom")),
            (frame.shape[1], place.endswith("right")),
        )
    )
    frame[top : top + side, left : left + side] = 0
    rim = max(1, side // 8)
    frame[top + rim : top + side - rim, left + rim : left + side - rim] = 255


def parse_fragment(text: str) -> Fragment | None:
    """Read an address; returns None for anything that is not of this scheme.

    Raises:
        ValueError: If it is of this scheme but malformed.
    """
    if not text.startswith(f"{SCHEME}:"):
        return None
    parts = urlsplit(text)
    fields = parse_qs(parts.query)
    try:
        task, seed = parts.path.split("/")
        return Fragment(
            task=TASKS[TASKS.index(task)],
            seed=int(seed),
            num_frames=int(fields["frames"][0]),
            source=fields["of"][0],
        )
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{text!r} is not the address of a fragment such as "
            "fragment:disorder/12?frames=6&of=clip.mp4"
        ) from error


@checked
class Fragments:
    """SF2T's tasks about fragments of any videos, made from the videos alone."""

    videos: tuple[str, ...]
    """Files, folders and patterns, or addresses of FocusWorld; in turn."""
    num_samples: Count
    """How many fragments, of all videos and tasks alike."""
    tasks: tuple[Task, ...] = TASKS
    """Which tasks; in turn."""
    frames: tuple[Count, Count] = (4, 8)
    """Fewest and most frames of a fragment; of ``consistency`` there are two."""
    seed: Natural = 0
    """Number of the first."""

    def __post_init__(self) -> None:
        low, high = self.frames
        if not 2 <= low <= high:
            raise ValueError(
                "data.sources: fragments.frames must be two numbers from 2, the larger "
                f"last, got {[low, high]}"
            )
        if not self.tasks or not self.videos:
            raise ValueError(
                "data.sources: fragments needs a video and a task at least"
            )

    def samples(self) -> list[dict[str, Any]]:
        """Write the conversations; no video is opened.

        Raises:
            FileNotFoundError: If a file or a folder is missing.
        """
        videos = _name_videos(self.videos)
        samples = []
        for number in range(self.num_samples):
            # each video meets every task, however many there are of both
            task = self.tasks[number // len(videos) % len(self.tasks)]
            seed = self.seed + number
            rng = np.random.default_rng([71, seed])
            count = int(rng.integers(self.frames[0], self.frames[1] + 1))
            fragment = Fragment(
                task=task,
                seed=seed,
                num_frames=2 if task == "consistency" else count,
                source=videos[number % len(videos)],
            )
            samples.append(fragment.sample())
        return samples


def _name_videos(names: Sequence[str]) -> list[str]:
    """Name files, those of folders too, and addresses, each once."""
    found: dict[str, None] = {}
    for name in names:
        if parse_address(name) is not None:
            found[name] = None
            continue
        for video in find_videos([name]):
            found[str(video.absolute() if isinstance(video, Path) else video)] = None
    return list(found)
