"""How the makers of the published checkpoints write them, at a tiny size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

WIDTH, SIDE, PATCH = 32, 28, 7
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "image_size": SIDE,
    "patch_size": PATCH,
}
QFORMER = {
    "vocab_size": 23,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 12,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "encoder_hidden_size": WIDTH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LANGUAGE = {
    "vocab_size": 12,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FOCUS: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 5,
    "num_spatial_prototypes": (4, 2),
    "num_spatial_neighbors": (3, 2),
    "num_noise_samples": 20,
}
COLOURS = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}


def write_tokenizer(folder: Path, num_words: int) -> None:
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    words = [*special, *(f"w{i}" for i in range(num_words - len(special)))]
    core = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.save_pretrained(folder)


def write_byte_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer, as that of Qwen and SmolLM, without merges."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *special]
    core = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=special[0], eos_token=special[2]
    )
    tokenizer.save_pretrained(folder)


def write_image_processor(folder: Path, side: int = SIDE, **changes: Any) -> None:
    fields = {
        "image_processor_type": "BlipImageProcessor",
        "size": {"height": side, "width": side},
        "do_normalize": True,
        **COLOURS,
        **changes,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))


def randomise(model: torch.nn.Module) -> None:
    """Give every tensor values of its own, norms and biases too."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)


def as_eva(state: dict[str, Tensor], num_blocks: int) -> dict[str, Tensor]:
    """Write InstructBLIP's tower as EVA's own file does, with blocks to spare."""
    names = (
        (r"^vision_model\.embeddings\.class_embedding", "cls_token"),
        (r"^vision_model\.embeddings\.position_embedding", "pos_embed"),
        (r"^vision_model\.embeddings\.patch_embedding", "patch_embed.proj"),
        (r"^vision_model\.encoder\.layers", "blocks"),
        (r"layer_norm([12])", r"norm\1"),
        (r"self_attn\.projection", "attn.proj"),
        (r"self_attn", "attn"),
    )
    eva = {}
    for name, tensor in state.items():
        if name.startswith("vision_model") and "post_layernorm" not in name:
            for pattern, by in names:
                name = re.sub(pattern, by, name)
            eva[name] = tensor
    for name in [name for name in eva if name.endswith("qkv.bias")]:
        query, key, value = eva.pop(name).chunk(3)
        assert not key.any()
        stem = name.removesuffix("qkv.bias")
        eva |= {f"{stem}q_bias": query.clone(), f"{stem}v_bias": value.clone()}
    for number in range(2, num_blocks):
        block = {n: t for n, t in eva.items() if n.startswith("blocks.0.")}
        eva |= {
            n.replace("blocks.0.", f"blocks.{number}."): t for n, t in block.items()
        }
    return eva


def as_lavis(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write InstructBLIP's Q-Former as LAVIS does."""
    lavis = {"query_tokens": state["query_tokens"]}
    for name, tensor in state.items():
        if name.startswith("qformer."):
            name = name.replace("qformer.", "Qformer.bert.", 1)
            name = name.replace("attention.attention.", "attention.self.")
            lavis[name.replace("embeddings.layernorm", "embeddings.LayerNorm")] = tensor
        if name.startswith("vision_model.post_layernorm"):
            lavis[name.replace("vision_model.post_layernorm", "ln_vision")] = tensor
    places = state["qformer.embeddings.position_embeddings.weight"].shape[0]
    lavis["Qformer.bert.embeddings.position_ids"] = torch.arange(places)[None]
    return lavis
