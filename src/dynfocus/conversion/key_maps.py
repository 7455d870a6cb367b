"""Names of the published layouts, and what they are called here.

Three layouts are passed around: EVA's vision tower (``eva_vit_g.pth``), the Q-Former of
InstructBLIP as LAVIS saves it, and whole LLaMA-VID checkpoints, which DynFocus's
published code extends, and SlowFocus's. The fourth is InstructBLIP in transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

TOWER, FINAL_NORM = "vision_tower.", "vision_tower.post_layernorm."
TEXT_ENCODER, QUERIES = "text_encoder.", "query_tokens"
LANGUAGE_MODEL = "language_model."
CONNECTOR, PROJECTORS = "focus_network.", "focus_network.cooperative_encoding."
READER_NORM, MIXING = "focus_network.reader_norm.", "focus_network.mixing."

_EVA_START = r"^(?:visual_encoder\.|(?:model\.)?vision_tower\.vision_tower\.)?"
_BERT_START = r"^(?:Qformer|(?:model\.)?vlm_att_encoder)\.bert\."
_RULES: tuple[tuple[str, str], ...] = (
    (_EVA_START + r"cls_token$", "vision_tower.embeddings.class_embedding"),
    (_EVA_START + r"pos_embed$", "vision_tower.embeddings.position_embedding"),
    (
        _EVA_START + r"patch_embed\.proj\.",
        "vision_tower.embeddings.patch_embedding.",
    ),
    (_EVA_START + r"blocks\.", "vision_tower.encoder.layers."),
    (r"^vision_model\.", TOWER),
    (r"^(?:ln_vision|(?:model\.)?vlm_att_ln)\.", FINAL_NORM),
    (_BERT_START + r"embeddings\.LayerNorm\.", "text_encoder.embeddings.layernorm."),
    (_BERT_START, TEXT_ENCODER),
    (r"^qformer\.", TEXT_ENCODER),
    (r"^(?:query_tokens|(?:model\.)?vlm_att_query)$", QUERIES),
    (
        r"^(?:model\.)?mm_projector\.",
        "focus_network.cooperative_encoding.multi_modal_projector.",
    ),
    (
        r"^(?:model\.)?vlm_att_projector\.",
        "focus_network.cooperative_encoding.query_projector.",
    ),
    (
        r"^(?:model\.)?vlm_att_key_projector\.",
        "focus_network.cooperative_encoding.key_projector.",
    ),
    (
        r"^(?:model\.)?vlm_att_val_projector\.",
        "focus_network.cooperative_encoding.context_projector.",
    ),
    (r"^(?:model\.)?vlm_att_bert_proj\.", "focus_network.reader_projector."),
    (r"^(?:model\.)?temporal_embedding\.", "focus_network.temporal_table.rows."),
    (r"^(?:model\.)?mix_attn_hfreq_projector\.", MIXING + "high_projector."),
    (r"^(?:model\.)?mix_attn_lfreq_projector\.", MIXING + "low_projector."),
    (
        r"^(?:model\.)?selective_net\.score_network\.",
        "focus_network.event_prototypes.score_network.",
    ),
    (r"^(?:model\.)?merge\.score\.", "focus_network.spatial_prototypes.gate."),
    (r"^model\.(?=embed_tokens\.|layers\.|norm\.)", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
)
_INNER = (
    (r"^(vision_tower\.encoder\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (
        r"^(vision_tower\.encoder\.layers\.\d+)\.attn\.proj\.",
        r"\1.self_attn.projection.",
    ),
    (r"^(vision_tower\.encoder\.layers\.\d+)\.attn\.", r"\1.self_attn."),
    (r"^(text_encoder\..*attention)\.self\.", r"\1.attention."),
)
_BUFFER = re.compile(r"\.position_ids$|\.rotary_emb\.inv_freq$")
"""Constants that older releases saved and that are computed now."""


def rename(name: str) -> str | None:
    """Give a tensor of a published checkpoint the name it has in a model of ours.

    Args:
        name: Its name in the file.

    Returns:
        Its name here; None if no model has a use for it.
    """
    if _BUFFER.search(name):
        return None
    for pattern, replacement in _RULES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            for inner, by in _INNER:
                renamed = re.sub(inner, by, renamed)
            return renamed
    return None


def join_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join EVA's biases of queries and values to one, in which keys have none.

    Args:
        tensors: Tensors by the names that `rename` gives.

    Returns:
        The same with ``qkv.bias`` in place of ``q_bias`` and ``v_bias``.
    """
    joined = dict(tensors)
    for name in tensors:
        stem, found, _ = name.rpartition("q_bias")
        if found and f"{stem}v_bias" in tensors:
            query, value = joined.pop(name), joined.pop(f"{stem}v_bias")
            bias = torch.cat([query, torch.zeros_like(query), value])
            joined[f"{stem}qkv.bias"] = bias
    return joined


_MOST_GROUPS = 8


def part_of(name: str) -> str:
    """Tell which part of a model a name belongs to."""
    return name.partition(".")[0]


def summarise_names(names: Iterable[str]) -> str:
    """Write many names briefly, as groups with their counts.

    Args:
        names: The names; eight groups at most are written out.

    Returns:
        Such as ``blocks.39 (13), norm.weight``; a name alone in its group is whole.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(module_of(name), []).append(name)
    shown = [
        f"{group} ({len(members)})" if len(members) > 1 else members[0]
        for group, members in list(groups.items())[:_MOST_GROUPS]
    ]
    spare = len(groups) - _MOST_GROUPS
    return ", ".join([*shown, f"{spare} other groups"] if spare > 0 else shown)


def module_of(name: str) -> str:
    """Give the module that a tensor is counted with: two names, three in the network."""
    names = name.split(".")
    depth = min(3, len(names) - 1) if name.startswith(CONNECTOR) else 2
    return ".".join(names[:depth])
