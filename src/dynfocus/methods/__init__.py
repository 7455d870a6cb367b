"""Methods of this field: which frames are read, and which tokens they become."""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked

# At once, for the module and what it is for have one name.
from dynfocus.methods.image_features import fit_size, image_features

if TYPE_CHECKING:
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
    from dynfocus.methods.towers import TOWERS, TowerSizes, build_tower_method

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
    "TOWERS",
    "TowerSizes",
    "build_connector",
    "build_network",
    "build_tower_method",
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

_HOMES = {
    "CONNECTORS": "connectors",
    "ChosenFrame": "frame_selection",
    "ConnectorSizes": "connectors",
    "DualEncoder": "scorers",
    "FocusedScorer": "scorers",
    "FrameScorer": "scorers",
    "FrameSelection": "frame_selection",
    "KeptStep": "spending",
    "SELECTORS": "selectors",
    "Selection": "selectors",
    "Selector": "selectors",
    "SelectorInput": "selectors",
    "TOWERS": "towers",
    "TowerSizes": "towers",
    "build_connector": "connectors",
    "build_network": "connectors",
    "build_tower_method": "towers",
    "by_scores": "selectors",
    "choose_aks": "selectors.aks",
    "choose_bolt": "selectors.bolt",
    "find_selector": "selectors",
    "find_selectors": "selectors",
    "load_scorer": "scorers",
    "num_steps_read": "spending",
    "select_frames": "frame_selection",
    "spend": "spending",
}
"""The module that each name stands in; it is imported when the name is asked for."""

__getattr__ = import_when_asked(__name__, _HOMES)
