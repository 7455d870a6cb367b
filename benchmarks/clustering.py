"""Measure density-peaks clustering against the dense form that is published.

    python benchmarks/clustering.py

T-DPC on films of pooled frames, 16 x 1408 wide, in one thread, and S-DPC on windows of 64
frames of 256 patches through the workers that encode windows, each beside one dense
`torch.cdist`, in one interleaved run; the centres beside those of the dense form in double
precision; then many points at a smaller width. Memory is the growth of the process at its
peak, as Linux counts it. Writes docs/results/clustering.md, .json and .png.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from clustering_page import write_page
from torch import Tensor

from dynfocus.focus import FocusSettings, SpatialPrototypes, dpc_knn
from dynfocus.models.vision import map_parts
from dynfocus.provenance import describe_hardware, source_commit

NUM_CLUSTERS, NUM_NEIGHBORS = 25, 5
WINDOW = 64
"""Frames that are encoded together."""

ROUNDING = 1e-5
"""Scores that differ by less than this share differ by rounding alone."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What to cluster."""

    lengths: list[int]
    width: int
    frames: int
    patches: int
    dim: int
    long: int
    long_width: int
    draws: int


def film(num_frames: int, width: int, seed: int = 0) -> Tensor:
    """Draw frames of scenes of about 40 frames that wander a little, ``[1, T, C]``."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(num_frames, width, generator=draw).mul_(0.2)
    for start in range(0, num_frames, 40):
        x[start : start + 40] += torch.randn(width, generator=draw)
        away = torch.linspace(0, 0.5, len(x[start : start + 40]))[:, None]
        x[start : start + 40].addcmul_(away, torch.randn(1, width, generator=draw))
    return x[None]


def pictures(num_frames: int, num_patches: int, dim: int) -> Tensor:
    """Draw patches that belong to twelve things, shape ``[F, N, D]``."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(num_frames, num_patches, dim, generator=draw).mul_(0.3)
    for frame in x:
        things = torch.randn(12, dim, generator=draw)
        frame += things[torch.randint(12, (num_patches,), generator=draw)]
    return x


