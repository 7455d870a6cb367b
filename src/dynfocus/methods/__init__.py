"""Methods of this field: which frames are read, and which tokens they become."""

from dynfocus.methods.connectors import (
    CONNECTORS,
    ConnectorSizes,
    build_connector,
    build_network,
)
from dynfocus.methods.frame_selection import (
    ChosenFrame,
    FrameSelection,
    select_frames,
)
from dynfocus.methods.image_features import fit_size, image_features
from dynfocus.methods.scorers import (
    DualEncoder,
    FocusedScorer,
    FrameScorer,
    load_scorer,
)
from dynfocus.methods.selectors import (
    SELECTORS,
    Selection,
    Selector,
    SelectorInput,
    by_scores,
    find_selector,
    find_selectors,
)
from dynfocus.methods.selectors.aks import choose_aks
from dynfocus.methods.selectors.bolt import choose_bolt
from dynfocus.methods.spending import KeptStep, num_steps_read, spend

__all__ = [
    "CONNECTORS",
    "ChosenFrame",
    "ConnectorSizes",
    "DualEncoder",
    "FocusedScorer",
    "FrameScorer",
    "FrameSelection",
    "KeptStep",
    "SELECTORS",
    "Selection",
    "Selector",
    "SelectorInput",
    "build_connector",
    "build_network",
    "by_scores",
    "choose_aks",
    "choose_bolt",
    "find_selector",
    "find_selectors",
    "fit_size",
    "image_features",
    "load_scorer",
    "num_steps_read",
    "select_frames",
    "spend",
]
