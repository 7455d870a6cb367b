"""A trained tower of InstructBLIP's kind as a SigLIP tower, which has no class token.

Models of other kinds can then start from it, such as a dual encoder or LLaVA-OneVision,
whose vision towers are SigLIP's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    InstructBlipVisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)


@torch.no_grad()
def siglip_tower(
    tower: InstructBlipVisionModel, *, pooling_head: bool = False
) -> SiglipVisionModel:
    """Rebuild a vision tower without its class token as a SigLIP tower.

    Both are the same transformer: the fused matrix of queries, keys and values is cut in
    three, and every other weight keeps its values. The class token and its position are
    dropped, so patches no longer attend to it; that is the only difference to the
    original, and a tower in which nothing attends to it is rebuilt exactly.

    Args:
        tower: The trained tower; it is not changed.
        pooling_head: Whether to add SigLIP's attention pooling, untrained.

    Returns:
        The tower in the precision and on the device of the original, ready to infer.
        Like there, ``hidden_states[-1]`` is what stands before the final norm.
    """
    config = tower.config
    model = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_act=config.hidden_act,
            layer_norm_eps=config.layer_norm_eps,
            attention_dropout=config.attention_dropout,
            vision_use_head=pooling_head,
        )
    )
    state = _rename(tower.state_dict())
    head = {k: v for k, v in model.state_dict().items() if k.startswith("head.")}
    model.load_state_dict(state | head)
    return model.to(device=tower.device, dtype=tower.dtype).eval()


def _rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give InstructBLIP's weights the names and shapes they have in SigLIP."""
    renamed = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if name == "embeddings.position_embedding":
            renamed[f"{name}.weight"] = value[0, 1:]
        elif stem.endswith(".qkv"):
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stem.removesuffix('qkv')}{part}_proj.{kind}"] = piece
        elif name != "embeddings.class_embedding":
            renamed[name.replace(".projection.", ".out_proj.")] = value
    return renamed
