"""Measure how the scale of the features decides what S-DPC keeps.

    python benchmarks/feature_scale.py

For every object wholly in view of FocusWorld validation frames, some spatial prototype should be
close to the mean of the object's own patches: closer than to any other object's or to the wall.
Writes docs/results/feature-scale.md.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import dynfocus
from dynfocus.focus import SpatialPrototypes
from dynfocus.provenance import source_commit
from dynfocus.world import make_scene, render
from dynfocus.world.render import Placed, placed_objects
from dynfocus.world.vocabulary import BASE_PIXELS

DEVIATIONS = (0.25, 0.5, 1.0, 2.0, 4.0, 6.5)
MARGIN = 30
NUM_VIDEOS = 12


def collect_frames() -> tuple[np.ndarray, list[list[Placed]]]:
    """Draw frames that show at least one whole object and no anomaly."""
    frames, objects = [], []
    for seed in range(NUM_VIDEOS):
        scene = make_scene(seed, 60.0, "validation")
        times = np.arange(0.0, 60.0, 2.0)
        for seconds, frame in zip(times, render(scene, times.tolist()), strict=True):
            strange = any(a.start <= seconds < a.end for a in scene.anomalies)
            placed = placed_objects(scene, float(seconds))
            whole = all(MARGIN <= p.x <= BASE_PIXELS - MARGIN for p in placed)
            if placed and whole and not strange:
                frames.append(frame)
                objects.append(placed)
    return np.stack(frames), objects


def centre_patch(placed: Placed, side: int) -> int:
    """Return the patch in the middle of an object."""
    pixels = BASE_PIXELS // side
    return int(placed.y // pixels) * side + int(placed.x // pixels)


def kept_share(
    patches: Tensor, prototypes: Tensor, objects: list[list[Placed]]
) -> float:
    """Return the share of objects that some prototype shows.

    A prototype shows an object when it is nearer to the object's middle patch than half
    the way from that patch to the frame's mean.
    """
    side = round(patches.shape[1] ** 0.5)
    kept = []
    for frame, tokens, placed in zip(patches, prototypes, objects, strict=True):
        for thing in placed:
            middle = frame[centre_patch(thing, side)]
            limit = (middle - frame.mean(0)).norm() / 2
            kept.append(bool(((tokens - middle).norm(dim=1) < limit).any()))
    return sum(kept) / len(kept)


def main() -> None:
    """Print and write the table."""
    focused = dynfocus.load("nano")
    frames, objects = collect_frames()
    pixels = focused.processor.pixel_values(frames)
    with torch.inference_mode():
        hidden = focused.model.vision_tower(pixels, output_hidden_states=True)
    patches = hidden.hidden_states[-1][:, 1:]
    patches = patches / patches.std()
    cluster = SpatialPrototypes(**focused.model.settings.spatial_arguments)
    count = sum(map(len, objects))
    lines = [
        "# feature-scale",
        "",
        f"`python benchmarks/feature_scale.py`, commit {source_commit()[:12]}, "
        f"{platform.machine()}; {count} objects in {len(frames)} validation frames, "
        f"{sum(focused.model.settings.num_spatial_prototypes)} spatial prototypes of "
        f"{patches.shape[1]} patches.",
        "",
        "| deviation of the features | objects kept |",
        "| ---: | ---: |",
    ]
    for deviation in DEVIATIONS:
        share = kept_share(patches, cluster(patches * deviation) / deviation, objects)
        lines.append(f"| {deviation:g} | {100 * share:.1f} % |")
    page = Path(__file__).parents[1] / "docs" / "results" / "feature-scale.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))  # noqa: T201 a script's output


if __name__ == "__main__":
    main()
