"""Measure reading sampled frames against other readers, in one interleaved run.

    pip install -e ".[bench]"
    python benchmarks/reading.py --folder /somewhere/with/1GB

Makes two H.264 files (or finds them in the folder), reads 64 uniform frames of an hour and
one frame a second of ten minutes with every reader that is installed, each time in a process
of its own, and reads the number of each frame back from its picture. Writes
docs/results/reading.md and reading.json. torchcodec needs FFmpeg's shared libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reading_clips import FRAMES_PER_PART, FRAMES_PER_SECOND, make_clip, read_number
from reading_methods import DENSE, SPARSE

from dynfocus.provenance import source_commit

OURS = "dynfocus"
INEXACT = "dynfocus, fast"
# So slow where frames are far apart that one round is enough.
ONCE = {"PyAV, naive"}
PACKAGES = ("av", "opencv-python-headless", "torchcodec", "decord", "numpy", "torch")


@dataclass(frozen=True)
class Case:
    """One file and the frames wanted of it."""

    name: str
    minutes: int
    size: tuple[int, int]
    num_frames: int | None
    methods: tuple[str, ...]

    def path(self, folder: Path) -> Path:
        """Return where the file stands."""
        return folder / f"h264-{self.minutes}min-{self.size[0]}p.mp4"

    def seconds(self) -> NDArray[np.float64]:
        """Return the wanted moments: uniform, or one a second."""
        duration = 60.0 * self.minutes
        if self.num_frames is None:
            return np.arange(duration)
        return (np.arange(self.num_frames) + 0.5) * duration / self.num_frames


CASES = {
    "sparse": Case("64 frames of 60 min 480p", 60, (480, 854), 64, tuple(SPARSE)),
    "dense": Case("1 fps of 10 min 720p", 10, (720, 1280), None, tuple(DENSE)),
    "short": Case("64 frames of 10 min 480p", 10, (480, 854), 64, (OURS,)),
}


def measure_here(case: Case, method: str, path: Path) -> dict[str, Any]:
    """Read once in this process and say what it cost."""
    read = DENSE[method] if case.num_frames is None else SPARSE[method]
    seconds = case.seconds()
    cores = len(os.sched_getaffinity(0))
    # The first call imports the library and starts its threads.
    read(str(path), seconds[:1], cores)
    before = _peak_megabytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    frames, times = read(str(path), seconds, cores)
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    shown = np.array([read_number(frame) for frame in frames])
    expected = np.floor(seconds * FRAMES_PER_SECOND + 1e-6).astype(int)
    result = {
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_megabytes": _peak_megabytes(),
        "peak_megabytes_before": before,
        "wrong_frames": int((shown != expected % FRAMES_PER_PART).sum()),
    }
    if times is not None:
        result["largest_time_error"] = float(np.abs(times - seconds).max())
        reported = np.round(times * FRAMES_PER_SECOND).astype(int)
        result["wrong_times"] = int((shown != reported % FRAMES_PER_PART).sum())
    return result


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case_name: str, method: str, folder: Path) -> dict[str, Any]:
    """Read once in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder)]
    command += ["--here", case_name, method]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": lines[-1]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run(folder: Path, num_rounds: int) -> dict[str, Any]:
    """Measure every case with every method, round by round."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number in range(num_rounds):
        for case_name, case in CASES.items():
            for method in case.methods:
                if number and method in ONCE:
                    continue
                outcome = measure(case_name, method, folder)
                outcome["load"] = os.getloadavg()[0]
                runs.setdefault(case_name, {}).setdefault(method, []).append(outcome)
                shown = outcome.get("seconds", outcome.get("error"))
                sys.stderr.write(f"{number + 1} {case.name} {method}: {shown}\n")
    return runs


def summarize(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the median of each figure; an error stands for itself."""
    good = [outcome for outcome in outcomes if "error" not in outcome]
    if not good:
        return {"error": outcomes[0]["error"]}
    keys = sorted({key for outcome in good for key in outcome})
    medians = {key: statistics.median(o[key] for o in good) for key in keys}
    return {
        **medians,
        "best_seconds": min(o["seconds"] for o in good),
        "runs": len(good),
    }


