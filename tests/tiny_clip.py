"""A CLIP of a few thousand weights with its processor, and its text half alone."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)


def save_tiny_clip(folder: Path) -> Path:
    """Write the model to ``clip`` and its text half to ``text``; give the former."""
    letters = [
        f"{c}{end}" for c in "abcdefghijklmnopqrstuvwxyz?" for end in ("", "</w>")
    ]
    words = ["<|startoftext|>", "<|endoftext|>", *letters]
    tokenizer = CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[])
    tokenizer.model_max_length = 24
    torch.manual_seed(0)
    layer = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = CLIPTextConfig(
        **layer,
        vocab_size=len(words),
        max_position_embeddings=24,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = CLIPVisionConfig(**layer, image_size=32, patch_size=16)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8
    )
    CLIPModel(config).save_pretrained(folder / "clip")
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    CLIPProcessor(images, tokenizer).save_pretrained(folder / "clip")
    CLIPTextModel(text).save_pretrained(folder / "text")
    return folder / "clip"
