"""Measure the first and the second question about a video, and its index on disk.

    python benchmarks/asking.py --folder /somewhere/with/1GB

Makes FocusWorld videos (or finds them in the folder) and asks the shipped model about each,
once without an index and once with the index that this left, every time in a process of its
own. Writes docs/results/asking.md, asking.json and asking.png: seconds and peak memory over the
number of frames with their growth, the size of each index beside the one that was predicted,
and an hour at the full model's width with random features.
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
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from asking_page import write_page
from reading_clips import make_clip, repeat_clip

import dynfocus
from dynfocus.focus import EventBatch, FocusSettings, VideoFeatures
from dynfocus.index import (
    EntryFacts,
    EntryKey,
    IndexLayout,
    IndexStore,
    Sampling,
    pack_features,
    unpack_features,
)
from dynfocus.models.fingerprint import index_layout
from dynfocus.models.loading import load_config
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.world import make_video

FULL_WIDTH = 1408
FULL_PATCHES = 257
HOUR = 3600
WORLD = "world"
_SIZES = {"480p": (480, 854)}
_BUDGET = 7500
_PART = 900
"""Videos of a multiple of so many seconds repeat one that long."""

_QUESTION = "Which room is shown most of the time?"


@dataclass(frozen=True)
class Case:
    """A video of so many seconds, sampled at one frame a second."""

    seconds: int
    kind: str

    @property
    def name(self) -> str:
        """Name it as the command line does."""
        return f"{self.seconds}:{self.kind}"

    @classmethod
    def of(cls, name: str) -> Case:
        """Read ``SECONDS`` or ``SECONDS:480p``."""
        seconds, _, kind = name.partition(":")
        return cls(int(seconds), kind or WORLD)

    def video(self, folder: Path) -> Path:
        """Return the video, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"asking-{self.seconds}s-{self.kind}.mp4"
        times, rest = divmod(self.seconds, _PART)
        if path.is_file():
            return path
        if self.kind != WORLD:
            minutes = -(-self.seconds // 60)
            return make_clip(path, minutes=minutes, size=_SIZES[self.kind])
        if times < 2 or rest:
            make_video(path, float(self.seconds), seed=0)
        else:
            unfinished = path.with_suffix(".unfinished.mp4")
            repeat_clip(Case(_PART, WORLD).video(folder), unfinished, times, _PART)
            unfinished.replace(path)
        return path


def ask_here(case: Case, folder: Path, index: Path, storage: str) -> dict[str, Any]:
    """Ask one question in this process and tell what it cost."""
    model = dynfocus.load("nano", index_folder=index, storage=storage)
    with warnings.catch_warnings(action="ignore"):  # black frames are of no world
        model.ask(torch.zeros(4, 112, 112, 3, dtype=torch.uint8), _QUESTION)  # warm up
    path = case.video(folder)
    before = _peak_megabytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    found = model.index(path)
    opened = time.perf_counter()
    answer = model.ask(found, _QUESTION, max_video_tokens=_BUDGET)
    end = time.perf_counter()
    assert found.entry is not None
    return {
        "frames": found.num_frames,
        "from_disk": found.is_from_disk,
        "video_seconds": opened - start,
        "answer_seconds": end - opened,
        "seconds": end - start,
        "cpu_seconds": time.process_time() - start_cpu,
        "peak_megabytes": _peak_megabytes(),
        "megabytes_before": before,
        "index_bytes": found.entry.stat().st_size,
        "video_tokens": answer.tokens,
        "answer": answer.text,
    }


def keep_full_width_here(num_frames: int, index: Path) -> dict[str, Any]:
    """Keep random features of the full width, and open them."""
    settings = FocusSettings.paper()
    layout = IndexLayout(settings=settings, dim=FULL_WIDTH).offered()[0]
    tokens, events = settings.num_spatial_tokens, settings.num_event_tokens
    count = settings.num_prototypes_for(num_frames)
    features = VideoFeatures(
        spatial=torch.randn(num_frames, tokens, FULL_WIDTH),
        pts_seconds=torch.arange(float(num_frames), dtype=torch.float64),
        prototypes=EventBatch(
            features=torch.randn(1, count, events, FULL_WIDTH),
            frames=torch.arange(count)[None],
            mask=torch.ones(1, count, dtype=torch.bool),
            assignment=(torch.arange(num_frames) % count)[None],
        ),
    )
    key = EntryKey(
        content="random",
        model="random",
        sampling=Sampling(fps=1.0),
        layout=layout.name,
    )
    facts = EntryFacts(
        num_frames=num_frames,
        source="random",
        duration=float(num_frames),
        picture_size=(63, 112),
        model_name="random",
    )
    store = IndexStore(index)
    start = time.perf_counter()
    slots = torch.zeros(layout.tensors(num_frames)["pictures"][1])
    tensors = pack_features(features, layout)
    path = store.write(key, facts, tensors | {"pictures": slots.to(torch.uint8)})
    written = time.perf_counter()
    opened = store.open(key, layout)
    assert opened is not None
    assert path is not None
    opened[1].pop("pictures")
    again = unpack_features(opened[1], layout)
    end = time.perf_counter()
    return {
        "frames": again.num_frames,
        "storage": layout.storage,
        "index_bytes": path.stat().st_size,
        "predicted_bytes": layout.num_bytes(num_frames),
        "write_seconds": written - start,
        "open_seconds": end - written,
    }


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(*words: object) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--here", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{' '.join(command)}: {lines[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_case(
    case: Case, folder: Path, storage: str, num_rounds: int
) -> dict[str, Any]:
    """Ask twice about a video, round by round, and take medians."""
    rounds: dict[str, list[dict[str, Any]]] = {"first": [], "second": []}
    case.video(folder)
    for number in range(num_rounds):
        with tempfile.TemporaryDirectory(dir=folder) as index:
            for turn, outcomes in rounds.items():
                outcome = in_own_process("ask", case.name, folder, index, storage, turn)
                assert outcome.pop("from_disk") == (turn == "second")
                outcomes.append(outcome | {"load": os.getloadavg()[0]})
                text = f"{number + 1} {case.name} {turn}: {outcome['seconds']:.2f} s\n"
                sys.stderr.write(text)
    nano = index_layout(*load_config("nano", "float32"))
    (layout,) = nano.offered(storage)
    frames = rounds["first"][0]["frames"]
    return {
        "case": asdict(case),
        "frames": frames,
        "first": _medians(rounds["first"]),
        "second": _medians(rounds["second"]),
        "ratio": _ratio(rounds, "seconds"),
        "cpu_ratio": _ratio(rounds, "cpu_seconds"),
        "index_bytes": rounds["second"][0]["index_bytes"],
        "predicted_bytes": layout.num_bytes(frames),
        "same_answer": len({o["answer"] for turn in rounds.values() for o in turn})
        == 1,
    }