def dense_dpc(
    x: Tensor, num_clusters: int, num_neighbors: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cluster as the published code does, with all distances at once.

    Returns:
        Centres ``[B, K]``; clusters, scores and densities ``[B, N]``.
    """
    far = torch.cdist(x, x) / x.shape[2] ** 0.5
    nearest = far.topk(min(num_neighbors, x.shape[1]), dim=2, largest=False).values
    density = (-nearest.square().mean(2)).exp()
    denser = density[:, None] > density[:, :, None]
    distance = far.where(denser, far.flatten(1).amax(1)[:, None, None]).amin(2)
    score = density * distance
    centers = score.topk(num_clusters, dim=1).indices
    to_centers = far.gather(1, centers[..., None].expand(-1, -1, x.shape[1]))
    return centers, to_centers.argmin(1), score, density


def dense_spatial(x: Tensor) -> Tensor:
    """Merge patches layer upon layer as the published code does, ``[F, M, D]``."""
    settings, layers = FocusSettings.paper(), []
    for count, neighbors in zip(
        settings.num_spatial_prototypes, settings.num_spatial_neighbors, strict=True
    ):
        _, owner, score, _ = dense_dpc(x, count, neighbors)
        member = torch.nn.functional.one_hot(owner, count).to(x.dtype)
        weights = member * score[..., None]
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        x = weights.mT @ x
        layers.append(x)
    return torch.cat(layers, dim=1)


def ways(
    plan: tuple[int, int] = (NUM_CLUSTERS, NUM_NEIGHBORS),
) -> dict[str, Callable[[Tensor], Any]]:
    """Name the ways to find so many clusters with so many neighbours."""
    return {
        "dense": lambda x: dense_dpc(x, *plan),
        "ours": lambda x: dpc_knn(x, *plan),
    }


def spatial_ways() -> dict[str, Callable[[Tensor], Any]]:
    """Name the ways to cluster patches, window by window."""
    module = SpatialPrototypes(**FocusSettings.paper().spatial_arguments)

    def ours(x: Tensor) -> Tensor:
        return torch.cat([map_parts(module, window) for window in x.split(WINDOW)])

    return {"dense": dense_spatial, "ours": ours}


def measure(
    cases: dict[str, Callable[[Tensor], Any]], x: Tensor, repeats: int
) -> dict[str, dict[str, float]]:
    """Give the median seconds of each way, wall and CPU, taking turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(repeats + 1):
        for name, work in cases.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            work(x)
            if turn:  # the first turn warms up
                took = time.perf_counter() - start, time.process_time() - start_cpu
                times[name].append(took)
    return {
        name: {
            "seconds": statistics.median(wall for wall, _ in turns),
            "cpu_seconds": statistics.median(cpu for _, cpu in turns),
            "least_seconds": min(wall for wall, _ in turns),
        }
        for name, turns in times.items()
    }


def measure_spatial(x: Tensor, repeats: int) -> dict[int, dict[str, dict[str, float]]]:
    """Measure S-DPC in one thread and with one worker a core."""
    cases, rows = spatial_ways(), {}
    for threads in sorted({1, os.cpu_count() or 1}):
        with use_threads(threads):
            rows[threads] = measure(cases, x, repeats)
            for way, row in rows[threads].items():
                row["mebibytes"] = grown(cases[way], x)
    return rows


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def agreement(
    x: Tensor, plan: tuple[int, int] = (NUM_CLUSTERS, NUM_NEIGHBORS)
) -> dict[str, float]:
    """Compare with the dense form in double precision."""
    count = min(plan[0], x.shape[1])
    dense = dense_dpc(x.double(), count, plan[1])
    centers, owner, score, density = (t[0] for t in dense)
    last = score[centers].min()
    result = dpc_knn(x, count, plan[1])
    found = result.centers[0]
    missed = found[~torch.isin(found, centers)]
    serious = (score[missed] - last).abs() > ROUNDING * last
    by_point = found[result.assignment[0]] == centers[owner]
    error = (result.score[0].double() - score).abs() / score.clamp(min=1e-30)
    return {
        "centers": count,
        "same_centers": count - len(missed),
        "missed_beyond_rounding": int(serious.sum()),
        "same_assignment": float(by_point.double().mean()),
        "largest_density_error": float(
            ((result.density[0].double() - density).abs() / density).max()
        ),
        "score_error": float(error.median()),
        "largest_score_error": float(error[centers].max()),
    }


def grown(work: Callable[[Tensor], Any], x: Tensor) -> float:
    """Give the MiB by which a piece of work makes this process grow at most (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # so that it finds no room left by others
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    work(x)
    return _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def measure_long(largest: int, width: int) -> Iterator[dict[str, float]]:
    """Cluster many points, once for each count."""
    for count in (largest // 16, largest // 4, largest):
        x, start, start_cpu = (
            film(count, width),
            time.perf_counter(),
            time.process_time(),
        )
        mebibytes = grown(ways()["ours"], x)
        yield {
            "points": count,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - start_cpu,
            "mebibytes": mebibytes,
        }


def run(sizes: Sizes, repeats: int) -> dict[str, Any]:
    """Measure everything but many points."""
    temporal, memory, shown = {}, {}, ways()
    for length in sizes.lengths:
        temporal[length] = measure(shown, film(length, sizes.width), repeats)
        memory[length] = {
            way: grown(shown[way], film(length, sizes.width)) for way in shown
        }
        sys.stderr.write(f"T={length}: {temporal[length]}\n")
    patches = pictures(sizes.frames, sizes.patches, sizes.dim)
    spatial = measure_spatial(patches, repeats)
    sys.stderr.write(f"S-DPC: {spatial}\n")
    agreements: dict[str, list[dict[str, float]]] = {
        f"{length} frames": [
            agreement(film(length, sizes.width, seed))
            for seed in range(sizes.draws if length <= 1000 else 1)
        ]
        for length in [n for n in sizes.lengths if n <= 4000][-3:]
    }
    paper = FocusSettings.paper()
    plan = paper.num_spatial_prototypes[0], paper.num_spatial_neighbors[0]
    agreements[f"{sizes.patches} patches"] = [
        agreement(frame[None], plan) for frame in patches[:: max(1, sizes.frames // 32)]
    ]
    sys.stderr.write(f"agreement: {agreements}\n")
    return {
        "temporal": temporal,
        "memory": memory,
        "spatial": spatial,
        "agreement": agreements,
    }


def main(arguments: list[str] | None = None) -> None:
    """Print and write the results."""
    parser = argparse.ArgumentParser(description="Time and memory of clustering.")
    lengths = [250, 500, 1000, 2000, 4000]
    parser.add_argument("--lengths", type=int, nargs="+", default=lengths)
    parser.add_argument("--width", type=int, default=16 * 1408)
    parser.add_argument("--frames", type=int, default=256, help="Frames of S-DPC.")
    parser.add_argument("--patches", type=int, default=256)
    parser.add_argument("--dim", type=int, default=1408)
    parser.add_argument("--long", type=int, default=100_000, help="Many points.")
    parser.add_argument("--long-width", type=int, default=256)
    parser.add_argument(
        "--draws", type=int, default=4, help="Films to compare centres."
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--note", default="", help="A sentence on the machine.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "results"
    )
    given = parser.parse_args(arguments)
    names = Sizes.__dataclass_fields__
    sizes = Sizes(**{name: getattr(given, name) for name in names})
    words = shlex.join(sys.argv[1:] if arguments is None else arguments)
    result = {
        "command": f"python benchmarks/clustering.py {words}".strip(),
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "note": given.note,
        "repeats": given.repeats,
        "sizes": {name: getattr(sizes, name) for name in names},
        "long": [],
    }
    with use_threads(1):
        result |= run(sizes, given.repeats)
        for row in measure_long(sizes.long, sizes.long_width):
            result["long"].append(row)
            page = write_page(
                result, given.out
            )  # one that is stopped keeps what it has
            sys.stderr.write(f"{row}\n")
    print(page)  # noqa: T201


if __name__ == "__main__":
    with torch.inference_mode():
        main()
