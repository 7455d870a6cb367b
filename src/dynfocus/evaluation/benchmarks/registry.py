"""The benchmarks by name: ours, a module each, and those of other packages."""

from __future__ import annotations

from importlib import import_module

from dynfocus.evaluation.benchmarks.benchmark import Benchmark
from dynfocus.extensions import BENCHMARKS as GROUP
from dynfocus.extensions import list_extensions, load_extensions

OWN = (
    "msvd-qa",
    "mlvu",
    "video-mme",
)
"""Names of the benchmarks of this package, whose modules have an underscore for each
dash."""


def benchmark_names() -> list[str]:
    """List all names, those of other packages last; nothing is loaded."""
    return [*OWN, *(name for name in list_extensions(GROUP) if name not in OWN)]


def load_benchmark(name: str) -> Benchmark:
    """Give a benchmark by its name.

    Raises:
        ValueError: There is none of this name, or a package offers something else.
    """
    if name in OWN:
        module = import_module(
            f"dynfocus.evaluation.benchmarks.{name.replace('-', '_')}"
        )
        found: Benchmark = module.BENCHMARK
        return found
    others = load_extensions(GROUP)
    if name not in others:
        raise ValueError(
            f"the benchmark must be one of {', '.join(benchmark_names())}, got {name!r}"
        )
    if not isinstance(others[name], Benchmark):
        raise ValueError(
            f"the entry point {name} in {GROUP} is no Benchmark; correct its package"
        )
    other: Benchmark = others[name]
    return other
