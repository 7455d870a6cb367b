"""SlowFocus as transformers classes, known to the Auto classes once imported."""

from dynfocus.models.slowfocus.configuration_slowfocus import SlowFocusConfig
from dynfocus.models.slowfocus.modeling_slowfocus import (
    SlowFocusForConditionalGeneration,
)
from dynfocus.models.slowfocus.processing_slowfocus import SlowFocusProcessor
from dynfocus.models.video_language_model import register_classes

__all__ = [
    "SlowFocusConfig",
    "SlowFocusForConditionalGeneration",
    "SlowFocusProcessor",
]

register_classes(SlowFocusConfig, SlowFocusForConditionalGeneration, SlowFocusProcessor)
