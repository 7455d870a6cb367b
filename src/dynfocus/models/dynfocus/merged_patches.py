"""Which patches of a frame its spatial prototypes merged (S-DPC; Fig. 9 of the paper).

Letters: F frames, N patches of a frame, S layers, M spatial prototypes, H and W of a
picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from dynfocus.focus import SpatialPrototypes, VideoFeatures
from dynfocus.focus.official import group_order
from dynfocus.index import VideoIndex
from dynfocus.models.conversation import Answer, best_cones
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.encoding import Video
from dynfocus.models.vision import ask_frames, encode_pixels
from dynfocus.video import SampledFrames, VideoName, VideoReader, read_video

_PICTURE_PIXELS = 320


@dataclass(frozen=True, kw_only=True, eq=False)
class PrototypeMap:
    """What the spatial prototypes of one frame merged, layer by layer."""

    time: float
    """Presentation time in seconds."""
    picture: NDArray[np.uint8]
    """The frame in the shape of the video, ``[H, W, 3]``."""
    layers: tuple[NDArray[np.int64], ...]
    """For each layer the spatial prototype of each patch, from 0 to M - 1, on the grid
    of the vision tower, which covers the whole picture."""
    attention: NDArray[np.float64]
    """How strongly the question looks at each prototype (Eq. 11), ``[M]``; sums to 1."""
    video: int = 0
    """Which of the videos that were asked about the frame is of, from 0."""


@torch.inference_mode()
def map_prototypes(
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    video: Video,
    answer: Answer,
    num_frames: int,
) -> list[PrototypeMap]:
    """Map the spatial prototypes of the best Cones of an answer.

    Args:
        model: The model that answered.
        processor: Its processor.
        video: The file or frames that were asked about, or the index of a file.
        answer: The answer.
        num_frames: At most so many Cones, those of the highest scores.

    Returns:
        One map a Cone, in time order.
    """
    if model.encodes_together:
        raise ValueError(
            f"tower method {model.config.tower_method!r} reads frames together, so the "
            "prototypes of single frames cannot be shown"
        )
    wanted = [frame.time for frame in best_cones(answer.frames, num_frames)]
    if not wanted:
        return []
    sampled, pictures = _read_again(video, np.array(wanted), processor.frame_size)
    pixels = processor.pixel_values(sampled.frames)
    network = model.focus_network
    patches = encode_pixels(model.vision_tower, pixels)
    assigned = assign_patches(network.spatial_prototypes, patches.content)  # [F, S, N]
    side = math.isqrt(assigned.shape[2])
    grids = rearrange(assigned, "f s (h w) -> f s h w", h=side).cpu().numpy()
    encoded = network.encode(patches.content)._replace(patches=patches.normalised)
    features = VideoFeatures.join([encoded], torch.from_numpy(sampled.times))
    attention = _attention(model, processor, features, answer.question)
    return [
        PrototypeMap(time=time, picture=picture, layers=tuple(grid), attention=weights)
        for time, picture, grid, weights in zip(
            wanted, pictures, grids, attention.double().cpu().numpy(), strict=True
        )
    ]


@torch.no_grad()
def assign_patches(network: SpatialPrototypes, patches: Tensor) -> Tensor:
    """Tell which spatial prototype each patch was merged into, layer by layer.

    Args:
        network: What makes the prototypes.
        patches: Patch features, shape ``[F, N, D]``.

    Returns:
        For each frame, layer and patch the row of what the network gives, ``[F, S, N]``,
        with ``S`` layers.
    """
    layers, assignments = network.cluster(patches)
    sizes = [layer.shape[1] for layer in layers]
    member = assignments[0]
    rows, first = [member], sizes[0]
    for assignment, size in zip(assignments[1:], sizes[1:], strict=True):
        member = assignment.gather(1, member)
        rows.append(first + member)
        first += size
    merged = torch.stack(rows, dim=1)  # [F, S, N]
    if network.gate is None:
        return merged
    place = group_order(assignments, sizes).argsort(dim=1)
    return place.gather(1, merged.flatten(1)).view_as(merged)


def _read_again(
    video: Video, wanted: NDArray[np.float64], frame_size: int
) -> tuple[SampledFrames, NDArray[np.uint8]]:
    """Give the frames at some times as the model reads them, and to look at."""
    source = video.source if isinstance(video, VideoIndex) else video
    if source is None or isinstance(source, VideoFeatures):
        raise ValueError(
            f"video must be a file, frames, or the index of a file to see its frames "
            f"again, got {type(video).__name__} without a file; give the frames"
        )
    stream = video.stream if isinstance(video, VideoIndex) else None
    if isinstance(source, VideoName):
        source = VideoReader(source, stream=stream)
    if isinstance(source, VideoReader):
        from dynfocus.methods.image_features import fit_size  # not for each question

        size = fit_size(source.size, min(_PICTURE_PIXELS, max(source.size)))
        sampled = source.sample(times=wanted, size=(frame_size, frame_size))
        return sampled, source.sample(times=wanted, size=size).frames
    everything = read_video(source, fps=1.0, max_frames=None, frame_size=frame_size)
    nearest = np.abs(everything.times[None] - wanted[:, None]).argmin(axis=1)
    sampled = SampledFrames(everything.frames[nearest], everything.times[nearest])
    return sampled, sampled.frames


def _attention(
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    features: VideoFeatures,
    question: str,
) -> Tensor:
    """Return how strongly the question looks at each prototype of frames, ``[F, M]``."""
    input_ids = processor.question_ids(question.strip()).to(model.device)
    mask = torch.ones_like(input_ids)
    text_mask: Tensor | None = mask.bool()
    if model.query_tokens is None:
        text = model.encode_question(input_ids, mask)
    else:
        text_mask = None
        text = ask_frames(
            model.text_encoder,
            model.query_tokens,
            [features],
            input_ids=input_ids,
            attention_mask=mask,
            window=features.num_frames,
        )
    spatial = features.spatial[None]
    return model.focus_network.cooperative_encoding.attention(spatial, text, text_mask)[
        0
    ]
