"""Run experiments: each variant is trained, asked and kept, so a run that stops continues.

All variants of an experiment share the frozen features, the language model they start from,
the training data, the number of steps and the questions. They differ in what a `Variant`
says. The extra ``train`` is needed when they run, not when this module is imported.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dynfocus.bulk import Record, VideoJob, run_rows
from dynfocus.bulk.asking import AnswerJob, OnStep
from dynfocus.evaluation.benchmarks.focusworld import (
    WorldBenchmark,
    answered,
    cone_times,
)
from dynfocus.evaluation.experiments.plans import Phase, Plan, Variant
from dynfocus.methods import build_connector
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.loading import load_config, load_parts
from dynfocus.models.video_model import VideoModel
from dynfocus.validation import from_mapping

if TYPE_CHECKING:
    from dynfocus.training.stages import StageRecipe

Progress = Callable[[str], None]


def run_variants(
    variants: tuple[Variant, ...], plan: Plan, folder: str | Path, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Train and ask every variant with every seed.

    Args:
        variants: The rows.
        plan: What they share.
        folder: Checkpoints and answers; what is trained or answered is not done again.
        progress: Told what is being done.

    Returns:
        Records of each variant by name, one a question and seed.

    Raises:
        ValueError: If a budget does not pay for a single frame of some variant, or the
            folder holds what other settings made.
    """
    _check_budgets(variants, plan)
    folder = Path(folder)
    found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in variants}
    by_name = {variant.name: variant for variant in variants}
    runs = [(seed, variant) for seed in plan.seeds for variant in variants]
    for number, (seed, variant) in enumerate(runs, 1):
        place = f"{number} of {len(runs)}: {variant.label}, seed {seed}"
        teacher = by_name[variant.weights_of or variant.name]
        told = partial(_tell, progress, place)
        train = partial(_train_variant, teacher, plan, seed, folder, told)
        for test in plan.sets:
            found[variant.name] += run_rows(
                partial(_make_ready, variant, plan, test, train, told),
                test.rows(set=test.title, training_seed=seed),
                folder / _answers_name(variant, test, seed),
                stamp=_stamp(variant, plan, test, seed),
            )
    return found


def _check_budgets(variants: tuple[Variant, ...], plan: Plan) -> None:
    """Refuse a budget that is too small before anything is trained."""
    budgets = [test.max_video_tokens for test in plan.sets if test.max_video_tokens]
    if not budgets:
        return
    sizes = load_config(plan.start)[0].connector_sizes
    for variant in variants:
        options = {k: v for k, v in variant.options.items() if k != "scores"}
        with torch.device("meta"):  # without weights
            network: Any = build_connector(variant.connector, sizes, options)
        needed = network.num_tokens(1)
        if needed > min(budgets):
            raise ValueError(
                f"a budget of {min(budgets)} video tokens is too small: a single frame of "
                f"{variant.label} has {needed}; give a larger one"
            )


def _tell(progress: Progress, place: str, what: str) -> None:
    progress(f"{place}: {what}")


def _answers_name(variant: Variant, test: WorldBenchmark, seed: int) -> str:
    budget = "" if test.max_video_tokens is None else f"-{test.max_video_tokens}"
    return f"{variant.name}-seed{seed}-{test.name}{budget}.jsonl"


def _stamp(
    variant: Variant, plan: Plan, test: WorldBenchmark, seed: int
) -> dict[str, Any]:
    """Return all that a variant's answers depend on."""
    told = asdict(variant)
    made = {name: told[name] for name in ("connector", "options", "phases")}
    elsewhere = ("patches", "seeds", "sets")
    shared = {k: v for k, v in asdict(plan).items() if k not in elsewhere}
    made |= {"weights_of": variant.weights_of, "plan": shared}
    return made | {"asked": asdict(test), "training_seed": seed}


def _train_variant(
    variant: Variant, plan: Plan, seed: int, folder: Path, progress: Progress
) -> Path:
    """Train a variant phase by phase, continuing where it stopped."""
    from dynfocus.training.loop import train
    from dynfocus.training.stages import MODEL, make_stage_job

    weights: Path | None = None
    for number, phase in enumerate(variant.phases):
        output = folder / f"{variant.name}-seed{seed}-phase{number + 1}"
        recipe = make_recipe(variant, phase, plan, seed, output, weights)
        _check_same_phase(output, recipe)
        if not (output / MODEL / "config.json").is_file():
            progress("training")
            train(recipe, make_stage_job, resume=True)
            for checkpoint in output.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        weights = output
    assert weights is not None
    return weights


