"""Measure what packed rows save: the share of padding, and real tokens a second.

    python benchmarks/packing.py

The nano model learns, as in stage 2, from the same batches of FocusWorld videos and written
logs of mixed lengths: padded, padded in groups of one length, and packed. Videos are encoded
before the clock starts, which counts the seconds of one core and not those of other work.
Writes docs/results/packing.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from dynfocus.focus import FocusBudget
from dynfocus.models.loading import load_parts
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.training.batches import Collator
from dynfocus.training.dataset import ConversationDataset, Layout
from dynfocus.training.features import FeatureCache
from dynfocus.training.loop import EpochSampler
from dynfocus.training.sources import load_samples
from dynfocus.training.stages import set_trainable


def make_data(cache: str, num_videos: int, longest: int) -> ConversationDataset:
    """Encode videos of 5 seconds to the longest, and add half as many written logs."""
    torch.manual_seed(0)
    model, processor = load_parts("nano", device="cpu", dtype=torch.float32)
    videos = {"num_videos": num_videos, "seconds": [5, longest], "turns_per_sample": 4}
    logs = {"world_logs": {"num_logs": num_videos // 2}}
    samples = load_samples([{"world_videos": videos}, logs])
    store = FeatureCache(cache, model, processor)
    store.fill(samples)
    set_trainable(model, 2)
    count = FocusBudget(settings=model.settings).num_tokens
    return ConversationDataset(samples, store, processor, count, Layout())


def measure(
    data: ConversationDataset,
    batches: list[list[int]],
    packed_tokens: int | None,
) -> tuple[float, float, int]:
    """Learn from every batch once.

    Returns:
        The share of padding, real tokens a second of one core, and the longest row.
    """
    model = data.media.model.train()
    model.language_model.set_attn_implementation("sdpa")
    data.layout = Layout(packed_tokens=packed_tokens)
    collator = Collator(data)
    made = [collator([data[number] for number in batch]) for batch in batches]
    real = sum(batch.pop("facts").num_tokens for batch in made)
    model(**made[0]).loss.backward()  # the first pass is slower
    start = time.process_time()
    for batch in made:
        model.zero_grad()
        model(**batch).loss.backward()
    seconds = time.process_time() - start
    places = sum(batch["input_ids"].numel() for batch in made)
    longest = max(batch["input_ids"].shape[1] for batch in made)
    return 1 - real / places, real / seconds, longest


def compare(data: ConversationDataset, size: int) -> list[str]:
    """Measure every way and return the lines of the table."""
    seed = torch.Generator().manual_seed(0)
    mixed = torch.randperm(len(data), generator=seed).tolist()
    grouped = list(EpochSampler(size, data.lengths(), 0))
    width = max(len(data[number]["input_ids"]) for number in mixed)
    ways = [
        ("padded", mixed, None),
        ("padded, grouped by length", grouped, None),
        (f"packed, at most {width}", mixed, width),
        (f"packed, at most {2 * width}", mixed, 2 * width),
        (f"packed and grouped, at most {width}", grouped, width),
    ]
    lines = [
        "| rows | padding | longest row | real tokens a second of one core |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, order, limit in ways:
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        padding, rate, longest = measure(data, batches, limit)
        lines.append(f"| {name} | {100 * padding:.0f} % | {longest} | {rate:,.0f} |")
    return lines


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Padded against packed rows.")
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--longest", type=int, default=60, help="Seconds.")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--note", default="", help="A sentence on the machine.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        data = make_data(cache, given.videos, given.longest)
        table = compare(data, given.batch_size)
    lines = [
        "# Packed rows",
        "",
        f"`python benchmarks/packing.py`, commit {source_commit()[:12]}, "
        f"{describe_hardware()}, float32.",
        *([given.note] if given.note else []),
        "",
        f"Forward and backward of the nano model on {len(data)} samples (videos of 5 to "
        f"{given.longest} seconds and written logs), {given.batch_size} a batch.",
        "",
        *table,
    ]
    page = "\n".join([*lines, ""])
    target = Path(__file__).parents[1] / "docs" / "results" / "packing.md"
    target.write_text(page, encoding="utf-8")
    print(page)  # noqa: T201 a script's output


if __name__ == "__main__":
    main()
