"""Measure DynFocus on vision language models of true widths, with random weights.

    python benchmarks/plugins.py

LLaVA-OneVision-7B and Qwen2.5-VL-7B read a video at 10, 25, 50 and 100 % of its tokens,
chosen by DynFocus and as whole uniform frames: CPU seconds of the tower, of choosing, of
reading the prompt and of writing, and the memory of keys and values. Towers and language
models are built with few layers and their seconds multiplied. Writes
docs/results/plugins.md and .json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plugins_page import write_page
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    LlavaOnevisionConfig,
    LogitsProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
)
from transformers.initialization import no_init_weights

from dynfocus.models import AskOptions, VideoModel
from dynfocus.models.video_language_model import CACHE_NAME
from dynfocus.plugins import HostFeatures, HostProcessor, plug
from dynfocus.plugins.host_prompts import fill
from dynfocus.provenance import describe_hardware, source_commit

SHARES = (0.10, 0.25, 0.50, 1.0)
QUESTION = "what is shown ?"
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<video> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
_COLOURS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of the hosts; those of the 7B models by default."""

    hidden_size: int = 3584
    language_mlp: int = 18944
    language_heads: int = 28
    key_value_heads: int = 4
    language_layers: int = 28
    siglip_dim: int = 1152
    siglip_mlp: int = 4304
    siglip_heads: int = 16
    siglip_layers: int = 26
    siglip_side: int = 384
    qwen_dim: int = 1280
    qwen_mlp: int = 3420
    qwen_heads: int = 16
    qwen_layers: int = 32
    qwen_side: int = 280
    num_steps: int = 12
    num_new_tokens: int = 8

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of keys and values of a token at full depth, in bfloat16."""
        head = self.hidden_size // self.language_heads
        return 2 * self.language_layers * self.key_value_heads * head * 2


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How many layers are built."""

    tower: int
    language: int


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make a vocabulary of a few words; the head of the true one is not measured."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *QUESTION.split()]
    core = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.add_tokens(["<video>", "<image>"], special_tokens=True)
    return tokenizer


