"""A trained connector of the usual kind as a model that transformers knows."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from dynfocus.conversion.siglip import siglip_tower
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)

HOST_CONNECTOR = "llava_onevision"

_MAX_POSITIONS = 65536
_IMAGE_TOKEN = "<image>"
_TEMPLATE = """
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- ' ASSISTANT: ' + message.content[0].text + eos_token -}}
{%- else -%}
{%- set asked = message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') -%}
{{- 'USER: ' -}}
{%- if message.content | selectattr('type', 'equalto', 'video') | list -%}
{{- LEAD + '<video>\\n' -}}
{%- endif -%}
{{- asked -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- ' ASSISTANT:' -}}
{%- endif -%}
"""


def save_host(
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    folder: str | Path,
) -> Path:
    """Write a LLaVA-OneVision with the parts of a model that has its connector.

    Its vision tower is that of the model as a SigLIP tower, without the class token. The
    folder is what ``AutoModelForImageTextToText`` and ``dynfocus.plug`` read.

    Args:
        model: A model whose connector is ``"llava_onevision"``.
        processor: Its processor: words, prompts and numbers of frames.
        folder: Where it is written.

    Returns:
        The folder.

    Raises:
        ValueError: If the connector is not that of LLaVA-OneVision.
    """
    if model.config.connector != HOST_CONNECTOR:
        raise ValueError(
            f"only connector {HOST_CONNECTOR!r} is one that transformers knows, got "
            f"{model.config.connector!r}"
        )
    tokenizer = _tokenizer(processor)
    host = _build(model, tokenizer)
    folder = Path(folder)
    host.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = processor.frame_size
    numbers = {
        "size": {"height": side, "width": side},
        "image_mean": list(processor.image_mean),
        "image_std": list(processor.image_std),
        "resample": 2,  # bilinear, as the project's own reader scales
    }
    for kind in ("video_preprocessor", "preprocessor"):
        text = json.dumps(numbers, indent=1) + "\n"
        (folder / f"{kind}_config.json").write_text(text, encoding="utf-8")
    return folder


def _tokenizer(processor: DynFocusProcessor) -> PreTrainedTokenizerFast:
    """Copy the tokenizer with a word for images and the prompt of training."""
    tokenizer = copy.deepcopy(processor.tokenizer)
    tokenizer.add_tokens([_IMAGE_TOKEN], special_tokens=True)
    lead = "asked + '\\n'" if processor.question_first else "''"
    tokenizer.chat_template = _TEMPLATE.strip().replace("LEAD", lead)
    return tokenizer


def _build(
    model: DynFocusForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> LlavaOnevisionForConditionalGeneration:
    connector = model.focus_network.connector
    tower = siglip_tower(model.vision_tower)
    language = copy.deepcopy(model.language_model)
    language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    language.config.max_position_embeddings = _MAX_POSITIONS
    side = tower.config.image_size
    config = LlavaOnevisionConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN),
        video_token_index=model.config.video_token_id,
        projector_hidden_act="gelu",
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_grid_pinpoints=[[side, side]],
        tie_word_embeddings=bool(language.config.tie_word_embeddings),
    )
    host = LlavaOnevisionForConditionalGeneration(config)
    inner = host.model
    inner.vision_tower.load_state_dict(tower.state_dict())
    inner.language_model.load_state_dict(language.model.state_dict())
    host.lm_head.load_state_dict(language.lm_head.state_dict())
    projector = inner.multi_modal_projector
    projector.linear_1.load_state_dict(connector.projector[0].state_dict())
    projector.linear_2.load_state_dict(connector.projector[2].state_dict())
    with torch.no_grad():
        inner.image_newline.copy_(connector.newline)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(host.generation_config, name, getattr(tokenizer, name))
    return host.eval()
