"""Tiny random hosts of every family, built from their configuration classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    InternVLConfig,
    LlavaNextVideoConfig,
    LlavaOnevisionConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
    SmolVLMConfig,
    VideoLlavaConfig,
)

from dynfocus.plugins import HostProcessor

WORDS = """
    user assistant : ? . , what which where is was on in the a red blue green square
    circle yes no one two three four five six seven eight zero You are provided following
    series of frames from video Frame Frame1 Frame2 Frame3 Frame4 Frame5 Frame6 Frame7
    Frame8 [ ] H MM SS < > seconds 0 1 2 3 4 5 6 7 8 9 00 01 02 03 04 05 06 07 08
"""
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
VIDEO_MARKS = (
    "<video>",
    "<image>",
    "<|video_pad|>",
    "<|image_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<IMG_CONTEXT>",
    "<img>",
    "</img>",
    "<fake_token_around_image>",
    "<global-img>",
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}MARK {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
LANGUAGE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
COLOURS: dict[str, Any] = {"image_mean": (0.5, 0.4, 0.3), "image_std": (0.3, 0.2, 0.25)}


@dataclass(frozen=True)
class Host:
    model: Any
    processor: HostProcessor


def build_tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, *dict.fromkeys(WORDS.split())]
    vocabulary = {word: index for index, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.add_tokens(list(VIDEO_MARKS), special_tokens=True)
    tokenizer.video_token = "<video>"
    tokenizer.context_image_token = "<IMG_CONTEXT>"
    tokenizer.start_image_token = "<img>"
    tokenizer.end_image_token = "</img>"
    for name in ("start_image_token", "end_image_token", "context_image_token"):
        token = tokenizer.convert_tokens_to_ids(getattr(tokenizer, name))
        setattr(tokenizer, f"{name}_id", token)
    return tokenizer


def _llava_onevision(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    tower = {
        "model_type": "siglip_vision_model",
        "image_size": 28,
        "patch_size": 4,
        "vision_use_head": False,
        **TOWER,
    }
    config = LlavaOnevisionConfig(
        vision_config=tower,
        text_config={"model_type": "qwen2", **text},
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=[[28, 28]],
    )
    return config, {"size": {"height": 28, "width": 28}, **COLOURS}


def _llava_next_video(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    tower = {
        "model_type": "clip_vision_model",
        "image_size": 32,
        "patch_size": 4,
        "projection_dim": 16,
        **TOWER,
    }
    config = LlavaNextVideoConfig(
        vision_config=tower,
        text_config={"model_type": "llama", **text},
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=[[32, 32]],
    )
    return config, _cropped(32)


def _video_llava(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    tower = {
        "model_type": "clip_vision_model",
        "image_size": 28,
        "patch_size": 7,
        "projection_dim": 16,
        **TOWER,
    }
    config = VideoLlavaConfig(
        vision_config=tower,
        text_config={"model_type": "llama", **text},
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
    )
    return config, _cropped(28)


def _internvl(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    config = InternVLConfig(
        vision_config={"image_size": [32, 32], "patch_size": [4, 4], **TOWER},
        text_config={"model_type": "qwen2", **text},
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    return config, {"size": {"height": 32, "width": 32}, **COLOURS}


def _smolvlm(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    config = SmolVLMConfig(
        vision_config={"image_size": 32, "patch_size": 4, **TOWER},
        text_config={"model_type": "llama", **text},
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=0,
    )
    size = {"size": {"longest_edge": 48}, "max_image_size": {"longest_edge": 32}}
    return config, {**size, "resample": 1, **COLOURS}


def _qwen2_5_vl(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    tower = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 4,
        "out_hidden_size": 32,
        "window_size": 16,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
    }
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        vision_config=tower,
        text_config={**text, "rope_parameters": rope},
        **_qwen_ids(ids),
    )
    return config, _patches(4)


def _qwen3_vl(ids: Mapping[str, int], text: dict[str, Any]) -> tuple[Any, dict]:
    tower = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 4,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "rope_theta": 10000.0,
    }
    config = Qwen3VLConfig(
        vision_config=tower,
        text_config={**text, "head_dim": 8, "rope_parameters": rope},
        **_qwen_ids(ids),
    )
    return config, _patches(4)


def _cropped(side: int) -> dict[str, Any]:
    crop = {"height": side, "width": side}
    return {"size": {"shortest_edge": side}, "crop_size": crop, **COLOURS}


def _patches(size: int) -> dict[str, Any]:
    return {
        "size": {"shortest_edge": 16 * 16, "longest_edge": 8 * 64 * 64},
        "patch_size": size,
        "temporal_patch_size": 2,
        "merge_size": 2,
        **COLOURS,
    }


def _qwen_ids(ids: Mapping[str, int]) -> dict[str, int]:
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


BUILDERS: dict[str, tuple[Callable[..., tuple[Any, dict]], str]] = {
    "internvl": (_internvl, "<video>"),
    "llava_next_video": (_llava_next_video, "<video>"),
    "llava_onevision": (_llava_onevision, "<video>"),
    "qwen2_5_vl": (_qwen2_5_vl, "<|vision_start|><|video_pad|><|vision_end|>"),
    "qwen3_vl": (_qwen3_vl, "<|vision_start|><|video_pad|><|vision_end|>"),
    "smolvlm": (_smolvlm, "<video>"),
    "video_llava": (_video_llava, "<video>"),
}


def build_host(name: str, seed: int = 0) -> Host:
    """Build a host; larger weights than usual make outputs differ."""
    tokenizer = build_tokenizer()
    builder, mark = BUILDERS[name]
    if name.startswith("qwen"):
        tokenizer.video_token, tokenizer.image_token = "<|video_pad|>", "<|image_pad|>"
    text = {**LANGUAGE, "vocab_size": len(tokenizer)}
    config, numbers = builder(tokenizer.get_vocab(), text)
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    model.generation_config.update(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    template = TEMPLATE.replace("MARK", mark)
    processor = HostProcessor(
        tokenizer=tokenizer, numbers=numbers, chat_template=template
    )
    return Host(model, processor)


def save_host(host: Host, folder: Path) -> Path:
    """Write a host as its repository on the hub has it."""
    host.model.save_pretrained(folder)
    host.processor.tokenizer.save_pretrained(folder)
    template = host.processor.chat_template
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    numbers = json.dumps(dict(host.processor.numbers))
    (folder / "preprocessor_config.json").write_text(numbers)
    return folder
