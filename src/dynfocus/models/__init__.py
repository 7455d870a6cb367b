"""Models of transformers' kind, and what answers questions with them.

Names are imported when they are first used: the options of a question need no torch.
"""

from typing import TYPE_CHECKING

from dynfocus.extensions import import_when_asked

if TYPE_CHECKING:
    from dynfocus.models.backbone import Backbone
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
    from dynfocus.models.strategies import Asked, Strategy, one_pass
    from dynfocus.models.video_model import VideoModel

_MODULES = {
    "AskOptions": "options",
    "Answer": "conversation",
    "Asked": "strategies",
    "Backbone": "backbone",
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
    "Asked",
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

__getattr__ = import_when_asked(__name__, _MODULES)
