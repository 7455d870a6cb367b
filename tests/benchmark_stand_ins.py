"""A model that answers as a test says, and folders of annotations with empty videos."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from dynfocus.models import Answer
from dynfocus.models.conversation import FrameReport
from dynfocus.video import UnreadableVideoError

Reply = Callable[[str, str], str]
"""Gives the reply to a video and a question."""


class StandInModel:
    """Answers as a function says; indexes nothing."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[tuple[str, str]] = []
        self.options: list[dict[str, Any]] = []
        self.read: list[dict[str, Any]] = []
        weights = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(weights.weight)
        torch.nn.init.zeros_(weights.bias)
        self.model = weights
        self.times = (0.0, 1.0, 2.0)
        self.processor = SimpleNamespace(frame_size=28)
        self.fine_times: tuple[float, ...] = ()

    def index(self, video: Any, *, progress: object = None, **reading: Any) -> Any:
        if Path(str(video)).stem == "damaged":
            raise UnreadableVideoError(f"{video}: this is no video")
        self.read.append({"video": video, **reading})
        times = torch.tensor(self.times)
        return SimpleNamespace(
            source=str(video),
            num_frames=len(times),
            duration=3.0,
            features=SimpleNamespace(pts_seconds=times),
            entry=None,
        )

    def ask(self, index: Any, question: str, **options: Any) -> Answer:
        self.asked.append((index.source, question))
        self.options.append(options)
        text = self.reply(index.source, question)
        if text == "fail":
            raise ValueError("the model fell over")
        frames = [
            FrameReport(index=place, time=time, score=1.0, kind="cone", tokens=1)
            for place, time in enumerate(self.fine_times)
        ]
        return Answer(
            text=text, question=question, tokens=12, frames=frames, seconds=0.5
        )


@dataclass(frozen=True)
class StandInLoader:
    """Loads the stand-in in any process; it logs, and dies at its first "die once"."""

    folder: str

    def __call__(self, number: int = 0) -> StandInModel:
        return StandInModel(self._reply)

    def _reply(self, video: str, question: str) -> str:
        folder = Path(self.folder)
        with (folder / "log").open("a") as file:
            file.write(f"{question}\n")
        if "die once" in question and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "A"


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def put_videos(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a video, for who does not look inside")