def _language(sizes: Sizes, depth: Depth, num_words: int) -> dict[str, Any]:
    return {
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.language_mlp,
        "num_hidden_layers": depth.language,
        "num_attention_heads": sizes.language_heads,
        "num_key_value_heads": sizes.key_value_heads,
        "max_position_embeddings": 32768,
        "vocab_size": num_words,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _llava_onevision(
    sizes: Sizes, depth: Depth, words: PreTrainedTokenizerFast
) -> tuple[Any, dict[str, Any]]:
    ids = words.get_vocab()
    tower = {
        "model_type": "siglip_vision_model",
        "hidden_size": sizes.siglip_dim,
        "intermediate_size": sizes.siglip_mlp,
        "num_hidden_layers": depth.tower,
        "num_attention_heads": sizes.siglip_heads,
        "image_size": sizes.siglip_side,
        "patch_size": 14,
        "vision_use_head": False,
    }
    config = LlavaOnevisionConfig(
        vision_config=tower,
        text_config={"model_type": "qwen2", **_language(sizes, depth, len(words))},
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
    )
    side = {"height": sizes.siglip_side, "width": sizes.siglip_side}
    return config, {"size": side, **_COLOURS}


def _qwen2_5_vl(
    sizes: Sizes, depth: Depth, words: PreTrainedTokenizerFast
) -> tuple[Any, dict[str, Any]]:
    ids = words.get_vocab()
    tower = {
        "depth": depth.tower,
        "hidden_size": sizes.qwen_dim,
        "intermediate_size": sizes.qwen_mlp,
        "num_heads": sizes.qwen_heads,
        "out_hidden_size": sizes.hidden_size,
        "fullatt_block_indexes": [depth.tower - 1],
        "tokens_per_second": 2,
    }
    head = sizes.hidden_size // sizes.language_heads
    section = [head // 8, head // 8 + head // 16, head // 8 + head // 16]
    rope = {"rope_type": "default", "mrope_section": section, "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        vision_config=tower,
        text_config={**_language(sizes, depth, len(words)), "rope_parameters": rope},
        image_token_id=ids["<image>"],
        video_token_id=ids["<video>"],
    )
    pixels = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 768}
    return config, {"size": pixels, **_COLOURS}


HOSTS: dict[str, Callable[..., tuple[Any, dict[str, Any]]]] = {
    "LLaVA-OneVision-7B": _llava_onevision,
    "Qwen2.5-VL-7B": _qwen2_5_vl,
}


def build_host(name: str, sizes: Sizes, depth: Depth) -> VideoModel:
    """Build a host with random weights."""
    words = build_tokenizer()
    config, numbers = HOSTS[name](sizes, depth, words)
    with no_init_weights():
        model = AutoModelForImageTextToText.from_config(config)
    block = torch.randn(1 << 16)
    with torch.no_grad():
        for parameter in model.parameters():
            count = parameter.numel()
            scale = 0.02 if parameter.ndim > 1 else 1.0
            row = (scale * block).repeat(-(-count // len(block)))[:count]
            parameter.copy_(row.view_as(parameter))
    processor = HostProcessor(tokenizer=words, numbers=numbers, chat_template=_TEMPLATE)
    return plug(model, processor, name=name)


class FirstToken(LogitsProcessor):  # type: ignore[misc]
    """Note when the prompt has been read."""

    seconds: float | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take the time of the first call."""
        if self.seconds is None:
            self.seconds = time.process_time()
        return scores


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A host and the frames that it is asked about."""

    focused: VideoModel
    sizes: Sizes
    depth: Depth
    side: int
    tower_layers: int

    @property
    def frames(self) -> Any:
        """Frames in scenes of four."""
        return make_frames(
            self.sizes.num_steps * self.focused.backbone.family.frames_per_step,
            self.side,
        )

    def encode(self, method: str, budget: int) -> tuple[HostFeatures, float]:
        """Encode what a method reads; give the CPU seconds at full depth."""
        start = time.process_time()
        options = AskOptions(max_video_tokens=budget, method=method)
        video = self.focused.backbone.encode(self.frames, options, None).features
        seconds = time.process_time() - start
        return video, seconds * self.tower_layers / self.depth.tower


def measure(
    bench: Bench, method: str, share: float, whole: tuple[HostFeatures, float]
) -> dict[str, Any]:
    """Measure one answer, stage by stage; seconds are multiplied to full depth.

    Args:
        bench: The host.
        method: What chooses the tokens.
        share: The budget, of all tokens.
        whole: All frames, encoded, and the seconds that took.
    """
    focused, sizes = bench.focused, bench.sizes
    num_tokens, size = whole[0].num_tokens, whole[0].tokens_per_step
    budget = max(size + len(whole[0].tail), round(share * num_tokens))
    is_uniform = method == "uniform"
    video, tower = bench.encode(method, budget) if is_uniform else whole
    start = time.process_time()
    host = focused.backbone
    kept_video, kept = host.select(video, QUESTION, budget, method)
    chosen = time.process_time()
    first = FirstToken()
    with torch.inference_mode():
        inputs = fill(host.family, [(kept_video, kept)], QUESTION)
        output = host.run(
            inputs,
            max_new_tokens=sizes.num_new_tokens,
            min_new_tokens=sizes.num_new_tokens,
            do_sample=False,
            logits_processor=[first],
            return_dict_in_generate=True,
        )
    end = time.process_time()
    assert first.seconds is not None
    deeper = sizes.language_layers / bench.depth.language
    stages = {
        "tower": tower,
        "choosing": chosen - start,
        "prompt": (first.seconds - chosen) * deeper,
        "writing": (end - first.seconds) * deeper,
    }
    num_read = int(inputs.is_visual.sum())
    return {
        "host": focused.name,
        "method": method,
        "share": share,
        "frames_read": video.num_steps * focused.backbone.family.frames_per_step,
        "video_tokens": num_read,
        "whole_tokens": num_tokens,
        "stages": stages,
        "seconds": sum(stages.values()),
        "cache_bytes": num_read * sizes.cache_bytes_per_token,
        "built_cache_bytes": _cache_bytes(output[CACHE_NAME]),
        "prompt_tokens": inputs.input_ids.shape[1],
    }


def make_frames(num_frames: int, side: int) -> Any:
    """Draw frames in scenes of four."""
    generator = np.random.default_rng(0)
    scenes = generator.integers(0, 256, (-(-num_frames // 4), side, side, 3))
    return scenes.repeat(4, axis=0)[:num_frames].astype(np.uint8)


def _cache_bytes(cache: Any) -> int:
    tensors = [part for layer in cache.layers for part in (layer.keys, layer.values)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def run(sizes: Sizes, depth: Depth, command: str, note: str = "") -> dict[str, Any]:
    """Measure both hosts."""
    torch.manual_seed(0)
    rows = []
    for name in HOSTS:
        is_llava = name.startswith("LLaVA")
        bench = Bench(
            focused=build_host(name, sizes, depth),
            sizes=sizes,
            depth=depth,
            side=sizes.siglip_side if is_llava else sizes.qwen_side,
            tower_layers=sizes.siglip_layers if is_llava else sizes.qwen_layers,
        )
        whole = bench.encode("none", 1 << 20)
        measure(bench, "uniform", 0.1, whole)  # the first is slower
        for share in SHARES:
            methods = ("none",) if share == 1 else ("dynfocus", "uniform")
            rows += [measure(bench, method, share, whole) for method in methods]
    return {
        "command": command,
        "note": note,
        "commit": source_commit(),
        "device": describe_hardware(),
        "seconds": "CPU seconds",
        "sizes": asdict(sizes),
        "cache_bytes_per_token": sizes.cache_bytes_per_token,
        "built": asdict(depth),
        "rows": rows,
    }


def main(arguments: list[str] | None = None) -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description="DynFocus on hosts of true widths.")
    parser.add_argument("--built-tower-layers", type=int, default=1)
    parser.add_argument("--built-language-layers", type=int, default=1)
    parser.add_argument("--note", default="", help="A sentence on the machine.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "results"
    )
    for field in fields(Sizes):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=field.default)
    given = parser.parse_args(arguments)
    sizes = Sizes(**{field.name: getattr(given, field.name) for field in fields(Sizes)})
    depth = Depth(tower=given.built_tower_layers, language=given.built_language_layers)
    changed = [
        word
        for name, value in vars(given).items()
        if value != parser.get_default(name) and name not in ("note", "out")
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = " ".join(["python benchmarks/plugins.py", *changed])
    print(write_page(run(sizes, depth, command, given.note), given.out))  # noqa: T201 a script's output


if __name__ == "__main__":
    main()