def _check_same_phase(output: Path, recipe: StageRecipe) -> None:
    """Refuse weights and checkpoints that other settings left in a phase's folder."""
    from dynfocus.training import load_recipe
    from dynfocus.training.recipe import RECIPE_FILE

    path = output / RECIPE_FILE
    if not path.is_file():
        return
    before = load_recipe(path)
    if before.task != recipe.task or _portable(before) != _portable(recipe):
        raise ValueError(
            f"{output} was trained with other settings; delete it or name another folder"
        )


def _portable(recipe: Any) -> Any:
    """Leave out where things lie, which does not change the weights."""
    model = Path(recipe.start.model)
    of_phase = recipe.model is None  # the folder of an earlier one holds the model
    name = model.parent.name if of_phase else model.name
    start = replace(recipe.start, model=name)
    data = replace(recipe.data, cache=None)
    return replace(recipe, output="-", start=start, data=data)


def make_recipe(
    variant: Variant,
    phase: Phase,
    plan: Plan,
    seed: int,
    output: Path,
    start: Path | None,
) -> StageRecipe:
    """Write the recipe of one phase of a variant."""
    from dynfocus.training.stages import MODEL, StageRecipe

    source = {
        "num_videos": plan.num_training_videos,
        "seconds": plan.training_seconds,
        "seed": 1_000_000,
        "turns_per_sample": 1,
        "kinds": dict.fromkeys(plan.kinds if phase.stage == 2 else ("caption",), 1),
    }
    steps = plan.num_steps if phase.stage == 2 else plan.num_caption_steps
    tree = {
        "task": f"stage{phase.stage}",
        "output": str(output),
        "seed": seed,
        "start": {"model": plan.start if start is None else str(start / MODEL)},
        "model": _connector_of(variant) if start is None else None,
        "trains": phase.trains,
        "data": {
            "cache": plan.patches,
            "shares_patches": True,
            "fps": plan.fps,
            "max_frames": plan.max_training_frames,
            "sources": [{"world_videos": source}],
        },
        "schedule": {
            "num_steps": steps,
            "batch_size": plan.batch_size,
            "learning_rate": plan.learning_rate,
            "optimizer": "muon",
            "adam_beta2": 0.98,
            "save_every": 100,
            "log_every": 10,
        },
    }
    return from_mapping(StageRecipe, tree)


def _connector_of(variant: Variant) -> dict[str, Any]:
    """Give the connector of a variant as the recipes name it."""
    options = dict(variant.options)
    own: dict[str, Any] = {
        name: options.pop(name) for name in ("focus", "scores") if name in options
    }
    return {"connector": variant.connector, "options": options, **own}


def _make_ready(
    variant: Variant,
    plan: Plan,
    test: WorldBenchmark,
    train: Callable[[], Path],
    progress: Progress,
    number: int,
) -> AnswerJob:
    """Train a variant unless it is trained, and give what answers the rows of a video."""
    from dynfocus.training.encoded_videos import EncodedVideos
    from dynfocus.training.stages import MODEL
    from dynfocus.training.starting import ModelSettings, connect

    weights = train()
    progress(f"asking ({test.title})")
    start, processor = load_parts(plan.start, device="cpu", dtype=torch.float32)
    cache = EncodedVideos(plan.patches, start, processor, plan.fps, storage="patches")
    trained, _ = load_parts(weights / MODEL, device="cpu", dtype=torch.float32)
    own = from_mapping(ModelSettings, _connector_of(variant))
    connected, asked = connect(
        start, processor, own
    )  # may differ from what was trained
    connected.load_state_dict(trained.state_dict())
    model = VideoModel(FeatureBackbone(connected, asked, variant.name))

    def answer_job(job: VideoJob, on_step: OnStep | None) -> Iterator[Record]:
        cache.fill([{"video": job.video}])
        patches = cache.load(job.video)
        began = time.perf_counter()
        with torch.inference_mode():
            video = model.model.focus_network.add_events(patches)
        prepare_seconds = time.perf_counter() - began
        for row in job.rows:
            assert row.question is not None
            answer = model.ask(
                video,
                row.question,
                max_video_tokens=test.max_video_tokens,
                max_new_tokens=24,
            )
            fine, record = cone_times(answer), answered(row, answer)
            yield record | {
                "prepare_seconds": round(prepare_seconds, 4),
                "fine_share": len(fine) / patches.num_frames,
                "evidence_seen": record["evidence_seen"] if fine else None,
            }

    return answer_job
