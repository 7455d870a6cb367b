"""Groups of a model's parameters, by which a recipe says what learns and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

_OUTSIDE = {
    "vision_tower": ("vision_tower.",),
    "text_encoder": ("text_encoder.", "query_tokens"),
    "language_model": ("language_model.",),
}
"""Groups by the start of their parameters' names."""
_INSIDE = {
    "clock": ("question_head.clock",),
    "rating": ("question_head.rating",),
    "scores": (
        "event_prototypes",
        "spatial_prototypes",
        "question_head.event_context",
    ),
    "projectors": ("multi_modal_projector", "context_projector", "projector"),
    "attention": ("query_projector", "key_projector"),
}
"""Groups by a dotted part of a name in the network between tower and language model; the
first that fits has the parameter."""

GROUPS = (*_OUTSIDE, *_INSIDE, "connector")
"""All groups: ``projectors`` lead into the language model, ``attention`` is that of Rods,
``scores`` choose events, ``clock`` and ``rating`` are ours, and ``connector`` is what is
left of another connector."""


def group_of(name: str) -> str:
    """Name the group of a parameter; empty for what training adds to a model."""
    name = name.removeprefix("model.")  # of `dynfocus.training.evidence.EvidenceModel`
    for group, heads in _OUTSIDE.items():
        if name.startswith(heads):
            return group
    if not name.startswith("focus_network."):
        return ""
    for group, parts in _INSIDE.items():
        if any(f".{part}." in name for part in parts):
            return group
    return "connector"


def check_groups(groups: Iterable[str], setting: str) -> None:
    """Refuse names of groups that do not exist."""
    for group in groups:
        if group not in GROUPS:
            raise ValueError(
                f"{setting} must name some of {', '.join(GROUPS)}, got {group!r}"
            )


def set_trainable(model: nn.Module, groups: Sequence[str]) -> list[str]:
    """Free the parameters of some groups and freeze all others.

    Where the language model has adapters, they learn in its place.

    Args:
        model: The model.
        groups: Names of `GROUPS`.

    Returns:
        Names of the parameters that learn.
    """
    check_groups(groups, "trains")
    has_adapters = any(".lora_" in name for name, _ in model.named_parameters())
    names = []
    for name, parameter in model.named_parameters():
        group = group_of(name)
        learns = group in groups
        if has_adapters and group == "language_model":
            learns = ".lora_" in name
        parameter.requires_grad_(learns)
        if learns:
            names.append(name)
    return names
