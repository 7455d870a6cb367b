"""DynFocus as transformers classes, known to the Auto classes once imported."""

from dynfocus.models.dynfocus.configuration_dynfocus import DynFocusConfig
from dynfocus.models.dynfocus.modeling_dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.dynfocus.processing_dynfocus import DynFocusProcessor
from dynfocus.models.video_language_model import (
    VideoCausalLMOutputWithPast,
    register_classes,
)
from dynfocus.models.visual_inputs import VideoInputs

__all__ = [
    "DynFocusConfig",
    "DynFocusForConditionalGeneration",
    "DynFocusProcessor",
    "VideoCausalLMOutputWithPast",
    "VideoInputs",
]

register_classes(DynFocusConfig, DynFocusForConditionalGeneration, DynFocusProcessor)
