"""Measure what selectors take of a processor once scores and features are there.

    python benchmarks/selection.py

An hour at 1 frame a second: scores like those of CLIP, with a few moments that stand out,
and unit vectors of scenes. One thread; the median over videos of the fastest of several
runs. Encoding frames is not measured, but how many of them a rule asks the scorer about.
Writes docs/results/selection.md and .json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dynfocus.methods import SELECTORS, SelectorInput
from dynfocus.provenance import describe_hardware, source_commit

_WIDTH = 512
_SCENE_SECONDS = 40


def film(num_frames: int, seed: int) -> tuple[SelectorInput, set[int]]:
    """Draw an hour of scenes, and give the set that collects the frames scored."""
    rng = np.random.default_rng(seed)
    scenes = rng.normal(size=(-(-num_frames // _SCENE_SECONDS), _WIDTH))
    vectors = scenes.repeat(_SCENE_SECONDS, axis=0)[:num_frames]
    vectors = vectors + 0.4 * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.normal(0.22, 0.02, num_frames)
    for start in rng.integers(0, num_frames, 3):
        scores[start : start + 20] += 0.08
    asked: set[int] = set()

    def compare(indices: Any) -> Any:
        asked.update(indices.tolist())
        return scores[indices]

    given = SelectorInput(
        times=np.arange(float(num_frames)),
        features=torch.from_numpy(vectors.astype(np.float32)),
        compare=compare,
        describe=vectors.__getitem__,
        question="Who comes in?",
    )
    return given, asked


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Time one selector on each video."""
    found, scored, chosen = [], [], []
    for seed in range(options.videos):
        given, asked = film(options.frames, seed)
        runs = []
        for _ in range(options.repeats):
            started = time.process_time()
            selection = SELECTORS[name](given, options.budget)
            runs.append(time.process_time() - started)
        found.append(1000 * min(runs))
        scored.append(len(asked))
        chosen.append(len(selection.indices))
    return {
        "milliseconds": statistics.median(found),
        "most_milliseconds": max(found),
        "frames_scored": statistics.median(scored),
        "frames_chosen": statistics.median(chosen),
    }


def write_page(result: dict[str, Any], folder: Path) -> str:
    """Write Markdown and JSON; return the Markdown."""
    lines = [
        "# What selection costs",
        "",
        "Processor time of choosing alone, in one thread, once features are there and scores "
        f"are known: {result['frames']} frames, a budget of {result['budget']}, "
        f"{result['videos']} drawn videos (seeds from 0), the fastest of "
        f"{result['repeats']} runs of each. `frames scored` is how many the rule asks a "
        "scorer about, which costs far more than the choice: a rule that scores few is fast "
        "in use even where it is slow here. Accuracy is not measured here.",
        "",
        f"`{result['command']}` at {result['commit']}, {result['hardware']}.",
        "",
        "| selector | CPU ms, median | slowest video | frames scored | frames chosen |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| `{name}` | {row['milliseconds']:.1f} | {row['most_milliseconds']:.1f} "
        f"| {row['frames_scored']:.0f} | {row['frames_chosen']:.0f} |"
        for name, row in result["selectors"].items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    page = "\n".join(lines) + "\n"
    (folder / "selection.md").write_text(page, encoding="utf-8")
    text = json.dumps(result, indent=2) + "\n"
    (folder / "selection.json").write_text(text, encoding="utf-8")
    return page


def main(arguments: list[str] | None = None) -> None:
    """Measure every selector and write the page."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=3600)
    parser.add_argument("--budget", type=int, default=32)
    parser.add_argument("--videos", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    result = {
        "command": shlex.join(["python", "benchmarks/selection.py", *words]),
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "frames": options.frames,
        "budget": options.budget,
        "videos": options.videos,
        "repeats": options.repeats,
        "selectors": {name: measure(name, options) for name in sorted(SELECTORS)},
    }
    print(write_page(result, options.out))  # noqa: T201 a script's output


if __name__ == "__main__":
    main()
