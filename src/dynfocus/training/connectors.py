"""Train a language model to read videos through any connector, on the same data.

Task ``connector``: the vision tower is frozen and its patches are cached, so that every
system starts from the same features; text encoder, language model and clock come from
``start.model``, and so do the projectors that a connector shares with it; the rest of the
connector is fresh. ``start.connector`` continues from an earlier run of this task.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from dynfocus.conversion.hosts import HOST_CONNECTOR, save_host
from dynfocus.focus import FocusSettings, QuestionSettings, VideoFeatures
from dynfocus.methods.connectors import DEFAULT_CONNECTOR
from dynfocus.models.dynfocus import (
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.loading import load_parts
from dynfocus.training.batches import Collator
from dynfocus.training.dataset import ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import VideoData, load_samples
from dynfocus.training.stages import TEMPLATES
from dynfocus.validation import checked

MODEL = "model"
"""Folder of the trained model, as `dynfocus.load` reads it."""

HOST = "host"
"""Folder of a trained LLaVA-OneVision, as transformers reads it."""

PARTS = ("language_model", "projector", "focus")
"""What can be frozen (Table 7): ``projector`` leads into the language model, ``focus`` is
the rest of the connector and the text encoder."""

_PROJECTORS = (
    ".multi_modal_projector.",
    ".context_projector.",
    ".projector.",
    ".clock.",
)
_NETWORK = "focus_network."
_SCORES = ("event_prototypes.", "question_head.event_context.")
_SHARED = {
    "cooperative_encoding.multi_modal_projector.": "connector.projector.",
    "cooperative_encoding.": "connector.",
}
"""Modules of DynFocus that map patches and text into the language model's space, and what
they are called in other connectors."""


@checked
class ConnectorStart:
    """The model around the connector, and an earlier run of the task."""

    model: str
    """``nano``, or the folder of a model."""
    connector: str | None = None
    """Folder of an earlier run of this task; a fresh connector by default."""


@checked
class ConnectorModel:
    """The connector, and what learns."""

    connector: str
    """Name of the connector."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its settings; of DynFocus also ``focus``, the settings of the network."""
    scores: Literal["fresh", "start"] = "fresh"
    """Whether DynFocus starts with a fresh score network or that of ``start.model``."""
    trains: tuple[str, ...] = PARTS
    """Parts that learn, of `PARTS`."""
    stage: Literal[1, 2] = 2
    """1 for captions, 2 for conversations."""


@checked
class ConnectorRecipe(Recipe):
    """A run of task ``connector``."""

    task: Literal["connector"]
    """The name of the task."""
    start: ConnectorStart
    """Where the run starts."""
    model: ConnectorModel
    """The connector, and what learns."""
    data: VideoData
    """What it learns from."""


