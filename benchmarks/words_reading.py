"""Measure what is read in pictures: how much of it rightly, and what it costs.

    python benchmarks/words_reading.py --clips FOLDER

Sentences of the project's own pages are drawn, so the truth is known: into real clips, in eight
styles of three seconds each (title, lower third, ticker, moving sign, small, blurred, slanted,
low contrast), as a deck of slides of a minute each, and as a terminal that shows a new page every
five seconds. Costs are seconds of processor time, so that other work on the machine does not
count; clips as they are show what a video without text costs. Writes words-reading.md and
words-reading.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dynfocus.evaluation.metrics import Estimate
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.video import VideoReader, VideoWriter, find_videos
from dynfocus.words import TimedText, WordStore, read_words

PAGES = Path(__file__).parents[1] / "docs"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
STYLE_SECONDS, CLIP_FPS = 3, 3
SIZE = (720, 1280)
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """A line that was drawn."""

    text: str
    start: float
    end: float
    style: str


def sentences(seed: int) -> Iterator[str]:
    """Give short pieces of the project's pages, in an order of chance, without end."""
    prose = "\n".join(p.read_text(encoding="utf-8") for p in sorted(PAGES.glob("*.md")))
    plain = re.sub(r"[^\w\s.,:%()-]", "", prose)
    found = [" ".join(one.split()) for one in re.split(r"[.:]\s|\n\n", plain)]
    wanted = sorted({one for one in found if 24 <= len(one) <= 46 and one.isascii()})
    random.Random(seed).shuffle(wanted)
    return itertools.cycle(wanted)


def font(size: float, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    """Load a font of the plotting library at a size in pixels."""
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), max(8, round(size)))


def draw_style(image: Image.Image, style: str, text: str, share: float) -> Image.Image:
    """Draw a text in one style; ``share`` of its time has passed."""
    width, height = image.size
    unit = height / 720
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    white, black = (255, 255, 255, 255), (0, 0, 0, 255)
    if style == "title":
        place = (width / 2, height / 2)
        pen.text(
            place, text, white, font(40 * unit), "mm", stroke_width=2, stroke_fill=black
        )
    elif style == "lower third":
        pen.rectangle((0, 0.8 * height, width, 0.88 * height), (20, 30, 60, 235))
        pen.text((40 * unit, 0.84 * height), text, white, font(30 * unit), "lm")
    elif style == "ticker":
        pen.rectangle((0, 0.92 * height, width, height), (160, 20, 20, 255))
        length = pen.textlength(text, font(28 * unit))
        left = width * 0.9 - share * max(length, width * 0.6)
        pen.text((left, 0.96 * height), text, white, font(28 * unit), "lm")
    elif style == "moving sign":
        length = pen.textlength(text, font(32 * unit))
        left = share * max(0.0, width - length - 40)
        box = (left, 0.3 * height, left + length + 40, 0.38 * height)
        pen.rectangle(box, (0, 90, 50, 255))
        pen.text((left + 20, 0.34 * height), text, white, font(32 * unit), "lm")
    elif style == "small":
        pen.rectangle((0, 0, width, 26 * unit), (240, 240, 240, 255))
        pen.text((10, 13 * unit), text, black, font(14 * unit), "lm")
    elif style == "blurred":
        pen.text(
            (60 * unit, 0.5 * height),
            text,
            white,
            font(34 * unit),
            "lm",
            stroke_width=1,
            stroke_fill=black,
        )
        layer = layer.filter(ImageFilter.GaussianBlur(1.8 * unit))
    elif style == "slanted":
        pen.text(
            (width / 2, height / 2),
            text,
            white,
            font(34 * unit),
            "mm",
            stroke_width=2,
            stroke_fill=black,
        )
        layer = layer.rotate(12, resample=Image.Resampling.BICUBIC)
    else:
        pen.rectangle((0, 0.6 * height, width, 0.72 * height), (120, 120, 120, 255))
        pen.text(
            (40 * unit, 0.66 * height),
            text,
            (150, 150, 150, 255),
            font(34 * unit),
            "lm",
        )
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


STYLES = (
    "title",
    "lower third",
    "ticker",
    "moving sign",
    "small",
    "blurred",
    "slanted",
    "low contrast",
)


