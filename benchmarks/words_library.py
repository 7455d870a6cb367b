"""How fast a large library of words is searched.

    python benchmarks/words_library.py --rows 1000000

Builds a library of subtitles of made-up talks in a temporary folder (words by Zipf's law,
names and codes among them), then asks it questions made of what it holds: words of a
line, some with typing errors, a phrase in quotes, a question in full, a time. It prints
the size, what building cost, percentiles of the warm search in one process, and what a
process of its own takes.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dynfocus.provenance import processor_name, source_commit
from dynfocus.words import TimedText, WordsLibrary

_LINES_A_VIDEO = 700
_FRAMES = (
    "What is said about {}?",
    "When does the speaker explain {}?",
    "Where do they show {}",
    "How many {} are there after 10:00?",
)
_SYLLABLES = ["ba", "ce", "di", "fa", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi", "yo", "zu", "tra", "ble", "ston"]  # fmt: skip


def make_vocabulary(size: int, rng: random.Random) -> list[str]:
    """Make words; the commonest are English ones."""
    folder = Path(__file__).parent / "words"
    text = " ".join(
        one.read_text(encoding="utf-8") for one in sorted(folder.glob("*.txt"))
    )
    counts: dict[str, int] = {}
    for word in text.split():
        word = word.strip(".,?!:;/$|#")
        if word.isalpha():
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda one: (-counts[one], one))
    while len(words) < size:
        word = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 5)))
        words.append(
            word
            if rng.random() < 0.9
            else f"{word[:2].upper()}-{rng.randint(10, 9999)}"
        )
    return words


def make_lines(words: list[str], count: int, seed: int) -> Iterator[list[str]]:
    """Make lines of six to ten words by Zipf's law."""
    numbers = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(words) + 1)
    ends = np.cumsum(weights / weights.sum())
    for _ in range(count):
        picked = np.searchsorted(ends, numbers.random(numbers.integers(6, 11)))
        yield [words[min(one, len(words) - 1)] for one in picked]


def misspell(word: str, rng: random.Random) -> str:
    """Swap two neighbouring letters of a word."""
    place = rng.randrange(max(1, len(word) - 1))
    return word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]


def make_queries(lines: list[list[str]], count: int, rng: random.Random) -> list[str]:
    """Make queries of lines that are there."""
    queries = []
    for number in range(count):
        line = rng.choice(lines)
        begin = rng.randrange(len(line) - 3)
        words = line[begin : begin + rng.randint(2, 4)]
        if number % 4 == 1:
            words[-1] = misspell(words[-1], rng)
        text = " ".join(words)
        if number % 4 == 2:
            text = rng.choice(_FRAMES).format(text)
        if number % 4 == 3:
            text = f'"{" ".join(words[:2])}" {words[-1]}'
        queries.append(text)
    return queries


def main() -> None:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--vocabulary", type=int, default=200_000)
    parser.add_argument("--keep", type=Path, help="a folder for the library")
    given = parser.parse_args()
    rng = random.Random(1)
    words = make_vocabulary(given.vocabulary, rng)
    sample: list[list[str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        path = (given.keep or Path(temporary)) / "words.db"
        is_new = not path.exists()
        started = time.perf_counter()
        with WordsLibrary(path, is_writable=True) as library:
            num_videos = -(-given.rows // _LINES_A_VIDEO)
            for number in range(num_videos if is_new else min(num_videos, 100)):
                count = min(_LINES_A_VIDEO, given.rows - number * _LINES_A_VIDEO)
                lines = list(make_lines(words, count, number))
                sample += lines[:2]
                if not is_new:
                    continue
                texts = [
                    TimedText(
                        start=4.0 * place, end=4.0 * place + 3.9,
                        text=f"{' '.join(line)}{'.' * (place % 3 == 2)}", source="subtitle",
                    )
                    for place, line in enumerate(lines)
                ]  # fmt: skip
                library.put(f"talk-{number:05d}.mp4", texts, duration=4.0 * count)
        building = time.perf_counter() - started
        queries = make_queries(sample, given.queries + 20, rng)
        library = WordsLibrary(path)
        took, cpu, found = [], [], 0
        for number, query in enumerate(queries):
            started, worked = time.perf_counter(), time.thread_time()
            results = library.search(query)
            if number >= 20:  # the first open files and fill caches
                took.append(1000 * (time.perf_counter() - started))
                cpu.append(1000 * (time.thread_time() - worked))
                found += bool(results and results[0].is_related)
        command = [
            sys.executable,
            "-m",
            "dynfocus",
            "find",
            "--library",
            str(path),
            queries[5],
        ]
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        process = time.perf_counter() - started
        size = path.stat().st_size
    told, busy = (
        ", ".join(f"p{q} {np.percentile(one, q):.1f}" for q in (50, 90, 95, 99))
        for one in (took, cpu)
    )
    sys.stdout.write(
        f"{processor_name()}, commit {source_commit()[:12]}\n"
        f"rows {given.rows:,}, {size / 1e6:.0f} MB, built in {building:.0f} s\n"
        f"warm search of {len(took)} queries, ms: {told}; {found} with a related place\n"
        f"processor time of the same, ms: {busy}\n"
        f"as a process: {process:.2f} s\n"
    )


if __name__ == "__main__":
    main()
