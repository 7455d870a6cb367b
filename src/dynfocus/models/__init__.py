"""Models of transformers' kind, and what answers questions with them."""

from dynfocus.models.answering import ChatSession, FocusedModel, Session, load_model
from dynfocus.models.answers import Answer, FrameReport
from dynfocus.models.exporting import export_language_model
from dynfocus.models.generation import NonFiniteLogitsError
from dynfocus.models.prototype_maps import PrototypeMap
from dynfocus.models.siglip import siglip_tower

__all__ = [
    "Answer",
    "ChatSession",
    "FocusedModel",
    "FrameReport",
    "NonFiniteLogitsError",
    "PrototypeMap",
    "Session",
    "export_language_model",
    "load_model",
    "siglip_tower",
]
