"""Frames become a video file."""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from dynfocus.atomic import atomic_file


class VideoWriter:
    """Write frames at a constant rate as H.264 in an MP4 file.

    The file appears under its name only when it is complete: it is written beside
    it and renamed on leaving the ``with`` block, and removed if the block fails.

    Example:
        >>> with VideoWriter("out.mp4", fps=8, size=(224, 224)) as writer:
        ...     for frame in frames:
        ...         writer.write(frame)

    Args:
        path: Where the file will stand; its folder must exist.
        fps: Frames a second.
        size: Height and width in pixels, both even.
        crf: Quality of the encoder, from 0 (lossless) to 51 (worst).
        comment: Text for the file's own ``comment`` field, none if empty.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float,
        size: tuple[int, int],
        crf: int = 20,
        comment: str = "",
    ) -> None:
        self.path = Path(path)
        _check_arguments(fps, size, crf)
        self.fps = fps
        self.size = size
        self.comment = comment
        self.num_frames = 0
        self._whole = ExitStack()
        self._options = {"preset": "veryfast", "crf": str(crf)} | _same_everywhere()
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise IsADirectoryError(
                f"{self.path}: cannot write a video here, this is a folder."
            )
        with ExitStack() as whole:
            part = whole.enter_context(atomic_file(self.path))
            try:
                part.touch(exist_ok=False)
            except OSError as error:
                raise type(error)(
                    f"{self.path}: cannot write a video here: {error.strerror}."
                ) from error
            whole.push(self._close)
            self._open(part)
            self._whole = whole.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._whole.__exit__(kind, error, trace)

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one picture, ``[H, W, 3]`` uint8 in red, green, blue."""
        if self._stream is None:
            raise ValueError(
                "This VideoWriter is not open; write inside its `with` block."
            )
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame must be uint8 of shape {[*self.size, 3]}, "
                f"got {frame.dtype} of shape {list(frame.shape)}."
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
        picture = picture.reformat(format="yuv420p", interpolation="AREA")
        picture.pts = self.num_frames
        picture.time_base = 1 / self._stream.average_rate
        self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def _open(self, part: Path) -> None:
        """Open the temporary file and the encoder."""
        self._container = av.open(
            f"file:{part}",
            "w",
            format="mp4",
            options={"movflags": "faststart"},
        )
        if self.comment:
            self._container.metadata["comment"] = self.comment
        rate = Fraction(self.fps).limit_denominator(10_000)
        stream = self._container.add_stream("libx264", rate=rate, options=self._options)
        stream.height, stream.width = self.size
        stream.pix_fmt = "yuv420p"
        # One thread: the same frames give the same bytes on every machine.
        stream.codec_context.thread_count = 1
        self._stream = stream

    def _close(self, kind: type[BaseException] | None, *_: object) -> None:
        """Flush the encoder if all went well; close everything in any case."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._stream = None
            with suppress(av.error.FFmpegError):  # of the trailer of a file not kept
                if self._container is not None:
                    self._container.close()

    def _finish(self) -> None:
        if self.num_frames == 0:
            raise ValueError(f"{self.path}: a video needs at least one frame, got 0.")
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _same_everywhere() -> dict[str, str]:
    """Return the options of x264 that keep it off AVX-512.

    With it one file in a hundred comes out a little different from the same frames
    (x264 165 on Zen 4, 9 of 1080 files; none of 1440 with AVX2), and never as a
    processor without it writes them. A processor that has it has AVX2 too; x264 takes
    the name of one that is absent at its word, so no other processor is told anything.
    """
    known = np.show_config(mode="dicts")["SIMD Extensions"]
    found = known.get("found", ())  # old processors have none beyond the baseline
    has_avx512 = any(name == "X86_V4" or name.startswith("AVX512") for name in found)
    return {"x264-params": "asm=avx2"} if has_avx512 else {}


def _check_arguments(fps: float, size: tuple[int, int], crf: int) -> None:
    """Refuse settings that the encoder would misread."""
    if not 0 < fps <= 1000 or not math.isfinite(fps):
        raise ValueError(f"fps must be above 0 and at most 1000, got {fps}.")
    if len(size) != 2 or any(side < 2 or side % 2 for side in size):
        raise ValueError(
            "size must be an even height and an even width of at least 2 pixels, "
            f"got {tuple(size)}."
        )
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be between 0 and 51, got {crf}.")
