"""Tiny random models and a tiny vocabulary, built from configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dynfocus.focus import FocusSettings
from dynfocus.models.dynfocus import (
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.slowfocus import (
    SlowFocusConfig,
    SlowFocusForConditionalGeneration,
    SlowFocusProcessor,
)
from dynfocus.models.video_model import VideoModel
from dynfocus.video import VideoWriter

WORDS = """
    USER ASSISTANT : ? . what which where is was are on in the a an red blue green
    square circle letter number people one two three yes no first then answer you
    see describe this that video
"""
SMALL_FOCUS: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 5,
    "num_spatial_prototypes": (4, 2),
    "num_spatial_neighbors": (3, 2),
    "num_noise_samples": 20,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
QFORMER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SMALL_SLOW: dict[str, Any] = {"grid_size": 2, "num_positions": 50}
LANGUAGE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    words = [*special, *WORDS.split()]
    vocabulary = {word: index for index, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
    )
    tokenizer.add_tokens("<video>", special_tokens=True)
    return tokenizer


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture
def make_model() -> Callable[..., DynFocusForConditionalGeneration]:
    """Build a tiny random model; larger weights than usual make outputs differ."""

    def make(
        focus: FocusSettings | None = None, seed: int = 0, **changes: Any
    ) -> DynFocusForConditionalGeneration:
        tokenizer = build_tokenizer()
        fields: dict[str, Any] = {
            "vision_config": dict(VISION),
            "qformer_config": dict(QFORMER, vocab_size=len(tokenizer)),
            "text_config": dict(LANGUAGE, vocab_size=len(tokenizer)),
            "focus": focus or FocusSettings(**SMALL_FOCUS),
            "video_token_id": tokenizer.convert_tokens_to_ids("<video>"),
            "num_query_tokens": 3,
        }
        torch.manual_seed(seed)
        model = DynFocusForConditionalGeneration(DynFocusConfig(**(fields | changes)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(5.0) if parameter.ndim > 1 else None
        return model.eval()

    return make


@pytest.fixture
def make_processor() -> Callable[..., DynFocusProcessor]:
    def make(focus: FocusSettings | None = None, **changes: Any) -> DynFocusProcessor:
        settings = focus or FocusSettings(**SMALL_FOCUS)
        return DynFocusProcessor(
            build_tokenizer(), focus=settings, frame_size=28, **changes
        )

    return make


@pytest.fixture
def make_slow_model() -> Callable[..., SlowFocusForConditionalGeneration]:
    """Build a tiny random SlowFocus whose gates are open, so that mixing is seen."""

    def make(
        seed: int = 0,
        gate: float = 1.0,
        tower: str = "clip_vision_model",
        language: str = "llama",
        **changes: Any,
    ) -> SlowFocusForConditionalGeneration:
        tokenizer = build_tokenizer()
        fields: dict[str, Any] = {
            "vision_config": dict(VISION, model_type=tower),
            "qformer_config": dict(
                QFORMER, vocab_size=len(tokenizer), encoder_hidden_size=24
            ),
            "text_config": dict(
                LANGUAGE, model_type=language, vocab_size=len(tokenizer)
            ),
            "slow": dict(SMALL_SLOW),
            "video_token_id": tokenizer.convert_tokens_to_ids("<video>"),
            "num_query_tokens": 3,
        }
        torch.manual_seed(seed)
        config = SlowFocusConfig(**(fields | changes))
        model = SlowFocusForConditionalGeneration(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(5.0) if parameter.ndim > 1 else None
            if model.focus_network.mixing is not None:
                model.focus_network.mixing.gates.fill_(gate)
        return model.eval()

    return make


@pytest.fixture
def make_slow_processor() -> Callable[..., SlowFocusProcessor]:
    def make(**changes: Any) -> SlowFocusProcessor:
        fields: dict[str, Any] = {"slow": dict(SMALL_SLOW), "frame_size": 28}
        return SlowFocusProcessor(build_tokenizer(), **(fields | changes))

    return make


@pytest.fixture
def focused(make_model, make_processor) -> VideoModel:
    return VideoModel(FeatureBackbone(make_model(), make_processor(), "tiny"))


@pytest.fixture
def make_frames() -> Callable[..., np.ndarray]:
    def make(num_frames: int, seed: int = 0, size: int = 28) -> np.ndarray:
        generator = np.random.default_rng(seed)
        shape = (num_frames, size, size, 3)
        return generator.integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Write six seconds of changing colours, wide, at 4 frames a second."""
    path = tmp_path / "clip.mp4"
    generator = np.random.default_rng(0)
    with VideoWriter(path, fps=4, size=(32, 64)) as writer:
        for _ in range(6):
            colours = generator.integers(0, 256, (4, 8, 3), dtype=np.uint8)
            frame = colours.repeat(8, axis=0).repeat(8, axis=1)
            for _ in range(4):
                writer.write(frame)
    return path


@pytest.fixture
def prompt() -> str:
    return "USER: <video>\nwhat is on the red square ? ASSISTANT:"
