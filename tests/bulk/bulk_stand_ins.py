"""A model that is no model, for workers: it logs what it does and dies on command."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dynfocus.atomic import atomic_file
from dynfocus.errors import SeveralVideosWarning
from dynfocus.text import check_text
from dynfocus.video import DamagedVideoWarning, UnreadableVideoError


@dataclass(frozen=True)
class StandInLoader:
    """Loads the stand-in; ``kills`` and ``fails`` end the worker instead."""

    folder: str
    kills: bool = False
    fails: bool = False

    def __call__(self, number: int) -> StandInModel:
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails:
            raise ValueError("there is no model here")
        return StandInModel(Path(self.folder))


class StandInModel:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log("load")

    def log(self, text: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(f"{text} {os.getpid()}\n")

    def index(
        self,
        video: str,
        *,
        fps: float,
        max_frames: int | None,
        progress: Callable[[int, int], None] | None = None,
        **excerpt: Any,
    ) -> Any:
        given = [f"{k}={v}" for k, v in excerpt.items() if v is not None]
        self.log(" ".join([f"index {video}", *given]))
        name = Path(video).name
        if progress is not None:
            progress(1, 2)
        if "damaged" in name:
            raise UnreadableVideoError(f"{video}: this is no video.")
        if "missing" in name:
            raise FileNotFoundError(2, "No such file or directory", video)
        if "cut" in name:
            warnings.warn(f"{name}: 3 frames are lost", DamagedVideoWarning, 2)
        entry = None if "lost" in name else self.folder / "log"
        return SimpleNamespace(
            video=video, num_frames=max_frames or 7, entry=entry, is_from_disk=False
        )

    def ask(self, index: Any, question: str, **options: Any) -> Any:
        check_text(question, "question")
        shown = index if isinstance(index, list) else [index]
        if len(shown) > 1:
            text = "the stand-in was trained on one video"
            warnings.warn(text, SeveralVideosWarning, 2)
        names = " ".join(Path(one.video).name for one in shown)
        self.log(f"ask {' '.join(one.video for one in shown)} {question}")
        flag = self.folder / "killed"
        if question == "die once?" and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if question == "die?":
            os.kill(os.getpid(), signal.SIGKILL)
        if question == "too long?":
            raise ValueError("the prompt has too many tokens; ask for less")
        if question == "slow?":
            time.sleep(0.2)
        if question == "write?":
            with atomic_file(self.folder / "written") as part:
                part.touch()
                time.sleep(60)
        text = f"{names}: {question}"
        return SimpleNamespace(
            text=text,
            tokens=12,
            seconds=0.5,
            best_time=1.0,
            best_video=0,
            confidence=0.9,
            word_tokens=0,
            looks=None,
        )
