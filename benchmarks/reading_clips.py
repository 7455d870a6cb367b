"""Long H.264 files for the reading benchmark, made in seconds.

One minute of a moving, textured picture is encoded once; the file is that minute again and
again, with running times. It is as hard to decode as a film of its length, and the number of
each frame within its minute can be read back from the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 30
FRAMES_PER_PART = 60 * FRAMES_PER_SECOND
KEY_FRAME_EVERY = 250
_NUM_BITS = 12


def make_clip(path: Path, *, minutes: int, size: tuple[int, int]) -> Path:
    """Write a file of so many minutes, unless it is there already."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.mp4")
    _encode_minute(part, size)
    unfinished = path.with_suffix(".unfinished.mp4")
    repeat_clip(part, unfinished, minutes, 60)
    part.unlink()
    unfinished.replace(path)
    return path


def read_number(picture: NDArray[np.uint8]) -> int:
    """Read the number of a frame within its minute from a picture of any size."""
    height, width = picture.shape[:2]
    number = 0
    for bit in range(_NUM_BITS):
        middle = (bit + 0.5) * width / 16
        block = picture[
            height // 64 : 3 * height // 64,
            round(middle - width / 64) : round(middle + width / 64),
        ]
        is_set = bool(block.mean() > 127)
        number = 2 * number + (is_set ^ (number & 1))
    return number


def make_hard_files(folder: Path) -> dict[str, Path]:
    """Write small files on which readers that count frames go wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    size, steady = (240, 426), np.arange(600)
    whole = folder / "whole.mp4"
    _encode(whole, size, steady, key_every=60)
    files = {
        "MP4 cut without encoding": _copy(whole, folder / "cut.mp4", start=3.37),
        "Matroska": _copy(whole, folder / "whole.mkv"),
        "MPEG-TS": _copy(whole, folder / "whole.ts"),
        "fragmented MP4": _copy(
            whole,
            folder / "fragmented.mp4",
            options={"movflags": "frag_keyframe+empty_moov"},
        ),
    }
    uneven = np.flatnonzero((np.arange(1200) % 3 > 0) | (np.arange(1200) % 50 < 20))
    files["variable frame rate"] = folder / "variable.mp4"
    _encode(files["variable frame rate"], size, uneven, key_every=60)
    return files


def _encode_minute(path: Path, size: tuple[int, int]) -> None:
    _encode(path, size, np.arange(FRAMES_PER_PART), key_every=KEY_FRAME_EVERY)


def _encode(
    path: Path, size: tuple[int, int], pts: NDArray[np.int64], *, key_every: int
) -> None:
    """Encode numbered frames, to be shown at multiples of the frame duration."""
    with av.open(str(path), "w") as out:
        options = {
            "preset": "veryfast",
            "crf": "24",
            "g": str(key_every),
            "keyint_min": str(key_every),
            "sc_threshold": "0",
            "bf": "3",
            "b_strategy": "0",
        }
        stream = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for ticks, picture in zip(pts, _pictures(size), strict=False):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = int(ticks), Fraction(1, FRAMES_PER_SECOND)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _copy(
    source: Path,
    path: Path,
    *,
    start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Put a film into another container, shown from ``start`` on."""
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.size]
        first = max(
            number
            for number, packet in enumerate(packets)
            if packet.is_keyframe and packet.pts * packet.time_base <= start
        )
        shift = round(start / stream.time_base)
        for packet in packets[first:]:
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            out.mux(packet)
    return path


def _pictures(size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Draw a textured ground that wanders, two moving things and the number."""
    height, width = size
    random = np.random.default_rng(0)
    ground = _texture(random, (2 * height, 2 * width), 24)
    things = [_texture(random, (height // 4, width // 6), 8) for _ in range(3)]
    for number in range(FRAMES_PER_PART):
        angle = 2 * np.pi * number / FRAMES_PER_PART
        y = round(height * (0.5 + 0.45 * np.sin(2 * angle)))
        x = round(width * (0.5 + 0.45 * np.sin(angle)))
        picture = ground[y : y + height, x : x + width].copy()
        for place, thing in enumerate(things):
            tall, wide = thing.shape[:2]
            row = round((height - tall) * (0.5 + 0.5 * np.sin(3 * angle + place)))
            column = round((width - wide) * (0.5 + 0.5 * np.cos(5 * angle + 2 * place)))
            picture[row : row + tall, column : column + wide] = thing
        _write_number(picture, number)
        yield picture


def _texture(
    random: np.random.Generator, size: tuple[int, int], grain: int
) -> NDArray[np.uint8]:
    """Make a picture with coarse patches, edges and some fine noise."""
    rows, columns = -(-size[0] // grain), -(-size[1] // grain)
    coarse = random.integers(30, 220, (rows, columns, 3))
    patches = np.kron(coarse, np.ones((grain, grain, 1)))[: size[0], : size[1]]
    noisy = patches + random.normal(0, 6, patches.shape)
    return np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8))


def _write_number(picture: NDArray[np.uint8], number: int) -> None:
    """Draw the Gray code of a number, one block a bit, along the upper edge."""
    height, width = picture.shape[:2]
    code = number ^ (number >> 1)
    for bit in range(_NUM_BITS):
        is_set = code >> (_NUM_BITS - 1 - bit) & 1
        picture[: height // 16, bit * width // 16 : (bit + 1) * width // 16] = (
            235 if is_set else 16
        )


def repeat_clip(part: Path, path: Path, times: int, seconds: int) -> None:
    """Join a file of so many seconds to itself without encoding again."""
    with av.open(str(part)) as given:
        source = given.streams.video[0]
        packets = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe)
            for packet in given.demux(source)
            if packet.size
        ]
        step = seconds / source.time_base
        with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
            copy = out.add_stream_from_template(source)
            for turn in range(times):
                shift = int(turn * step)
                for data in packets:
                    out.mux(_packet(data, shift, source.time_base, copy))


def _packet(
    given: tuple[bytes, int, int, bool], shift: int, time_base: Fraction, stream: Any
) -> Any:
    data, pts, dts, is_key = given
    packet = av.Packet(data)
    packet.pts, packet.dts = pts + shift, dts + shift
    packet.time_base = time_base
    packet.is_keyframe = is_key
    packet.stream = stream
    return packet
