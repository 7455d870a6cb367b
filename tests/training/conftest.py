"""Tiny parts to train from, and the recipes of nano run for two steps, one after another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import (
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dynfocus.conversion import Choices, assemble
from dynfocus.focus import FocusSettings, SlowFocusSettings
from dynfocus.models.feature_backbone import NANO
from dynfocus.training import run_recipe
from dynfocus.training.nano import language, vision
from dynfocus.training.nano.language import train_tokenizer
from dynfocus.training.sources import VideoData, load_samples
from dynfocus.validation import from_mapping

RECIPES = Path(__file__).parents[2] / "recipes"
FOCUS: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 4,
    "selection_ratio": 0.5,
    "num_spatial_prototypes": [4, 2],
    "num_spatial_neighbors": [3, 2],
    "num_noise_samples": 10,
    "question": {"use_question_scores": True, "use_clock": True},
}
QFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SMALLER = {
    "num_videos": 2,
    "seconds": [5, 8],
    "num_pictures": 2,
    "num_logs": 2,
}


@pytest.fixture(scope="session")
def load() -> Callable[[list[Any]], list[Any]]:
    """Load the samples of sources that are written as in a recipe."""

    def load(sources: list[Any]) -> list[Any]:
        return load_samples(from_mapping(VideoData, {"sources": sources}).sources)[0]

    return load


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(40, 500)


@pytest.fixture(scope="session")
def parts(tmp_path_factory, tokenizer) -> dict[str, str]:
    """Write a vision tower and a language model of a few thousand weights."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    tower = InstructBlipVisionModel(
        InstructBlipVisionConfig(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=112,
            patch_size=28,
            initializer_range=0.1,
        )
    )
    tower.save_pretrained(folder / "tower")
    colours = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "tower" / "preprocessor_config.json").write_text(json.dumps(colours))
    reader = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    reader.save_pretrained(folder / "reader")
    tokenizer.save_pretrained(folder / "reader")
    return {
        "vision_tower": str(folder / "tower"),
        "language_model": str(folder / "reader"),
    }


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, Any]:
    return {"focus": FOCUS, "qformer": QFORMER}


@pytest.fixture
def make_tiny_slow(parts) -> Callable[..., Any]:
    """Build a tiny SlowFocus and its processor, the same for the same seed."""

    def make(seed: int = 0, **slow: Any) -> Any:
        torch.manual_seed(seed)
        choices = Choices(
            slow=SlowFocusSettings(**{"grid_size": 2, **slow}),
            qformer=QFORMER,
            dtype=torch.float32,
            seed=None,
        )
        made = assemble(*parts.values(), choices=choices)
        return made.model.eval(), made.processor

    return make


@pytest.fixture
def make_tiny(parts) -> Callable[..., Any]:
    """Build a tiny model and its processor, the same for the same seed."""

    def make(seed: int = 0, **focus: Any) -> Any:
        torch.manual_seed(seed)
        choices = Choices(
            focus=FocusSettings.from_dict({**FOCUS, **focus}),
            qformer=QFORMER,
            dtype=torch.float32,
            seed=None,
        )
        made = assemble(*parts.values(), choices=choices)
        return made.model.eval(), made.processor

    return make


@pytest.fixture
def start(make_tiny, tmp_path) -> Path:
    """Write a tiny model to start from, with its processor."""
    model, processor = make_tiny()
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def write_recipe(tmp_path) -> Callable[..., Path]:
    """Write a recipe with a schedule of two steps; groups are merged one level deep."""

    def write(name: str = "recipe.yaml", **changes: Any) -> Path:
        tree: dict[str, Any] = {
            "task": "vision",
            "output": str(tmp_path / "out"),
            "schedule": {
                "num_steps": 2,
                "batch_size": 2,
                "learning_rate": 0.01,
                "log_every": 1,
            },
        }
        for key, value in changes.items():
            merges = isinstance(value, dict) and isinstance(tree.get(key), dict)
            tree[key] = {**tree[key], **value} if merges else value
        path = tmp_path / name
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_stage(write_recipe) -> Callable[..., Path]:
    """Write a recipe of stage 2, unlike `write_recipe` with all groups that it needs."""

    def write(**changes: Any) -> Path:
        tree = {
            "task": "stage2",
            "start": {"model": "nano"},
            "data": {"fps": 1.0},
        }
        return write_recipe(**(tree | changes))

    return write


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> dict[str, Path]:
    """Run every recipe of nano and of the hosts for two steps, in order."""
    root = tmp_path_factory.mktemp("runs")
    done: dict[str, Path] = {}
    with pytest.MonkeyPatch.context() as patch:
        few_pictures(patch)
        run_course(root, done)
    return done


def run_course(root: Path, done: dict[str, Path]) -> None:
    for path in sorted(RECIPES.glob("*/*.yaml")):
        if not path.parent.name.startswith(
            "7b"
        ):  # those start from weights that are not here
            place = root / path.parent.name / path.stem.split("-", 1)[-1]
            overrides = tiny_overrides(path, root, place)
            done[f"{path.parent.name}/{path.stem}"] = run_recipe(path, overrides)


def few_pictures(patch: pytest.MonkeyPatch) -> None:
    """Let what nano starts from be measured on little."""
    patch.setattr(vision, "NUM_SCALE_SCENES", 4)
    patch.setattr(language, "NUM_SCENES", 10)


def tiny_overrides(path: Path, root: Path, output: Path) -> list[str]:
    """Make a recipe small, and its folders those under ``root``."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    overrides = [
        "schedule.num_steps=2",
        "schedule.batch_size=2",
        "schedule.num_workers=0",
        "schedule.log_every=1",
        f"output={output}",
    ]
    for key, folder in tree.get("start", {}).items():
        if folder != NANO:  # what is shipped
            overrides.append(f"start.{key}={root / Path(folder).relative_to('runs')}")
    if "cache" in tree.get("data", {}):
        overrides.append(f"data.cache={root / tree['data']['cache']}")
    groups = [
        tree.get("data", {}),
        *(p.get("data", {}) for p in tree.get("phases", ())),
    ]
    learned = [source for group in groups for source in group.get("sources", ())]
    for name, sources in (
        ("data.sources", learned),
        ("eval_sources", tree.get("eval_sources", ())),
    ):
        smaller = [
            {
                kind: {k: SMALLER.get(k, v) for k, v in settings.items()}
                for kind, settings in source.items()
            }
            for source in sources
        ]
        if smaller:
            overrides.append(f"{name}={json.dumps(smaller)}")
    if tree["task"] == "vision":
        overrides.append("data.num_eval_pictures=8")
    return overrides
