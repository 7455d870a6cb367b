"""Reels: videos of several scenes whose bounds are known, from files or drawn here.

Letters: T frames, H and W of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dynfocus.video import VideoReader, VideoWriter

Frames = NDArray[np.uint8]
Random = np.random.Generator

SIZE = (108, 192)
FPS = 12.5
_NUM_SCENES = (4, 14)
_SECONDS = (1.5, 12.0)
_MOST_CLIP_SECONDS = 60.0
_RETURNS = 0.15
"""How often a scene is of the same clip as an earlier one."""
_FADES = 0.2
"""How often a scene comes by a dissolve in place of a cut."""
_FADE_FRAMES = 6
SPOILS = ("black", "blurred", "frozen")


@dataclass(frozen=True, kw_only=True)
class Reel:
    """A video file and the scenes in it."""

    path: Path
    scenes: tuple[tuple[float, float], ...]
    """Half-open intervals in seconds, in time order, without gaps."""
    clips: tuple[str, ...]
    """What each scene shows."""
    spoiled: tuple[tuple[float, float, str], ...] = ()
    """Half-open intervals in seconds that are black, blurred or frozen."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.scenes[-1][1]

    def num_missed(self, times: Sequence[float] | NDArray[np.float64]) -> int:
        """Count the scenes without a frame at any of these times."""
        times = np.asarray(times)
        return sum(
            not ((times >= start) & (times < end)).any() for start, end in self.scenes
        )


def load_clips(folder: Path) -> dict[str, Frames]:
    """Read the videos of a folder, up to a minute of each, all at one size and rate."""
    clips = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".mp4", ".webm", ".mkv", ".mov"} or "reel" in path.name:
            continue
        reader = VideoReader(path)
        seconds = min(reader.duration, _MOST_CLIP_SECONDS)
        times = np.arange(0, seconds - 0.05, 1 / FPS)
        clips[path.stem] = reader.sample(times=times, size=SIZE).frames
    return clips


