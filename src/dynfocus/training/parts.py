"""Groups of a model's parameters, by which a recipe says what learns and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

GROUPS: dict[str, tuple[str, ...]] = {
    "vision_tower": ("vision_tower.",),
    "text_encoder": ("text_encoder.", "query_tokens"),
    "scores": (
        "focus_network.event_prototypes.",
        "focus_network.spatial_prototypes.",
        "focus_network.question_head.event_context.",
    ),
    "question": (
        "focus_network.question_head.clock.",
        "focus_network.question_head.rating.",
    ),
    "projectors": ("focus_network.cooperative_encoding.",),
    "language_model": ("language_model.",),
}
"""Names of parameters by their start; the first group that fits has a parameter.

``projectors`` lead into the language model; ``scores`` choose events; ``question`` is
what the paper does not have.
"""


def group_of(name: str) -> str:
    """Name the group of a parameter; empty for what training adds to a model."""
    name = name.removeprefix("model.")  # of `dynfocus.training.evidence.EvidenceModel`
    return next((g for g, heads in GROUPS.items() if name.startswith(heads)), "")


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
