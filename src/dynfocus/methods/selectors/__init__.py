"""Selectors: which frames of a video are read."""

from dynfocus.methods.selectors.aks import choose_aks
from dynfocus.methods.selectors.bolt import choose_bolt
from dynfocus.methods.selectors.choosing import (
    RULES,
    ChosenFrame,
    FrameSelection,
    select_frames,
)
from dynfocus.methods.selectors.events import distinct_frames, find_events

__all__ = [
    "ChosenFrame",
    "FrameSelection",
    "RULES",
    "choose_aks",
    "choose_bolt",
    "distinct_frames",
    "find_events",
    "select_frames",
]
