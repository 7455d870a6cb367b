"""The configuration: defaults, round trip, refusals."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, CLIPVisionConfig, LlamaConfig

from dynfocus.focus import FocusSettings
from dynfocus.models.dynfocus import DynFocusConfig


def test_defaults_are_the_paper():
    config = DynFocusConfig()
    assert config.vision_config.hidden_size == 1408
    assert config.vision_config.num_hidden_layers == 39
    assert config.qformer_config.encoder_hidden_size == 1408
    assert config.text_config.hidden_size == 4096
    assert config.focus_settings == FocusSettings.paper()
    assert (config.text_side, config.frame_size) == ("text", 224)
    assert config.vision_config.initializer_range == 0.02
    assert config.get_text_config() is config.text_config


def test_round_trip(tmp_path):
    config = DynFocusConfig(
        vision_config=CLIPVisionConfig(image_size=56, patch_size=14),
        text_config=LlamaConfig(hidden_size=64, vocab_size=100),
        focus=FocusSettings.official(),
        text_side="frame_queries",
        video_token_id=7,
    )
    config.save_pretrained(tmp_path)
    for again in (
        AutoConfig.from_pretrained(tmp_path),
        DynFocusConfig.from_pretrained(tmp_path),
    ):
        assert isinstance(again, DynFocusConfig)
        fields = again.to_dict() | {"_name_or_path": ""}
        assert fields == config.to_dict()
        assert isinstance(again.vision_config, CLIPVisionConfig)
        assert again.focus_settings == FocusSettings.official()
        assert again.frame_size == 56


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text_side": "both"}, "text_side must be one of text, frame_queries, got"),
        ({"frame_size": 100}, "must equal vision_config.image_size .224., got 100"),
        (
            {"focus": {"colour": 1}},
            "there is no 'colour'; accepted are num_event_tokens",
        ),
        ({"text_config": {"model_type": "no-such"}}, "'no-such' is not known to the"),
        ({"vision_config": {"image_size": [20, 30]}}, "image_size must be a square"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DynFocusConfig(**arguments)
