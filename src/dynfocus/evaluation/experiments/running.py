"""Run experiments: each variant is trained, asked and kept, so a run that stops continues.

All variants of an experiment share the frozen features, the language model they start from,
the training data, the number of steps and the questions. They differ in what a `Variant`
says. The extra ``train`` is needed when they run, not when this module is imported.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dynfocus.atomic import write_atomically
from dynfocus.evaluation.benchmarks.focusworld import evidence_seen
from dynfocus.evaluation.experiments.plans import Phase, Plan, TestSet, Variant
from dynfocus.evaluation.metrics import is_right
from dynfocus.methods import ConnectedLanguageModel, VideoPatches
from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.models.loading import load_parts
from dynfocus.validation import from_mapping
from dynfocus.world import WorldQuestion, make_questions

if TYPE_CHECKING:
    from dynfocus.training.connectors import ConnectorRecipe

Progress = Callable[[str], None]


def run_variants(
    variants: tuple[Variant, ...], plan: Plan, folder: str | Path, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Train and ask every variant with every seed.

    Args:
        variants: The rows.
        plan: What they share.
        folder: Checkpoints and answers; a variant whose answers are there is not run again.
        progress: Told what is being done.

    Returns:
        Records of each variant by name, one a question and seed.

    Raises:
        ValueError: If a budget does not pay for a single frame of some variant.
    """
    _check_budgets(variants, plan)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in variants}
    by_name = {variant.name: variant for variant in variants}
    for number, (seed, variant) in enumerate(
        (s, a) for s in plan.seeds for a in variants
    ):
        place = f"{number + 1} of {len(variants) * len(plan.seeds)}: {variant.label}"
        told = partial(_tell, progress, f"{place}, seed {seed}")
        teacher = by_name[variant.weights_of or variant.name]
        for test in plan.sets:
            path = folder / _answers_name(variant, test, seed)
            stamp = _stamp(variant, plan, test, seed)
            records = _kept(path, stamp)
            if records is None:
                weights = _train_variant(teacher, plan, seed, folder, told)
                told(f"asking ({test.title})")
                records = list(ask_variant(variant, plan, test, seed, weights))
                _keep(path, stamp, records)
            found[variant.name] += records
    return found


def _check_budgets(variants: tuple[Variant, ...], plan: Plan) -> None:
    """Refuse a budget that is too small before anything is trained."""
    budgets = [test.max_tokens for test in plan.sets if test.max_tokens is not None]
    if not budgets:
        return
    from dynfocus.training.connectors import load_connected

    start, _ = load_parts(plan.start, device="cpu", dtype=torch.float32)
    for variant in variants:
        needed = load_connected(
            start, variant.connector, dict(variant.options)
        ).num_tokens(1)
        if needed > min(budgets):
            raise ValueError(
                f"a budget of {min(budgets)} video tokens is too small: a single frame of "
                f"{variant.label} has {needed}; give a larger one"
            )


def _tell(progress: Progress, place: str, what: str) -> None:
    progress(f"{place}: {what}")


def _answers_name(variant: Variant, test: TestSet, seed: int) -> str:
    budget = "" if test.max_tokens is None else f"-{test.max_tokens}"
    return f"{variant.name}-seed{seed}-{test.name}{budget}.jsonl"


def _stamp(variant: Variant, plan: Plan, test: TestSet, seed: int) -> Any:
    """Return all that a variant's answers depend on, as JSON gives it back."""
    phases = [asdict(phase) for phase in variant.phases]
    elsewhere = ("patches", "seeds", "sets")
    shared = {k: v for k, v in asdict(plan).items() if k not in elsewhere}
    what = [variant.connector, dict(variant.options), phases, variant.weights_of]
    return json.loads(json.dumps([what, shared, asdict(test), seed]))


