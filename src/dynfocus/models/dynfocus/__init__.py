"""DynFocus as transformers classes, known to the Auto classes once imported."""

import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from dynfocus.models.dynfocus.configuration_dynfocus import DynFocusConfig
from dynfocus.models.dynfocus.inputs import VideoInputs
from dynfocus.models.dynfocus.modeling_dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.dynfocus.outputs import DynFocusCausalLMOutputWithPast
from dynfocus.models.dynfocus.processing_dynfocus import DynFocusProcessor

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
