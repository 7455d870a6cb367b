"""Measure which scenes of a video have no frame among those chosen without a scorer.

    python benchmarks/coverage.py --clips FOLDER

Reels of random clips, cut times and lengths, half of them cut from the videos of a folder and
half drawn here, are given to the rule of ``dynfocus frames`` and to even frames, at every budget
from 2 to 32. More reels, in which parts of every scene are black, blurred or frozen, tell what is
passed over. Writes coverage.md, coverage.json and coverage.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reels import SPOILS, Frames, Reel, load_clips, make_reel

from dynfocus.evaluation.metrics import Estimate
from dynfocus.evaluation.pages import Line, draw_lines, table
from dynfocus.methods import SELECTORS, SelectorInput
from dynfocus.methods.frame_selection import (
    LOOK_PIXELS,
    as_selector_input,
    overview_rate,
    read_overview,
)
from dynfocus.methods.image_features import fit_size
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.video import VideoReader

RULE, EVEN = "events", "even frames"
BUDGETS = range(2, 33)
_SHOWN = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32)
_RESAMPLES = 4000
_SPOILED_SEEDS = 100_000

Times = NDArray[np.float64]


def choose(path: Path) -> Iterator[tuple[int, Times, Times]]:
    """Give the times of the rule and of even frames at every budget.

    Frames are chosen as `dynfocus.methods.select_frames` does, but budgets for which it
    looks at the same frames share them.
    """
    reader = VideoReader(path)
    size = fit_size(reader.size, LOOK_PIXELS)
    looked: dict[float, SelectorInput] = {}
    for budget in BUDGETS:
        rate = overview_rate(reader, budget)
        if rate not in looked:
            seen = read_overview(reader, size, num_wanted=budget)
            looked[rate] = as_selector_input(seen, None)
        given = looked[rate]
        chosen = given.times[SELECTORS[RULE](given, budget).indices]
        yield budget, chosen, (np.arange(budget) + 0.5) * reader.duration / budget


def measure(
    num_reels: int, seed: int, clips: dict[str, Frames], *, is_spoiled: bool
) -> list[dict[str, Any]]:
    """Measure reels, every second one drawn; spoiled ones only without clips.

    Blur cannot be seen in most drawn scenes, which are smooth.
    """
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_reels):
            is_cut = bool(clips) and (is_spoiled or number % 2 == 0)
            source = clips if is_cut else None
            path = Path(folder) / f"{number}.mp4"
            reel = make_reel(path, seed + number, source, is_spoiled=is_spoiled)
            record: dict[str, Any] = {
                "seed": seed + number,
                "from_files": source is not None,
                "num_scenes": len(reel.scenes),
                "seconds": reel.duration,
                "missed": {RULE: [], EVEN: []},
                "off_middle": {RULE: [], EVEN: []},
                "spoiled": {RULE: [0] * len(SPOILS), EVEN: [0] * len(SPOILS)},
            }
            for _, *both in choose(path):
                for name, times in zip((RULE, EVEN), both, strict=True):
                    record["missed"][name].append(reel.num_missed(times))
                    record["off_middle"][name] += off_middle(reel, times)
                    counts = record["spoiled"][name]
                    for place, count in enumerate(count_spoiled(reel, times)):
                        counts[place] += count
            records.append(record)
            path.unlink()
    return records


def off_middle(reel: Reel, times: Times) -> list[float]:
    """Tell how far from the middle of its scene each lone frame is: 0, and 1 at a bound."""
    found = []
    for start, end in reel.scenes:
        inside = times[(times >= start) & (times < end)]
        if len(inside) == 1:
            found.append(abs(2 * float(inside[0]) - start - end) / (end - start))
    return found


def count_spoiled(reel: Reel, times: Times) -> list[int]:
    """Count frames that are black, that are blurred, and that repeat another frame."""
    counts = dict.fromkeys(SPOILS, 0)
    for start, end, what in reel.spoiled:
        inside = int(((times >= start) & (times < end)).sum())
        counts[what] += max(0, inside - 1) if what == "frozen" else inside
    return list(counts.values())


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Estimate a mean over reels, with the 95 % interval of a bootstrap over them."""
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(values), [1 / len(values)] * len(values), _RESAMPLES)
    low, high = np.percentile(draws @ values / len(values), (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high))


