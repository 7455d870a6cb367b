"""Which frames of a video matter: by their look alone, or for a question."""

from dynfocus.selection.aks import choose_aks
from dynfocus.selection.bolt import choose_bolt
from dynfocus.selection.choosing import (
    RULES,
    ChosenFrame,
    FrameSelection,
    select_frames,
)
from dynfocus.selection.dual_encoder import DualEncoder
from dynfocus.selection.events import distinct_frames, find_events
from dynfocus.selection.image_features import fit_size, image_features
from dynfocus.selection.scorers import (
    DualEncoderScorer,
    FocusedScorer,
    FrameScorer,
    is_dynfocus_model,
)

__all__ = [
    "ChosenFrame",
    "DualEncoder",
    "DualEncoderScorer",
    "FocusedScorer",
    "FrameScorer",
    "FrameSelection",
    "RULES",
    "choose_aks",
    "choose_bolt",
    "distinct_frames",
    "find_events",
    "fit_size",
    "image_features",
    "is_dynfocus_model",
    "select_frames",
]
