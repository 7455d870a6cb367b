"""A trainable model from a vision tower, a Q-Former and a language model.

The weights stay mapped in their files until the model takes them, in its precision, so
that never more than one copy of them is held.

Letters: D width of the vision tower, H width of the language model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import InstructBlipQFormerConfig
from transformers.utils import logging

from dynfocus.atomic import atomic_folder
from dynfocus.conversion.key_maps import PROJECTORS, part_of, summarise_names
from dynfocus.conversion.parts import (
    Checkpoints,
    extend_context,
    load_language_model,
    load_qformer,
    load_vision_tower,
    make_room,
)
from dynfocus.conversion.preparing import (
    load_question_tokenizer,
    load_tokenizer,
    read_colours,
)
from dynfocus.conversion.weights import Parts, Weights, collect_weights
from dynfocus.focus import FocusSettings, SlowFocusSettings
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.loading import KINDS
from dynfocus.models.prompts import VIDEO_TOKEN
from dynfocus.models.slowfocus import SlowFocusConfig
from dynfocus.models.video_config import VideoConfig
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.text import check_text

REPORT_FILE = "assembly.json"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be chosen beyond the sources."""

    focus: FocusSettings = field(default_factory=FocusSettings.paper)
    """The settings of the dynamic cooperative network."""
    slow: SlowFocusSettings | None = None
    """Make a SlowFocus with these settings; without, the model is a DynFocus."""
    context_length: int | None = None
    """Tokens that the language model shall read, where that is more than it does."""
    text_side: str = "text"
    """``"text"`` reads the question alone; ``"frame_queries"`` reads the Q-Former's
    queries of every frame, as LLaMA-VID and the published code do."""
    qformer: Mapping[str, Any] = field(default_factory=dict)
    """Sizes of a fresh Q-Former, where no source has one."""
    question_tokenizer: str | Path | None = None
    """Tokenizer of the Q-Former; by default the one beside it."""
    question_first: bool = False
    """Whether the question also stands before the video tokens."""
    single_turn: bool = False
    """Ask the model without earlier turns."""
    asks_openly: bool = False
    """Ask the model without the options that a question lists."""
    image_mean: Sequence[float] | None = None
    """Mean of each colour; by default that of the tower's image processor."""
    image_std: Sequence[float] | None = None
    """Deviation of each colour; by default that of the tower's image processor."""
    dtype: torch.dtype = torch.bfloat16
    """Precision of all weights."""
    seed: int | None = 0
    """Decides the fresh weights; None draws from torch's own generator."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """A model put together, ready to be trained."""

    model: VideoLanguageModel
    processor: VideoProcessor
    report: AssemblyReport

    def save(self, folder: str | Path, max_shard_size: str = "2GB") -> None:
        """Save model, processor and report; the folder appears when all is written.

        Args:
            folder: Where to; it must not exist or be empty.
            max_shard_size: Largest file of weights.
        """
        folder = Path(folder)
        check_folder(folder)
        text = json.dumps(self.report.to_dict(), indent=2)
        with atomic_folder(folder) as part, _quiet():
            self.model.save_pretrained(part, max_shard_size=max_shard_size)
            self.processor.save_pretrained(part)
            (part / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Refuse a place that holds something, and a name that libraries cannot take."""
    check_text(str(folder), "the name of the folder")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is there and not empty; choose another folder")


