"""Measure reading sampled frames against other readers, in one interleaved run.

    pip install -e ".[bench]"
    python benchmarks/reading.py --folder /somewhere/with/1GB

Makes H.264 files (or finds them in the folder), reads 64 uniform frames of an hour and one
frame a second of ten minutes with every reader that is installed, each time in a process of
its own, and reads the number of each frame back from its picture. Then asks each reader for
24 frames of small files that are hard to count. Writes docs/results/reading.md and
reading.json. torchcodec needs FFmpeg's shared libraries.
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

import av
import numpy as np
from numpy.typing import NDArray
from reading_clips import (
    FRAMES_PER_PART,
    FRAMES_PER_SECOND,
    make_clip,
    make_hard_files,
    read_number,
)
from reading_methods import DENSE, SPARSE, Wanted

from dynfocus.provenance import source_commit

OURS = "dynfocus"
INEXACT = "dynfocus, fast"
# So slow where frames are far apart that one round is enough.
ONCE = {"PyAV, naive"}
_MAX_SECONDS = 120
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

    def wanted(self) -> Wanted:
        """Return the wanted frames: uniform, or one a second."""
        duration = 60.0 * self.minutes
        seconds = np.arange(duration)
        if self.num_frames is not None:
            seconds = (np.arange(self.num_frames) + 0.5) * duration / self.num_frames
        numbers = np.floor(seconds * FRAMES_PER_SECOND + 1e-6)
        return Wanted(seconds, [int(number) for number in numbers])


CASES = {
    "sparse": Case("64 frames of 60 min 480p", 60, (480, 854), 64, tuple(SPARSE)),
    "dense": Case("1 fps of 10 min 720p", 10, (720, 1280), None, tuple(DENSE)),
    "short": Case("64 frames of 10 min 480p", 10, (480, 854), 64, (OURS,)),
}


def measure_here(case: Case, method: str, path: Path) -> dict[str, Any]:
    """Read once in this process and say what it cost."""
    read = DENSE[method] if case.num_frames is None else SPARSE[method]
    wanted = case.wanted()
    cores = len(os.sched_getaffinity(0))
    # The first call imports the library and starts its threads.
    read(str(path), Wanted(wanted.seconds[:1], wanted.numbers[:1]), cores)
    before = _peak_megabytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    frames, times = read(str(path), wanted, cores)
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    shown = _numbers_in(frames)
    expected = np.array(wanted.numbers)
    result = {
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_megabytes": _peak_megabytes(),
        "peak_megabytes_before": before,
        "wrong_frames": int((shown != expected % FRAMES_PER_PART).sum()),
    }
    if times is not None:
        result["largest_time_error"] = float(np.abs(times - wanted.seconds).max())
        reported = np.round(times * FRAMES_PER_SECOND).astype(int)
        result["wrong_times"] = int((shown != reported % FRAMES_PER_PART).sum())
    return result


def _numbers_in(frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.array([read_number(frame) for frame in frames])


def check_here(method: str, path: Path) -> dict[str, Any]:
    """Ask for 24 frames of a file and count the wrong ones."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        times = np.array([float(frame.pts * frame.time_base) for frame in frames])
        shown = _numbers_in([frame.to_ndarray(format="rgb24") for frame in frames])
    chosen = np.sort(np.random.default_rng(0).choice(len(frames) - 1, 24, False))
    # The middle of its time on display speaks for a frame most clearly.
    middles = (times[chosen] + times[chosen + 1]) / 2 - times[0]
    wanted = Wanted(middles, [int(number) for number in chosen])
    pictures, _ = SPARSE[method](str(path), wanted, 2)
    return {"wrong_frames": int((_numbers_in(pictures) != shown[chosen]).sum())}


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, *what: str) -> dict[str, Any]:
    """Read once in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--here", *what]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_MAX_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"error": f"nothing came in {_MAX_SECONDS} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": lines[-1]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Ask every reader for frames of every hard file."""
    methods = [method for method in SPARSE if method not in {INEXACT, *ONCE}]
    return {
        name: {method: measure(folder, str(path), method) for method in methods}
        for name, path in make_hard_files(folder / "hard").items()
    }


def run(folder: Path, num_rounds: int, max_minutes: float) -> dict[str, Any]:
    """Measure every case with every method, round by round, as long as time is left."""
    end = time.monotonic() + 60 * max_minutes
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number in range(num_rounds):
        for case_name, case in CASES.items():
            if number and time.monotonic() > end:
                return runs
            for method in case.methods:
                if number and method in ONCE:
                    continue
                outcome = measure(folder, case_name, method)
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


