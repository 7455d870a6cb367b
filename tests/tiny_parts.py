"""A tiny vision tower and a tiny language model that reads FocusWorld, as folders."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dynfocus.training.nano.language import train_tokenizer


def write_parts(folder: Path, num_layers: int = 1) -> tuple[Path, Path]:
    """Write a tower of so many layers and a reader; random, the same each time."""
    tokenizer = train_tokenizer(20, 400)
    torch.manual_seed(0)
    tower = InstructBlipVisionConfig(
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        image_size=112,
        patch_size=28,
        initializer_range=0.1,
    )
    reader = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    InstructBlipVisionModel(tower).save_pretrained(folder / "tower")
    LlamaForCausalLM(reader).save_pretrained(folder / "reader")
    tokenizer.save_pretrained(folder / "reader")
    return folder / "tower", folder / "reader"
