"""Connectors: how many tokens of a frame reach the language model, and which.

A connector is either a function that compresses patches without parameters, followed by
one projector, or a module of its own. All of them start from the same patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from dynfocus import extensions
from dynfocus.focus import FocusSettings
from dynfocus.methods.connectors.chat_univi import ChatUniVi
from dynfocus.methods.connectors.dynamic import DynFocusConnector
from dynfocus.methods.connectors.interface import ConnectedVideo, ConnectorSizes
from dynfocus.methods.connectors.llama_vid import LlamaVid
from dynfocus.methods.connectors.llava_onevision import LlavaOnevisionConnector
from dynfocus.methods.connectors.projected import ProjectedTokens
from dynfocus.methods.connectors.uniform_patches import UniformPatches
from dynfocus.methods.connectors.video_chatgpt import VideoChatGPT

__all__ = [
    "CONNECTORS",
    "SCORES",
    "ConnectedVideo",
    "ConnectorSizes",
    "build_connector",
    "find_connectors",
]


def _uniform_patches(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    settings = FocusSettings.from_dict(dict(options.get("budget_of", {})))
    return ProjectedTokens(UniformPatches(sizes.num_patches, settings), sizes)


def _video_chatgpt(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    return ProjectedTokens(VideoChatGPT(sizes.num_patches, **options), sizes)


def _chat_univi(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    return ProjectedTokens(ChatUniVi(sizes.num_patches, **options), sizes)


def _llama_vid(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    return LlamaVid(sizes)


def _llava_onevision(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    return LlavaOnevisionConnector(sizes)


def _dynfocus(sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
    settings = FocusSettings.from_dict(dict(options.get("focus", {})))
    scores = options.get("scores", "fresh")
    if scores not in SCORES:
        raise ValueError(f"scores must be one of {', '.join(SCORES)}, got {scores!r}")
    others = ("focus", "scores")
    changes = {name: value for name, value in options.items() if name not in others}
    return DynFocusConnector(sizes, settings, **changes)


SCORES = ("fresh", "start")
"""Whether DynFocus starts with a fresh score network or with that of the model around."""

BuildConnector = Callable[[ConnectorSizes, Mapping[str, Any]], nn.Module]

CONNECTORS: dict[str, BuildConnector] = {
    "chat_univi": _chat_univi,
    "dynfocus": _dynfocus,
    "llama_vid": _llama_vid,
    "llava_onevision": _llava_onevision,
    "uniform_patches": _uniform_patches,
    "video_chatgpt": _video_chatgpt,
}
"""Connectors by name."""

_OPTIONS: dict[str, frozenset[str]] = {
    "chat_univi": frozenset({"frames_per_event"}),
    "dynfocus": frozenset({"focus", "cone", "rods", "scores"}),
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
