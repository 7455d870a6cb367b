"""A short clip of plain colours with subtitles beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynfocus.video import VideoWriter

SAID = (
    (1, 4, "The dividend is 0.62 euros per share this year."),
    (5, 8, "Aphids are washed away with a sharp jet of water."),
    (10, 13, "Form LX-220 needs the signatures of two directors."),
)
SECONDS = 16


def write_spoken_clip(folder: Path, name: str = "talk") -> Path:
    """Write ``name.mp4`` with ``name.srt``; the colour changes every two seconds."""
    path = folder / f"{name}.mp4"
    with VideoWriter(path, fps=4, size=(48, 64)) as writer:
        for second in range(SECONDS):
            frame = np.full((48, 64, 3), 40 + 90 * (second // 2 % 3), np.uint8)
            for _ in range(4):
                writer.write(frame)
    lines = [
        f"{n}\n00:00:{start:02d},000 --> 00:00:{end:02d},000\n{text}\n"
        for n, (start, end, text) in enumerate(SAID, 1)
    ]
    path.with_suffix(".srt").write_text("\n".join(lines), encoding="utf-8")
    return path
