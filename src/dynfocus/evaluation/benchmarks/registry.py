"""The benchmarks by name: ours, a module each, and those of other packages."""

from __future__ import annotations

from importlib import import_module

from dynfocus.evaluation.benchmarks.benchmark import Benchmark
from dynfocus.extensions import BENCHMARKS as GROUP
from dynfocus.extensions import list_extensions, load_extensions
from dynfocus.text import check_choice

OWN = (
    "msvd-qa",
    "msrvtt-qa",
    "activitynet-qa",
    "vcg-bench",
    "mlvu",
    "lvbench",
    "video-mme",
    "video-mme-v2",
    "videohallucer",
    "longvideobench",
    "egoschema",
    "next-qa",
    "mvbench",
    "moviechat-1k",
    "fineaction-cgr",
    "kfs-bench",
    "lv-haystack",
    "charades-sta",
    "focusworld",
)
"""Names of the benchmarks of this package, whose modules have an underscore for each
dash."""
_MODULES = {"focusworld": "world_folder"}
"""Modules that are not called like their benchmark."""


def benchmark_names() -> list[str]:
    """List all names, those of other packages last; nothing is loaded."""
    return [*OWN, *(name for name in list_extensions(GROUP) if name not in OWN)]


def load_benchmark(name: str) -> Benchmark:
    """Give a benchmark by its name.

    Raises:
        ValueError: There is none of this name, or a package offers something else.
    """
    if name in OWN:
        place = _MODULES.get(name, name.replace("-", "_"))
        module = import_module(f"dynfocus.evaluation.benchmarks.{place}")
        found: Benchmark = module.BENCHMARK
        return found
    others = load_extensions(GROUP)
    check_choice(name, "the benchmark", benchmark_names())
    if not isinstance(others[name], Benchmark):
        raise ValueError(
            f"the entry point {name} in {GROUP} is no Benchmark; correct its package"
        )
    other: Benchmark = others[name]
    return other
