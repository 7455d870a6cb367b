"""The paper's two stages, in what is frozen and what learns (spec: section 3.4).

Stage 1 aligns: the projectors alone learn, from captions. Stage 2 tunes: everything but
the vision tower learns, from conversations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from transformers.utils import is_flash_attn_2_available

from dynfocus.conversion.exporting import HOST_CONNECTOR, save_host
from dynfocus.models.prompts import VICUNA_CHAT_TEMPLATE
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.training.arguments import count_processes
from dynfocus.training.dataset import Collator, ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos, FrameReader, PreparedVideos
from dynfocus.training.evidence import EvidenceModel, EvidenceWeights
from dynfocus.training.looking import LookAgain, write_looks
from dynfocus.training.loop import Job
from dynfocus.training.parts import (
    GROUPS,
    LoraSettings,
    add_adapters,
    merge_adapters,
    set_trainable,
)
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import VideoData, load_samples
from dynfocus.training.starting import ModelSettings, StageStart, start_model
from dynfocus.validation import checked

TRAINS = {
    "stage1": ("projectors", "attention", "clock", "rating"),
    "stage2": tuple(group for group in GROUPS if group != "vision_tower"),
}
"""What learns in each stage where a recipe says nothing else. Clock and rating are ours;
stage 1 trains them with the projectors."""
TEMPLATES: dict[str, Literal["plain_guided", "roles"]] = {
    "stage1": "plain_guided",
    "stage2": "roles",
}
"""How each stage is written down where a recipe says nothing else."""
MODEL = "model"
"""Folder of the trained model in the output of a run."""
HOST = "host"
"""Folder of a trained LLaVA-OneVision besides, as transformers reads it."""
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@checked
class StageRecipe(Recipe):
    """A run of tasks ``stage1`` and ``stage2``."""

    task: Literal["stage1", "stage2"]
    """Which stage of the paper."""
    start: StageStart
    """Where the run starts."""
    model: ModelSettings | None = None
    """Settings that the start does not bring: of a new model, or of another connector."""
    data: VideoData
    """What it learns from."""
    layout: Layout = Layout()
    """How conversations are written down."""
    trains: tuple[str, ...] | None = None
    """Groups of the model that learn; the stage's own by default."""
    evidence: EvidenceWeights | None = None
    """Losses that say when a video shows an answer, beside the language model's."""
    lora: LoraSettings | None = None
    """Adapters on the language model, in place of its own weights."""
    look: LookAgain | None = None
    """SlowFocus: what it learns of when answers are shown, and from close by."""

    def __post_init__(self) -> None:
        if self.lora is not None and self.task == "stage1":
            raise ValueError(
                "lora: stage 1 does not train the language model, so it takes no "
                "adapters; leave the group out"
            )
        if self.model is not None:
            self.model.check(self.start)
        if self.look is not None and self.layout.shift_clock:
            raise ValueError(
                "look writes times as parts of the video, which layout.shift_clock would "
                "move; leave one out"
            )
        if self.evidence is not None and self.data.cache is None:
            raise ValueError(
                "evidence needs videos that are encoded once; name a folder for them as "
                "data.cache"
            )
        quantized = self.lora is not None and self.lora.quantization != "none"
        if quantized and self.start.model is None:
            raise ValueError(
                "lora.quantization needs a whole model to start from; name it as "
                "start.model"
            )


