"""Connectors: how many tokens of a frame reach the language model, and which.

A connector is either a function that compresses patches without parameters, followed by
one projector, or a module of its own. All of them start from the same patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from dynfocus import extensions
from dynfocus.focus import FocusNetwork, FocusSettings
from dynfocus.methods.connectors.chat_univi import ChatUniVi
from dynfocus.methods.connectors.dynamic import VariantNetwork
from dynfocus.methods.connectors.interface import (
    ConnectedNetwork,
    Connector,
    ConnectorSizes,
    frame_tokens,
    loose_tokens,
)
from dynfocus.methods.connectors.llama_vid import LlamaVid
from dynfocus.methods.connectors.llava_onevision import LlavaOnevisionConnector
from dynfocus.methods.connectors.projected import (
    Compressor,
    ProjectedTokens,
    UniformPatches,
    VideoChatGPT,
)

__all__ = [
    "CONNECTORS",
    "DEFAULT_CONNECTOR",
    "ConnectedNetwork",
    "Connector",
    "ConnectorSizes",
    "VariantNetwork",
    "build_connector",
    "build_network",
    "find_connectors",
    "frame_tokens",
    "loose_tokens",
]


DEFAULT_CONNECTOR = "dynfocus"

BuildConnector = Callable[[ConnectorSizes, Mapping[str, Any]], nn.Module]


def _projected(compressor: Callable[..., Compressor]) -> BuildConnector:
    return lambda sizes, options: ProjectedTokens(
        compressor(sizes.num_patches, **options), sizes
    )


def _dynfocus(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    focus = options.get("focus", {})
    if not isinstance(focus, FocusSettings):
        focus = FocusSettings.from_dict(dict(focus))
    variant = {name: value for name, value in options.items() if name != "focus"}
    if variant:
        return VariantNetwork(sizes, focus, **variant)
    return FocusNetwork(focus, sizes.dim, sizes.text_dim, sizes.hidden_size)


CONNECTORS: dict[str, BuildConnector] = {
    "chat_univi": _projected(ChatUniVi),
    "dynfocus": _dynfocus,
    "llama_vid": lambda sizes, _: LlamaVid(sizes),
    "llava_onevision": lambda sizes, _: LlavaOnevisionConnector(sizes),
    "uniform_patches": _projected(UniformPatches),
    "video_chatgpt": _projected(VideoChatGPT),
}
"""Connectors by name."""

_OPTIONS: dict[str, frozenset[str]] = {
    "chat_univi": frozenset({"frames_per_event"}),
    "dynfocus": frozenset({"focus", "cone", "rods"}),
    "llama_vid": frozenset(),
    "llava_onevision": frozenset(),
    "uniform_patches": frozenset({"budget_of"}),
    "video_chatgpt": frozenset({"max_frames"}),
}


def find_connectors() -> Mapping[str, BuildConnector]:
    """Collect the connectors by name; those of other packages come first."""
    return {**CONNECTORS, **extensions.load_extensions(extensions.CONNECTORS)}


def build_connector(
    name: str, sizes: ConnectorSizes, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a connector with fresh weights.

    Args:
        name: One of ``CONNECTORS``, or one of another package.
        sizes: What it connects.
        options: Its own settings.

    Raises:
        ValueError: If the name or an option is not known.
    """
    options, known = dict(options or {}), find_connectors()
    if name not in known:
        raise ValueError(
            f"connector must be one of {', '.join(sorted(known))}, got {name!r}"
        )
    accepted = _OPTIONS.get(name) if known[name] is CONNECTORS.get(name) else None
    unknown = sorted(set(options) - accepted) if accepted is not None else []
    if unknown:
        names = ", ".join(sorted(accepted or ())) or "none"
        raise ValueError(
            f"connector {name!r} has no option {unknown[0]!r}; accepted are {names}"
        )
    return known[name](sizes, options)


def build_network(
    name: str,
    sizes: ConnectorSizes,
    settings: FocusSettings,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build what stands between a vision tower and a language model.

    Args:
        name: One of ``CONNECTORS``, or one of another package.
        sizes: What it connects.
        settings: The settings of the dynamic cooperative network; of another connector
            they say whether its tokens tell their times.
        options: The connector's own settings.

    Returns:
        A `FocusNetwork`, or what has its methods ``encode``, ``add_events``, ``budget``
        and the call.

    Raises:
        ValueError: If the name or an option is not known.
    """
    if name == DEFAULT_CONNECTOR:
        return build_connector(name, sizes, {**(options or {}), "focus": settings})
    return ConnectedNetwork(build_connector(name, sizes, options), sizes, settings)
