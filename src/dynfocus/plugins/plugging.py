"""The way in: a model and its processor become one that answers within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynfocus.focus.tokens import ConeTokens
from dynfocus.methods import FrameScorer, load_scorer
from dynfocus.models.video_model import VideoModel
from dynfocus.plugins.backbone import HostBackbone
from dynfocus.plugins.registry import find_family

DEFAULT_BUDGET = 2048


def plug(
    model: Any,
    processor: Any,
    *,
    method: str = "dynfocus",
    max_video_tokens: int = DEFAULT_BUDGET,
    scorer: str | Path | FrameScorer | None = None,
    cone_tokens: ConeTokens = None,
    name: str | None = None,
) -> VideoModel:
    """Put DynFocus in front of the language model of a vision language model.

    Nothing is trained, and the model is not changed.

    Args:
        model: What ``AutoModelForImageTextToText`` gives, of a supported family.
        processor: What ``AutoProcessor`` gives for it.
        method: One of `dynfocus.methods.SELECTORS`: ``"dynfocus"`` for Cones and Rods;
            whole frames chosen by ``"aks"``, ``"bolt"`` or ``"ranked"``, which need a
            scorer, by ``"events"``, or evenly by ``"uniform"``; ``"none"`` for all frames
            whole.
        max_video_tokens: The budget; see `HostBudget` for how it is shared.
        scorer: A dual encoder such as CLIP or SigLIP, by name or folder, that tells
            which frames belong to the question; without one the question has no say.
        cone_tokens: Tokens of a Cone, ``"whole"``, or by default a quarter of a frame's.
        name: What the model is called in messages.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: The model's family is not supported, or the processor is another's.
    """
    family = find_family(model, processor)
    backbone = HostBackbone(
        family,
        method=method,
        max_video_tokens=max_video_tokens,
        scorer=load_scorer(scorer),
        cone_tokens=cone_tokens,
        name=name or getattr(model, "name_or_path", "") or family.model_types[0],
    )
    return VideoModel(backbone)