def lay_out(document: dict[str, Any]) -> list[str]:
    """Write the page of a result."""
    records = document["reels"]
    both = {
        name: np.array([record["missed"][name] for record in records], float)
        for name in (RULE, EVEN)
    }
    is_from_files = np.array([record["from_files"] for record in records])
    lines = [
        "# Scenes without a frame",
        "",
        f"`{document['command']}`, commit {document['commit'][:12]}, "
        f"{document['hardware']}.",
        "",
        f"{len(records)} reels of {document['seconds'][0]:.0f} to "
        f"{document['seconds'][1]:.0f} s with {document['scenes'][0]} to "
        f"{document['scenes'][1]} scenes each, seeds {records[0]['seed']} to "
        f"{records[-1]['seed']}: random clips, cut times and lengths, a fifth of the "
        f"scenes by a dissolve. {is_from_files.sum()} reels are cut from files "
        f"({', '.join(document['files']) or 'none'}), {(~is_from_files).sum()} are drawn. "
        "Frames are chosen without a scorer, so the question has no say. A scene is missed "
        "if no chosen frame lies in it. Brackets are 95 % intervals of a bootstrap over "
        "reels; the difference is that of the same reels, below 0 where the rule misses "
        "fewer.",
        "",
    ]
    rows = []
    for budget in _SHOWN:
        place = BUDGETS.index(budget)
        ours, even = both[RULE][:, place], both[EVEN][:, place]
        differences = [
            ours - even,
            (ours - even)[is_from_files],
            (ours - even)[~is_from_files],
        ]
        cells = [_number(estimate(d)) if len(d) else "-" for d in differences]
        rows.append([str(budget), f"{ours.mean():.2f}", f"{even.mean():.2f}", *cells])
    head = ["budget", f"missed by `{RULE}`", "by even frames", "difference"]
    lines += table([*head, "from files", "drawn"], rows)
    more = (both[RULE].mean(0) > both[EVEN].mean(0)).sum()
    lines += [
        f"Of the {len(BUDGETS)} budgets from {BUDGETS[0]} to {BUDGETS[-1]}, the rule misses "
        f"more scenes than even frames on average at {more or 'none'}.",
        "",
        *_lay_out_fitness(document),
        "![Scenes without a frame](coverage.png)",
        "",
    ]
    return lines


def _lay_out_fitness(document: dict[str, Any]) -> list[str]:
    means = {
        name: np.mean(
            [one for record in document["reels"] for one in record["off_middle"][name]]
        )
        for name in (RULE, EVEN)
    }
    spoiled = document["spoiled_reels"]
    num_frames = len(spoiled) * sum(BUDGETS)
    rows = [
        [name, f"{means[name]:.2f}"]
        + [
            f"{100 * sum(r['spoiled'][name][place] for r in spoiled) / num_frames:.2f}"
            for place in range(len(SPOILS))
        ]
        for name in (RULE, EVEN)
    ]
    return [
        "A frame that is alone in its scene is so far from the scene's middle (0 in the "
        "middle, 1 at a bound). The other columns are percent of all chosen frames, in "
        f"{len(spoiled)} more reels in which up to two seconds of every scene are black, "
        "blurred (radius 4 at 192 pixels) or frozen:",
        "",
        *table(["rule", "off the middle", "black", "blurred", "repeated"], rows),
    ]


def _number(found: Estimate) -> str:
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def draw(path: Path, records: list[dict[str, Any]]) -> None:
    """Draw the scenes that are missed over the budget."""
    lines = []
    for name in (RULE, EVEN):
        missed = np.array([record["missed"][name] for record in records], float)
        points = [(b, estimate(missed[:, p])) for p, b in enumerate(BUDGETS)]
        lines.append(Line(label=name, points=points, is_dashed=name == EVEN))
    panels = {"scenes without a frame": lines}
    draw_lines(panels, "budget, frames", "scenes missed").savefig(path, dpi=120)


def main(words: list[str] | None = None) -> None:
    """Measure, and write the result and its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reels", type=int, default=200)
    parser.add_argument("--spoiled-reels", type=int, default=40)
    parser.add_argument("--clips", type=Path, help="a folder with videos to cut")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args(words)
    clips = load_clips(given.clips) if given.clips else {}
    records = measure(given.reels, given.seed, clips, is_spoiled=False)
    spoiled = measure(
        given.spoiled_reels, given.seed + _SPOILED_SEEDS, clips, is_spoiled=True
    )
    command = f"python benchmarks/coverage.py --reels {given.reels} --seed {given.seed}"
    document = {
        "command": command + (" --clips FOLDER" if given.clips else ""),
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "files": sorted(clips),
        "seconds": [f([r["seconds"] for r in records]) for f in (min, max)],
        "scenes": [f([r["num_scenes"] for r in records]) for f in (min, max)],
        "reels": records,
        "spoiled_reels": spoiled,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    page = "\n".join(lay_out(document))
    kept = {**document, "reels": [_short(r) for r in records]}
    kept["spoiled_reels"] = [_short(r) for r in spoiled]
    text = json.dumps(kept, separators=(",", ":")).replace('{"seed"', '\n{"seed"')
    (given.out / "coverage.json").write_text(text + "\n", encoding="utf-8")
    (given.out / "coverage.md").write_text(page, encoding="utf-8")
    draw(given.out / "coverage.png", records)
    sys.stdout.write(f"{page}\n")


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Keep of a record what takes little room."""
    means = {
        name: round(float(np.mean(values)), 4) if values else None
        for name, values in record["off_middle"].items()
    }
    return {**record, "off_middle": means}


if __name__ == "__main__":
    main()
