"""Cheap features of small pictures: enough to tell one scene from another.

Letters beyond the shared ones: ``G`` cells along one side of a grid.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dynfocus.focus.features import WINDOW_FRAMES

Features = NDArray[np.float32]
Floats = NDArray[np.float64]

LOOK_PIXELS = 96
"""Longer side of the pictures that features are taken from."""

_LAYOUT_GRID = 8
_EDGE_GRID = 4
_NUM_DIRECTIONS = 8
_HISTOGRAM_BINS = (8, 6, 6)
_BIN_SCALE = np.array([1.0, 0.8, 0.8], dtype=np.float32)
_BIN_SHIFT = np.array([0.0, 0.5, 0.5], dtype=np.float32)
_WEIGHTS = (3.0, 1.0, 0.5)
"""Of colour layout, edges and histogram: two unlike scenes are then about 1 apart."""

_EDGE_NOISE = 0.015
"""Difference of lightness that is noise or compression, not an edge."""
_EDGE_FLOOR = 0.3
"""Added to the length of the edge vector, so that noise on a blank wall stays small."""

_LUMA = np.array([0.299, 0.587, 0.114])
_BRIGHTEST = 0.95
_DARK = (0.02, 0.08)
"""Luma of the brightest twentieth of a black frame, and of one that can be seen."""
_NEAR = 12
_LIKE = 0.5
"""Distance up to which a frame shows what another shows, blurred or not."""
_BLURRED = (0.3, 0.8)
"""Sharpness of a blurred frame beside the same frame without blur."""

_RGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
    dtype=np.float32,
)
_WHITE = np.array([0.9505, 1.0, 1.089], dtype=np.float32)


def fit_size(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Scale a height and width so that the longer one is as given."""
    scale = longer / max(size)
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def image_features(frames: NDArray[np.uint8]) -> Features:
    """Describe each picture by colour layout, edge directions and colour histogram.

    The three blocks are: the mean colour of each cell of an 8 x 8 grid; the strength of
    8 edge directions in each cell of a 4 x 4 grid; how often each of 288 colours occurs
    in the picture. Colours are in CIE Lab, where equal steps look equally large.

    Args:
        frames: Pictures, uint8, ``[T, H, W, 3]``. They are made 96 pixels long where they
            are longer.

    Returns:
        Features scaled so that the Euclidean distance divided by the square root of their
        number is about 1 between unlike scenes and 0.1 to 0.3 within one; ``[T, C]``.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must have shape [T, H, W, 3], got {frames.shape}")
    if max(frames.shape[1:3]) > LOOK_PIXELS:
        frames = shrink(frames, fit_size(frames.shape[1:3], LOOK_PIXELS))
    parts = [
        _describe(frames[start : start + WINDOW_FRAMES])
        for start in range(0, len(frames), WINDOW_FRAMES)
    ]
    return np.concatenate(parts)


def shrink(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize frames ``[T, H, W, 3]`` to a smaller height and width, without aliasing."""
    parts = []
    for start in range(0, len(frames), WINDOW_FRAMES):
        window = np.ascontiguousarray(frames[start : start + WINDOW_FRAMES])
        pixels = torch.from_numpy(window).permute(0, 3, 1, 2).float()
        small = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        parts.append(small.round().clamp(0, 255).byte().permute(0, 2, 3, 1))
    return np.asarray(torch.cat(parts).contiguous().numpy())


def frame_quality(frames: NDArray[np.uint8], features: Features) -> Floats:
    """Tell how fit each frame is to be shown.

    A frame is black if nearly all of it is, and blurred if it is much less sharp than a
    frame that looks like it, up to twelve before or after.

    Args:
        frames: Pictures of a video in order of time, uint8, ``[T, H, W, 3]``.
        features: What `image_features` gives for them.

    Returns:
        1 for a frame that is neither, down to 0; ``[T]``.
    """
    bright, sharp = np.empty(len(frames)), np.empty(len(frames))
    for number, frame in enumerate(frames):
        luma = frame @ _LUMA / 255
        bright[number] = np.quantile(luma, _BRIGHTEST)
        down, right = np.diff(luma, axis=0), np.diff(luma, axis=1)
        sharp[number] = np.abs(down).mean() + np.abs(right).mean()
    sharpest = sharp.copy()
    for step in range(1, min(_NEAR, len(frames) - 1) + 1):
        unlike = np.linalg.norm(features[step:] - features[:-step], axis=1)
        is_like = unlike < _LIKE * np.sqrt(features.shape[1])
        pair = np.where(is_like, np.maximum(sharp[step:], sharp[:-step]), 0)
        sharpest[step:] = np.maximum(sharpest[step:], pair)
        sharpest[:-step] = np.maximum(sharpest[:-step], pair)
    ratio = sharp / np.maximum(sharpest, np.finfo(float).tiny)
    lit = _ramp(bright, *_DARK)
    return lit * np.where(sharpest > 0, _ramp(ratio, *_BLURRED), 1)


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """Rise from 0 at the lower bound to 1 at the higher."""
    return np.clip((values - low) / (high - low), 0, 1)


