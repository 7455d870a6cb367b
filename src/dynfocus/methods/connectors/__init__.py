"""Connectors: how many tokens of a frame reach the language model, and which.

A connector is either a function that compresses patches without parameters, followed by
one projector, or a module of its own. All of them start from the same patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import nn

from dynfocus import extensions
from dynfocus.focus import FocusNetwork, FocusSettings
from dynfocus.methods.connectors.apollo import Apollo
from dynfocus.methods.connectors.b_vllm import BVllm
from dynfocus.methods.connectors.chat_univi import ChatUniVi
from dynfocus.methods.connectors.context_rcnn import ContextBank
from dynfocus.methods.connectors.dynamic import Cone, VariantNetwork
from dynfocus.methods.connectors.flash_vstream import FlashVStream
from dynfocus.methods.connectors.interface import (
    ConnectedNetwork,
    Connector,
    ConnectorSizes,
    frame_tokens,
    loose_tokens,
)
from dynfocus.methods.connectors.keyframe_ratio import KeyframeRatio
from dynfocus.methods.connectors.langdc import LangDC
from dynfocus.methods.connectors.llama_vid import LlamaVid
from dynfocus.methods.connectors.llava_onevision import LlavaOnevisionConnector
from dynfocus.methods.connectors.longvu import LongVU
from dynfocus.methods.connectors.ma_lmm import MaLmm
from dynfocus.methods.connectors.mavors import Mavors
from dynfocus.methods.connectors.moviechat import MovieChat
from dynfocus.methods.connectors.pllava import PLLaVA
from dynfocus.methods.connectors.projected import (
    Compressor,
    ProjectedTokens,
    UniformPatches,
    VideoChatGPT,
)
from dynfocus.methods.connectors.pvc import Pvc
from dynfocus.methods.connectors.quicksviewer import Quicksviewer
from dynfocus.methods.connectors.salova import Salova
from dynfocus.methods.connectors.storm import Storm
from dynfocus.methods.connectors.tdc import TemporalContext
from dynfocus.methods.connectors.video_streaming import VideoStreaming
from dynfocus.methods.connectors.videogpt_plus import VideoGPTPlus
from dynfocus.methods.connectors.videoscan import VideoScan
from dynfocus.text import check_choice

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


class _Own:
    """Builds a connector of this project from the settings that its class takes.

    Args:
        made: The class.
        build: Makes one of it; by default it is a module that takes the sizes.
    """

    def __init__(
        self, made: Callable[..., Any], build: Callable[..., nn.Module] | None = None
    ) -> None:
        self.options = frozenset([*signature(made).parameters][1:])
        self._build: Callable[..., nn.Module] = build or made

    def __call__(self, sizes: ConnectorSizes, options: Mapping[str, Any]) -> nn.Module:
        return self._build(sizes, **options)

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Refuse options that the class does not take, and counts below one."""
        for option, value in sorted(options.items()):
            if option not in self.options:
                names = ", ".join(sorted(self.options)) or "none"
                raise ValueError(
                    f"connector {name!r} has no option {option!r}; accepted are {names}"
                )
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ValueError(
                    f"{option} of connector {name!r} must be at least 1, got {value}"
                )


def _projected(compressor: Callable[..., Compressor]) -> _Own:
    def build(sizes: ConnectorSizes, **options: Any) -> nn.Module:
        return ProjectedTokens(compressor(sizes.num_patches, **options), sizes)

    return _Own(compressor, build)


def _dynfocus(
    sizes: ConnectorSizes,
    focus: FocusSettings | Mapping[str, Any] | None = None,
    cone: Cone | None = None,
    rods: bool | None = None,
) -> nn.Module:
    if not isinstance(focus, FocusSettings):
        focus = FocusSettings.from_dict(dict(focus or {}))
    variant: dict[str, Any] = {} if cone is None else {"cone": cone}
    variant |= {} if rods is None else {"rods": rods}
    if variant:
        return VariantNetwork(sizes, focus, **variant)
    return FocusNetwork(focus, sizes.dim, sizes.text_dim, sizes.hidden_size)


CONNECTORS: dict[str, BuildConnector] = {
    "apollo": _Own(Apollo),
    "b_vllm": _Own(BVllm),
    "chat_univi": _projected(ChatUniVi),
    "context_bank": _Own(ContextBank),
    "dynfocus": _Own(_dynfocus),
    "flash_vstream": _Own(FlashVStream),
    "keyframe_ratio": _Own(KeyframeRatio),
    "langdc": _Own(LangDC),
    "llama_vid": _Own(LlamaVid),
    "llava_onevision": _Own(LlavaOnevisionConnector),
    "longvu": _Own(LongVU),
    "ma_lmm": _Own(MaLmm),
    "mavors": _Own(Mavors),
    "moviechat": _Own(MovieChat),
    "pllava": _Own(PLLaVA),
    "pvc": _Own(Pvc),
    "quicksviewer": _Own(Quicksviewer),
    "salova": _Own(Salova),
    "storm": _Own(Storm),
    "tdc": _Own(TemporalContext),
    "uniform_patches": _projected(UniformPatches),
    "video_chatgpt": _projected(VideoChatGPT),
    "video_streaming": _Own(VideoStreaming),
    "videogpt_plus": _Own(VideoGPTPlus),
    "videoscan": _Own(VideoScan),
}
"""Connectors by name."""


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
    check_choice(name, "connector", sorted(known))
    build = known[name]
    if isinstance(build, _Own):
        build.check(name, options)
    return build(sizes, options)


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
