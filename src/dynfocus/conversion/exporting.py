"""Trained models as others read them: for a vLLM server, and as one of transformers.

A server gets the language model alone. It applies its chat template around embeddings that it gets. So the exported
template must give the very tokens that our processor gives around a video.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from dynfocus.atomic import atomic_folder
from dynfocus.conversion.assembly import check_folder
from dynfocus.conversion.siglip import siglip_tower
from dynfocus.models.conversation import Turn, build_conversation
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.prompts import VIDEO_TOKEN
from dynfocus.models.video_model import VideoModel

EMBEDS_MARK = "<prompt_embeds>"
"""What a vLLM server writes into the prompt where embeddings stand."""

_PROBES: tuple[tuple[tuple[Turn, ...], str], ...] = (
    ((), "What is shown?"),
    ((), "  Is it 'red',\n or \"blue\"?  "),
    ((Turn("Who comes in?", "a man"),), "And then?"),
    ((Turn("One?", "yes"), Turn("Two?", "")), "Three?"),
)
_TEMPLATE = """\
{%- set turns = namespace(all=[]) -%}
{%- for message in messages -%}
{%- set text = namespace(parts=[]) -%}
{%- if message.content is string -%}
{%- set text.parts = [message.content] -%}
{%- else -%}
{%- for part in message.content -%}
{%- set text.parts = text.parts + [part.text] -%}
{%- endfor -%}
{%- endif -%}
{%- set content = text.parts | join('\\n') -%}
{%- set mark = '<prompt_embeds>' -%}
{%- set pieces = [{'type': 'video'}] if mark in content else [] -%}
{%- set pieces = pieces + [{'type': 'text', 'text': content.replace(mark, '')}] -%}
{%- set turns.all = turns.all + [{'role': message.role, 'content': pieces}] -%}
{%- endfor -%}
{%- set messages = turns.all -%}
{%- set prompt -%}
@ORIGINAL@
{%- endset -%}
{{- @PREFIX@ + prompt.replace('<video>', '<prompt_embeds>') -}}
"""


def export_language_model(
    focused: VideoModel, folder: str | Path, *, max_shard_size: str = "2GB"
) -> Path:
    """Write the language model, its tokenizer and a chat template to a folder.

    Args:
        focused: The model, not quantised.
        folder: A new or empty folder.
        max_shard_size: Largest file of weights.

    Returns:
        The folder, for ``vllm serve FOLDER --enable-prompt-embeds``.

    Raises:
        ValueError: The folder holds something, the model is quantised, or no chat
            template gives the tokens of the model's own.
    """
    folder = Path(folder)
    check_folder(folder)
    if getattr(focused.model, "is_quantized", False):
        raise ValueError(
            f"the language model of {focused.name} is quantised and cannot be exported; "
            "load it without quantize"
        )
    tokenizer = focused.processor.tokenizer
    template = serving_template(focused)
    language_model = focused.model.language_model
    language_model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    served = copy.deepcopy(tokenizer)
    served.chat_template = template
    with atomic_folder(folder) as part:
        language_model.save_pretrained(part, max_shard_size=max_shard_size)
        served.save_pretrained(part)
        _forget_processor(part / "tokenizer_config.json")
    return folder


def serving_template(focused: VideoModel) -> str:
    """Write the chat template under which a server's prompt equals ours.

    It turns the mark of the embeddings back into a video, runs the model's own template
    and turns the video into the mark again. Chat templates are tokenised without the
    special tokens that the tokenizer adds by itself, so these stand in front.

    Args:
        focused: The model.

    Returns:
        The template.
    """
    tokenizer = focused.processor.tokenizer
    original = focused.processor.chat_template.strip()
    ids = tokenizer("")["input_ids"]
    special = "".join(tokenizer.convert_ids_to_tokens(ids))
    for prefix in dict.fromkeys((special, f"{special} ")):
        template = _TEMPLATE.replace("@ORIGINAL@", original)
        template = template.replace("@PREFIX@", _quote(prefix))
        if all(_agrees(focused, template, *probe) for probe in _PROBES):
            return template
    raise ValueError(
        f"no chat template gives the prompts of {focused.name} token for token: its "
        "tokenizer adds special tokens that cannot be written as text; serve it with "
        "dynfocus instead"
    )


def serving_messages(
    history: Sequence[Turn], question: str, video: dict[str, Any]
) -> list[dict[str, Any]]:
    """Write a conversation as a server takes it.

    Args:
        history: Earlier turns.
        question: The question to answer.
        video: The part that stands in the place of the video.

    Returns:
        The messages, their texts without white space at the ends.
    """
    messages = build_conversation(history, question)
    for message in messages:
        message["content"] = [
            video if part["type"] == "video" else part | {"text": part["text"].strip()}
            for part in message["content"]
        ]
    return messages


def _agrees(
    focused: VideoModel, template: str, history: Sequence[Turn], question: str
) -> bool:
    """Compare the prompts of both templates, token for token."""
    processor = focused.processor
    messages = build_conversation(history, question)
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    ours = processor.tokenizer(text)["input_ids"]
    mark = {"type": "text", "text": EMBEDS_MARK}
    served = processor.tokenizer.apply_chat_template(
        serving_messages(history, question, mark),
        chat_template=template,
        add_generation_prompt=True,
        tokenize=False,
    )
    # The server makes its mark one token, as <video> is one of ours.
    marked = served.replace(EMBEDS_MARK, VIDEO_TOKEN)
    theirs = processor.tokenizer(marked, add_special_tokens=False)["input_ids"]
    return served.count(EMBEDS_MARK) == 1 and ours == theirs


def _forget_processor(path: Path) -> None:
    """Let the folder be that of a language model, which has no processor."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("processor_class", None)
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _quote(text: str) -> str:
    """Write text as a literal of the template language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


HOST_CONNECTOR = "llava_onevision"

_MAX_POSITIONS = 65536
_IMAGE_TOKEN = "<image>"
_HOST_TEMPLATE = """
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
    tokenizer.chat_template = _HOST_TEMPLATE.strip().replace("LEAD", lead)
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
