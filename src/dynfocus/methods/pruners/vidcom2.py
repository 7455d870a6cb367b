r"""VidCom2: tokens unlike their frame and their video, more of frames that are unlike.

Source: "Video Compression Commander: Plug-and-Play Inference Acceleration for Video Large
Language Models" (EMNLP 2025) and its published code, as vLLM has it. Of the half of the
channels that vary least, scaled to unit length, with the mean ``v`` of the video and
``g_t`` of a frame

.. math::
    k(x, y) = \sum_{j=-3}^{1} \exp\Big(-\frac{|x - y|^2}{2 \cdot 2^j}\Big), \quad
    a_{t,n} = k(x_{t,n}, v), \quad b_{t,n} = k(x_{t,n}, g_t), \quad u_t = -\bar a_t

    r_t = r \, (1 + p_t - \bar p), \qquad
    p = \operatorname{softmax}\big((u - \max u) / 0.01\big)

frame ``t`` keeps the share ``r_t`` of its tokens, at most all, those of the least
``a + b``.

Letters: S steps, N tokens a step, H width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_WIDTHS = tuple(2.0**power for power in range(-3, 2))
_TEMPERATURE = 0.01
_CHANNELS = 0.5


def keep_vidcom2(tokens: Tensor, num_keep: int) -> Tensor:
    """Keep what is unlike its frame and its video (VidCom2).

    Differs from its source:
        The number of tokens is a budget: shares are rounded to it exactly by the largest
        remainders, where the published code rounds each frame by itself. The kernel is
        computed in single precision.

    Args:
        tokens: The host's tokens, ``[S, N, H]``.
        num_keep: How many to keep.

    Returns:
        True at tokens that are kept, ``[S, N]``.
    """
    num_steps, each = tokens.shape[:2]
    to_video, to_frame = similarities(tokens)
    unlike = -to_video.mean(1)
    chance = ((unlike - unlike.max()) / _TEMPERATURE).softmax(0)
    share = num_keep / (num_steps * each) * (1 + chance - chance.mean())
    counts = apportion(share.clamp(max=1.0) * each, num_keep, each)
    order = (to_video + to_frame).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    return rank < counts[:, None].to(rank.device)


def similarities(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compare tokens with the mean of the video and of their frame, ``[S, N]`` each."""
    flat = tokens.flatten(0, 1).float()
    count = max(1, int(flat.shape[1] * _CHANNELS))
    channels = flat.var(0, unbiased=False).topk(count, largest=False).indices
    points = F.normalize(flat[:, channels].view(*tokens.shape[:2], -1), dim=2)
    video = _kernel(points, points.mean((0, 1), keepdim=True))
    return video, _kernel(points, points.mean(1, keepdim=True))


def apportion(wanted: Tensor, total: int, most: int) -> Tensor:
    """Round numbers of tokens so that they add up, by the largest remainders.

    Args:
        wanted: What each step wants, ``[S]``.
        total: What they add up to, at most ``S`` times ``most``.
        most: The most of a step; the least is 1, or 0 where there are not as many.

    Returns:
        Whole numbers, ``[S]``, on the CPU.
    """
    least = int(total >= len(wanted))
    wanted = wanted.double().cpu().clamp(least, most)
    counts = wanted.floor().long()
    order = (wanted - counts).argsort(descending=True, stable=True).tolist()
    left = min(total, most * len(wanted)) - int(counts.sum())
    while left:
        step = 1 if left > 0 else -1
        for place in order if step > 0 else order[::-1]:
            if left and least <= int(counts[place]) + step <= most:
                counts[place] += step
                left -= step
    return counts


def _kernel(points: Tensor, center: Tensor) -> Tensor:
    squared = (points - center).square().sum(2)
    widths = torch.tensor(_WIDTHS, device=points.device)
    return torch.exp(-squared[..., None] / (2 * widths)).sum(-1)