def _describe(frames: NDArray[np.uint8]) -> Features:
    lab = _lab(frames)
    layout = _mean_in_cells(lab, _LAYOUT_GRID)
    blocks = (
        layout / np.sqrt(np.float32(layout.shape[1])),
        _edges(lab[..., 0]),
        _histogram(lab),
    )
    weighted = [w * block for w, block in zip(_WEIGHTS, blocks, strict=True)]
    features = np.concatenate(weighted, axis=1)
    scaled: Features = (features * np.sqrt(features.shape[1])).astype(np.float32)
    return scaled


def _lab(frames: NDArray[np.uint8]) -> Features:
    """Convert to CIE Lab, all three channels divided by 100."""
    rgb = frames.astype(np.float32) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ _RGB_TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    lab = np.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], axis=-1)
    return lab.astype(np.float32)


def _mean_in_cells(values: Features, grid: int) -> Features:
    """Average over the cells of a grid: ``[T, H, W, C]`` becomes ``[T, G * G * C]``."""
    for axis in (1, 2):
        length = values.shape[axis]
        starts = (np.arange(grid) * length) // grid
        widths = np.maximum(np.diff(np.append(starts, length)), 1)
        shape = [1, 1, 1, 1]
        shape[axis] = grid
        sums = np.add.reduceat(values, starts, axis=axis)
        values = (sums / widths.reshape(shape)).astype(np.float32)
    return values.reshape(len(values), -1)


def _edges(lightness: Features) -> Features:
    """Share each pixel's gradient between the two nearest directions, in cells."""
    down = np.zeros_like(lightness)
    right = np.zeros_like(lightness)
    down[:, 1:-1] = lightness[:, 2:] - lightness[:, :-2]
    right[:, :, 1:-1] = lightness[:, :, 2:] - lightness[:, :, :-2]
    strength = np.maximum(np.hypot(down, right) - _EDGE_NOISE, 0)
    turn = (np.arctan2(down, right) % np.pi) / np.pi * _NUM_DIRECTIONS
    direction = np.arange(_NUM_DIRECTIONS)
    away = np.abs(turn[..., None] - direction)
    away = np.minimum(away, _NUM_DIRECTIONS - away)  # directions are a circle
    shared = strength[..., None] * np.maximum(1 - away, 0)
    edges = np.sqrt(_mean_in_cells(shared.astype(np.float32), _EDGE_GRID))
    return edges / (np.linalg.norm(edges, axis=1, keepdims=True) + _EDGE_FLOOR)


def _histogram(lab: Features) -> Features:
    """Count colours; square roots make the distance that of Hellinger.

    Each pixel is shared between the two nearest bins of every channel, so that a bin's
    border makes no difference where the eye sees none.
    """
    lab = lab[:, ::2, ::2].reshape(len(lab), -1, 3)
    bins = np.array(_HISTOGRAM_BINS)
    place = np.clip(lab * _BIN_SCALE + _BIN_SHIFT, 0, 1) * (bins - 1)
    lower = np.minimum(place.astype(np.int64), bins - 2)
    rest = place - lower
    num_codes = int(bins.prod())
    first = np.arange(len(lab))[:, None] * num_codes
    counts = np.zeros(len(lab) * num_codes)
    for corner in product((0, 1), repeat=3):
        digit = lower + np.array(corner)
        code = (digit[..., 0] * bins[1] + digit[..., 1]) * bins[2] + digit[..., 2]
        weight = np.where(np.array(corner) == 1, rest, 1 - rest).prod(axis=-1)
        counts += np.bincount(
            (first + code).ravel(), weight.ravel(), minlength=len(counts)
        )
    shares = counts.reshape(len(lab), num_codes) / lab.shape[1]
    return np.sqrt(shares).astype(np.float32)
