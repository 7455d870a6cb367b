"""Models of transformers' kind, and what answers questions with them."""

from dynfocus.errors import NonFiniteLogitsError
from dynfocus.models.answering import ChatSession, FocusedModel, Session, load_model
from dynfocus.models.answers import Answer, FrameReport
from dynfocus.models.prototype_maps import PrototypeMap

__all__ = [
    "Answer",
    "ChatSession",
    "FocusedModel",
    "FrameReport",
    "NonFiniteLogitsError",
    "PrototypeMap",
    "Session",
    "load_model",
]