def _ratio(rounds: dict[str, list[dict[str, Any]]], name: str) -> float:
    """Give the median over rounds of the first question's cost over the second's."""
    pairs = zip(rounds["first"], rounds["second"], strict=True)
    return statistics.median(first[name] / second[name] for first, second in pairs)


def _medians(outcomes: list[dict[str, Any]]) -> dict[str, float]:
    names = [name for name, value in outcomes[0].items() if isinstance(value, float)]
    return {name: statistics.median(o[name] for o in outcomes) for name in names} | {
        "video_tokens": outcomes[0]["video_tokens"]
    }


def predict_sizes() -> list[dict[str, Any]]:
    """Tell the size of an hour's index for models of several kinds."""
    nano = index_layout(*load_config("nano", "float32"))
    paper, official = FocusSettings.paper(), FocusSettings.official()
    half = torch.bfloat16
    layouts = {
        "nano, float32": nano,
        "paper, width 1408, float32": IndexLayout(settings=paper, dim=FULL_WIDTH),
        "paper, width 1408, bfloat16": IndexLayout(
            settings=paper, dim=FULL_WIDTH, dtype=half
        ),
        "published code with its gate, bfloat16": IndexLayout(
            settings=official, dim=FULL_WIDTH, dtype=half
        ),
        "paper with frame_queries, bfloat16": IndexLayout(
            settings=paper, dim=FULL_WIDTH, dtype=half, num_patch_tokens=FULL_PATCHES
        ),
    }
    return [
        {
            "model": name,
            "default": layout.offered()[0].storage,
            "exact": replace(layout, storage="exact").num_bytes(HOUR),
            "compact": replace(layout, storage="compact").num_bytes(HOUR),
        }
        for name, layout in layouts.items()
    ]


def run(
    cases: list[Case], folder: Path, num_rounds: int, full_frames: int, note: str
) -> Iterator[dict[str, Any]]:
    """Measure everything, and give what is known after each case."""
    document: dict[str, Any] = {
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "cores": len(os.sched_getaffinity(0)),
        "note": note,
        "rounds": num_rounds,
        "sizes": predict_sizes(),
        "rows": [],
    }
    with tempfile.TemporaryDirectory(dir=folder) as index:
        document["full_width"] = in_own_process("full", full_frames, index)
    for case in cases:
        row = measure_case(case, folder, "exact", num_rounds)
        document["rows"].append(row)
        yield document


def _measure_here(words: list[str]) -> dict[str, Any]:
    if words[0] == "full":
        return keep_full_width_here(int(words[1]), Path(words[2]))
    name, folder, index, storage, _ = words[1:]
    return ask_here(Case.of(name), Path(folder), Path(index), storage)


def main(arguments: list[str] | None = None) -> None:
    """Make the videos, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument(
        "--cases",
        nargs="+",
        default=["60", "300", "900", "3600", "7200", "3600:480p"],
        metavar="SECONDS[:480p]",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full-frames", type=int, default=HOUR)
    parser.add_argument("--note", default="", help="A sentence on the machine.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "results"
    )
    parser.add_argument("--here", nargs="+")
    given = parser.parse_args(arguments)
    if given.here:
        print(json.dumps(_measure_here(given.here)))  # noqa: T201 the parent reads it
        return
    if given.folder is None:
        parser.error("--folder is needed: videos are made there")
    given.folder.mkdir(parents=True, exist_ok=True)
    cases = [Case.of(name) for name in given.cases]
    page = ""
    for document in run(
        cases, given.folder, given.rounds, given.full_frames, given.note
    ):
        page = write_page(document, given.out)
    print(page)  # noqa: T201 a script's output


if __name__ == "__main__":
    main()