def make_reel(
    path: Path,
    seed: int,
    clips: dict[str, Frames] | None = None,
    *,
    is_spoiled: bool = False,
) -> Reel:
    """Write a reel of random clips, cut times and lengths.

    Args:
        path: Where the file will stand.
        seed: Decides everything.
        clips: Frames to cut scenes from; by default every scene is drawn.
        is_spoiled: Make up to two seconds of every scene black, blurred or frozen.
    """
    rng = np.random.default_rng(seed)
    num_scenes = int(rng.integers(*_NUM_SCENES, endpoint=True))
    names: list[str] = []
    parts: list[Frames] = []
    for _ in range(num_scenes):
        low, high = np.log(_SECONDS)
        length = round(float(np.exp(rng.uniform(low, high))) * FPS)
        if clips is None:
            number = int(rng.integers(len(KINDS)))
            names.append(list(KINDS)[number])
            parts.append(KINDS[names[-1]](rng, length))
            continue
        others = [name for name in clips if not names or name != names[-1]]
        returning = sorted(set(names[:-1]) & set(others))
        pool = returning if returning and rng.random() < _RETURNS else others
        names.append(str(rng.choice(pool)))
        clip = clips[names[-1]]
        length = min(length, len(clip))
        start = int(rng.integers(len(clip) - length + 1))
        parts.append(clip[start : start + length])
    bounds = np.cumsum([0, *map(len, parts)]) / FPS
    parts = [
        parts[0],
        *(_faded(rng, *pair) for pair in zip(parts, parts[1:], strict=False)),
    ]
    spoiled = []
    for number, start in enumerate(bounds[:-1].tolist()) if is_spoiled else ():
        parts[number], (first, end, what) = _spoil(rng, parts[number])
        spoiled.append((start + first / FPS, start + end / FPS, what))
    with VideoWriter(path, fps=FPS, size=SIZE) as writer:
        for part in parts:
            for frame in part:
                writer.write(frame)
    scenes = tuple(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    return Reel(path=path, scenes=scenes, clips=tuple(names), spoiled=tuple(spoiled))


def _spoil(rng: Random, scene: Frames) -> tuple[Frames, tuple[int, int, str]]:
    """Make up to two seconds, half of a scene at most, black, blurred or frozen."""
    length = min(round(2 * FPS), len(scene) // 2)
    start = int(rng.integers(len(scene) - length + 1))
    part, what = slice(start, start + length), str(rng.choice(SPOILS))
    scene = scene.copy()
    if what == "black":
        scene[part] = 0
    elif what == "blurred":
        for number in range(part.start, part.stop):
            blurred = Image.fromarray(scene[number]).filter(ImageFilter.GaussianBlur(4))
            scene[number] = np.asarray(blurred)
    else:
        scene[part] = scene[start]
    return scene, (part.start, part.stop, what)


def _faded(rng: Random, before: Frames, after: Frames) -> Frames:
    """Let a scene sometimes come by a dissolve from the last frame before it."""
    if rng.random() >= _FADES or len(after) < 3 * _FADE_FRAMES:
        return after
    share = (np.arange(1, _FADE_FRAMES + 1) / (_FADE_FRAMES + 1))[:, None, None, None]
    mixed = share * after[:_FADE_FRAMES] + (1 - share) * before[-1]
    return np.concatenate([mixed.astype(np.uint8), after[_FADE_FRAMES:]])


# Drawn scenes: each takes a generator and a number of frames, and gives the frames.


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = SIZE
    rows, columns = np.mgrid[:height, :width]
    return rows / height, columns / height


def _colour(rng: Random) -> NDArray[np.float64]:
    return rng.uniform(10, 245, 3)


def _smooth(rng: Random, size: tuple[int, int], cells: int) -> NDArray[np.float64]:
    """Draw a smooth random picture of values from 0 to 1, ``[H, W]``."""
    small = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
    large = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(large, np.float64) / 255


def _picture(rng: Random, size: tuple[int, int]) -> NDArray[np.float64]:
    """Draw a still picture of two or three colours, ``[H, W, 3]``."""
    octaves = sum(_smooth(rng, size, int(c)) / k for k, c in enumerate((4, 9, 24), 1))
    share = np.clip((octaves - 0.4) / 1.1, 0, 1)[..., None]
    picture = share * _colour(rng) + (1 - share) * _colour(rng)
    for _ in range(int(rng.integers(2, 9))):
        top, left = (int(rng.integers(0, side)) for side in size)
        height, width = (int(rng.integers(4, max(5, side // 3))) for side in size)
        picture[top : top + height, left : left + width] = _colour(rng)
    return picture


def _blobs(rng: Random, num_frames: int) -> Frames:
    """Draw soft spots that move over a plain ground."""
    rows, columns = _grid()
    ground = _colour(rng)
    count = int(rng.integers(2, 7))
    place, speed = rng.uniform(0, 1.7, (count, 2)), rng.normal(0, 0.15, (count, 2))
    width, colours = rng.uniform(0.05, 0.3, count), rng.uniform(0, 255, (count, 3))
    frames = []
    for number in range(num_frames):
        frame = np.broadcast_to(ground, (*SIZE, 3)).copy()
        for at, move, size, colour in zip(place, speed, width, colours, strict=True):
            row, column = (at + move * number / FPS) % (1.0, 1.78)
            spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / size**2)
            frame += spot[..., None] * (colour - frame)
        frames.append(frame)
    return np.array(frames).astype(np.uint8)


def _pan(rng: Random, num_frames: int) -> Frames:
    """Let a camera move over a large picture."""
    large = _picture(rng, (SIZE[0] * 3, SIZE[1] * 3))
    speed = rng.normal(0, 18, 2) / FPS
    start = rng.uniform(0.3, 0.7, 2) * 2 * np.array(SIZE)
    frames = []
    for number in range(num_frames):
        row, column = np.clip(start + speed * number, 0, 2 * np.array(SIZE)).astype(int)
        frames.append(large[row : row + SIZE[0], column : column + SIZE[1]])
    return np.array(frames).astype(np.uint8)


def _shaken(rng: Random, num_frames: int) -> Frames:
    """Hold a camera by hand, in light that changes."""
    large = _picture(rng, (SIZE[0] + 24, SIZE[1] + 24))
    steps = np.clip(12 + np.cumsum(rng.normal(0, 1.0, (num_frames, 2)), 0), 0, 24)
    light = 1 + 0.15 * np.sin(np.arange(num_frames) / FPS * rng.uniform(0.2, 2))
    frames = [
        large[row : row + SIZE[0], column : column + SIZE[1]] * bright
        for (row, column), bright in zip(steps.astype(int), light, strict=True)
    ]
    return np.clip(frames, 0, 255).astype(np.uint8)


def _zoom(rng: Random, num_frames: int) -> Frames:
    """Zoom into a picture or out of it."""
    large = Image.fromarray(_picture(rng, (324, 576)).astype(np.uint8))
    begin, end = rng.permutation(rng.uniform([0.35, 0.7], [0.6, 1.0]))
    frames = []
    for share in np.linspace(begin, end, num_frames):
        width, height = 576 * share, 324 * share
        box = (
            (576 - width) / 2,
            (324 - height) / 2,
            (576 + width) / 2,
            (324 + height) / 2,
        )
        frames.append(np.asarray(large.resize(SIZE[::-1], box=box)))
    return np.array(frames)


def _stripes(rng: Random, num_frames: int) -> Frames:
    """Draw a pattern of waves that moves."""
    rows, columns = _grid()
    angle, waves = rng.uniform(0, np.pi), rng.uniform(3, 15)
    along = waves * (np.cos(angle) * rows + np.sin(angle) * columns)
    one, other, speed = _colour(rng), _colour(rng), rng.normal(0, 1.5)
    frames = []
    for number in range(num_frames):
        share = 0.5 + 0.5 * np.sin(2 * np.pi * (along + speed * number / FPS))
        share = (share > 0.5) * 1.0 if waves > 9 else share
        frames.append(share[..., None] * one + (1 - share[..., None]) * other)
    return np.array(frames).astype(np.uint8)


def _slide(rng: Random, num_frames: int) -> Frames:
    """Draw a page of lines on plain ground; now and then one more line."""
    light = rng.uniform(180, 250) if rng.random() < 0.6 else rng.uniform(5, 60)
    page = np.full((*SIZE, 3), light) + rng.uniform(-15, 15, 3)
    ink = np.clip(255 - page[0, 0] + rng.uniform(-30, 30, 3), 0, 255)
    page[8:18, 20 : int(rng.integers(60, 170))] = ink
    lines = list(range(28, 100, int(rng.integers(8, 14))))
    step = max(1, int(rng.uniform(0.7, 4) * FPS))
    frames = []
    for number in range(num_frames):
        if lines and number % step == 0:
            row = lines.pop(0)
            page[row : row + 4, 24 : int(rng.integers(50, 180))] = ink
        frames.append(page.copy())
    return np.array(frames).astype(np.uint8)


def _flow(rng: Random, num_frames: int) -> Frames:
    """Draw clouds or water: smooth pictures that turn into each other."""
    one, other = _colour(rng), _colour(rng)
    seconds = rng.uniform(0.8, 3)
    count = int(num_frames / FPS / seconds) + 2
    keys = [_smooth(rng, SIZE, int(rng.integers(4, 12))) for _ in range(count)]
    frames = []
    for number in range(num_frames):
        key, share = divmod(number / FPS / seconds, 1)
        mixed = (1 - share) * keys[int(key)] + share * keys[int(key) + 1]
        frames.append(mixed[..., None] * one + (1 - mixed[..., None]) * other)
    return np.array(frames).astype(np.uint8)


def _night(rng: Random, num_frames: int) -> Frames:
    """Draw a dark place with one light that moves."""
    rows, columns = _grid()
    ground = _picture(rng, SIZE) * rng.uniform(0.06, 0.2)
    centre, reach = rng.uniform(0.3, 0.7, 2) * (1, 1.78), rng.uniform(0.1, 0.4)
    colour, pace = rng.uniform(120, 255, 3), rng.uniform(0.3, 2)
    frames = []
    for number in range(num_frames):
        turn = pace * number / FPS
        row, column = centre + reach * np.array([np.sin(turn), np.cos(1.3 * turn)])
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.02)[..., None]
        frames.append(ground + spot * (colour - ground))
    return np.array(frames).astype(np.uint8)


def _room(rng: Random, num_frames: int) -> Frames:
    """Film a person-like figure that walks through a still room, out of focus."""
    room = Image.fromarray(_picture(rng, SIZE).astype(np.uint8))
    still = np.asarray(room.filter(ImageFilter.GaussianBlur(1.5)), np.float64)
    colour, speed = _colour(rng), rng.normal(0, 25)
    start = rng.uniform(0, SIZE[1])
    frames = []
    for number in range(num_frames):
        frame = still.copy()
        left = int((start + speed * number / FPS) % (SIZE[1] + 30)) - 30
        frame[30:, max(0, left) : max(0, left + 24)] = colour
        frames.append(frame)
    return np.array(frames).astype(np.uint8)


KINDS: dict[str, Callable[[Random, int], Frames]] = {
    "blobs": _blobs,
    "flow": _flow,
    "night": _night,
    "pan": _pan,
    "room": _room,
    "shaken": _shaken,
    "slide": _slide,
    "stripes": _stripes,
    "zoom": _zoom,
}
"""Drawn scenes by name."""
