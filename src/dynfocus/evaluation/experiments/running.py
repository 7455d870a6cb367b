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

from dynfocus.bulk import Asker, Record, Row, VideoJob, run_rows
from dynfocus.bulk.asking import AnswerJob, OnStep
from dynfocus.evaluation.benchmarks.focusworld import (
    WorldBenchmark,
    answered,
    cone_times,
    open_world_file,
)
from dynfocus.evaluation.experiments.bounds import Blind, of_evidence
from dynfocus.evaluation.experiments.plans import Phase, Plan, Variant
from dynfocus.evaluation.metrics import TIME_KINDS, interval_iou
from dynfocus.focus import SlowFocusSettings
from dynfocus.index import VideoIndex
from dynfocus.methods import build_connector
from dynfocus.methods.loops import slowfocus
from dynfocus.models import Answer
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.loading import load_config, load_parts
from dynfocus.models.looking import LoopStrategy
from dynfocus.models.strategies import Strategy, one_pass
from dynfocus.models.video_model import VideoModel
from dynfocus.validation import from_mapping
from dynfocus.world import parse_interval

if TYPE_CHECKING:
    from dynfocus.training.stages import StageRecipe

Progress = Callable[[str], None]
SLOWFOCUS = "slowfocus"
"""Connector of variants that are a SlowFocus."""


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
        FileNotFoundError: If a run that a variant starts from is not there.
        ValueError: If the plan starts from a model of another kind, a budget does not pay
            for a single frame of some variant, or the folder holds what other settings
            made.
    """
    _check_starts(variants, plan)
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
            test = test if variant.fps is None else replace(test, fps=variant.fps)
            found[variant.name] += run_rows(
                partial(_make_ready, variant, plan, test, train, told),
                test.rows(set=test.title, training_seed=seed),
                folder / _answers_name(variant, test, seed),
                stamp=_stamp(variant, plan, test, seed),
            )
    return found


def _check_starts(variants: tuple[Variant, ...], plan: Plan) -> None:
    """Refuse a start of another kind, or one that is not there."""
    kind = load_config(plan.start)[0].model_type
    for variant in variants:
        if _is_slow(variant) != (kind == SLOWFOCUS):
            wanted = (
                "a SlowFocus after its stage 2, such as recipes/nano-slow leaves in "
                "runs/nano-slow/boundaries/model"
                if _is_slow(variant)
                else "a DynFocus such as nano"
            )
            raise ValueError(
                f"{variant.label} starts from {wanted}, got {plan.start}, a {kind} model; "
                "name it with --model"
            )
        if not Path(_start_of(variant, plan)).is_dir() and variant.start:
            raise FileNotFoundError(
                f"{variant.label} starts from {_start_of(variant, plan)}, which is not "
                "there; make it with the recipe that comes before that of --model"
            )


def _is_slow(variant: Variant) -> bool:
    return variant.connector == SLOWFOCUS


def _start_of(variant: Variant, plan: Plan) -> str:
    """Give the model that a variant starts from."""
    if not variant.start:
        return plan.start
    return str(Path(plan.start).parent.parent / variant.start / Path(plan.start).name)


def _slow_settings(variant: Variant, plan: Plan) -> SlowFocusSettings:
    """Give the settings of a SlowFocus: those of the start, but for its own."""
    own = load_config(plan.start)[0].focus_settings.to_dict()
    return SlowFocusSettings.from_dict({**own, **variant.options})


def _check_budgets(variants: tuple[Variant, ...], plan: Plan) -> None:
    """Refuse a budget that is too small before anything is trained."""
    budgets = [test.max_video_tokens for test in plan.sets if test.max_video_tokens]
    if not budgets:
        return
    sizes = load_config(plan.start)[0].connector_sizes
    for variant in variants:
        if _is_slow(variant):
            needed = _slow_settings(variant, plan).tokens_per_frame
        else:
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
    names = ("connector", "options", "phases", "start", "num_dense", "fps", "shown")
    made = {name: told[name] for name in names}
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

    weights = Path(_start_of(variant, plan))
    for number, phase in enumerate(variant.phases):
        output = folder / f"{variant.name}-seed{seed}-phase{number + 1}"
        recipe = make_recipe(
            variant, phase, plan, seed, output, weights if number else None
        )
        _check_same_phase(output, recipe)
        if not (output / MODEL / "config.json").is_file():
            progress("training")
            train(recipe, make_stage_job, resume=True)
            for checkpoint in output.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        weights = output / MODEL
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
    from dynfocus.training.stages import StageRecipe

    source = {
        "num_videos": plan.num_training_videos,
        "seconds": plan.training_seconds,
        "seed": 1_000_000,
        "turns_per_sample": 1,
        "kinds": dict.fromkeys(plan.kinds if phase.stage == 2 else ("caption",), 1),
    }
    if plan.wide:
        source |= {"wide": True, "max_per_kind": 2}
    steps = plan.num_steps if phase.stage == 2 else plan.num_caption_steps
    fps = variant.fps or plan.fps
    tree = {
        "task": f"stage{phase.stage}",
        "output": str(output),
        "seed": seed,
        "start": {"model": str(start or _start_of(variant, plan))},
        "model": _model_of(variant, plan) if start is None else None,
        "look": {"num_dense": variant.num_dense} if _is_slow(variant) else None,
        "trains": phase.trains,
        "data": {
            "cache": plan.patches,
            "shares_patches": True,
            "fps": fps,
            "max_frames": round(plan.max_training_frames * fps / plan.fps),
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


def _model_of(variant: Variant, plan: Plan) -> dict[str, Any]:
    """Give the settings of a variant's model as the recipes name them."""
    if _is_slow(variant):
        return {"slow": _slow_settings(variant, plan).to_dict()}
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
    from dynfocus.training.starting import ModelSettings, connect

    weights = train()
    progress(f"asking ({test.title})")
    if _is_slow(variant):
        return _look_at_files(variant, weights)
    start, processor = load_parts(plan.start, device="cpu", dtype=torch.float32)
    cache = EncodedVideos(plan.patches, start, processor, plan.fps, storage="patches")
    trained, _ = load_parts(weights, device="cpu", dtype=torch.float32)
    own = from_mapping(ModelSettings, _model_of(variant, plan))
    connected, asked = connect(
        start, processor, own
    )  # may differ from what was trained
    connected.load_state_dict(trained.state_dict())
    model = VideoModel(FeatureBackbone(connected, asked, variant.name))
    if variant.shown == "nothing":
        model = model.with_generator(Blind(model.generator))

    def answer_job(job: VideoJob, on_step: OnStep | None) -> Iterator[Record]:
        cache.fill([{"video": job.video}])
        patches, add_events = (
            cache.load(job.video),
            model.model.focus_network.add_events,
        )
        began = time.perf_counter()
        with torch.inference_mode():
            features = add_events(patches)
        prepare_seconds = time.perf_counter() - began
        seconds = float(patches.pts_seconds[-1]) + 1 / plan.fps
        video = VideoIndex(
            features=features, source=None, duration=seconds, fps=plan.fps
        )
        for row in job.rows:
            assert row.question is not None
            shown = video
            if variant.shown == "evidence":
                held = add_events(of_evidence(patches, row.evidence))
                shown = replace(video, features=held)
            answer = model.ask(
                shown,
                row.question,
                max_video_tokens=test.max_video_tokens,
                max_new_tokens=24,
            )
            fine, record = cone_times(answer), answered(row, answer)
            if variant.shown == "nothing":
                fine, record = [], record | {"tokens": 0}
            yield record | {
                "prepare_seconds": round(prepare_seconds, 4),
                "fine_share": len(fine) / patches.num_frames,
                "evidence_seen": record["evidence_seen"] if fine else None,
            }

    return answer_job


def _look_at_files(variant: Variant, weights: Path) -> AnswerJob:
    """Give what asks a SlowFocus about files, which it may look at again."""
    parts = load_parts(weights, device="cpu", dtype=torch.float32)
    strategy: Strategy = one_pass
    if variant.num_dense is not None:
        strategy = LoopStrategy(partial(slowfocus, num_dense=variant.num_dense))
    model = VideoModel(FeatureBackbone(*parts, variant.name), strategy=strategy)
    return Asker(lambda number: model, open_world_file, _describe)(0)


def _describe(row: Row, answer: Answer, video: VideoIndex) -> Record:
    """Judge an answer; where an interval answers, tell how far it overlaps the true one."""
    record: Record = answered(row, answer)
    fine = cone_times(answer)
    record["prepare_seconds"] = 0.0  # files are read once for all rows
    record["fine_share"] = len(fine) / max(1, len(answer.frames))
    record["overlap"] = None
    if row.facts["kind"] in TIME_KINDS:
        said = parse_interval(answer.text.casefold().strip().removesuffix("."))
        true = row.evidence[0]
        record["overlap"] = 0.0 if said is None else interval_iou(said, true)
    return record if fine else record | {"evidence_seen": None}
