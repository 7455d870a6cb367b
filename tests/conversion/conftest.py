"""Tiny checkpoints in every published layout, written as their makers write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_layouts import (
    FOCUS,
    LANGUAGE,
    QFORMER,
    VISION,
    WIDTH,
    as_eva,
    as_lavis,
    randomise,
    write_byte_tokenizer,
    write_image_processor,
    write_tokenizer,
)
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from dynfocus.conversion import Choices
from dynfocus.focus import FocusSettings

BYTES = {**LANGUAGE, "vocab_size": 300}
"""A language model with spare rows over the words of the bytes."""


@pytest.fixture(scope="session")
def instructblip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instructblip")
    torch.manual_seed(0)
    model = InstructBlipForConditionalGeneration(
        InstructBlipConfig(
            vision_config=VISION,
            qformer_config=QFORMER,
            text_config={"model_type": "llama", **LANGUAGE},
            num_query_tokens=3,
        )
    )
    randomise(model)
    for name, weight in model.named_parameters():
        if name.endswith("qkv.bias"):  # the published weights have none for keys
            weight.data[WIDTH : 2 * WIDTH] = 0
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    write_tokenizer(folder / "qformer_tokenizer", 23)
    write_image_processor(folder)
    return folder


@pytest.fixture(scope="session")
def vicuna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Llama that has a row for each word, and so none for the placeholder."""
    return _language(tmp_path_factory, "vicuna", LlamaForCausalLM(_llama()))


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Qwen with spare rows and a head that is tied to the words."""
    config = Qwen2Config(**BYTES, num_key_value_heads=1, tie_word_embeddings=True)
    return _language(tmp_path_factory, "qwen", Qwen2ForCausalLM(config))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Qwen 3: norms of queries and keys, heads of their own width, own head."""
    config = Qwen3Config(**BYTES, num_key_value_heads=1, head_dim=24)
    return _language(tmp_path_factory, "qwen3", Qwen3ForCausalLM(config))


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a SmolLM 2: a Llama with tied words and the words of the bytes."""
    config = LlamaConfig(**BYTES, num_key_value_heads=1, tie_word_embeddings=True)
    return _language(tmp_path_factory, "smollm2", LlamaForCausalLM(config))


@pytest.fixture(scope="session")
def smollm3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a SmolLM 3: every fourth layer is without positions."""
    fields = {**BYTES, "num_hidden_layers": 4, "num_key_value_heads": 1}
    config = SmolLM3Config(**fields)
    return _language(tmp_path_factory, "smollm3", SmolLM3ForCausalLM(config))


def _llama() -> LlamaConfig:
    return LlamaConfig(**LANGUAGE)


def _language(
    factory: pytest.TempPathFactory, name: str, model: torch.nn.Module
) -> Path:
    folder = factory.mktemp(name)
    randomise(model)
    model.save_pretrained(folder)
    if name != "vicuna":
        write_byte_tokenizer(folder)
    else:
        write_tokenizer(folder, 12)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vision = {**VISION, "hidden_size": 16, "num_attention_heads": 2}
    text = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text))
    return _tower(tmp_path_factory, "clip", model)


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vision = {**VISION, "hidden_size": 16, "num_attention_heads": 2}
    text = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    text["vocab_size"] = 50
    model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text))
    return _tower(tmp_path_factory, "siglip", model)


@pytest.fixture(scope="session")
def siglip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tower alone; SigLIP 2 of fixed resolution has SigLIP's type."""
    vision = {**VISION, "hidden_size": 16, "num_attention_heads": 2}
    model = SiglipVisionModel(SiglipVisionConfig(**vision, vision_use_head=True))
    return _tower(tmp_path_factory, "siglip2", model)


def _tower(factory: pytest.TempPathFactory, name: str, model: torch.nn.Module) -> Path:
    folder = factory.mktemp(name)
    randomise(model)
    model.save_pretrained(folder)
    write_image_processor(folder)
    return folder


@pytest.fixture(scope="session")
def instructblip_state(instructblip: Path) -> dict[str, Tensor]:
    model = InstructBlipForConditionalGeneration.from_pretrained(instructblip)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def eva_file(tmp_path: Path, instructblip_state: dict[str, Tensor]) -> Path:
    path = tmp_path / "eva_vit_g.pth"
    spare = {"norm.weight": torch.ones(WIDTH), "head.weight": torch.ones(5, WIDTH)}
    torch.save({**as_eva(instructblip_state, 2), **spare}, path)
    return path


@pytest.fixture
def qformer_file(tmp_path: Path, instructblip_state: dict[str, Tensor]) -> Path:
    path = tmp_path / "instruct_blip_trimmed.pth"
    spare = {"llm_proj.weight": torch.ones(2, 24)}
    torch.save({"model": {**as_lavis(instructblip_state), **spare}}, path)
    return path


@pytest.fixture
def llama_vid_state(instructblip_state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors of a LLaMA-VID with an EVA tower."""
    renamed = {
        "Qformer.bert.": "model.vlm_att_encoder.bert.",
        "query_tokens": "model.vlm_att_query",
        "ln_vision.": "model.vlm_att_ln.",
    }
    state = {}
    for name, tensor in as_lavis(instructblip_state).items():
        for start, by in renamed.items():
            name = name.replace(start, by, 1) if name.startswith(start) else name
        state[name] = tensor
    for name, tensor in as_eva(instructblip_state, 2).items():
        state[f"model.vision_tower.vision_tower.{name}"] = tensor
    draw = torch.Generator().manual_seed(3)
    for name, shape in {
        "mm_projector.0": (32, WIDTH),
        "mm_projector.2": (32, 32),
        "vlm_att_projector": (WIDTH, 24),
        "vlm_att_key_projector": (WIDTH, WIDTH),
        "vlm_att_val_projector": (32, WIDTH),
    }.items():
        state[f"model.{name}.weight"] = 0.2 * torch.randn(shape, generator=draw)
        state[f"model.{name}.bias"] = 0.2 * torch.randn(shape[0], generator=draw)
    model = LlamaForCausalLM(_llama())
    randomise(model)
    state |= {name: tensor.detach() for name, tensor in model.state_dict().items()}
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    return state


@pytest.fixture
def llama_vid(tmp_path: Path, llama_vid_state: dict[str, Tensor]) -> Path:
    """Write a LLaMA-VID in two shards with an index, as torch files."""
    folder = tmp_path / "llama-vid"
    folder.mkdir()
    names = list(llama_vid_state)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    places = {}
    for number, half in enumerate(halves, 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: llama_vid_state[name] for name in half}, folder / file)
        places |= dict.fromkeys(half, file)
    index = {"weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    config = {
        "model_type": "llava",
        "architectures": ["LlavaLlamaAttForCausalLM"],
        "mm_vision_tower": "eva_vit_g.pth",
        **LANGUAGE,
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, 12)
    return folder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Write BERT's tokenizer, which lacks the one word that InstructBLIP added."""
    write_tokenizer(tmp_path / "bert", 22)
    return tmp_path / "bert"


@pytest.fixture
def make_choices() -> Callable[..., Choices]:
    def make(preset: str = "paper", **changes: Any) -> Choices:
        sizes = dict(FOCUS)
        if preset == "official":
            del sizes["num_prototypes"]
        focus = getattr(FocusSettings, preset)(**sizes)
        return Choices(**{"focus": focus, "dtype": torch.float32, **changes})

    return make
