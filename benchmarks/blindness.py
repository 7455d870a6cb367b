"""Measure what a constant answer and a model that sees no video get of FocusWorld.

    python benchmarks/blindness.py --videos 300

Asks the questions of the widened world about its scenes, draws no picture, and prints a
table. Exits with 1 if a kind gives more away than its design and two points.
"""

from __future__ import annotations

import argparse
import sys

from dynfocus.evaluation.blindness import Blindness, measure_blindness
from dynfocus.evaluation.pages import table
from dynfocus.world.dataset import draw_duration
from dynfocus.world.wide import (
    balance,
    facts_of,
    make_groups,
    make_questions,
    make_wide_scene,
)

HEAD = [
    "kind",
    "questions",
    "one over the answers",
    "best constant answer",
    "blind",
    "one over the options",
    "blind, with options",
]


def measure(
    first: int, num_videos: int, seconds: tuple[float, float]
) -> list[Blindness]:
    """Ask about some scenes of the validation split, balance, and answer blindly."""
    questions = []
    for seed in range(first, first + num_videos):
        length = draw_duration(seconds, seed, "validation")
        questions += make_questions(
            facts_of(make_wide_scene(seed, length, "validation"))
        )
    return measure_blindness(balance(questions) + make_groups(questions))


def cells(row: Blindness) -> list[str]:
    """Give a line of the table."""
    options = row.design_of_options
    return [
        row.kind,
        str(row.num_questions),
        f"{row.design:.1f}",
        str(row.constant),
        str(row.blind),
        "-" if options is None else f"{options:.1f}",
        "-" if row.blind_with_options is None else str(row.blind_with_options),
    ]


def main(words: list[str] | None = None) -> int:
    """Measure, print, and tell whether all kinds are balanced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, nargs=2, default=(60.0, 180.0))
    asked = parser.parse_args(words)
    rows = measure(asked.seed, asked.videos, tuple(asked.seconds))
    lines = table(HEAD, [cells(row) for row in rows])
    tilted = [row.kind for row in rows if not row.is_balanced]
    lines += ["", f"above the design: {', '.join(tilted) or 'none'}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(tilted))


if __name__ == "__main__":
    sys.exit(main())
