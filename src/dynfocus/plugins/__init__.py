"""DynFocus in front of the language model of vision language models that exist."""

from dynfocus.plugins.backbone import HostBackbone
from dynfocus.plugins.family import Family, FramePlan, StepTokens, pooled
from dynfocus.plugins.host_processor import HostProcessor
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.loading import host_type, load_host
from dynfocus.plugins.pixels import PixelPlan
from dynfocus.plugins.plugging import plug
from dynfocus.plugins.registry import families

__all__ = [
    "Family",
    "FramePlan",
    "HostBackbone",
    "HostProcessor",
    "HostVideo",
    "PixelPlan",
    "StepTokens",
    "families",
    "host_type",
    "load_host",
    "plug",
    "pooled",
]
