"""Train a language model to read videos through any connector, on the same data.

Task ``connector``: the vision tower is frozen and its patches are cached, so that every
system starts from the same features; text encoder, language model and clock come from
``start.model``, and so do the projectors that a connector shares with it; the rest of the
connector is fresh. ``start.connector`` continues from an earlier run of this task.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn

from dynfocus.conversion.hosts import save_host
from dynfocus.focus import FocusNetwork
from dynfocus.methods import (
    ConnectedLanguageModel,
    ConnectorSizes,
    VideoPatches,
    build_connector,
)
from dynfocus.methods.connectors.dynamic import DynFocusConnector
from dynfocus.methods.connectors.llava_onevision import LlavaOnevisionConnector
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.dynfocus.vision import count_patches
from dynfocus.models.loading import load_parts
from dynfocus.training.batches import Collator
from dynfocus.training.dataset import ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import VideoData, load_samples
from dynfocus.training.stages import TEMPLATES
from dynfocus.validation import checked

WEIGHTS = "connected.safetensors"
"""File of a trained connector with the parts that were trained beside it."""

HOST = "host"
"""Folder of a trained LLaVA-OneVision, as transformers reads it."""

PARTS: dict[str, tuple[str, ...]] = {
    "language_model": ("language_model.",),
    "projector": (
        "clock.",
        "connector.projector.",
        "connector.context_projector.",
        "connector.network.cooperative_encoding.multi_modal_projector.",
        "connector.network.cooperative_encoding.context_projector.",
    ),
    "focus": ("connector.", "text_encoder."),
}
"""What can be frozen (Table 7), by the start of parameters' names: ``projector`` leads
into the language model, ``focus`` is the rest of the connector and the text encoder."""


@checked
class ConnectorStart:
    """The model around the connector, and an earlier run of the task."""

    model: str
    """``nano``, or the folder of a model."""
    connector: str | None = None
    """Folder of an earlier run; a fresh connector by default."""


@checked
class ConnectorModel:
    """The connector, and what learns."""

    connector: str
    """Name of the connector."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its settings."""
    trains: tuple[str, ...] = tuple(PARTS)
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
    """Videos as a connector wants them: prepared at first use, then kept in memory.

    Args:
        patches: The patches on disk.
        model: What prepares them.
    """

    def __init__(self, patches: EncodedVideos, model: ConnectedLanguageModel) -> None:
        self.patches = patches
        self.model = model
        self._kept: dict[str, Any] = {}

    def load(self, medium: str) -> Any:
        """Return what the connector prepared of a video."""
        if medium in self._kept:
            return self._kept[medium]
        prepared = self.model.prepare(self.patches.load_patches(medium))
        if not isinstance(prepared, VideoPatches):  # those are large, and on disk
            self._kept[medium] = prepared
        return prepared

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a video."""
        return self.patches.num_frames(medium)


def part_of(name: str) -> str:
    """Name the part of ``PARTS`` that a parameter belongs to."""
    return next(part for part, heads in PARTS.items() if name.startswith(heads))


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


def load_connected(
    start: DynFocusForConditionalGeneration,
    connector: str,
    options: dict[str, Any],
    weights: str | Path | None = None,
) -> ConnectedLanguageModel:
    """Put a connector between the parts of a model.

    Args:
        start: The model whose other parts are used; they are not copied.
        connector: Name of the connector.
        options: Its settings.
        weights: Folder that an earlier run of task ``connector`` wrote; fresh without.
    """
    config = start.config
    sizes = ConnectorSizes(
        num_patches=count_patches(config.vision_config),
        dim=config.vision_config.hidden_size,
        text_dim=config.qformer_config.hidden_size,
        hidden_size=config.text_config.hidden_size,
    )
    fresh = build_connector(connector, sizes, options)
    model = ConnectedLanguageModel(fresh, start)
    _check_ratings(fresh, start)
    _adopt_projectors(fresh, start.focus_network)
    if options.get("scores") == "start":
        _adopt_scores(fresh, start.focus_network)
    if weights is not None:
        result = model.load_state_dict(load_file(Path(weights, WEIGHTS)), strict=False)
        tied = set(model.all_tied_weights_keys)
        if set(result.missing_keys) - tied or result.unexpected_keys:
            raise ValueError(
                f"{weights} holds another connector than {connector!r} with these "
                f"options; missing are {result.missing_keys[:3]}, not known are "
                f"{result.unexpected_keys[:3]}"
            )
    return model


def _adopt_projectors(connector: nn.Module, trained: FocusNetwork) -> None:
    """Start from the trained projectors that a connector has too.

    They map patches and text into the language model's space; merged patches are still
    patches to them. What scores frames is fresh unless a connector asks for more. A
    module may have less than the trained one, but nothing that it lacks.
    """
    own = dict(connector.named_modules())
    known = dict(trained.cooperative_encoding.named_children())
    if trained.question_head is not None and trained.question_head.rating is not None:
        known["rating"] = trained.question_head.rating
    for name, module in known.items():
        for place in (
            name,
            f"network.cooperative_encoding.{name}",
            f"network.question_head.{name}",
            name.removeprefix("multi_modal_"),
        ):
            if place in own:
                names = own[place].state_dict()
                state = {k: v for k, v in module.state_dict().items() if k in names}
                own[place].load_state_dict(state)


def _check_ratings(
    connector: nn.Module, start: DynFocusForConditionalGeneration
) -> None:
    """Refuse to rate frames with a network that nobody taught."""
    if not isinstance(connector, DynFocusConnector):
        return
    rates = connector.settings.extensions.use_ratings
    if rates and not start.settings.extensions.use_ratings:
        raise ValueError(
            "use_ratings needs a start.model that rates frames, got one without; teach "
            "it (task relevance) or switch it off"
        )


def _adopt_scores(connector: nn.Module, trained: FocusNetwork) -> None:
    """Start from the trained score network of the model around."""
    assert isinstance(connector, DynFocusConnector)
    wanted = trained.settings.extensions.use_question_scores
    if connector.settings.extensions.use_question_scores != wanted:
        raise ValueError(
            "scores 'start' needs the use_question_scores of start.model, "
            f"{wanted}, got {not wanted}"
        )
    parts = ("event_prototypes.score_network.", "question_head.event_context.")
    state = {k: v for k, v in trained.state_dict().items() if k.startswith(parts)}
    connector.network.load_state_dict(state, strict=False)


def make_connector_job(recipe: ConnectorRecipe) -> Job:
    """Build the job of task ``connector``."""
    start, processor = load_parts(recipe.start.model, device="cpu", dtype=torch.float32)
    own = recipe.model
    model = load_connected(start, own.connector, own.options, recipe.start.connector)
    set_trained_parts(model, own.trains)
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
    videos = PreparedVideos(cache, model)
    layout = Layout(template=TEMPLATES[f"stage{own.stage}"])
    dataset = ConversationDataset(samples, videos, processor, model.num_tokens, layout)

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, ConnectedLanguageModel)
        _save(trained, output)
        if isinstance(trained.connector, LlavaOnevisionConnector):
            save_host(trained, start, processor, output / HOST)

    return Job(
        model=model,
        dataset=dataset,
        finish=finish,
        collator=Collator(dataset),
        lengths=dataset.lengths(),
        max_failures=recipe.data.max_failures,
        failures=failures,
    )


def _save(model: ConnectedLanguageModel, output: Path) -> None:
    """Write the weights once, without the names that are tied to others."""
    tied = set(model.all_tied_weights_keys)
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k not in tied}
    save_file(state, output / WEIGHTS)
