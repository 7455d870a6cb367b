"""The paper's two stages, in what is frozen and what learns (spec: section 3.4).

Stage 1 aligns: the projectors alone learn, from captions. Stage 2 tunes: everything but
the vision tower learns, from conversations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import Dataset

from dynfocus.focus import FocusSettings, num_video_tokens
from dynfocus.models import assembling
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.training.conversation import (
    encode_caption,
    encode_conversation,
    insert_before,
    pad_samples,
)
from dynfocus.training.features import FeatureCache, medium_of
from dynfocus.training.language import VIDEO_TOKEN
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import Sample, load_samples
from dynfocus.training.vision import PIXEL_MEAN, PIXEL_STD
from dynfocus.world.conversations import PLACEHOLDER

STAGE_1_MODULES = (
    "cooperative_encoding.multi_modal_projector",
    "cooperative_encoding.query_projector",
    "cooperative_encoding.key_projector",
    "cooperative_encoding.context_projector",
    "cooperative_encoding.time_encoding",
)
"""What stage 1 trains. The clock is ours; it belongs to the projectors."""

FROZEN_IN_STAGE_2 = ("vision_tower",)
_DATA_KEYS = {"sources", "cache", "fps", "max_frames"}


def set_trainable(model: nn.Module, stage: int) -> list[str]:
    """Freeze and free parameters as a stage of the paper does.

    Returns:
        Names of the parameters that learn.
    """
    names = []
    for name, parameter in model.named_parameters():
        if stage == 1:
            learns = name.startswith(tuple(f"{m}." for m in STAGE_1_MODULES))
        else:
            learns = not name.startswith(tuple(f"{m}." for m in FROZEN_IN_STAGE_2))
        parameter.requires_grad_(learns)
        if learns:
            names.append(name)
    return names


class VideoStore(Protocol):
    """Where the frozen half of training videos comes from."""

    def load(self, medium: str) -> Any:
        """Return the frozen half of a video; it has ``num_frames``."""
        ...

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a video without reading it."""
        ...


class ConversationDataset(Dataset[dict[str, Any]]):
    """Samples with the encoded half of their videos, encoded for one stage.

    Args:
        samples: Conversations in LLaVA's format.
        videos: Where the frozen half of each video comes from.
        processor: Tokenizer and prompts.
        count_tokens: Tokens of a video from its number of frames.
        stage: 1 for captions alone, 2 for conversations.
    """

    def __init__(
        self,
        samples: list[Sample],
        videos: VideoStore,
        processor: DynFocusProcessor,
        count_tokens: Callable[[int], int],
        stage: int,
    ) -> None:
        self.samples = samples
        self.videos = videos
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.count_tokens = count_tokens
        self.stage = stage

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, Any]:
        sample = self.samples[number]
        turns = conversation_turns(sample)
        _, medium = medium_of(sample)
        if not medium:
            return encode_conversation(self.tokenizer, turns)
        features = self.videos.load(medium)
        room = VIDEO_TOKEN * self.count_tokens(features.num_frames)
        question, answer = turns[0]
        if self.stage == 1:
            encoded: dict[str, Any] = encode_caption(self.tokenizer, room, answer)
        else:
            first = (f"{room}\n{question}", answer)
            encoded = encode_conversation(self.tokenizer, [first, *turns[1:]])
            encoded = insert_before(
                encoded,
                self.processor.video_token_id,
                self.processor.lead_in(question),
            )
        encoded["features"] = features
        encoded["question"] = torch.tensor(self.tokenizer(question)["input_ids"])
        return encoded


def sample_lengths(
    samples: list[Sample], videos: VideoStore, count_tokens: Callable[[int], int]
) -> list[int]:
    """Estimate how many tokens each sample has, without encoding it."""
    room = {
        medium: count_tokens(videos.num_frames(medium))
        for medium in {medium_of(sample)[1] for sample in samples}
        if medium
    }
    return [
        room.get(medium_of(sample)[1], 0)
        + sum(len(turn["value"]) for turn in sample["conversations"]) // 4
        for sample in samples
    ]


def conversation_turns(sample: Sample) -> list[tuple[str, str]]:
    """Return question and answer pairs without the placeholder."""
    texts = [turn["value"] for turn in sample["conversations"]]
    for mark in (PLACEHOLDER, VIDEO_TOKEN):
        texts = [text.replace(mark, "").strip() for text in texts]
    return list(zip(texts[::2], texts[1::2], strict=True))


def collate(samples: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Pad a batch on the right and gather its videos and questions.

    There is no attention mask: padding stands on the right, where a causal model never
    looks back at it, and without a mask attention is faster.
    """
    batch: dict[str, Any] = pad_samples(samples, pad_id)
    del batch["attention_mask"]
    shown = [sample for sample in samples if "features" in sample]
    if shown:
        lengths = torch.tensor([len(s["question"]) for s in shown])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        ids = torch.full(mask.shape, pad_id)
        ids[mask] = torch.cat([s["question"] for s in shown])
        batch["video_features"] = [s["features"] for s in shown]
        batch["qformer_input_ids"] = ids
        batch["qformer_attention_mask"] = mask.long()
    return batch


def make_stage_job(recipe: Recipe, stage: int) -> Job:
    """Build the job of a stage from a recipe."""
    model, processor = _start(recipe)
    set_trainable(model, stage)
    model.language_model.set_attn_implementation(recipe.schedule.attention)
    unknown = sorted(set(recipe.data) - _DATA_KEYS)
    if unknown:
        raise ValueError(
            f"data: unknown setting {unknown[0]!r}; known are {', '.join(sorted(_DATA_KEYS))}"
        )
    samples = load_samples(recipe.data.get("sources") or ())
    cache = FeatureCache(
        recipe.data.get("cache", Path(recipe.output) / "features"),
        model.eval(),
        processor,
        float(recipe.data.get("fps", 1.0)),
        recipe.data.get("max_frames"),
    )
    cache.fill(samples)
    count = partial(num_video_tokens, settings=model.settings)
    dataset = ConversationDataset(samples, cache, processor, count, stage)
    pad_id = int(processor.tokenizer.pad_token_id)

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, DynFocusForConditionalGeneration)
        trained.float().cpu().eval().save_pretrained(output / "model")
        processor.save_pretrained(output / "model")

    return Job(
        model=model,
        dataset=dataset,
        finish=finish,
        collator=lambda batch: collate(batch, pad_id),
        lengths=sample_lengths(samples, cache, count),
    )


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
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                f"start.{name}: folder {folder} does not exist; run the recipe that "
                "makes it first"
            )
    if set(start) == {"model"} and recipe.model:
        raise ValueError(
            f"model: the settings {', '.join(sorted(recipe.model))} belong to a model put "
            "together from its parts; start.model brings its own, so leave them out"
        )
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
    choices = assembling.Choices(
        focus=FocusSettings.from_dict(dict(settings.get("focus", {}))),
        qformer=dict(settings.get("qformer", {})),
        question_first=bool(settings.get("question_first", False)),
        image_mean=PIXEL_MEAN,
        image_std=PIXEL_STD,
        dtype=torch.float32,
        seed=None,
    )
    made = assembling.assemble(vision_tower, language_model, choices=choices)
    return made.model, made.processor
