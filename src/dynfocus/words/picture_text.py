"""Text in a picture: where it stands, and what it says.

The two networks of PP-OCR in the wheel of rapidocr run on onnxruntime: one marks the pixels
of text, the other reads a line. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynfocus.video.watchdog import available_cores

_NEEDED = ("cv2", "onnxruntime", "rapidocr")
_HOW = "install it with: pip install 'dynfocus[text]'"
_MULTIPLE = 32  # of the sides that the first network takes
_MARK_LEVEL, _BOX_LEVEL = 0.3, 0.5  # of a pixel, and of a box on average
_GROWTH = 1.6  # the network marks shrunken boxes: by area times this over their girth
_LEAST_SIDE = 3  # pixels of a mark
_LINE_HEIGHT = 48  # pixels that the second network takes
_LINE_WIDTHS = (48, 48 * 50)
_WIDTH_STEP = 96  # lines are padded to multiples, so that few shapes are met
_SQUEEZED, _SURE = 0.7, 0.95  # read narrow first, and as wide as it is where unsure
_BATCH_WIDTH = 3200  # pixels of all lines that are read at once
_UPRIGHT_RATIO = 1.5  # a box so much higher than wide holds a line that is turned


class Reading(NamedTuple):
    """What a line was read as."""

    text: str
    """The text; nothing where no character was seen."""
    confidence: float
    """Mean probability of its characters."""


def lacks_reader() -> str | None:
    """Name the package without which pictures cannot be read; None if all are there."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            return name
    return None


def require_reader() -> None:
    """Fail where pictures cannot be read.

    Raises:
        ImportError: A package is not installed.
    """
    missing = lacks_reader()
    if missing is not None:
        raise ImportError(
            f"reading the picture needs {missing}; {_HOW}; or leave it out with --no-read"
        )


def reader_name() -> str:
    """Name what reads pictures, with its version: what is kept depends on it."""
    return "+".join(path.stem for path in _model_files())


class PictureReader:
    """Find and read text in pictures.

    Questions come from one thread at a time.

    Args:
        num_threads: Cores to use; by default all that this process may use.

    Raises:
        ImportError: A package is not installed.
        OSError: A model's file is damaged, or not there.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        require_reader()
        self._num_threads = num_threads or available_cores()

    def find(self, picture: NDArray[np.uint8], longer_side: int) -> NDArray[np.float32]:
        """Find lines of text.

        Args:
            picture: Red, green and blue, ``[H, W, 3]``.
            longer_side: The picture is made smaller for the search if it has more pixels.

        Returns:
            Corners of each line's box in pixels, ``[lines, 4, 2]``, clockwise from the one
            at the beginning of the text if that is upright; from the top of the picture.
        """
        import cv2

        height, width = picture.shape[:2]
        scale = min(1.0, longer_side / max(height, width))
        sides = [
            max(_MULTIPLE, round(side * scale / _MULTIPLE) * _MULTIPLE)
            for side in (width, height)
        ]
        small = cv2.resize(picture, sides, interpolation=cv2.INTER_AREA)
        marks = self._run(self._finder, _normalized(small)[None])[0, 0]
        back = np.array([width / sides[0], height / sides[1]], np.float32)
        boxes = [box * back for box in _boxes(marks)]
        limits = np.array([width, height], np.float32)
        clipped = [np.clip(_ordered(box), 0, limits) for box in boxes]
        clipped.sort(key=lambda box: (round(float(box[:, 1].mean())), box[0, 0]))
        return np.array(clipped, np.float32).reshape(-1, 4, 2)

    def read(self, lines: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """Read lines of text.

        What reading costs grows with the width of a line, so a line is read at less than
        its width first, and once more where that left doubts.

        Args:
            lines: Pictures of a line each, as `cut_out` gives them.
        """
        readings = self._read_at(lines, _SQUEEZED)
        doubtful = [n for n, one in enumerate(readings) if one.confidence < _SURE]
        again = self._read_at([lines[n] for n in doubtful], 1.0)
        for number, other in zip(doubtful, again, strict=True):
            readings[number] = max(readings[number], other, key=lambda r: r.confidence)
        return readings

    def _read_at(
        self, lines: Sequence[NDArray[np.uint8]], stretch: float
    ) -> list[Reading]:
        """Read lines at a part of their width, those of like widths together."""
        widths = [_width_of(line, stretch) for line in lines]
        batches: list[list[int]] = []
        for number in sorted(range(len(lines)), key=widths.__getitem__):
            if batches and widths[number] * (len(batches[-1]) + 1) <= _BATCH_WIDTH:
                batches[-1].append(number)
            else:
                batches.append([number])
        found: dict[int, Reading] = {}
        read = self._pool.map(
            lambda batch: self._read_batch([lines[n] for n in batch], stretch), batches
        )
        for batch, readings in zip(batches, read, strict=True):
            found |= dict(zip(batch, readings, strict=True))
        return [found[number] for number in range(len(lines))]

    def _read_batch(
        self, lines: Sequence[NDArray[np.uint8]], stretch: float
    ) -> list[Reading]:
        import cv2

        most = max(_width_of(line, stretch) for line in lines)
        padded = np.zeros((len(lines), 3, _LINE_HEIGHT, most), np.float32)
        for row, line in zip(padded, lines, strict=True):
            wanted = line.shape[1] * stretch * _LINE_HEIGHT / line.shape[0]
            width = min(max(1, round(wanted)), most)
            is_smaller = line.shape[0] > _LINE_HEIGHT and line.shape[1] > width
            kernel = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
            small = cv2.resize(line, (width, _LINE_HEIGHT), interpolation=kernel)
            row[:, :, :width] = _normalized(small)
        return [self._spell(scores) for scores in self._run(self._speller, padded)]

    def _spell(self, scores: NDArray[np.float32]) -> Reading:
        """Take the best character of each place; repeated ones and blanks are one."""
        best = scores.argmax(axis=1)
        is_new = (best != 0) & (best != np.roll(best, 1))
        is_new[0] = best[0] != 0
        places = np.flatnonzero(is_new)
        if not len(places):
            return Reading("", 0.0)
        text = "".join(self._characters[n] for n in best[places])
        certainty = scores[places, best[places]]
        return Reading(text.strip(), min(1.0, float(certainty.mean())))

    @cached_property
    def _finder(self) -> Any:
        return _open_model(_model_files()[0], self._num_threads)

    @cached_property
    def _speller(self) -> Any:
        return _open_model(_model_files()[1], 1)

    @cached_property
    def _characters(self) -> list[str]:
        listed = self._speller.get_modelmeta().custom_metadata_map["character"]
        return ["", *listed.splitlines(), " "]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._num_threads, "read")

    @staticmethod
    def _run(session: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs: NDArray[np.float32] = session.run(
            None, {session.get_inputs()[0].name: values}
        )[0]
        return outputs


def cut_out(
    picture: NDArray[np.uint8], box: NDArray[np.float32]
) -> NDArray[np.uint8] | None:
    """Cut a line out of a picture and set it upright.

    Args:
        picture: Red, green and blue, ``[H, W, 3]``.
        box: Its corners, ``[4, 2]``.

    Returns:
        Its picture, or None if it is no larger than a point.
    """
    import cv2

    width = max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[3] - box[2]))
    height = max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2]))
    if min(width, height) < _LEAST_SIDE:
        return None
    size = (round(float(width)), round(float(height)))
    left, top = np.floor(box.min(axis=0)).astype(int)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    part = picture[top:bottom, left:right]
    corners = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    shift = cv2.getPerspectiveTransform(
        box - np.array([left, top], np.float32), corners
    )
    line = cv2.warpPerspective(part, shift, size, borderMode=cv2.BORDER_REPLICATE)
    is_turned = height >= _UPRIGHT_RATIO * width
    upright: NDArray[np.uint8] = np.rot90(line) if is_turned else line
    return np.ascontiguousarray(upright)


def _boxes(marks: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Draw a box around each group of marked pixels, grown to hold the whole text."""
    import cv2

    mask = cv2.dilate((marks > _MARK_LEVEL).astype(np.uint8), np.ones((2, 2), np.uint8))
    groups, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for group in groups:
        centre, (width, height), angle = cv2.minAreaRect(group)
        if min(width, height) < _LEAST_SIDE:
            continue
        corners = cv2.boxPoints((centre, (width, height), angle))
        if _mean_inside(marks, corners) < _BOX_LEVEL:
            continue
        growth = width * height * _GROWTH / (width + height)
        grown = (width + growth, height + growth)
        found.append(cv2.boxPoints((centre, grown, angle)))
    return found