def report(runs: dict[str, Any], machine: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Turn the runs into a document and a page."""
    cases: dict[str, Any] = {}
    lines = ["# Reading sampled frames", "", _preface(machine), ""]
    for case_name, methods in runs.items():
        case = CASES[case_name]
        rows = {method: summarize(outcomes) for method, outcomes in methods.items()}
        cases[case_name] = {"case": case.name, "methods": rows, "runs": methods}
        lines += [f"## {case.name}", "", *_table(rows), "", *_verdict(rows)]
    lines += _memory(cases)
    return {"machine": machine, "cases": cases}, "\n".join(lines).rstrip() + "\n"


def _preface(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"`python benchmarks/reading.py --rounds {machine['rounds']}`, commit "
        f"{machine['commit'][:12]}, {machine['processor']}, {machine['cores']} cores, "
        f"{versions}.\n\n"
        "Medians of an interleaved run, each reading in a fresh process, files cached, the "
        f"library loaded. {machine['note']} Load averages of {machine['load'][0]:.1f} to "
        f"{machine['load'][1]:.1f} on {machine['cores']} cores: times are longer than on an "
        "idle machine, ratios and CPU seconds count. Every frame is scaled to 224 x 224.\n"
        "The files are made of one minute of moving texture, x264 `veryfast`, a key frame "
        "every 250 frames, three B-frames between others; half of the frames are used by no "
        "other frame. *Wrong* counts frames whose picture is not the one on display at the "
        "wanted time."
    )


def _table(rows: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "| reader | seconds | times ours | CPU seconds | peak MB | wrong frames |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ours = rows[OURS]["seconds"]
    for method, row in rows.items():
        if "error" in row:
            lines.append(f"| {method} | failed: {row['error']} | | | | |")
            continue
        lines.append(
            f"| {method} | {row['seconds']:.2f} | {row['seconds'] / ours:.2f} | "
            f"{row['cpu_seconds']:.2f} | {row['peak_megabytes']:.0f} | "
            f"{row['wrong_frames']:.0f} |"
        )
    return lines


def _verdict(rows: dict[str, dict[str, Any]]) -> list[str]:
    others = {
        method: row["seconds"]
        for method, row in rows.items()
        if method not in {OURS, INEXACT} and "error" not in row
    }
    lines = []
    if others:
        best = min(others, key=lambda method: others[method])
        ratio = others[best] / rows[OURS]["seconds"]
        cpu = rows[best]["cpu_seconds"] / rows[OURS]["cpu_seconds"]
        lines += [
            f"The fastest other reader is {best}: {ratio:.2f} times our time, "
            f"{cpu:.2f} times our CPU time."
        ]
    fast = rows.get(INEXACT, {})
    if "largest_time_error" in fast:
        lines += [
            f"`fast` takes the nearest key frames: up to "
            f"{fast['largest_time_error']:.1f} s off, and {fast['wrong_times']:.0f} "
            "of its frames have a time that is not their own."
        ]
    return [*lines, ""]


def _memory(cases: dict[str, Any]) -> list[str]:
    peaks = {
        name: cases[name]["methods"][OURS]["peak_megabytes"]
        for name in ("short", "sparse")
        if name in cases
    }
    if len(peaks) < 2:
        return []
    return [
        f"Resident memory for 64 frames: {peaks['short']:.0f} MB for ten minutes and "
        f"{peaks['sparse']:.0f} MB for an hour of the same film."
    ]


def _machine(runs: dict[str, Any], num_rounds: int, note: str) -> dict[str, Any]:
    loads = [
        outcome["load"]
        for methods in runs.values()
        for outcomes in methods.values()
        for outcome in outcomes
    ]
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "commit": source_commit(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "rounds": num_rounds,
        "note": note,
        "load": [min(loads), max(loads)],
        "versions": versions,
    }


def main() -> None:
    """Make the files, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--note", default="", help="A sentence about the machine.")
    parser.add_argument("--here", nargs=2, metavar=("CASE", "METHOD"))
    options = parser.parse_args()
    if options.here:
        case = CASES[options.here[0]]
        result = measure_here(case, options.here[1], case.path(options.folder))
        print(json.dumps(result))  # noqa: T201 the parent process reads it
        return
    for case in CASES.values():
        make_clip(case.path(options.folder), minutes=case.minutes, size=case.size)
    runs = run(options.folder, options.rounds)
    document, page = report(runs, _machine(runs, options.rounds, options.note))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "reading.md").write_text(page)
    (options.out / "reading.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
