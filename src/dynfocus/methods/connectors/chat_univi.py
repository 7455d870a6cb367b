"""Chat-UniVi: merge patches into objects and frames into events (Jin et al., CVPR 2024).

Letters beyond the shared ones: ``E`` events of a video.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dynfocus.focus import VideoFeatures, VideoTokens, dpc_knn, merge_clusters
from dynfocus.methods.connectors.interface import loose_tokens


class ChatUniVi:
    """Cluster patches of frames, frames into events, and the patches of each event.

    Each frame is clustered to a quarter, an eighth and a sixteenth of its patches, layer
    upon layer; frame means are clustered to one event a ``frames_per_event`` frames; at
    each level the tokens of all frames of an event are clustered again to that level's
    number. Events stand in the order of their first frames.

    Differs from the original:
        Ties of density break by index instead of unseeded noise, and tokens stand in the
        order of their cluster centres instead of their scores. Each token has the mean
        time of the frames that it merges.

    Args:
        num_patches: Patches of a frame, at least 16.
        frames_per_event: Frames for each event.
    """

    def __init__(self, num_patches: int, frames_per_event: int = 16) -> None:
        if num_patches < 16:
            raise ValueError(
                f"num_patches must be at least 16 for three levels, got {num_patches}"
            )
        self.levels = tuple(num_patches // share for share in (4, 8, 16))
        self.frames_per_event = frames_per_event

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return sum(self.levels) * math.ceil(num_frames / self.frames_per_event)

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Merge the patches of a video."""
        num_events = math.ceil(video.num_frames / self.frames_per_event)
        events = _cluster_frames(video.spatial.mean(1), num_events)
        levels = self._merge_frames(video.spatial)
        tokens, times = [], []
        for frames in events:
            for number, level in enumerate(levels):
                merged, seconds = _merge_event(
                    level[frames], video.pts_seconds[frames], _neighbours(number, level)
                )
                tokens.append(merged)
                times.append(seconds)
        return loose_tokens(video, torch.cat(tokens), torch.cat(times))

    def _merge_frames(self, patches: Tensor) -> list[Tensor]:
        """Cluster the patches of every frame, one ``[T, K, D]`` a level."""
        levels, tokens = [], patches
        for number, count in enumerate(self.levels):
            clusters = dpc_knn(tokens, count, _clamp(5 if number == 0 else 3, count))
            tokens = merge_clusters(tokens, clusters.in_point_order(), "uniform")
            levels.append(tokens)
        return levels


def _cluster_frames(means: Tensor, num_events: int) -> list[Tensor]:
    """Group frames ``[T, D]`` into events, in the order of their first frames."""
    clusters = dpc_knn(means[None], num_events, _clamp(5, num_events))
    assignment = clusters.assignment[0]
    groups = [(assignment == event).nonzero()[:, 0] for event in range(num_events)]
    return sorted((g for g in groups if len(g)), key=lambda group: int(group[0]))


def _merge_event(
    tokens: Tensor, pts_seconds: Tensor, num_neighbors: int
) -> tuple[Tensor, Tensor]:
    """Cluster the tokens ``[F, K, D]`` of an event's frames to ``[K, D]``, with times."""
    count = tokens.shape[1]
    points = tokens.flatten(0, 1)[None]
    seconds = pts_seconds.repeat_interleave(count)[None, :, None]
    clusters = dpc_knn(points, count, num_neighbors).in_point_order()
    merged = merge_clusters(points, clusters, "uniform")[0]
    times = merge_clusters(seconds, clusters, "uniform")[0, :, 0]
    return merged, times


def _neighbours(number: int, level: Tensor) -> int:
    return _clamp(5 if number == 0 else 3, level.shape[1])


def _clamp(num_neighbors: int, num_clusters: int) -> int:
    """Return the neighbours that Chat-UniVi uses for so many clusters."""
    if num_neighbors <= num_clusters:
        return num_neighbors
    return min(3, max(num_clusters // 2, 1))
