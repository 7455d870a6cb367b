"""Measure what encoding fewer frames of a long video costs in evidence and gains in seconds.

    python benchmarks/encoded_frames.py --videos 10 --seconds 3600 --encoded 256 512

FocusWorld videos are written with key frames where the encoder puts them, with one every two
or ten seconds and none at cuts, and with noise. Of each the frames are chosen that
``max_encoded_frames`` leaves, beside as many even ones, and both are compared with all sampled
frames: of how many questions does a frame lie in the evidence? Then ``dynfocus ask`` is run on
the first video in processes of its own. Writes encoded-frames.md and encoded-frames.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dynfocus.evaluation.benchmarks.focusworld import evidence_seen
from dynfocus.evaluation.metrics import accuracy, paired_difference
from dynfocus.evaluation.pages import table
from dynfocus.models import AskOptions
from dynfocus.models.encoding import VideoSource
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.world import WorldVideo, make_video

FPS = 8.0
KEYS: dict[str, tuple[float | None, int]] = {
    "as the encoder likes": (None, 0),
    "every 2 s": (2.0, 0),
    "every 10 s": (10.0, 0),
    "every 10 s, noise": (10.0, 24),
}
"""Seconds from key frame to key frame, none at cuts, and the largest error of a pixel."""
ALL, UNLIKE, EVEN = "all sampled", "chosen", "even"


def write(path: Path, name: str, seconds: float, seed: int, size: int) -> WorldVideo:
    """Write a video with key frames and noise of one kind."""
    gap, noise = KEYS[name]
    generator = np.random.default_rng(seed)

    def spoil(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        errors = generator.integers(-noise, noise + 1, picture.shape)
        return (picture + errors).clip(0, 255).astype(np.uint8)

    made = make_video(
        path, seconds, seed, fps=FPS, size=size, edit=spoil if noise else None
    )
    if gap is not None:
        encode_again(path, round(gap * FPS))
    return made


def encode_again(path: Path, gap: int) -> None:
    """Encode a file anew with a key frame every ``gap`` frames and no other."""
    options = {"g": str(gap), "keyint_min": str(gap), "sc_threshold": "0"}
    options |= {"preset": "veryfast", "crf": "23"}
    part = path.with_suffix(".part.mp4")
    with av.open(str(path)) as source, av.open(str(part), "w") as out:
        stream = out.add_stream("libx264", rate=round(FPS), options=options)
        shown = source.streams.video[0]
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = shown.width, shown.height
        for frame in source.decode(video=0):
            frame.pict_type = av.video.frame.PictureType.NONE
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    part.replace(path)


def look(path: Path, most: int | None) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Give the times of the frames that are encoded, and what choosing them took."""
    wall, cpu = time.perf_counter(), time.process_time()
    source = VideoSource.open(path, AskOptions())
    if most is not None:
        source = source.thin_unlike(most)
    assert source.reader is not None  # it is a file
    times = source.reader.plan_times(**source.plan)
    taken = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return times, taken


def measure(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Choose frames of every video with key frames of one kind."""
    records: dict[str, list[dict[str, Any]]] = {}
    taken: dict[int, list[dict[str, float]]] = {most: [] for most in options.encoded}
    for number in range(options.videos):
        path = folder / "video.mp4"
        made = write(path, name, options.seconds, options.seed + number, options.size)
        every, _ = look(path, None)
        ways = {ALL: every}
        for most in options.encoded:
            chosen, cost = look(path, most)
            taken[most].append(cost)
            count = min(most, len(every))
            ways[f"{UNLIKE} {most}"] = chosen
            ways[f"{EVEN} {most}"] = (np.arange(count) + 0.5) * made.duration / count
        for way, times in ways.items():
            records.setdefault(way, []).extend(
                {
                    "video": made.seed,
                    "kind": asked.kind,
                    "question": asked.question,
                    "right": evidence_seen(asked.evidence, times.tolist()),
                }
                for asked in made.questions
                if asked.evidence
            )
        print(f"{name}: {number + 1} of {options.videos}", flush=True)  # noqa: T201 progress
    rows = [
        {
            "way": way,
            "recall": str(accuracy(found)),
            "difference": None
            if way == ALL
            else paired_difference(found, records[ALL]).as_difference(),
        }
        for way, found in records.items()
    ]
    costs = {
        most: {key: float(np.median([one[key] for one in found])) for key in found[0]}
        for most, found in taken.items()
    }
    return {"rows": rows, "questions": len(records[ALL]), "costs": costs}


def ask(path: Path, model: str, most: int | None) -> dict[str, Any]:
    """Ask in a process of its own: seconds with its start, and its largest memory."""
    bound = [] if most is None else ["--max-encoded-frames", str(most)]
    words = ["ask", str(path), "Which room is shown most of the time?", "--json"]
    call = [sys.executable, "-m", "dynfocus", *words, "--no-index", "--model", model]
    began = time.perf_counter()
    with subprocess.Popen([*call, *bound], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"dynfocus ask failed with exit code {process.returncode}")
    return {
        "encoded": most,
        "seconds": time.perf_counter() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_megabytes": used.ru_maxrss / 1024,
    }


def lay_out(document: dict[str, Any]) -> str:
    """Write the page of a result."""
    lines = [
        "# Fewer frames encoded",
        "",
        f"`{document['command']}`, commit {document['commit'][:12]}, "
        f"{document['hardware']}.",
        "",
        f"{document['videos']} FocusWorld test videos of {document['seconds']:g} s, seeds from "
        f"{document['seed']}, {document['size']} pixels, sampled at one frame a second. "
        "Percent of the questions with evidence of which a frame lies in it, in brackets "
        "the 95 % interval over videos; differences are paired.",
        "",
    ]
    for name, found in document["kinds"].items():
        head = [f"key frames {name}, {found['questions']} questions", "recall"]
        rows = [
            [row["way"], row["recall"], row["difference"] or "-"]
            for row in found["rows"]
        ]
        lines += table([*head, f"against {ALL}"], rows)
    choosing = [
        [name, str(most), f"{cost['seconds']:.1f}", f"{cost['cpu']:.1f}"]
        for name, found in document["kinds"].items()
        for most, cost in found["costs"].items()
    ]
    lines += table(["choosing: key frames", "frames", "s", "CPU s"], choosing)
    asked = [
        [
            str(row["encoded"] or ALL),
            f"{row['seconds']:.1f}",
            f"{row['cpu']:.1f}",
            f"{row['peak_megabytes']:.0f}",
        ]
        for row in document["asked"]
    ]
    lines += table(["`dynfocus ask`, cold: frames encoded", "s", "CPU s", "MB"], asked)
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--encoded", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--keys", nargs="+", choices=KEYS, default=list(KEYS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=30_000)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = {one: measure(one, options, folder) for one in options.keys}
        first = folder / "first.mp4"
        write(first, options.keys[0], options.seconds, options.seed, options.size)
        asked = [ask(first, options.model, most) for most in (None, *options.encoded)]
    given = sys.argv[1:] if arguments is None else arguments
    document: dict[str, Any] = {
        "command": f"python benchmarks/encoded_frames.py {shlex.join(given)}",
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "kinds": kinds,
        "asked": asked,
    }
    document |= {key: getattr(options, key) for key in ("videos", "seconds")}
    document |= {key: getattr(options, key) for key in ("seed", "size")}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "encoded-frames.md").write_text(lay_out(document), encoding="utf-8")
    (options.out / "encoded-frames.json").write_text(
        json.dumps(document, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