def assemble(
    vision_from: str | Path,
    language_model: str | Path,
    *,
    qformer_from: str | Path | None = None,
    connector_from: str | Path | None = None,
    choices: Choices | None = None,
) -> Assembly:
    """Put a trainable model together.

    Args:
        vision_from: InstructBLIP, ``eva_vit_g.pth``, LLaMA-VID, or any vision tower of
            transformers; a file, folder or hub id.
        language_model: Any causal language model, or LLaMA-VID; a folder or hub id.
        qformer_from: The Q-Former; by default from the language model's source if that
            is LLaMA-VID, else from the vision tower's, else fresh.
        connector_from: The projectors; by default from the language model's source if
            that is LLaMA-VID, else fresh.
        choices: What else can be chosen.

    Returns:
        The model, its processor and what became of every tensor.

    Raises:
        ValueError: A source is not there, not whole or of another kind.
    """
    choices = choices or Choices()
    with _quiet(), _seeded(choices.seed):
        parts = _load_parts(
            vision_from, language_model, qformer_from, connector_from, choices
        )
        config = _make_config(parts, choices)
        needed = _needed_tensors(config)
        weights = collect_weights(parts, needed)
        model = _fill(config, weights, choices)
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        value = getattr(parts.reader.generation_config, name, None)
        setattr(model.generation_config, name, value)
    report = AssemblyReport(
        loaded=weights.by_source(),
        fresh=tuple(name for name in needed if name not in weights.tensors),
        unused={s: c.unused for s, c in parts.checkpoints.opened.items()},
        num_parameters={
            name: sum(p.numel() for p in child.parameters())
            for name, child in model.named_children()
        },
        notes=(*parts.notes, *weights.notes),
    )
    processor = _make_processor(config, parts, vision_from, choices)
    return Assembly(model=model, processor=processor, report=report)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting what the assembly reports itself."""
    verbosity, is_bar_shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if is_bar_shown:
            logging.enable_progress_bar()


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Draw from a seed and leave torch's own generator as it was; None draws from it."""
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def _load_parts(
    vision_from: str | Path,
    language_model: str | Path,
    qformer_from: str | Path | None,
    connector_from: str | Path | None,
    choices: Choices,
) -> Parts:
    if Path(language_model).is_file():
        raise ValueError(
            "the language model must be a folder or a hub id with a tokenizer, got the "
            f"file {language_model}; give its folder"
        )
    checkpoints = Checkpoints()
    num_left_out = 0 if choices.slow is None else 1  # it reads the last but one
    tower = load_vision_tower(vision_from, choices.dtype, checkpoints, num_left_out)
    sources = [qformer_from] if qformer_from else [language_model, vision_from]
    found = (load_qformer(source, checkpoints) for source in sources)
    qformer = next((part for part in found if part is not None), None)
    if qformer_from and qformer is None:
        raise ValueError(
            f"{qformer_from} holds no Q-Former; give InstructBLIP, its trimmed "
            "Q-Former file or LLaMA-VID"
        )
    question_tokenizer = None
    if qformer is not None:
        question_tokenizer = load_question_tokenizer(
            choices.question_tokenizer, qformer.source, qformer.config.vocab_size
        )
    tokenizer = load_tokenizer(language_model)
    reader = load_language_model(language_model, choices.dtype, checkpoints)
    notes = make_room(reader, len(tokenizer))
    if choices.context_length is not None:
        notes += extend_context(reader, choices.context_length)
    connector = checkpoints.published(connector_from or language_model)
    has_projectors = connector is not None and connector.has(PROJECTORS)
    if connector_from and not has_projectors:
        raise ValueError(
            f"{connector_from} holds no projectors; give LLaMA-VID or the "
            "mm_projector.bin of its first stage"
        )
    return Parts(
        tower=tower,
        qformer=qformer,
        reader=reader,
        reader_source=str(language_model),
        tokenizer=tokenizer,
        question_tokenizer=question_tokenizer,
        connector=connector if has_projectors else None,
        checkpoints=checkpoints,
        notes=notes,
    )


def _make_config(parts: Parts, choices: Choices) -> VideoConfig:
    tower = parts.tower.config
    if parts.qformer is None:
        sizes = {"encoder_hidden_size": tower.hidden_size, **choices.qformer}
        qformer = _fresh_qformer(sizes, len(parts.tokenizer))
    elif choices.qformer:
        raise ValueError(
            f"the sizes of the Q-Former come from {parts.qformer.source}, so "
            f"{', '.join(sorted(choices.qformer))} cannot be chosen; leave them out"
        )
    else:
        qformer = parts.qformer.config
    fields: dict[str, Any] = {
        "vision_config": tower,
        "qformer_config": qformer,
        "text_config": parts.reader.config,
        "video_token_id": parts.tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
    }
    if parts.num_queries is not None:
        fields["num_query_tokens"] = parts.num_queries
    if choices.slow is not None:
        return SlowFocusConfig(**fields, slow=choices.slow)
    return DynFocusConfig(**fields, focus=choices.focus, text_side=choices.text_side)


