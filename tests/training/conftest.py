"""Tiny parts to train from, and every nano recipe run for two steps, one after another."""

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

from dynfocus.models.loading import NANO
from dynfocus.training import Recipe, load_recipe, run_recipe
from dynfocus.training.nano.language import train_tokenizer
from dynfocus.training.release import release
from dynfocus.training.stages import assemble

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
    "repeats": 1,
}


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
def make_tiny(parts) -> Callable[..., Any]:
    """Build a tiny model and its processor, the same for the same seed."""

    def make(seed: int = 0, **focus: Any) -> Any:
        torch.manual_seed(seed)
        settings = {"focus": {**FOCUS, **focus}, "qformer": QFORMER}
        model, processor = assemble(*parts.values(), settings)
        return model.eval(), processor

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
            "task": "stage2",
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
def write_lesson(start, write_recipe, tmp_path) -> Callable[..., Path]:
    """Write a recipe that teaches one part of the tiny model."""

    def write(task: str, sources: list[Any], **changes: Any) -> Path:
        data = {"cache": str(tmp_path / "features"), "sources": sources}
        tree = {"task": task, "start": {"model": str(start)}, "data": data}
        return write_recipe(**(tree | changes))

    return write


MEANS = {"nano-mean": {"nano-stage19", "nano-stage20", "nano-stage21"}}
"""Models that are the mean of several lessons."""


@pytest.fixture(scope="session")
def nano_runs(tmp_path_factory) -> dict[str, Path]:
    """Run every nano recipe for two steps, each after those that it starts from."""
    root = tmp_path_factory.mktemp("nano")
    waiting = {path.stem: load_recipe(path) for path in RECIPES.glob("nano-*.yaml")}
    done: dict[str, Path] = {}
    while waiting:
        ready = [n for n, r in waiting.items() if _needed(r) <= set(done)]
        averaged = [n for n, of in MEANS.items() if n not in done and of <= set(done)]
        for name in averaged:
            done[name] = root / name
            release(
                [done[lesson] / "model" for lesson in sorted(MEANS[name])], done[name]
            )
        assert ready or averaged, f"nothing makes what {sorted(waiting)} start from"
        for name in ready:
            overrides = _tiny_overrides(waiting.pop(name), root)
            done[name] = run_recipe(RECIPES / f"{name}.yaml", overrides)
    return {name: folder for name, folder in done.items() if name not in MEANS}


def _needed(recipe: Recipe) -> set[str]:
    return {Path(folder).parts[1] for folder in recipe.start.values() if folder != NANO}


def _tiny_overrides(recipe: Recipe, root: Path) -> list[str]:
    overrides = [
        "schedule.num_steps=2",
        "schedule.batch_size=2",
        "schedule.num_workers=0",
        "schedule.log_every=1",
        f"output={root / Path(recipe.output).name}",
    ]
    for key, folder in recipe.start.items():
        if folder == NANO:  # what is shipped
            continue
        overrides.append(f"start.{key}={root / Path(folder).relative_to('runs')}")
    if "cache" in recipe.data:
        overrides.append(f"data.cache={root / 'features'}")
    for name in {"sources", "eval_sources"} & set(recipe.data):
        sources = [
            {
                kind: {k: SMALLER.get(k, v) for k, v in settings.items()}
                for kind, settings in source.items()
            }
            for source in recipe.data[name]
        ]
        overrides.append(f"data.{name}={json.dumps(sources)}")
    if recipe.task == "vision":
        overrides.append("data.num_eval_pictures=8")
    return overrides