def _mean_inside(marks: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """Average the marks within a box."""
    import cv2

    limits = np.array(marks.shape[::-1]) - 1
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, limits)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, limits)
    part = marks[low[1] : high[1] + 1, low[0] : high[0] + 1]
    inside = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(inside, [(corners - low).astype(np.int32)], 1)
    return float(cv2.mean(part, inside)[0])


def _ordered(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """Order corners: top left, top right, bottom right, bottom left."""
    by_side = box[np.argsort(box[:, 0], kind="stable")]
    left = by_side[:2][np.argsort(by_side[:2, 1], kind="stable")]
    right = by_side[2:][np.argsort(by_side[2:, 1], kind="stable")]
    return np.stack([left[0], right[0], right[1], left[1]])


def _normalized(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring red, green, blue to what the networks take: blue first, from -1 to 1."""
    values = picture[:, :, ::-1].astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(values.transpose(2, 0, 1))  # [3, H, W]


def _width_of(line: NDArray[np.uint8], stretch: float) -> int:
    """Give the width at which a line is read at a part of its own, rounded up."""
    width = line.shape[1] * stretch * _LINE_HEIGHT / line.shape[0]
    padded = -(-width // _WIDTH_STEP) * _WIDTH_STEP
    return int(min(max(padded, _LINE_WIDTHS[0]), _LINE_WIDTHS[1]))


def _model_files() -> tuple[Path, Path]:
    """Find the two networks in the wheel."""
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None  # what needs it asked before
    assert spec.origin is not None  # it is a package
    folder = Path(spec.origin).parent / "models"
    found = [sorted(folder.glob(f"PP-OCR*_{part}_*.onnx")) for part in ("det", "rec")]
    if not all(found):
        raise FileNotFoundError(
            f"{folder}: the models of rapidocr are not there; install it again: pip "
            "install --force-reinstall --no-deps rapidocr"
        )
    return found[0][-1], found[1][-1]


def _open_model(path: Path, num_threads: int) -> Any:
    import onnxruntime

    _check_whole(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def _check_whole(path: Path) -> None:
    """Compare a model with what its package says of it."""
    listed = (path.parents[1] / "default_models.yaml").read_text(encoding="utf-8")
    told = re.search(rf"/{re.escape(path.name)}\s+SHA256: ([0-9a-f]{{64}})", listed)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if told is not None and told[1] != found:
        raise OSError(
            f"{path}: the model that reads pictures is damaged; install it again: pip "
            "install --force-reinstall --no-deps rapidocr"
        )