def _kept(path: Path, stamp: Any) -> list[dict[str, Any]] | None:
    """Read the answers of a variant that was asked before; None if it was not."""
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        head, *records = [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(
            f"{path} is not an answers file of an experiment; delete it or name another "
            "folder"
        ) from error
    if head != {"variant": stamp}:
        raise ValueError(
            f"{path} belongs to a run with other settings; delete it or name another "
            "folder"
        )
    return records


def _keep(path: Path, stamp: Any, records: list[dict[str, Any]]) -> None:
    """Write the answers at once, so that a file is whole or not there."""
    lines = [
        json.dumps({"variant": stamp}),
        *(json.dumps(record) for record in records),
    ]
    write_atomically(path, "\n".join(lines) + "\n")


def _train_variant(
    variant: Variant, plan: Plan, seed: int, folder: Path, progress: Progress
) -> Path:
    """Train a variant phase by phase, continuing where it stopped."""
    from dynfocus.training.connectors import WEIGHTS, make_connector_job
    from dynfocus.training.loop import train

    weights: Path | None = None
    for number, phase in enumerate(variant.phases):
        output = folder / f"{variant.name}-seed{seed}-phase{number + 1}"
        recipe = make_recipe(variant, phase, plan, seed, output, weights)
        _check_same_phase(output, recipe)
        if not (output / WEIGHTS).is_file():
            progress("training")
            train(recipe, make_connector_job, resume=True)
            for checkpoint in output.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        weights = output
    assert weights is not None
    return weights


def _check_same_phase(output: Path, recipe: ConnectorRecipe) -> None:
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
    model, earlier = recipe.start.model, recipe.start.connector
    start = replace(
        recipe.start,
        model=Path(model).name,
        connector=None if earlier is None else Path(earlier).name,
    )
    data = replace(recipe.data, cache=None)
    return replace(recipe, output="-", start=start, data=data)


def make_recipe(
    variant: Variant,
    phase: Phase,
    plan: Plan,
    seed: int,
    output: Path,
    start: Path | None,
) -> ConnectorRecipe:
    """Write the recipe of one phase of a variant."""
    from dynfocus.training.connectors import ConnectorRecipe

    source = {
        "num_videos": plan.num_training_videos,
        "seconds": plan.training_seconds,
        "seed": 1_000_000,
        "turns_per_sample": 1,
        "kinds": dict.fromkeys(plan.kinds if phase.stage == 2 else ("caption",), 1),
    }
    steps = plan.num_steps if phase.stage == 2 else plan.num_caption_steps
    tree = {
        "task": "connector",
        "output": str(output),
        "seed": seed,
        "start": {"model": plan.start, "connector": start and str(start)},
        "model": {
            "connector": variant.connector,
            "options": dict(variant.options),
            "trains": phase.trains,
            "stage": phase.stage,
        },
        "data": {
            "cache": plan.patches,
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
    return from_mapping(ConnectorRecipe, tree)


def ask_variant(
    variant: Variant, plan: Plan, test: TestSet, seed: int, weights: Path
) -> Iterator[dict[str, Any]]:
    """Ask a trained variant about a test set, one record a question."""
    from dynfocus.training.connectors import load_connected
    from dynfocus.training.patches import PatchCache

    start, processor = load_parts(plan.start, device="cpu", dtype=torch.float32)
    cache = PatchCache(plan.patches, start, processor, plan.fps)
    options = dict(variant.options)
    model = load_connected(start, variant.connector, options, weights).eval()
    for address in test.addresses():
        cache.fill([str(address)])
        patches = cache.load(str(address))
        questions = [
            question
            for question in make_questions(address.scene(), plan.max_per_kind)
            if question.kind in plan.kinds
        ]
        shared = {"set": test.title, "training_seed": seed, "video": address.seed}
        for record in _ask_video(model, processor, patches, questions, test.max_tokens):
            yield {**shared, **record}


def _ask_video(
    model: ConnectedLanguageModel,
    processor: DynFocusProcessor,
    patches: VideoPatches,
    questions: Sequence[WorldQuestion],
    max_tokens: int | None,
) -> Iterator[dict[str, Any]]:
    began = time.perf_counter()
    prepared = model.prepare(patches, max_tokens)
    prepare_seconds = time.perf_counter() - began
    for question in questions:
        began = time.perf_counter()
        text, connected = answer_question(model, processor, prepared, question.question)
        spent = time.perf_counter() - began
        fine = patches.pts_seconds[connected.fine_frames].tolist()
        yield {
            "kind": question.kind,
            "question": question.question,
            "truth": question.answer,
            "answer": text,
            "right": is_right(question, text),
            "held_out": question.held_out,
            "tokens": len(connected.embeds),
            "prepare_seconds": round(prepare_seconds, 4),
            "seconds": round(spent, 4),
            "fine_share": len(fine) / patches.num_frames,
            "evidence_seen": evidence_seen(question, fine) if fine else None,
        }


@torch.inference_mode()
def answer_question(
    model: ConnectedLanguageModel,
    processor: DynFocusProcessor,
    prepared: Any,
    question: str,
    max_new_tokens: int = 24,
) -> tuple[str, Any]:
    """Answer a question about a prepared video, with the prompt of training.

    Returns:
        The answer and the video tokens that were read.
    """
    tokenizer = processor.tokenizer
    ids = torch.tensor([tokenizer(question)["input_ids"]])
    (connected,) = model.video_tokens([prepared], ids, torch.ones_like(ids))
    room = [model.video_token_id] * len(connected.embeds)
    front = tokenizer.encode("USER: ", add_special_tokens=False)
    back = tokenizer.encode(f"\n{question} ASSISTANT:", add_special_tokens=False)
    lead = processor.lead_in(question)
    prompt = [tokenizer.bos_token_id, *front, *lead, *room, *back]
    output = model.answer(torch.tensor([prompt]), connected, max_new_tokens)
    return tokenizer.decode(output, skip_special_tokens=True).strip(), connected
