"""Whether the right second of a video is among the first that are found.

    python benchmarks/words_finding.py --out docs/results

The questions of ``benchmarks/words/talks_*.txt`` were written before the ranking: twenty
talks of 24 moments, ten questions each. Of half of the talks the words are on the screen,
of the others they are said. Each moment becomes a scene of a real video (a slide with its
lines, or a picture of its own with subtitles beside the file); the words are read as of any
video, then 1, 4 and 8 frames are chosen by the scorer ``text``, by events alone and evenly.
A question is met if one of them lies in its moment. ``--typed`` searches the words as they
were typed, without videos: rows ``find``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.evaluation.metrics import accuracy
from dynfocus.methods import select_frames
from dynfocus.methods.text_scorer import TextScorer
from dynfocus.provenance import describe_hardware, source_commit
from dynfocus.report.pages import font
from dynfocus.video import VideoWriter
from dynfocus.words import TimedText, WordsLibrary, read_words

KINDS = {
    "w": "words of the text",
    "t": "words with typing errors",
    "m": "no content word of the text",
}
COUNTS = (1, 4, 8)
SIZE = (360, 640)
FPS = 4


@dataclass(frozen=True)
class Talk:
    """A talk of the lists."""

    name: str
    is_shown: bool
    moments: list[str]
    questions: list[tuple[str, int, str]]

    def spans(self) -> list[tuple[int, int]]:
        """Give when each moment begins and ends: 6 to 14 seconds, in turns."""
        ends = np.cumsum(
            [6 + 4 * (place * 7 % 3) for place in range(len(self.moments))]
        )
        return list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))

    def texts(self) -> list[TimedText]:
        """Give the words as they were typed."""
        found = []
        for (start, end), moment in zip(self.spans(), self.moments, strict=True):
            lines = moment.split(" / ") if self.is_shown else [moment]
            source = "screen" if self.is_shown else "subtitle"
            found += [
                TimedText(start=float(start), end=float(end), text=line, source=source)
                for line in lines
            ]
        return found


def read_talks() -> list[Talk]:
    """Read the lists."""
    talks: list[Talk] = []
    for path in sorted((Path(__file__).parent / "words").glob("talks_*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("# "):
                name, medium = line[2:].split(" | ")
                talks.append(Talk(name, medium == "screen", [], []))
            elif line.startswith("? "):
                _, kind, place, question = line.split(" ", 3)
                talks[-1].questions.append((kind, int(place), question))
            elif line.strip():
                talks[-1].moments.append(line)
    return talks


def draw(talk: Talk, place: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a slide with its lines, or a picture without words."""
    if not talk.is_shown:
        coarse = rng.integers(30, 220, (5, 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        return np.asarray(picture)
    slide = Image.new("RGB", SIZE[::-1], (248, 248, 244))
    pen = ImageDraw.Draw(slide)
    for row, line in enumerate(talk.moments[place].split(" / ")):
        letters = font(26 if row == 0 else 20, bold=row == 0)
        pen.text((36, 50 + 56 * row), line, (20, 30, 60), letters)
    return np.asarray(slide)


def make_video(talk: Talk, folder: Path) -> Path:
    """Write the talk as a video, with subtitles beside it where it is spoken."""
    path = folder / f"{talk.name}.mp4"
    rng = np.random.default_rng(len(talk.name))
    with VideoWriter(path, fps=FPS, size=SIZE) as writer:
        for place, (start, end) in enumerate(talk.spans()):
            picture = draw(talk, place, rng)
            for _ in range(FPS * (end - start)):
                writer.write(picture)
    if not talk.is_shown:
        cues = zip(talk.spans(), talk.moments, strict=True)
        lines = [
            f"{n}\n{_clock(start)} --> {_clock(end)}\n{text}\n"
            for n, ((start, end), text) in enumerate(cues, 1)
        ]
        path.with_suffix(".srt").write_text("\n".join(lines), encoding="utf-8")
    return path


def _clock(seconds: int) -> str:
    return f"00:{seconds // 60:02d}:{seconds % 60:02d},000"


Choose = Callable[[str, int], list[float]]
"""Gives the times of so many frames for a question."""


def ways_of_video(path: Path) -> dict[str, Choose]:
    """Give the ways in which frames of a video are chosen."""
    texts = read_words(path)
    scorer = TextScorer(read=lambda video: texts)

    def by_words(question: str, count: int) -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no words are about it
            chosen = select_frames(path, question, count, scorer=scorer)
        return [frame.time for frame in chosen.frames]

    kept: dict[tuple[str, int], list[float]] = {}

    def by_rule(rule: str) -> Choose:
        def choose(question: str, count: int) -> list[float]:
            if (rule, count) not in kept:  # the question has no say
                chosen = select_frames(path, question, count, rule=rule)
                kept[rule, count] = [frame.time for frame in chosen.frames]
            return kept[rule, count]

        return choose

    return {"text": by_words, "events": by_rule("events"), "even": by_rule("uniform")}


def ways_of_words(talk: Talk) -> dict[str, Choose]:
    """Give the way in which typed words are found."""
    library = WordsLibrary.of(talk.texts())

    def find(question: str, count: int) -> list[float]:
        found = library.search(question, limit=count)
        return [(one.start + one.end) / 2 for one in found]

    return {"find": find}


Records = dict[tuple[str, str, int], list[dict[str, object]]]
"""A record a question, for a way, a kind and a count."""


def measure(talks: list[Talk], *, typed: bool) -> Records:
    """Ask all questions."""
    records: Records = {}
    for talk in talks:
        with tempfile.TemporaryDirectory() as folder:
            if typed:
                ways = ways_of_words(talk)
            else:
                ways = ways_of_video(make_video(talk, Path(folder)))
            for way, choose in ways.items():
                for count in COUNTS:
                    for kind, place, question in talk.questions:
                        start, end = talk.spans()[place]
                        is_met = any(start <= t < end for t in choose(question, count))
                        records.setdefault((way, kind, count), []).append(
                            {
                                "video": talk.name,
                                "kind": kind,
                                "question": question,
                                "right": is_met,
                            }
                        )
        sys.stderr.write(f"{talk.name}\n")
    return records


def rows(records: Records) -> Iterator[dict[str, object]]:
    """Make a row a way and kind, with intervals over videos."""
    for way, kind in dict.fromkeys((way, kind) for way, kind, _ in records):
        row: dict[str, object] = {"way": way, "kind": KINDS[kind]}
        for count in COUNTS:
            own = records[way, kind, count]
            row["num_questions"] = len(own)
            row[str(count)] = str(accuracy(own))
        yield row


def main() -> None:
    """Measure, and print or keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--typed", action="store_true")
    parser.add_argument("--talks", nargs="*", help="these alone")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    talks = [one for one in read_talks() if not given.talks or one.name in given.talks]
    table = list(rows(measure(talks, typed=given.typed)))
    document = {
        "commit": source_commit(),
        "hardware": describe_hardware(),
        "num_videos": len(talks),
        "rows": table,
    }
    if given.out is not None:
        name = "words_finding_typed.json" if given.typed else "words_finding.json"
        (given.out / name).write_text(json.dumps(document, indent=1), encoding="utf-8")
    for row in table:
        shares = "  ".join(f"{count}: {row[str(count)]}" for count in COUNTS)
        sys.stdout.write(f"{row['way']:7}{row['kind']:32}{shares}\n")


if __name__ == "__main__":
    main()
