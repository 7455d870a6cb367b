"""Measure what a session loses when a video does not fit in its memory.

    python benchmarks/streaming.py --videos 20

Unseen FocusWorld videos of three minutes come at 1 fps. A session that holds all of them, half
or a quarter is asked needle and presence questions, beside the same model that is given as many
even frames of the whole video, and a session that folds nothing of the frames it drops. Writes
streaming.md and streaming.json.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

import dynfocus
from dynfocus.evaluation import is_right
from dynfocus.focus import VideoFeatures, uniform_indices
from dynfocus.models import VideoModel
from dynfocus.models.frame_encoders import FrameRows
from dynfocus.models.frame_memory import FrameMemory
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.video import SampledFrames
from dynfocus.world import make_scene, render
from dynfocus.world.questions import make_questions

KINDS = ("needle", "presence")
SHARES = (1, 2, 4)
OFFLINE, SESSION, UNFOLDED = "even frames of the whole", "session", "nothing folded"

Records = dict[tuple[int, str], dict[str, list[bool]]]


def ways(features: VideoFeatures, share: int) -> dict[str, VideoFeatures]:
    """Give what each way of watching holds of a video that is ``share`` times too long."""
    num_frames = features.num_frames
    capacity = num_frames // share
    memory = FrameMemory(capacity)
    encoded = FrameRows({"spatial": features.spatial}, features.pooled)
    memory.add(encoded, features.pts_seconds, None)
    rows = memory.rows()
    held = VideoFeatures(
        spatial=rows.own["spatial"],
        pts_seconds=memory.pts_seconds(),
        pooled=rows.shared,
    )
    even = uniform_indices(num_frames, held.num_frames)
    return {
        OFFLINE: features.take(even),
        SESSION: held,
        UNFOLDED: features.take(torch.arange(0, num_frames, memory.stride)),
    }


def measure(model: VideoModel, num_videos: int, seconds: float, seed: int) -> Records:
    """Ask every way everything; True where the answer is right."""
    records: Records = defaultdict(lambda: defaultdict(list))
    for number in range(num_videos):
        scene = make_scene(seed + number, seconds, "test")
        times = np.arange(seconds)
        frames = np.stack(list(render(scene, times.tolist())))
        features = model.index(SampledFrames(frames, times)).features
        questions = [q for q in make_questions(scene, 3) if q.kind in KINDS]
        for share in SHARES:
            for way, held in ways(features, share).items():
                video = model.model.focus_network.add_events(held)
                for question in questions:
                    answer = model.ask(video, question.question)
                    right = is_right(question, answer.text)
                    records[share, way][question.kind].append(right)
        print(f"{number + 1} of {num_videos} videos", flush=True)  # noqa: T201 progress
    return records


def write(records: Records, out: Path, facts: dict[str, object]) -> None:
    """Write the results as a page and as a document."""
    rows = []
    for (share, way), kinds in records.items():
        row: dict[str, object] = {"frames_per_place": share, "way": way}
        for kind in KINDS:
            row[kind] = sum(kinds[kind]) / len(kinds[kind])
            row[f"num_{kind}"] = len(kinds[kind])
        rows.append(row)
    document = facts | {"rows": rows}
    lines = [
        "# streaming",
        "",
        f"`{facts['command']}`, commit {str(facts['commit'])[:12]}, {facts['hardware']}.",
        f"{facts['videos']} test videos of {facts['seconds']:g} s at 1 fps, rendered, not "
        f"from files; {rows[0]['num_needle']} needle and {rows[0]['num_presence']} presence "
        "questions, exact match. Rows of one number read equally many frames; *even frames* "
        "knows the length of the video in advance, a session does not.",
        "",
        "| room for | way | needle | presence |",
        "| --- | --- | ---: | ---: |",
    ]
    names = {1: "all frames", 2: "half of them", 4: "a quarter"}
    lines += [
        f"| {names[share]} | {way} | {100 * sum(k['needle']) / len(k['needle']):.1f} % "
        f"| {100 * sum(k['presence']) / len(k['presence']):.1f} % |"
        for (share, way), k in records.items()
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / "streaming.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (out / "streaming.json").write_text(json.dumps(document, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    model = dynfocus.load(options.model)
    records = measure(model, options.videos, options.seconds, options.seed)
    facts: dict[str, object] = {
        "command": f"python benchmarks/streaming.py --videos {options.videos}",
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "videos": options.videos,
        "seconds": options.seconds,
    }
    write(records, options.out, facts)


if __name__ == "__main__":
    main()
