"""Compare the CPU time of a whole ``dynfocus ask`` with that of importing its libraries.

    python benchmarks/startup.py --rounds 9

Makes a FocusWorld minute and indexes it by a first question; then asks again and imports torch
and transformers, in turns, each in a process of its own. Writes docs/results/startup.md and
startup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.world import make_video

QUESTION = "Does a red star appear?"
IMPORTS = ("-c", "import torch, transformers")
TARGET = 1.5


def cpu_seconds(*words: str, environment: dict[str, str]) -> float:
    """Run Python with some words and return the CPU seconds of that process.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], check=True, capture_output=True, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Measure both commands in turns, after one run of each that does not count."""
    video = folder / "minute.mp4"
    make_video(video, duration=60.0, seed=0)
    environment = os.environ | {"DYNFOCUS_INDEX": str(folder / "index")}
    commands = {
        "ask": ("-m", "dynfocus", "ask", str(video), QUESTION),
        "imports": IMPORTS,
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, words in commands.items():
            seconds = cpu_seconds(*words, environment=environment)
            if number:
                taken[name].append(seconds)
    return taken


def write_page(taken: dict[str, list[float]], out: Path, command: str) -> str:
    """Write what was measured as JSON and Markdown, and return the page."""
    pairs = zip(taken["ask"], taken["imports"], strict=True)
    ratios = sorted(ask / imports for ask, imports in pairs)
    result = {
        "command": command,
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "cpu_seconds": taken,
        "ratio": statistics.median(ratios),
    }
    rows = [
        f"| {what} | {min(values):.2f} | {statistics.median(values):.2f} "
        f"| {max(values):.2f} |"
        for what, values in (
            (f'`dynfocus ask MINUTE.mp4 "{QUESTION}"`, indexed', taken["ask"]),
            (f'`python {IMPORTS[0]} "{IMPORTS[1]}"`', taken["imports"]),
            ("ratio of a pair", ratios),
        )
    ]
    page = "\n".join(
        [
            "# Front door",
            "",
            f"`{command}`, commit {str(result['commit'])[:12]}, {result['hardware']}.",
            "",
            "CPU seconds, user and system, of whole processes: one question about an "
            f"indexed FocusWorld minute beside its libraries alone, {len(ratios)} pairs "
            f"in turns. Mark: a ratio of at most {TARGET}.",
            "",
            "| | least | median | most |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "startup.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "startup.md").write_text(page)
    return page


def main(arguments: list[str] | None = None) -> None:
    """Measure, write the page and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    command = f"python benchmarks/startup.py --rounds {options.rounds}"
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(options.rounds, Path(folder))
    sys.stdout.write(write_page(taken, options.out, command))


if __name__ == "__main__":
    main()
