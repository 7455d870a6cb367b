from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from bulk_stand_ins import StandInLoader

from dynfocus.bulk import Asker, Row


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    return Asker(StandInLoader(str(tmp_path)))


@pytest.fixture
def logged(tmp_path: Path) -> Callable[[], Counter[str]]:
    """Count what the stand-in models did, whoever did it."""

    def read() -> Counter[str]:
        lines = (tmp_path / "log").read_text().splitlines()
        return Counter(line.rsplit(" ", 1)[0] for line in lines)

    return read


@pytest.fixture
def make_rows() -> Callable[..., list[Row]]:
    """Make rows of so many videos with the same questions each."""

    def make(num_videos: int, *questions: str) -> list[Row]:
        return [
            Row(video=f"v{v}.mp4", question=question, id=f"{v}/{q}")
            for v in range(num_videos)
            for q, question in enumerate(questions)
        ]

    return make
