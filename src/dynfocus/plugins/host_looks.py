"""Looks of a plugged host: joined in order of time, each frame as large as its look says.

Letters: S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dynfocus.focus import TwoPassBudget
from dynfocus.methods import KeptStep
from dynfocus.methods.loops import Look
from dynfocus.methods.spending import merge_steps
from dynfocus.plugins.family import HostFeatures


def join_steps(parts: Sequence[HostFeatures], order: Tensor) -> HostFeatures:
    """Join the steps of several looks at one video.

    Args:
        parts: What was encoded of each look.
        order: Which of all their steps, one look after the other, are kept, ``[S]``.
    """
    first = parts[0]
    picked = order.to(first.tokens.device)
    layers = [part.layers for part in parts if part.layers is not None]
    return replace(
        first,
        tokens=torch.cat([part.tokens for part in parts])[picked],
        layers=torch.cat(layers)[picked] if layers else None,
        steps=torch.arange(len(order)),
        frame_seconds=torch.cat([part.frame_seconds for part in parts])[order],
        regions=None,
    )


def keep_looks(
    budget: TwoPassBudget, video: HostFeatures, looks: Sequence[Look]
) -> list[KeptStep]:
    """Say what is kept of joined steps: as many tokens as their look pays for.

    Args:
        budget: The budget.
        video: What `join_steps` gave.
        looks: The look that each step is of, ``S`` of them.
    """
    shares = [budget.step_tokens(look.scale) for look in looks]
    merged = merge_steps(video, shares, None)
    return [
        KeptStep(
            kind=look.kind,
            score=float(look.kind == "high"),
            places=places,
            weights=weights,
        )
        for look, (places, weights) in zip(looks, merged, strict=True)
    ]
