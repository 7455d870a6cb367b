"""DynFocus as transformers classes, known to the Auto classes once imported."""

import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from dynfocus.models.dynfocus.configuration_dynfocus import DynFocusConfig
from dynfocus.models.dynfocus.modeling_dynfocus import (
    DynFocusCausalLMOutputWithPast,
    DynFocusForConditionalGeneration,
)
from dynfocus.models.dynfocus.processing_dynfocus import DynFocusProcessor
from dynfocus.models.dynfocus.visual_inputs import VideoInputs

__all__ = [
    "DynFocusCausalLMOutputWithPast",
    "DynFocusConfig",
    "DynFocusForConditionalGeneration",
    "DynFocusProcessor",
    "VideoInputs",
]

AutoConfig.register(DynFocusConfig.model_type, DynFocusConfig)
AutoModelForImageTextToText.register(DynFocusConfig, DynFocusForConditionalGeneration)
AutoProcessor.register(DynFocusConfig, DynFocusProcessor)
if hasattr(transformers, "AutoModelForMultimodalLM"):  # since transformers 5.0
    transformers.AutoModelForMultimodalLM.register(
        DynFocusConfig, DynFocusForConditionalGeneration
    )