def _fresh_qformer(changes: Mapping[str, Any], vocab_size: int) -> Any:
    unknown = sorted(set(changes) - set(InstructBlipQFormerConfig().to_dict()))
    if unknown:
        raise ValueError(
            f"model.qformer: unknown setting {unknown[0]!r}; accepted are those of "
            "InstructBlipQFormerConfig"
        )
    return InstructBlipQFormerConfig(vocab_size=vocab_size, **changes)


def _needed_tensors(config: VideoConfig) -> dict[str, Tensor]:
    """Give names and shapes of all tensors of a model, without their memory."""
    with torch.device("meta"):
        skeleton = KINDS[config.model_type][1](config)
    tied = skeleton.all_tied_weights_keys
    return {n: t for n, t in skeleton.state_dict().items() if n not in tied}


def _fill(
    config: VideoConfig, weights: Weights, choices: Choices
) -> VideoLanguageModel:
    """Build the model around the weights and draw those that no source has."""
    model: VideoLanguageModel = KINDS[config.model_type][1].from_pretrained(
        None, config=config, state_dict=weights.tensors, dtype=choices.dtype
    )
    # what is added to tokens is as loud as the words that it is to be written in
    words = float(model.get_input_embeddings().weight.detach().float().std())
    if model.focus_network.question_head is not None:
        model.focus_network.question_head.draw_marks(words)
    return model


def _make_processor(
    config: VideoConfig, parts: Parts, vision_from: str | Path, choices: Choices
) -> VideoProcessor:
    mean, std = choices.image_mean, choices.image_std
    if mean is None or std is None:
        colours = read_colours(vision_from, config.frame_size)
        mean, std = mean or colours[0], std or colours[1]
    own = {"slow": choices.slow} if choices.slow else {"focus": choices.focus}
    processor: VideoProcessor = KINDS[config.model_type][2](
        parts.tokenizer,
        **own,
        frame_size=config.frame_size,
        image_mean=mean,
        image_std=std,
        question_first=choices.question_first,
        single_turn=choices.single_turn,
        asks_openly=choices.asks_openly,
    )
    if parts.question_tokenizer is not None:
        processor.set_qformer_tokenizer(parts.question_tokenizer)
    return processor


@dataclass(frozen=True, kw_only=True)
class AssemblyReport:
    """Account for every tensor of the model and of the files."""

    loaded: Mapping[str, tuple[str, ...]]
    """Tensors of the model that came from each source."""
    fresh: tuple[str, ...]
    """Tensors of the model that no source had, drawn at random."""
    unused: Mapping[str, tuple[str, ...]]
    """Tensors of each source that the model has no use for, by their names there."""
    num_parameters: Mapping[str, int]
    """Parameters of each part of the model."""
    notes: tuple[str, ...] = ()
    """What else was changed."""

    def to_dict(self) -> dict[str, Any]:
        """Give every name, for JSON."""
        return {
            "loaded": {source: list(names) for source, names in self.loaded.items()},
            "fresh": list(self.fresh),
            "unused": {source: list(names) for source, names in self.unused.items()},
            "num_parameters": dict(self.num_parameters),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Write it briefly, a line for each kind of fate and source."""
        parts = [f"{p} {n / 1e6:,.2f} M" for p, n in self.num_parameters.items()]
        lines = [f"parameters: {', '.join(parts)}"]
        for source, names in self.loaded.items():
            counts: dict[str, int] = {}
            for name in names:
                counts[part_of(name)] = counts.get(part_of(name), 0) + 1
            shown = ", ".join(f"{part} ({count})" for part, count in counts.items())
            lines.append(f"loaded from {source}: {shown}")
        lines.append(f"initialised fresh: {summarise_names(self.fresh) or 'nothing'}")
        for source, names in self.unused.items():
            lines.append(f"left unused in {source}: {summarise_names(names) or 'none'}")
        return [*lines, *(f"note: {note}" for note in self.notes)]