class PreparedVideos:
    """Videos as a network wants them: what it makes of patches alone is made once.

    Args:
        patches: The patches on disk.
        model: The model whose network prepares them.
    """

    def __init__(
        self, patches: EncodedVideos, model: DynFocusForConditionalGeneration
    ) -> None:
        self.patches = patches
        self._network = model.focus_network
        self._keeps = model.config.is_plain and not model.settings.spatial_gate
        self._kept: dict[str, VideoFeatures] = {}

    @torch.no_grad()
    def load(self, medium: str) -> VideoFeatures:
        """Return a video; patches are large, and stay on disk."""
        if not self._keeps:
            return self.patches.load(medium)
        if medium not in self._kept:
            self._kept[medium] = self._network.add_events(self.patches.load(medium))
        return self._kept[medium]

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a video."""
        return self.patches.num_frames(medium)


def part_of(name: str) -> str:
    """Name the part of ``PARTS`` that a parameter belongs to; the tower is in none."""
    if name.startswith("vision_tower."):
        return ""
    if name.startswith("language_model."):
        return "language_model"
    return "projector" if any(p in name for p in _PROJECTORS) else "focus"


def set_trained_parts(model: nn.Module, parts: Sequence[str]) -> list[str]:
    """Free the parameters of some parts, freeze all others, and name the free ones."""
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        raise ValueError(
            f"model.trains must name some of {', '.join(PARTS)}, got {list(parts)}"
        )
    names = []
    for name, parameter in model.named_parameters():
        learns = part_of(name) in parts
        parameter.requires_grad_(learns)
        if learns:
            names.append(name)
    return names


def connect(
    start: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    own: ConnectorModel,
) -> tuple[DynFocusForConditionalGeneration, DynFocusProcessor]:
    """Put a fresh connector between the parts of a model.

    All other parts are those of ``start``, and so are the projectors that the connector
    shares with it: merged patches are still patches to them. What scores events is fresh
    unless ``own.scores`` says otherwise.

    Args:
        start: The model that the other parts come from.
        processor: Its processor.
        own: The connector.

    Returns:
        The model with the connector, and a processor for it.

    Raises:
        ValueError: If the start lacks what the connector needs.
    """
    options = dict(own.options)
    settings = FocusSettings(question=QuestionSettings(use_clock=True))
    if own.connector == DEFAULT_CONNECTOR:
        settings = FocusSettings.from_dict(dict(options.pop("focus", {})))
        settings = settings.changed({"question": {"use_clock": True}})
    _check_start(start, settings, own)
    fields: dict[str, Any] = {
        "focus": settings.to_dict(),
        "connector": own.connector,
        "connector_options": options,
    }
    config = DynFocusConfig.from_dict(start.config.to_dict() | fields)
    model = DynFocusForConditionalGeneration(config)
    state = _adopted(start.state_dict(), dict(model.state_dict()), own.scores)
    model.load_state_dict(state, strict=False)
    model.generation_config = copy.deepcopy(start.generation_config)
    mine = copy.deepcopy(processor)
    mine.focus, mine.connector = fields["focus"], config.connector_facts
    return model.eval(), mine


def _check_start(
    start: DynFocusForConditionalGeneration,
    settings: FocusSettings,
    own: ConnectorModel,
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
        places += [
            f"{_NETWORK}{there}{inner.removeprefix(here)}"
            for here, there in _SHARED.items()
            if inner.startswith(here)
        ]
        for place in places:
            if place in fresh and fresh[place].shape == tensor.shape:
                adopted[place] = tensor
    return adopted


def make_connector_job(recipe: ConnectorRecipe) -> Job:
    """Build the job of task ``connector``."""
    start, processor = load_parts(recipe.start.model, device="cpu", dtype=torch.float32)
    model, mine = connect(start, processor, recipe.model)
    if recipe.start.connector is not None:
        model = _continued(model, Path(recipe.start.connector, MODEL))
    set_trained_parts(model, recipe.model.trains)
    model.language_model.set_attn_implementation(recipe.schedule.attention)
    samples, failures = load_samples(recipe.data.sources)
    cache = EncodedVideos(
        recipe.data.cache or Path(recipe.output) / "patches",
        start,
        processor,
        recipe.data.fps,
        recipe.data.max_frames,
        storage="patches",
    )
    cache.fill(samples)
    layout = Layout(template=TEMPLATES[f"stage{recipe.model.stage}"])
    dataset = ConversationDataset(
        samples,
        PreparedVideos(cache, model),
        processor,
        model.focus_network.num_tokens,
        layout,
    )

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, DynFocusForConditionalGeneration)
        trained.cpu().eval().save_pretrained(output / MODEL)
        mine.save_pretrained(output / MODEL)
        if trained.config.connector == HOST_CONNECTOR:
            save_host(trained, processor, output / HOST)

    return Job(
        model=model,
        dataset=dataset,
        finish=finish,
        collator=Collator(dataset),
        lengths=dataset.lengths(),
        max_failures=recipe.data.max_failures,
        failures=failures,
    )


def _continued(
    model: DynFocusForConditionalGeneration, folder: Path
) -> DynFocusForConditionalGeneration:
    """Load the model of an earlier run, of the same connector."""
    earlier, _ = load_parts(folder, device="cpu", dtype=torch.float32)
    names = ("connector", "connector_options", "focus")
    for name in names:
        was, wanted = getattr(earlier.config, name), getattr(model.config, name)
        if was != wanted:
            raise ValueError(
                f"{folder} holds another connector: its {name} is {was!r}, wanted is "
                f"{wanted!r}; give the folder of a run with the same connector"
            )
    return earlier
