"""The paper's two stages, in what is frozen and what learns (spec: section 3.4).

Stage 1 aligns: the projectors alone learn, from captions. Stage 2 tunes: everything but
the vision tower learns, from conversations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.utils import is_flash_attn_2_available

from dynfocus import conversion
from dynfocus.focus import FocusBudget, FocusSettings
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.dynfocus.prompts import VICUNA_CHAT_TEMPLATE
from dynfocus.models.loading import check_folder
from dynfocus.training.arguments import count_processes
from dynfocus.training.batches import Collator
from dynfocus.training.dataset import (
    STAGE_TEMPLATES,
    ConversationDataset,
    FrameReader,
    Layout,
)
from dynfocus.training.features import FeatureCache
from dynfocus.training.loop import Job
from dynfocus.training.lora import (
    LoraSettings,
    add_adapters,
    load_quantized,
    merge_adapters,
)
from dynfocus.training.nano.vision import PIXEL_MEAN, PIXEL_STD
from dynfocus.training.packing import check_rows_are_apart
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import load_samples

STAGE_1_MODULES = (
    "cooperative_encoding.multi_modal_projector",
    "cooperative_encoding.query_projector",
    "cooperative_encoding.key_projector",
    "cooperative_encoding.context_projector",
    "cooperative_encoding.time_encoding",
    "cooperative_encoding.relevance_encoding",
)
"""What stage 1 trains. The clock and the relevance are ours; they belong to the
projectors."""

FROZEN_IN_STAGE_2 = ("vision_tower",)
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def set_trainable(model: nn.Module, stage: int) -> list[str]:
    """Freeze and free parameters as a stage of the paper does.

    Where the language model has adapters, they learn in its place.

    Returns:
        Names of the parameters that learn.
    """
    names = []
    has_adapters = any(".lora_" in name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        if stage == 1:
            learns = name.startswith(tuple(f"{m}." for m in STAGE_1_MODULES))
        elif has_adapters and name.startswith("language_model."):
            learns = ".lora_" in name
        else:
            learns = not name.startswith(tuple(f"{m}." for m in FROZEN_IN_STAGE_2))
        parameter.requires_grad_(learns)
        if learns:
            names.append(name)
    return names


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Freeze parts of a model that a stage would train.

    Args:
        model: The model.
        parts: Dotted parts of parameters' names.

    Raises:
        ValueError: If a part names nothing that learns.
    """
    for part in parts:
        named = [
            parameter
            for name, parameter in model.named_parameters()
            if f".{part}." in f".{name}." and parameter.requires_grad
        ]
        if not named:
            raise ValueError(
                f"schedule.frozen: {part!r} names no parameter that learns; leave it out "
                "or correct it"
            )
        for parameter in named:
            parameter.requires_grad_(False)


def make_stage_job(recipe: Recipe, stage: int) -> Job:
    """Build the job of a stage from a recipe.

    Raises:
        ValueError: If the recipe holds something wrong.
    """
    settings = _data_settings(recipe, stage)
    adapters = LoraSettings.of(recipe.lora)
    if adapters is not None and stage == 1:
        raise ValueError(
            "lora: stage 1 does not train the language model, so it takes no adapters; "
            "leave the group out"
        )
    model, processor = _start(recipe)
    if settings.layout.template == "vicuna_v1":
        processor.chat_template = VICUNA_CHAT_TEMPLATE
    if settings.layout.packed_tokens is not None:
        check_rows_are_apart(model.language_model)
    _set_attention(model, recipe.schedule.attention)
    if adapters is not None:
        add_adapters(model, adapters)
    set_trainable(model, stage)
    freeze(model, recipe.schedule.frozen)
    samples = load_samples(settings.sources)
    media = _media(recipe, settings, model, processor)
    if isinstance(media, FeatureCache):
        media.fill(samples)
    _store_frozen(model, recipe.schedule.frozen_precision)
    count_tokens = FocusBudget(settings=model.settings).num_tokens
    dataset = ConversationDataset(
        samples, media, processor, count_tokens, settings.layout
    )
    needs_video = count_processes() > 1

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, DynFocusForConditionalGeneration)
        if adapters is not None:
            fresh, _ = _start(replace(recipe, lora={}))
            trained = merge_adapters(trained.cpu(), fresh, adapters)
        trained.cpu().eval().save_pretrained(output / "model")
        processor.save_pretrained(output / "model")

    return Job(
        model=model,
        dataset=dataset,
        finish=finish,
        collator=Collator(dataset, media.blank() if needs_video else None),
        lengths=dataset.lengths() if recipe.schedule.group_by_length else None,
        max_failures=settings.max_failures,
    )


@dataclass(frozen=True, kw_only=True)
class _DataSettings:
    """What a recipe's group ``data`` says."""

    sources: Sequence[Mapping[str, Any]]
    layout: Layout
    cache: str | None = None
    fps: float = 1.0
    max_frames: int | None = None
    max_failures: int = 0


