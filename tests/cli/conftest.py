"""A short clip, a stand-in for a model, and a way to run the program in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import dynfocus
from dynfocus.cli import main
from dynfocus.focus import VideoFeatures
from dynfocus.index import VideoGroup, VideoIndex
from dynfocus.models import Answer, FrameReport, PrototypeMap
from dynfocus.models.conversation import check_question
from dynfocus.video import VideoReader, VideoWriter


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def err_lines(self) -> list[str]:
        return self.err.splitlines()


Run = Callable[..., Outcome]


class FakeSession:
    def __init__(self, focused: FakeModel, index: VideoIndex) -> None:
        self.focused = focused
        self.index = index

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        if "too long" in question:
            raise ValueError("the prompt has too many tokens; ask for less")
        answer = self.focused.ask(self.index, question)
        if on_text is not None:
            for word in answer.text.split(" "):
                on_text(word + " ")
        return answer


class FakeWatch:
    """Holds times alone; an answer counts what was seen."""

    frame_size = (28, 28)

    def __init__(self, fps: float, max_frames: int) -> None:
        self.fps = fps
        self.max_frames = max_frames
        self.times: list[float] = []

    @property
    def num_pushed(self) -> int:
        return len(self.times)

    @property
    def num_frames(self) -> int:
        return -(-len(self.times) // self.stride)

    @property
    def stride(self) -> int:
        stride = 1
        while -(-len(self.times) // stride) > self.max_frames:
            stride *= 2
        return stride

    @property
    def seen_seconds(self) -> float:
        return self.times[-1] + 1 / self.fps if self.times else 0.0

    def push(self, frames: np.ndarray, times: np.ndarray) -> None:
        assert frames.shape == (len(times), 28, 28, 3)
        self.times += times.tolist()

    def ask(self, question: str, *, max_new_tokens: int = 64) -> Answer:
        if "too long" in question:
            raise ValueError("the prompt has too many tokens; ask for less")
        return Answer(
            text=f"seen:\n{len(self.times)}",
            question=question,
            tokens=2 * self.num_frames,
            frames=[],
            seconds=0.25,
        )


class FakeModel:
    """Answers with the length of the question; every third frame is a Cone."""

    def __init__(self, name: str, index_folder: str | bool | None = None) -> None:
        self.name = name
        self.index_folder = index_folder
        self.num_indexed = 0

    @property
    def is_nano(self) -> bool:
        return self.name == "nano"

    def why_not(self, ability: str) -> None:
        return None

    def require(self, ability: str) -> None:
        pass

    def check(self, *, method: str | None = None, **options: Any) -> None:
        if method not in (None, "dynfocus"):
            raise ValueError(f"method must be one of dynfocus, got {method!r}")

    @property
    def processor(self) -> SimpleNamespace:
        return SimpleNamespace(frame_size=28)

    def session(
        self, *, max_frames: int, fps: float, max_video_tokens: int | None
    ) -> FakeWatch:
        return FakeWatch(fps, max_frames)

    def index(
        self,
        video: VideoReader | str,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_encoded_frames: int | None = None,
        start: float | None = None,
        end: float | None = None,
        stream: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> VideoIndex:
        self.num_indexed += 1
        if not isinstance(video, VideoReader):
            video = VideoReader(video, start=start, end=end, stream=stream)
        reader = video
        sampled = reader.sample(fps=fps, max_frames=max_frames, size=(36, 48))
        num_frames = len(sampled.times)
        return VideoIndex(
            features=VideoFeatures(
                pooled=torch.zeros(num_frames, 4, 8),
                spatial=torch.zeros(num_frames, 6, 8),
                pts_seconds=torch.from_numpy(sampled.times),
            ),
            source=str(reader.path),
            duration=reader.duration,
            start=reader.start,
            end=reader.end,
            stream=reader.other_stream,
            fps=fps,
            thumbnails=sampled.frames,
            entry=Path(str(reader.path)),
        )

    def ask(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        *,
        max_video_tokens: int | None = None,
        method: str | None = None,
        max_new_tokens: int = 64,
        word_share: float | None = None,
    ) -> Answer:
        self.check(method=method)
        check_question(question)
        if "too long" in question:
            raise ValueError("the prompt has too many tokens; ask for less")
        frames = [
            FrameReport(
                index=i,
                time=time,
                score=1 / (1 + i),
                kind="rod" if i % 3 else "cone",
                tokens=2 if i % 3 else 40,
                video=number,
            )
            for number, one in enumerate(video.videos)
            for i, time in enumerate(one.features.pts_seconds.tolist())
        ]
        return Answer(
            text=f"words: {len(question.split())}",
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            frames=frames,
            seconds=0.25,
        )

    @property
    def scores_see_question(self) -> bool:
        return self.name != "blind"

    def score_frames(
        self, video: VideoIndex, question: str, *, max_video_tokens: int | None = None
    ) -> list[FrameReport]:
        return self.ask(video, question).frames

    def map_prototypes(
        self, video: VideoIndex, answer: Answer, *, num_frames: int = 3
    ) -> list[PrototypeMap]:
        cones = [frame for frame in answer.frames if frame.kind == "cone"]
        return [
            PrototypeMap(
                time=frame.time,
                picture=np.zeros((36, 48, 3), np.uint8),
                layers=(np.array([[0, 1], [1, 1]]),),
                attention=np.array([0.75, 0.25]),
            )
            for frame in cones[:num_frames]
        ]

    def chat(self, video: VideoReader, **options: Any) -> FakeSession:
        for name in ("max_video_tokens", "method", "word_share", "max_new_tokens"):
            options.pop(name, None)
        return FakeSession(self, self.index(video, **options))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: red, then green, then blue, each with a white bar elsewhere."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    colours = ((200, 30, 30), (30, 160, 40), (30, 40, 200))
    with VideoWriter(path, fps=8, size=(72, 96)) as writer:
        for number, colour in enumerate(colours):
            picture = np.full((72, 96, 3), colour, np.uint8)
            picture[:, 20 + 25 * number : 30 + 25 * number] = 255
            for _ in range(16):
                writer.write(picture)
    return path


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[FakeModel]:
    """Let every model loaded be a stand-in, and collect them."""
    loaded: list[FakeModel] = []

    def load(
        name: str,
        index_folder: str | bool | None = None,
        use_timestamps: bool = False,
    ) -> FakeModel:
        assert not use_timestamps  # nothing asks for them
        loaded.append(FakeModel(name, index_folder))
        return loaded[-1]

    monkeypatch.setattr(dynfocus, "load", load)
    return loaded


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Run:
    """Run the program in an empty folder and give its exit code and both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DYNFOCUS_DEBUG", raising=False)

    def call(*arguments: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
