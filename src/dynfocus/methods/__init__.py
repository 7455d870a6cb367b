"""The other systems of this field, on one interface with ours, for fair comparison."""

from dynfocus.methods.connectors import (
    CONNECTORS,
    ConnectedVideo,
    ConnectorSizes,
    build_connector,
)
from dynfocus.methods.language import ConnectedLanguageModel
from dynfocus.methods.patches import VideoPatches

__all__ = [
    "CONNECTORS",
    "ConnectedLanguageModel",
    "ConnectedVideo",
    "ConnectorSizes",
    "VideoPatches",
    "build_connector",
]