def make_stage_job(recipe: StageRecipe) -> Job:
    """Build the job of a stage.

    Raises:
        FileNotFoundError: If a folder or a file that the recipe names is missing.
        ImportError: If a setting needs a package that is not installed.
        ValueError: If the recipe holds something wrong.
    """
    model, processor = start_model(recipe.start, recipe.model, recipe.lora)
    template = recipe.layout.template or TEMPLATES[recipe.task]
    if template == "vicuna_v1":
        processor.chat_template = VICUNA_CHAT_TEMPLATE
    _set_attention(model, recipe.schedule.attention)
    if recipe.lora is not None:
        add_adapters(model, recipe.lora)
    set_trainable(model, recipe.trains or TRAINS[recipe.task])
    samples, failures = load_samples(recipe.data.sources)
    if recipe.look is not None:
        _check_looks(model)
        samples, unknown = write_looks(samples, recipe.look)
        failures = [*failures, *unknown]
    media = _media(recipe, model, processor)
    if isinstance(media, EncodedVideos):
        media.fill(samples)
    _store_frozen(model, recipe.schedule.frozen_precision)
    dataset = ConversationDataset(
        samples,
        _prepared(media, model) if recipe.data.shares_patches else media,
        processor,
        model.focus_network.num_tokens,
        replace(recipe.layout, template=template),
        recipe.seed,
        has_evidence=recipe.evidence is not None,
    )
    needs_video = count_processes() > 1
    learner = (
        model if recipe.evidence is None else EvidenceModel(model, recipe.evidence)
    )
    return Job(
        model=learner,
        dataset=dataset,
        finish=partial(_finish, recipe=recipe, processor=processor),
        collator=Collator(dataset, media.blank() if needs_video else None),
        lengths=dataset.lengths() if recipe.schedule.group_by_length else None,
        max_failures=recipe.data.max_failures,
        failures=failures,
    )


def _check_looks(model: VideoLanguageModel) -> None:
    """Refuse a model that tells no frequencies apart."""
    if model.time_grid is None:
        raise ValueError(
            f"look teaches SlowFocus, got a {model.config.model_type} model; start from a "
            "SlowFocus, or leave the group out"
        )


def _finish(
    trained: nn.Module,
    output: Path,
    *,
    recipe: StageRecipe,
    processor: VideoProcessor,
) -> None:
    """Write the trained model with its processor, adapters merged."""
    if isinstance(trained, EvidenceModel):
        trained = trained.model
    assert isinstance(trained, VideoLanguageModel)
    if recipe.lora is not None:
        fresh, _ = start_model(recipe.start, recipe.model)
        trained = merge_adapters(trained.cpu(), fresh, recipe.lora)
    trained.cpu().eval().save_pretrained(output / MODEL)
    processor.save_pretrained(output / MODEL)
    if HOST_CONNECTOR in trained.config.methods and not trained.encodes_together:
        save_host(trained, processor, output / HOST)


def _media(
    recipe: StageRecipe,
    model: VideoLanguageModel,
    processor: VideoProcessor,
) -> EncodedVideos | FrameReader:
    """Choose where videos come from: the cache if one is named, else their files."""
    data = recipe.data
    if data.cache is not None:
        _check_frozen(model)
        has_patches = data.shares_patches or not model.config.is_plain
        return EncodedVideos(
            data.cache,
            model.eval(),
            processor,
            data.fps,
            data.max_frames,
            storage="patches" if has_patches else "exact",
            precision=recipe.schedule.runs_in,
        )
    return FrameReader(
        processor=processor,
        fps=data.fps,
        max_frames=data.max_frames,
        dtype=_PRECISIONS[recipe.schedule.frozen_precision],
    )


def _check_frozen(model: VideoLanguageModel) -> None:
    """Refuse to keep what a tower method gives that is still to learn."""
    learning = model.encodes_together and any(
        weight.requires_grad for weight in model.vision_tower.method.parameters()
    )
    if learning:
        raise ValueError(
            f"data.cache keeps what tower method {model.config.tower_method!r} gives, and "
            "that learns; leave data.cache out, or tower_method out of trains"
        )


def _prepared(
    media: EncodedVideos | FrameReader, model: VideoLanguageModel
) -> EncodedVideos | FrameReader | PreparedVideos:
    """Let patches become events once, unless how they do is learned or is another's."""
    learns = not model.config.is_plain or model.settings.spatial_gate
    if learns or not isinstance(media, EncodedVideos):
        return media
    return PreparedVideos(media, model.focus_network)


def _set_attention(model: VideoLanguageModel, attention: str) -> None:
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