def _data_settings(recipe: Recipe, stage: int) -> _DataSettings:
    given = dict(recipe.data)
    own = {f.name for f in fields(_DataSettings)} - {"layout"}
    layout = {f.name for f in fields(Layout)} - {"seed"}
    unknown = sorted(set(given) - own - layout)
    if unknown:
        raise ValueError(
            f"data: unknown setting {unknown[0]!r}; known are "
            f"{', '.join(sorted(own | layout))}"
        )
    _check_counts(given)
    written = {name: given.pop(name) for name in layout if name in given}
    written.setdefault("template", STAGE_TEMPLATES[stage])
    return _DataSettings(
        **{"sources": (), **given}, layout=Layout(**written, seed=recipe.seed)
    )


def _check_counts(given: Mapping[str, Any]) -> None:
    """Refuse settings of ``data`` that are not the numbers that they should be."""
    for name, least in (("max_failures", 0), ("max_frames", 1)):
        value = given.get(name, least)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if not (is_count and value >= least) and (name, value) != ("max_frames", None):
            raise ValueError(
                f"data.{name} must be a whole number from {least}, got {value!r}"
            )
    fps = given.get("fps", 1.0)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise ValueError(f"data.fps must be a number above 0, got {fps!r}")


def _media(
    recipe: Recipe,
    settings: _DataSettings,
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
) -> FeatureCache | FrameReader:
    """Choose where videos come from: the cache if one is named, else their files."""
    if settings.cache is not None:
        return FeatureCache(
            settings.cache,
            model.eval(),
            processor,
            float(settings.fps),
            settings.max_frames,
        )
    return FrameReader(
        processor=processor,
        fps=float(settings.fps),
        max_frames=settings.max_frames,
        dtype=_PRECISIONS[recipe.schedule.frozen_precision],
    )


def _set_attention(model: DynFocusForConditionalGeneration, attention: str) -> None:
    if attention == "flash_attention_2" and not is_flash_attn_2_available():
        raise ImportError(
            "schedule.attention flash_attention_2 needs a GPU and the package flash-attn, "
            "built for it (pip install flash-attn); or set schedule.attention=sdpa"
        )
    model.language_model.set_attn_implementation(attention)


def _store_frozen(model: nn.Module, precision: str) -> None:
    """Keep what does not learn in a precision; quantized weights stay as they are."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and not parameter.requires_grad:
            parameter.data = parameter.data.to(_PRECISIONS[precision])


def make_stage_1_job(recipe: Recipe) -> Job:
    """Build the job of task ``stage1``."""
    return make_stage_job(recipe, 1)


def make_stage_2_job(recipe: Recipe) -> Job:
    """Build the job of task ``stage2``."""
    return make_stage_job(recipe, 2)


def _start(
    recipe: Recipe,
) -> tuple[DynFocusForConditionalGeneration, DynFocusProcessor]:
    """Load a whole model, or put one together from its parts."""
    start = dict(recipe.start)
    for name, folder in start.items():
        if not isinstance(folder, str) or not Path(folder).is_dir():
            raise FileNotFoundError(
                f"start.{name}: folder {folder} does not exist; make it first, with the "
                "recipe before this one or with 'dynfocus assemble'"
            )
    if set(start) == {"model"} and recipe.model:
        raise ValueError(
            f"model: the settings {', '.join(sorted(recipe.model))} belong to a model put "
            "together from its parts; start.model brings its own, so leave them out"
        )
    if "model" in start:
        check_folder(Path(start["model"]))
    adapters = LoraSettings.of(recipe.lora)
    if adapters is not None and adapters.quantization != "none":
        if set(start) != {"model"}:
            raise ValueError(
                "lora.quantization needs a whole model to start from; name it as "
                f"start.model, got {sorted(start)}"
            )
        model = load_quantized(start["model"], adapters)
        return model, DynFocusProcessor.from_pretrained(start["model"])
    if set(start) == {"model"}:
        model = DynFocusForConditionalGeneration.from_pretrained(
            start["model"], dtype=torch.float32
        )
        return model, DynFocusProcessor.from_pretrained(start["model"])
    if set(start) == {"vision_tower", "language_model"}:
        return assemble(start["vision_tower"], start["language_model"], recipe.model)
    raise ValueError(
        "start must name either model, or vision_tower and language_model, "
        f"got {sorted(start)}"
    )


def assemble(
    vision_tower: str, language_model: str, settings: Mapping[str, Any]
) -> tuple[DynFocusForConditionalGeneration, DynFocusProcessor]:
    """Put a model together from two folders that earlier recipes made, in float32.

    Args:
        vision_tower: Folder of an ``InstructBlipVisionModel``.
        language_model: Folder of a causal language model with its tokenizer.
        settings: ``focus`` (changes to the paper's settings), ``qformer`` and
            ``question_first`` (of the processor).
    """
    known = ("focus", "qformer", "question_first")
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"model: unknown group {unknown[0]!r}; known: {', '.join(known)}"
        )
    choices = conversion.Choices(
        focus=FocusSettings.from_dict(dict(settings.get("focus", {}))),
        qformer=dict(settings.get("qformer", {})),
        question_first=bool(settings.get("question_first", False)),
        image_mean=PIXEL_MEAN,
        image_std=PIXEL_STD,
        dtype=torch.float32,
        seed=None,
    )
    made = conversion.assemble(vision_tower, language_model, choices=choices)
    return made.model, made.processor
