"""Methods of this field: which frames are read, and which tokens they become."""

from dynfocus.methods.connectors import (
    CONNECTORS,
    ConnectedVideo,
    ConnectorSizes,
    build_connector,
)
from dynfocus.methods.dual_encoder import DualEncoder
from dynfocus.methods.image_features import fit_size, image_features
from dynfocus.methods.language import ConnectedLanguageModel
from dynfocus.methods.patches import VideoPatches
from dynfocus.methods.scorers import (
    DualEncoderScorer,
    FocusedScorer,
    FrameScorer,
    is_dynfocus_model,
)
from dynfocus.methods.selectors import (
    RULES,
    ChosenFrame,
    FrameSelection,
    choose_aks,
    choose_bolt,
    distinct_frames,
    find_events,
    select_frames,
)

__all__ = [
    "CONNECTORS",
    "ChosenFrame",
    "ConnectedLanguageModel",
    "ConnectedVideo",
    "ConnectorSizes",
    "DualEncoder",
    "DualEncoderScorer",
    "FocusedScorer",
    "FrameScorer",
    "FrameSelection",
    "RULES",
    "VideoPatches",
    "build_connector",
    "choose_aks",
    "choose_bolt",
    "distinct_frames",
    "find_events",
    "fit_size",
    "image_features",
    "is_dynfocus_model",
    "select_frames",
]
