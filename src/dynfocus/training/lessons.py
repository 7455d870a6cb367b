"""What the tasks that teach one part of a DynFocus model share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from torch import nn

from dynfocus.models.dynfocus import (
    DynFocusConfig,
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.training.features import FeatureCache
from dynfocus.training.recipe import Recipe, refuse_unknown
from dynfocus.training.sources import Sample


class Lesson(nn.Module):
    """A model of which some parts learn; what inherits from it says their loss.

    Args:
        model: The model; everything else in it is frozen.
        learns: What learns, by the start of parameters' names.
    """

    def __init__(
        self, model: DynFocusForConditionalGeneration, learns: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.model = model
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(learns))


def check_task(
    recipe: Recipe, *, model: Set[str], data: Set[str], of_start: str
) -> None:
    """Refuse settings that a task does not have, and a recipe that starts from nothing.

    Args:
        recipe: The recipe.
        model: Settings of ``model`` that the task has.
        data: Settings of ``data`` that it has.
        of_start: What of ``start.model`` it uses, as the end of a sentence.
    """
    refuse_unknown("model", recipe.model, model)
    refuse_unknown("data", recipe.data, data)
    refuse_unknown("start", recipe.start, {"model"})
    if "model" not in recipe.start:
        raise ValueError(
            f"task {recipe.task} needs start.model, 'nano' or the folder of the model "
            f"whose {of_start}"
        )


def with_settings(
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    changes: Mapping[str, Any],
    learns: tuple[str, ...],
    *,
    forgets: bool = False,
) -> DynFocusForConditionalGeneration:
    """Return the model with other settings, which its processor then knows too.

    Args:
        model: The model.
        processor: Its processor, which is changed.
        changes: Settings of the dynamic cooperative network.
        learns: The parts that may be new, by the start of parameters' names.
        forgets: Whether these are drawn anew even where the model has them.

    Raises:
        ValueError: If other parts than these would be new, or lost.
    """
    settings = model.settings.changed(changes)
    processor.focus = settings.to_dict()
    if settings == model.settings and not forgets:
        return model
    config = DynFocusConfig.from_dict(
        model.config.to_dict() | {"focus": settings.to_dict()}
    )
    fresh = DynFocusForConditionalGeneration(config)
    kept = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not (forgets and name.startswith(learns))
    }
    missing, unknown = fresh.load_state_dict(kept, strict=False)
    strange = [name for name in missing if not name.startswith(learns)] + unknown
    if strange:
        raise ValueError(
            f"model.focus changes the shape of the model ({strange[0]}); only settings "
            "without weights, and those of what this task teaches, can be changed here"
        )
    return fresh


def encode_videos(
    recipe: Recipe,
    model: DynFocusForConditionalGeneration,
    processor: DynFocusProcessor,
    samples: list[Sample],
) -> FeatureCache:
    """Encode the videos of samples with the frozen half of a model, each once."""
    media = FeatureCache(
        recipe.data.get("cache", Path(recipe.output) / "features"),
        model.eval(),
        processor,
        float(recipe.data.get("fps", 1.0)),
        recipe.data.get("max_frames"),
    )
    media.fill(samples)
    return media


def make_finish(processor: DynFocusProcessor) -> Callable[[nn.Module, Path], None]:
    """Return what writes the taught model beside its processor, without the lesson."""

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, Lesson)
        trained.model.cpu().eval().save_pretrained(output / "model")
        processor.save_pretrained(output / "model")

    return finish