def report(document: dict[str, Any]) -> str:
    """Turn what was measured into a page."""
    lines = ["# Reading sampled frames", ""]
    if "medians" in document:
        lines += [_preface(document["machine"]), ""]
        for case_name, rows in document["medians"].items():
            lines += [f"## {CASES[case_name].name}", "", *_table(rows), ""]
            lines += _verdict(rows)
        lines += [*_memory(document["medians"]), ""]
    if "exactness" in document:
        lines += _exactness(document["exactness"])
    return "\n".join(lines).rstrip() + "\n"


def _preface(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"`python benchmarks/reading.py --folder FOLDER --rounds {machine['rounds']}`, commit "
        f"{machine['commit'][:12]}, {machine['processor']}, {machine['cores']} cores, "
        f"{versions}.\n\n"
        f"One interleaved run of {machine['completed_rounds']}, medians; each reading in a "
        f"fresh process, files cached, the library loaded. {machine['note']} Load averages of "
        f"{machine['load'][0]:.1f} to {machine['load'][1]:.1f} on {machine['cores']} cores: "
        "times are longer than on an idle machine, ratios and CPU seconds count. Every frame "
        "is scaled to 224 x 224.\n\n"
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
            f"{'key frames' if method == INEXACT else int(row['wrong_frames'])} |"
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


def _memory(medians: dict[str, Any]) -> list[str]:
    peaks = {
        name: medians[name][OURS]["peak_megabytes"]
        for name in ("short", "sparse")
        if name in medians
    }
    if len(peaks) < 2:
        return []
    return [
        f"Resident memory for 64 frames: {peaks['short']:.0f} MB for ten minutes and "
        f"{peaks['sparse']:.0f} MB for an hour of the same film."
    ]


def _exactness(checks: dict[str, Any]) -> list[str]:
    """Show how many of 24 frames each reader got wrong."""
    methods = list(next(iter(checks.values())))
    lines = [
        "## Wrong frames of 24, small files",
        "",
        "Compared with a decode from beginning to end. Readers that address by number got "
        "the number of the frame, the others the middle of its time on display, by their own "
        "clock.",
        "",
        "| file | " + " | ".join(methods) + " |",
        "| --- | " + " | ".join("---:" for _ in methods) + " |",
    ]
    for name, row in checks.items():
        cells = [
            "fails" if "error" in row[method] else str(row[method]["wrong_frames"])
            for method in methods
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _machine(runs: dict[str, Any], num_rounds: int, note: str) -> dict[str, Any]:
    loads = [
        outcome["load"]
        for methods in runs.values()
        for outcomes in methods.values()
        for outcome in outcomes
    ]
    completed = min(len(runs[name][OURS]) for name in runs)
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
        "completed_rounds": "1 round" if completed == 1 else f"{completed} rounds",
        "note": note,
        "load": [min(loads), max(loads)],
        "versions": versions,
    }


def main() -> None:
    """Make the files, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--minutes",
        type=float,
        default=60.0,
        help="No further round begins after that.",
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--note", default="", help="A sentence about the machine.")
    parser.add_argument(
        "--only",
        choices=("checks", "times"),
        help="Keep the other half of the results.",
    )
    parser.add_argument("--here", nargs=2, metavar=("CASE_OR_FILE", "METHOD"))
    options = parser.parse_args()
    if options.here:
        name, method = options.here
        if name in CASES:
            result = measure_here(CASES[name], method, CASES[name].path(options.folder))
        else:
            result = check_here(method, Path(name))
        print(json.dumps(result))  # noqa: T201 the parent process reads it
        return
    for case in CASES.values():
        make_clip(case.path(options.folder), minutes=case.minutes, size=case.size)
    document = _earlier(options.out) if options.only else {}
    if options.only != "times":
        document["exactness"] = check(options.folder)
    if options.only != "checks":
        document["runs"] = run(options.folder, options.rounds, options.minutes)
        document["machine"] = _machine(document["runs"], options.rounds, options.note)
    write(document, options.out)


def write(document: dict[str, Any], out: Path) -> None:
    """Write what is known as a page and as a document."""
    out.mkdir(parents=True, exist_ok=True)
    if "runs" in document:
        document["medians"] = {
            case_name: {name: summarize(o) for name, o in methods.items()}
            for case_name, methods in document["runs"].items()
        }
    (out / "reading.md").write_text(report(document))
    (out / "reading.json").write_text(json.dumps(document, indent=2) + "\n")


def _earlier(out: Path) -> dict[str, Any]:
    path = out / "reading.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document


if __name__ == "__main__":
    main()