def write_clip(clip: Path, path: Path, lines: Iterator[str]) -> list[Truth]:
    """Draw texts into a real clip, one style after the other, as long as it lasts."""
    video = VideoReader(clip)
    end = min(video.duration, STYLE_SECONDS * len(STYLES))
    height, width = (side // 2 * 2 for side in video.size)
    truths: list[Truth] = []
    with VideoWriter(path, fps=CLIP_FPS, size=(height, width), crf=23) as writer:
        moments = np.arange(0, end - 1 / CLIP_FPS, 1 / CLIP_FPS)
        for part in video.stream(
            times=moments, size=(height, width), frames_at_a_time=32
        ):
            for picture in part.frames:
                seconds = writer.num_frames / CLIP_FPS
                number, passed = divmod(seconds, STYLE_SECONDS)
                style = STYLES[int(number) % len(STYLES)]
                if int(number) == len(truths):
                    start = number * STYLE_SECONDS
                    truths.append(
                        Truth(next(lines), start, start + STYLE_SECONDS, style)
                    )
                drawn = draw_style(
                    Image.fromarray(picture),
                    style,
                    truths[-1].text,
                    passed / STYLE_SECONDS,
                )
                writer.write(np.asarray(drawn))
    return truths


def slide(lines: Sequence[str]) -> Picture:
    """Draw a slide: a heading and points."""
    image = Image.new("RGB", SIZE[::-1], (250, 250, 245))
    pen = ImageDraw.Draw(image)
    pen.text((60, 40), lines[0], (20, 40, 90), font(40, "DejaVuSans-Bold"))
    for row, line in enumerate(lines[1:]):
        pen.text((90, 140 + 64 * row), f"- {line}", (30, 30, 30), font(30))
    return np.asarray(image)


def terminal(lines: Sequence[str]) -> Picture:
    """Draw a page of a terminal, light on dark."""
    image = Image.new("RGB", SIZE[::-1], (18, 18, 22))
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((12, 8 + 23 * row), line, (220, 220, 220), font(17, "DejaVuSansMono"))
    return np.asarray(image)


def write_pages(
    path: Path,
    draw: Callable[[Sequence[str]], Picture],
    lines: Iterator[str],
    *,
    num_pages: int,
    num_lines: int,
    seconds: int,
    style: str,
    fps: int,
) -> list[Truth]:
    """Write a video that shows one page after the other."""
    truths = []
    with VideoWriter(path, fps=fps, size=SIZE, crf=23) as writer:
        for number in range(num_pages):
            shown = [next(lines) for _ in range(num_lines)]
            start = number * seconds
            truths += [Truth(one, start, start + seconds, style) for one in shown]
            picture = draw(shown)
            for _ in range(seconds * fps):
                writer.write(picture)
    return truths


def distance(one: str, other: str) -> int:
    """Count the characters to change, add or leave out."""
    row = list(range(len(other) + 1))
    for n, a in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, b in enumerate(other, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (a != b))
    return row[-1]


def right_share(truth: Truth, texts: Sequence[TimedText]) -> float:
    """Give the share of a line's characters, spaces left out, that were read rightly."""
    wanted = "".join(truth.text.split())
    shares = [0.0]
    for text in texts:
        if text.start < truth.end and text.end > truth.start:
            found = "".join(text.text.lstrip("- ").split())
            shares.append(1 - distance(wanted, found) / max(len(wanted), 1))
    return max(shares)


def read(video: Path) -> tuple[list[TimedText], float, float]:
    """Read a video anew; give its texts, and seconds of processor time and of the clock."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time(), time.perf_counter()
        texts = read_words(video, subtitles=(), screen=True, store=WordStore(folder))
        return (
            texts,
            time.process_time() - started[0],
            time.perf_counter() - started[1],
        )


def estimate(values: Sequence[float]) -> Estimate:
    """Give a mean in percent with an interval of 95 % over videos, by resampling."""
    array = 100 * np.array(values)
    draws = np.random.default_rng(0).choice(array, (2000, len(array))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(array.mean()), float(low), float(high))


def measure_clips(clips: Sequence[Path], folder: Path, lines: Iterator[str]) -> dict:
    """Read texts drawn into clips, and the clips as they are."""
    shares: dict[str, dict[str, list[float]]] = {style: {} for style in STYLES}
    costs, plain = [0.0, 0.0], [0.0, 0.0]
    for clip in clips:
        drawn = folder / f"{clip.stem}.mp4"
        truths = write_clip(clip, drawn, lines)
        texts, spent, _ = read(drawn)
        for truth in truths:
            share = right_share(truth, texts)
            shares[truth.style].setdefault(clip.name, []).append(share)
        costs[0] += spent
        costs[1] += VideoReader(drawn).duration
        _, spent, _ = read(clip)
        plain[0] += spent
        plain[1] += VideoReader(clip).duration
    rows = {
        style: estimate([float(np.mean(one)) for one in per_clip.values()])
        for style, per_clip in shares.items()
        if per_clip
    }
    return {
        "styles": {style: asdict(one) for style, one in rows.items()},
        "num_clips": len(clips),
        "drawn_ratio": costs[0] / costs[1],
        "plain_ratio": plain[0] / plain[1],
    }


def measure_pages(video: Path, truths: Sequence[Truth]) -> dict:
    """Read a deck or a terminal; pages stand for videos in the interval."""
    texts, spent, waited = read(video)
    pages: dict[float, list[float]] = {}
    for truth in truths:
        pages.setdefault(truth.start, []).append(right_share(truth, texts))
    shares = [float(np.mean(one)) for one in pages.values()]
    return {
        "characters": asdict(estimate(shares)),
        "num_pages": len(pages),
        "seconds": VideoReader(video).duration,
        "processor_seconds": spent,
        "clock_seconds": waited,
    }


def page(found: dict) -> str:
    """Write the page of results."""
    styles = "".join(
        f"| {style} | {Estimate(**one)} |\n"
        for style, one in found["clips"]["styles"].items()
    )
    clips, slides, screen = found["clips"], found["slides"], found["terminal"]
    return f"""# Reading what is written in pictures

`python benchmarks/words_reading.py --clips FOLDER`, commit {found["commit"][:12]}, {found["hardware"]}, {found["seconds"]:.0f} s.
Texts are sentences of the project's own pages, drawn by the program, so the truth is known; clips
are real. A line counts by the share of its characters, without spaces, that the best text read
while it was shown has right. Costs are seconds of processor time; while they were measured other
work shared the machine, which makes them longer, never shorter.

## Characters read rightly, in percent

In {clips["num_clips"]} real clips, three seconds a style and one picture a second, with the 95 % interval over clips:

| style | characters read rightly |
| --- | --- |
{styles}| slides, {slides["num_pages"]} pages | {Estimate(**slides["characters"])} |
| terminal, {screen["num_pages"]} pages of 30 lines of 17 pixels | {Estimate(**screen["characters"])} |

A text that is seen for three seconds meets three pictures at most; a ticker that passes within them
is seen in part.

## What an hour costs, in seconds of processor time

| an hour of | read from | seconds of processor time an hour |
| --- | --- | --- |
| slides, a new one every minute, 720p | {slides["seconds"]:.0f} s | {3600 * slides["processor_seconds"] / slides["seconds"]:.0f} |
| a terminal, a new page every five seconds, 720p | {screen["seconds"]:.0f} s | {3600 * screen["processor_seconds"] / screen["seconds"]:.0f} |
| the clips as they are, most without text | all {clips["num_clips"]} | {3600 * clips["plain_ratio"]:.0f} |
| the clips with text drawn in | all {clips["num_clips"]} | {3600 * clips["drawn_ratio"]:.0f} |

Decoding is part of it; slides and terminal have {found["fps"]} frames a second. Two idle cores need about half of it by the clock.
"""


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--clips", help="folder of real clips; without, slides and terminal are printed"
    )
    parser.add_argument("--slides", type=int, default=6, help="slides of a minute each")
    parser.add_argument("--fps", type=int, default=25, help="of slides and terminal")
    parser.add_argument("--pages", type=int, default=12, help="pages of the terminal")
    parser.add_argument("--out", type=Path, default=PAGES / "results")
    given = parser.parse_args()
    lines, started = sentences(seed=21), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deck, screen = folder / "deck.mp4", folder / "terminal.mp4"
        shown = write_pages(
            deck,
            slide,
            lines,
            num_pages=given.slides,
            num_lines=9,
            seconds=60,
            style="slides",
            fps=given.fps,
        )
        slides = measure_pages(deck, shown)
        wide = (f"{next(lines)}, {next(lines)}" for _ in itertools.count())
        typed = write_pages(
            screen,
            terminal,
            wide,
            num_pages=given.pages,
            num_lines=30,
            seconds=5,
            style="terminal",
            fps=given.fps,
        )
        busy = measure_pages(screen, typed)
        if given.clips is None:
            for name, one in (("slides", slides), ("terminal", busy)):
                an_hour = 3600 * one["processor_seconds"] / one["seconds"]
                right = Estimate(**one["characters"])
                sys.stdout.write(f"{name}: {an_hour:.0f} s an hour, {right} % right\n")
            return
        files = [Path(one) for one in find_videos([given.clips])]
        clips = measure_clips(files, folder, lines)
    found = {
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "seconds": time.perf_counter() - started,
        "fps": given.fps,
        "slides": slides,
        "terminal": busy,
        "clips": clips,
    }
    (given.out / "words-reading.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "words-reading.md").write_text(page(found))


if __name__ == "__main__":
    main()
