"""What a stage starts from: a whole model, its parts, or another connector in a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from dynfocus.conversion import Choices, assemble
from dynfocus.defaults import NANO
from dynfocus.focus import FocusSettings, SlowFocusSettings
from dynfocus.models.dynfocus import (
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.loading import load_parts
from dynfocus.models.slowfocus import (
    SlowFocusConfig,
    SlowFocusForConditionalGeneration,
    SlowFocusProcessor,
)
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.training.parts import LoraSettings, load_quantized
from dynfocus.validation import checked

_NETWORK, _TOWER = "focus_network.", "vision_tower."
_TABLE = "focus_network.temporal_table.rows.weight"
_PARTS = (
    *("vision_config", "qformer_config", "text_config"),
    *("video_token_id", "num_query_tokens"),
)
_READING = (
    *("frame_size", "image_mean", "image_std", "fps", "max_frames", "chat_template"),
    *("question_first", "single_turn", "asks_openly"),
)
_SCORES = ("event_prototypes.", "question_head.event_context.")
_SHARED = {
    "cooperative_encoding.multi_modal_projector.": "connector.projector.",
    "cooperative_encoding.": "connector.",
}
"""Modules of DynFocus that map patches and text into the language model's space, and what
they are called in other connectors."""


@checked
class StageStart:
    """A whole model, or the two parts that a new one is put together from."""

    model: str | None = None
    """``nano``, or the folder of a model."""
    vision_tower: str | None = None
    """Folder of a vision tower: of any class that transformers makes from pixels."""
    language_model: str | None = None
    """Folder of a causal language model with its tokenizer."""

    def __post_init__(self) -> None:
        parts = (self.vision_tower, self.language_model)
        if any(parts) != all(parts) or bool(self.model) == all(parts):
            raise ValueError(
                "start must name either model, or vision_tower and language_model, got "
                f"{', '.join(self.named()) or 'nothing'}"
            )

    def named(self) -> dict[str, str]:
        """Return what is named, by setting."""
        names = ("model", "vision_tower", "language_model")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


@checked
class ModelSettings:
    """Settings of a model that is put together, or of another connector in a whole one."""

    focus: FocusSettings | None = None
    """Settings of the dynamic cooperative network; the paper's by default."""
    qformer: dict[str, Any] = Field(default_factory=dict)
    """Changes to the configuration of a new text encoder."""
    question_first: bool = False
    """In a new model the question stands before the video tokens, too."""
    single_turn: bool = False
    """A new model learns single questions alone, and is asked without earlier turns."""
    asks_openly: bool = False
    """A new model learns open questions alone: of options under letters it says the
    likeliest."""
    connector: str | None = None
    """Put this connector, drawn anew, into the model at the start. The projectors that it
    shares with that model start trained."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of that connector."""
    tower: str | None = None
    """Put this tower method, drawn anew, over the vision tower of the model at the start,
    or in its place."""
    tower_options: dict[str, Any] = Field(default_factory=dict)
    """Settings of that tower method."""
    scores: Literal["fresh", "start"] = "fresh"
    """Whether DynFocus as that connector starts with a fresh score network or with the
    one of the model at the start."""
    slow: SlowFocusSettings | None = None
    """Make a SlowFocus with these settings: of parts in place of a DynFocus, of a whole
    DynFocus at the start, or of a SlowFocus that had others."""

    def check(self, start: StageStart) -> None:
        """Refuse settings that do not belong to this start."""
        reads = self.question_first or self.single_turn or self.asks_openly
        of_parts = bool(self.qformer) or reads
        of_connector = bool(self.options) or self.scores != "fresh"
        replaces = self.connector is not None or self.tower is not None
        if self.slow is not None and replaces:
            raise ValueError(
                "model: connector and tower are of a DynFocus, slow of a SlowFocus; leave "
                "one out"
            )
        if self.slow is not None and self.focus is not None:
            raise ValueError(
                "model: slow makes a SlowFocus and focus a DynFocus; leave one out"
            )
        if self.tower is None and self.tower_options:
            raise ValueError(
                "model.tower_options belong to a tower method; name it as model.tower"
            )
        if start.model is None and (replaces or of_connector):
            raise ValueError(
                "model.connector, options, scores and tower belong to start.model; leave "
                "them out"
            )
        changes = replaces or self.slow is not None
        if start.model is not None and (not changes or of_parts):
            raise ValueError(
                "model: start.model brings its own settings; leave the group out, or name "
                "another connector or a tower, or slow, without qformer, "
                "question_first, single_turn and asks_openly"
            )
        if start.model is not None and self.connector is None and self._of_network:
            raise ValueError(
                "model: focus, options and scores belong to another connector; name it as "
                "model.connector, or leave them out"
            )

    @property
    def _of_network(self) -> bool:
        return self.focus is not None or bool(self.options) or self.scores != "fresh"


def start_model(
    start: StageStart, own: ModelSettings | None, lora: LoraSettings | None = None
) -> tuple[VideoLanguageModel, VideoProcessor]:
    """Load a whole model, put one together, or put a connector into one, in float32.

    Args:
        start: What is there already.
        own: Settings that the start does not bring.
        lora: Says whether the language model is quantized.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If what is there cannot be started from.
    """
    for name, folder in start.named().items():
        if folder != NANO and not Path(folder).is_dir():
            raise FileNotFoundError(
                f"start.{name}: folder {folder} does not exist; make it first, with the "
                "recipe before this one or with 'dynfocus assemble'"
            )
    if start.model is None:
        return _put_together(start, own or ModelSettings())
    if lora is not None and lora.quantization != "none":
        return load_quantized(start.model, lora)
    model, processor = load_parts(start.model, device="cpu", dtype=torch.float32)
    if own is None:
        return model, processor
    if own.slow is not None:
        return make_slowfocus(model, processor, own.slow)
    return connect(model, processor, own)


