"""DynFocus in front of the language model of vision language models that exist."""

from dynfocus.plugins.families import families
from dynfocus.plugins.family import (
    Family,
    FramePlan,
    HostFeatures,
    StepTokens,
    pooled,
)
from dynfocus.plugins.host_backbone import HostBackbone
from dynfocus.plugins.host_pixels import PixelPlan
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.plugging import host_type, load_host, plug

__all__ = [
    "Family",
    "FramePlan",
    "HostBackbone",
    "HostFeatures",
    "HostProcessor",
    "PixelPlan",
    "StepTokens",
    "families",
    "host_type",
    "load_host",
    "plug",
    "pooled",
]
