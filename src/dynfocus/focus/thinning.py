"""Fewer frames, the same events: which frames of a long video have tokens.

Letters beyond the shared ones: ``L`` event prototypes, ``R`` frames that are read.
"""

import torch
from torch import Tensor

from dynfocus.focus.events import TimePrototypes


def thin_frames(
    prototypes: TimePrototypes, num_frames: int, num_keep: int
) -> tuple[Tensor, TimePrototypes]:
    """Choose the frames of a video that are read, and keep what all frames told.

    The centre frames of the event prototypes stay, so that each of them can become a
    Cone; the rest is taken evenly from the other frames. Where there are more
    prototypes than frames to keep, some of the centres are taken, evenly. Every frame,
    kept or not, has had its part in the prototypes. The choice looks at no question,
    and its size at no content.

    Not in the paper, where every sampled frame has tokens.

    Args:
        prototypes: The prototypes of one video, as a batch of one.
        num_frames: Frames of the video, ``T``.
        num_keep: Frames to keep, from 1 to ``T``; ``R``.

    Returns:
        Increasing frame indices ``[R]``, int64, and the prototypes of a video of these
        frames.
    """
    if not 1 <= num_keep <= num_frames:
        raise ValueError(f"num_keep must be in [1, {num_frames}], got {num_keep}")
    centers = prototypes.frames[0]  # [L], increasing
    num_prototypes = len(centers)
    if num_keep < num_prototypes:
        slots = _spread(num_prototypes, num_keep, centers.device)
        places = torch.arange(num_keep, device=centers.device)[None]  # [1, R]
        features = prototypes.features[:, slots]
        mask = prototypes.mask[:, slots]
        return centers[slots], TimePrototypes(features, places, mask, places)
    is_center = torch.zeros(num_frames, dtype=torch.bool, device=centers.device)
    is_center[centers] = True
    others = (~is_center).nonzero()[:, 0]
    chosen = others[_spread(len(others), num_keep - num_prototypes, centers.device)]
    frames = torch.cat([centers, chosen]).sort().values
    return frames, TimePrototypes(
        features=prototypes.features,
        frames=torch.searchsorted(frames, centers)[None],
        mask=prototypes.mask,
        assignment=prototypes.assignment[:, frames],
    )


def _spread(num_items: int, num_keep: int, device: torch.device) -> Tensor:
    """Return the middles of ``num_keep`` equal stretches of so many items."""
    steps = torch.arange(num_keep, device=device)
    return (2 * steps + 1) * num_items // (2 * max(1, num_keep))