def _put_together(
    start: StageStart, own: ModelSettings
) -> tuple[VideoLanguageModel, VideoProcessor]:
    assert start.vision_tower is not None
    assert start.language_model is not None
    choices = Choices(
        focus=own.focus or FocusSettings.paper(),
        slow=own.slow,
        qformer=own.qformer,
        question_first=own.question_first,
        single_turn=own.single_turn,
        asks_openly=own.asks_openly,
        dtype=torch.float32,
        seed=None,
    )
    made = assemble(start.vision_tower, start.language_model, choices=choices)
    return made.model, made.processor


def make_slowfocus(
    start: VideoLanguageModel, processor: VideoProcessor, slow: SlowFocusSettings
) -> tuple[VideoLanguageModel, VideoProcessor]:
    """Make a SlowFocus of the weights of another, or of the parts of a DynFocus.

    A temporal table of another size takes the rows of the same times; mixing that the start
    lacks begins with closed gates. Of a DynFocus come the tower, the text encoder, the
    language model and the projectors; the rest is drawn anew.

    Raises:
        ValueError: A tower method stands over the tower of the start.
    """
    if start.encodes_together:
        raise ValueError(
            "model.slow needs a vision tower that encodes each frame by itself, got tower "
            f"method {start.config.tower_method!r}; start from a model without one"
        )
    parts = {name: getattr(start.config, name) for name in _PARTS}
    config = SlowFocusConfig(**copy.deepcopy(parts), slow=slow)
    model = SlowFocusForConditionalGeneration(config)
    state, fresh = start.state_dict(), model.state_dict()
    if _TABLE in state:
        rows, count = state[_TABLE], len(fresh[_TABLE])
        state[_TABLE] = rows[torch.arange(count) * len(rows) // count]
    kept = {
        name: tensor
        for name, tensor in state.items()
        if name in fresh and fresh[name].shape == tensor.shape
    }
    model.load_state_dict(kept, strict=False)
    model.generation_config = copy.deepcopy(start.generation_config)
    own = {name: getattr(processor, name) for name in _READING}
    mine = SlowFocusProcessor(copy.deepcopy(processor.tokenizer), slow=slow, **own)
    if processor.use_question_vocabulary:
        mine.set_qformer_tokenizer(copy.deepcopy(processor.qformer_tokenizer))
    return model.eval(), mine


def connect(
    start: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    own: ModelSettings,
) -> tuple[DynFocusForConditionalGeneration, DynFocusProcessor]:
    """Put a fresh connector between the parts of a model, or a fresh tower method.

    All other parts are those of ``start``, and so are the projectors that the connector
    shares with it: merged patches are still patches to them. What scores events is fresh
    unless ``own.scores`` says otherwise.

    Args:
        start: The model that the other parts come from.
        processor: Its processor.
        own: The connector or the tower method, named, with its settings.

    Returns:
        The model with the connector, and a processor for it.

    Raises:
        ValueError: If the start lacks what the connector needs.
    """
    fields: dict[str, Any] = {}
    if own.connector is not None:
        settings = (own.focus or FocusSettings.paper()).changed(
            {"question": {"use_clock": True}}
        )
        _check_start(start, settings, own)
        fields = {
            "focus": settings.to_dict(),
            "connector": own.connector,
            "connector_options": dict(own.options),
        }
    if own.tower is not None:
        fields |= {"tower_method": own.tower, "tower_options": dict(own.tower_options)}
    config = DynFocusConfig.from_dict(start.config.to_dict() | fields)
    model = DynFocusForConditionalGeneration(config)
    scores = own.scores if own.connector is not None else "start"
    state = _adopted(start.state_dict(), dict(model.state_dict()), scores)
    model.load_state_dict(state, strict=False)
    model.generation_config = copy.deepcopy(start.generation_config)
    mine = copy.deepcopy(processor)
    mine.focus, mine.connector = config.focus, config.connector_facts
    return model.eval(), mine


def _check_start(
    start: DynFocusForConditionalGeneration,
    settings: FocusSettings,
    own: ModelSettings,
) -> None:
    """Refuse what the start cannot give."""
    has, wants = start.settings.extensions, settings.extensions
    if not has.use_clock:
        raise ValueError(
            "start must have use_clock, got False: without it no connector could tell "
            "the time of its tokens"
        )
    if wants.use_ratings and not has.use_ratings:
        raise ValueError(
            "use_ratings needs a start.model that rates frames, got one without; teach "
            "it (evidence.relevance) or switch it off"
        )
    asks = wants.use_question_scores
    if own.scores == "start" and asks != has.use_question_scores:
        raise ValueError(
            "scores 'start' needs the use_question_scores of start.model, "
            f"{has.use_question_scores}, got {asks}"
        )


def _adopted(
    trained: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor], scores: str
) -> dict[str, torch.Tensor]:
    """Choose the trained tensors that a model with a fresh connector starts with."""
    adopted = {}
    for name, tensor in trained.items():
        inner = name.removeprefix(_NETWORK)
        if inner != name and inner.startswith(_SCORES) and scores == "fresh":
            continue
        places = [name, f"{_NETWORK}network.{inner}"]
        if name.startswith(_TOWER):
            places.append(f"{_TOWER}tower.{name.removeprefix(_TOWER)}")
        places += [
            f"{_NETWORK}{there}{inner.removeprefix(here)}"
            for here, there in _SHARED.items()
            if inner.startswith(here)
        ]
        for place in places:
            if place in fresh and fresh[place].shape == tensor.shape:
                adopted[place] = tensor
    return adopted
