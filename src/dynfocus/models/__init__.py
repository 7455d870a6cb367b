"""Models of transformers' kind, and what answers questions with them.

Names are imported when they are first used: the options of a question need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynfocus.models.conversation import (
        Answer,
        ChatSession,
        FrameReport,
        LookReport,
        Turn,
    )
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap
    from dynfocus.models.generation import Generator
    from dynfocus.models.loading import load_model
    from dynfocus.models.options import AskOptions, LoadOptions
    from dynfocus.models.session import Session
    from dynfocus.models.strategies import Strategy, one_pass
    from dynfocus.models.video_model import Backbone, VideoModel

_MODULES = {
    "AskOptions": "options",
    "Answer": "conversation",
    "Backbone": "video_model",
    "ChatSession": "conversation",
    "FrameReport": "conversation",
    "Generator": "generation",
    "LoadOptions": "options",
    "LookReport": "conversation",
    "PrototypeMap": "dynfocus.merged_patches",
    "Session": "session",
    "Strategy": "strategies",
    "Turn": "conversation",
    "VideoModel": "video_model",
    "load_model": "loading",
    "one_pass": "strategies",
}

__all__ = [
    "Answer",
    "AskOptions",
    "Backbone",
    "ChatSession",
    "FrameReport",
    "Generator",
    "LoadOptions",
    "LookReport",
    "PrototypeMap",
    "Session",
    "Strategy",
    "Turn",
    "VideoModel",
    "load_model",
    "one_pass",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
