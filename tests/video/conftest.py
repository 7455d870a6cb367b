"""Small clips whose frames carry their own number as a pattern of 4 x 4 blocks."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

TICKS = 90_000
_ENCODERS = {
    "libx264": {"preset": "ultrafast", "bf": "3", "b_strategy": "0", "g": "10"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "log-level=none:keyint=10:bframes=3:b-adapt=0",
    },
    "libsvtav1": {"preset": "12", "crf": "40", "svtav1-params": "keyint=10"},
}


def _draw(number: int, height: int, width: int) -> np.ndarray:
    """Draw the 16 bits of a number, most significant first, as bright blocks."""
    bits = np.array([(number >> bit) & 1 for bit in range(15, -1, -1)]).reshape(4, 4)
    blocks = np.kron(bits, np.ones((height // 4, width // 4)))
    return np.repeat((30 + 190 * blocks)[..., None], 3, axis=2).astype(np.uint8)


def _read(picture: np.ndarray) -> int:
    """Read the number that ``_draw`` drew."""
    height, width = picture.shape[0] // 4, picture.shape[1] // 4
    cells = picture[: 4 * height, : 4 * width].reshape(4, height, 4, width, 3)
    inner = cells[:, height // 4 : -height // 4, :, width // 4 : -width // 4]
    number = 0
    for bit in inner.mean(axis=(1, 3, 4)).ravel() > 125:
        number = 2 * number + int(bit)
    return number


@pytest.fixture
def draw_number() -> Callable[..., np.ndarray]:
    return _draw


@pytest.fixture
def read_numbers() -> Callable[[np.ndarray], list[int]]:
    return lambda frames: [_read(frame) for frame in frames]


def _write_clip(
    path: Path | Any,
    pts_seconds: Iterable[float],
    *,
    codec: str = "libx264",
    container_format: str | None = None,
    muxer: dict[str, str] | None = None,
    encoder: dict[str, str] | None = None,
    size: tuple[int, int] = (64, 96),
    rotation: int = 0,
    is_mirrored: bool = False,
    has_audio: bool = False,
    is_audio_first: bool = False,
    has_cover_first: bool = False,
    pix_fmt: str = "yuv420p",
    first_number: int = 0,
    ticks: int = TICKS,
    sound_until: float | None = None,
) -> Any:
    """Encode frames numbered from ``first_number`` at the given times.

    ``size`` is the displayed size; with a rotation the picture is stored so that
    the player, which turns it clockwise by ``rotation`` degrees and then mirrors
    it if ``is_mirrored``, shows it upright.
    """
    options = _ENCODERS.get(codec, {})
    target = path if not isinstance(path, Path) else f"file:{path}"
    with av.open(target, "w", format=container_format, options=muxer or {}) as out:
        cover = _add_cover(out) if has_cover_first else None
        sound = None
        if is_audio_first:
            sound = out.add_stream("aac", rate=16_000)
        stream = out.add_stream(codec, rate=30, options={**options, **(encoder or {})})
        stored = np.rot90(np.zeros(size), rotation // 90)
        stream.height, stream.width = stored.shape
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.codec_context.thread_count = 1
        if rotation or is_mirrored:
            stream.set_display_rotation(-rotation, is_mirrored)
        if has_audio:
            sound = out.add_stream("aac", rate=16_000)
        if cover is not None:
            _write_cover(out, cover)
        end = 0.0
        for number, seconds in enumerate(pts_seconds, first_number):
            picture = _draw(number, *size)
            if is_mirrored:
                picture = picture[:, ::-1]
            picture = np.rot90(picture, rotation // 90)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = round(seconds * ticks)
            frame.time_base = Fraction(1, ticks)
            out.mux(stream.encode(frame))
            end = seconds
        out.mux(stream.encode(None))
        if sound is not None:
            _write_silence(out, sound, sound_until or end + 3.0)
    return path


def _add_cover(out: Any) -> Any:
    cover = out.add_stream("mjpeg", rate=1)
    cover.height, cover.width, cover.pix_fmt = 200, 300, "yuvj420p"
    cover.disposition = av.stream.Disposition.attached_pic
    return cover


def _write_cover(out: Any, cover: Any) -> None:
    picture = av.VideoFrame.from_ndarray(np.zeros((200, 300, 3), np.uint8), "rgb24")
    out.mux(cover.encode(picture.reformat(format="yuvj420p")))
    out.mux(cover.encode(None))


def _write_silence(out: Any, sound: Any, duration: float) -> None:
    for position in range(0, int(duration * 16_000), 1024):
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), "fltp", "mono"
        )
        frame.sample_rate = 16_000
        frame.pts = position
        out.mux(sound.encode(frame))
    out.mux(sound.encode(None))


def _cut_without_encoding(source: Path, path: Path, start: float) -> Path:
    """Copy the packets from the key frame before ``start``; show them from there on."""
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [p for p in given.demux(stream) if p.size]
        keys = [
            n
            for n, p in enumerate(packets)
            if p.is_keyframe and p.pts * p.time_base <= start
        ]
        shift = round(start / packets[0].time_base)
        for packet in packets[keys[-1] :]:
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            out.mux(packet)
    return path


@pytest.fixture
def cut_without_encoding() -> Callable[[Path, Path, float], Path]:
    return _cut_without_encoding


@pytest.fixture
def decode_everything() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Decode a file in order with plain PyAV: all pictures and their times."""

    def decode(path: Path, turns: int = 0) -> tuple[np.ndarray, np.ndarray]:
        with av.open(str(path)) as container:
            covers = av.stream.Disposition.attached_pic
            films = [s for s in container.streams.video if not s.disposition & covers]
            films[0].thread_type = "NONE"
            frames = list(container.decode(films[0]))
            times = np.array([float(f.pts * films[0].time_base) for f in frames])
            pictures = [
                np.rot90(
                    f.reformat(format="rgb24", interpolation="BICUBIC").to_ndarray(),
                    turns,
                )
                for f in frames
            ]
        return np.stack(pictures), times - times[0]

    return decode


@pytest.fixture
def write_clip() -> Callable[..., Any]:
    return _write_clip


@pytest.fixture
def write_sound() -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with av.open(str(path), "w") as out:
            _write_silence(out, out.add_stream("aac", rate=16_000, layout="mono"), 1.0)
        return path

    return write
