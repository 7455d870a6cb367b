"""Questions about a scene, with answers, evidence and distractors.

The kinds are named after what video benchmarks measure: a detail in a haystack, object
presence with a hallucinated twin, counting, temporal order, temporal grounding, motion,
topic, anomaly and captioning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import ceil, floor
from typing import Any

import numpy as np

from dynfocus.world.scene import SPLITS, Scene, Visit, WorldObject
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
)

KINDS = (
    "needle",
    "attribute",
    "presence",
    "count",
    "order",
    "when",
    "direction",
    "topic",
    "anomaly",
    "caption",
)

Interval = tuple[float, float]
MIN_ORDER_GAP = 3.0
"""Seconds between two first appearances for their order to be asked."""
MIN_TOPIC_MARGIN = 0.1
"""Share of the video by which the topic's room must lead the next one."""
MAX_COUNT = 6
NOTHING_STRANGE = "nothing"


@dataclass(frozen=True, kw_only=True)
class WorldQuestion:
    """One question about a video.

    Attributes:
        kind: One of ``KINDS``.
        question: What is asked.
        answer: The only right answer, to be matched exactly.
        evidence: Half-open intervals in seconds that show the answer; empty when the
            answer rests on the whole video.
        options: The answer among distractors, in a fixed random order.
        held_out: Whether it is about a combination that training never shows.
        pair: ``basic`` or ``hallucinated`` for presence questions, else empty.
    """

    kind: str
    question: str
    answer: str
    evidence: tuple[Interval, ...] = ()
    options: tuple[str, ...] = ()
    held_out: bool = False
    pair: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give what stands in a line of ``benchmark.jsonl``."""
        return asdict(self)


@dataclass(frozen=True)
class _Asker:
    scene: Scene
    rng: np.random.Generator
    questions: list[WorldQuestion] = field(default_factory=list)

    def ask(
        self,
        kind: str,
        question: str,
        answer: str,
        distractors: list[str],
        *,
        evidence: tuple[Interval, ...] = (),
        held_out: bool = False,
        pair: str = "",
    ) -> None:
        options = [answer, *(d for d in dict.fromkeys(distractors) if d != answer)][:4]
        order = self.rng.permutation(len(options))
        self.questions.append(
            WorldQuestion(
                kind=kind,
                question=question,
                answer=answer,
                evidence=evidence,
                options=tuple(options[i] for i in order),
                held_out=held_out,
                pair=pair,
            )
        )

    def shuffled(self, words: tuple[str, ...]) -> list[str]:
        return [words[i] for i in self.rng.permutation(len(words))]

    def seen(self) -> list[tuple[WorldObject, tuple[Visit, ...]]]:
        """Return the objects that appear, with their visits, in a random order."""
        pairs = [
            (thing, self.scene.visits_of(i)) for i, thing in enumerate(self.scene.cast)
        ]
        pairs = [p for p in pairs if p[1]]
        return [pairs[i] for i in self.rng.permutation(len(pairs))]


def make_questions(
    scene: Scene, max_per_kind: int | None = None
) -> list[WorldQuestion]:
    """Ask everything that can be asked about a scene without ambiguity.

    Args:
        scene: The script of the video.
        max_per_kind: Keep at most so many of each kind (presence: so many pairs).

    Returns:
        Questions grouped by kind, in the order of ``KINDS``; the same for the same scene.
    """
    rng = np.random.default_rng([17, SPLITS.index(scene.split), scene.seed])
    questions: list[WorldQuestion] = []
    for kind in KINDS:
        asker = _Asker(scene, rng)
        _ASKERS[kind](asker)
        most = max_per_kind and max_per_kind * (2 if kind == "presence" else 1)
        questions += asker.questions[:most]
    return questions


def clock(seconds: float) -> str:
    """Write a time in whole seconds as ``mm:ss``."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def with_article(name: str) -> str:
    """Put ``a`` or ``an`` before a name."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def parse_interval(text: str) -> Interval | None:
    """Read ``from mm:ss to mm:ss``, seconds with tenths or without; None if it is not."""
    words = text.split()
    if len(words) != 4 or words[0] != "from" or words[2] != "to":
        return None
    ends = []
    for word in (words[1], words[3]):
        minutes, colon, seconds = word.partition(":")
        whole, point, tenths = seconds.partition(".")
        parts = (minutes, whole, tenths) if point else (minutes, whole)
        if not (colon and all(part.isdecimal() for part in parts)):
            return None
        ends.append(60.0 * int(minutes) + float(seconds))
    return ends[0], ends[1]


def _evidence(visits: tuple[Visit, ...]) -> tuple[Interval, ...]:
    return tuple((v.start, v.end) for v in visits)


def _needle(asker: _Asker) -> None:
    for thing, visits in asker.seen():
        asker.ask(
            "needle",
            f"What letter is on the {thing.name}?",
            thing.letter,
            asker.shuffled(LETTERS)[:4],
            evidence=_evidence(visits),
            held_out=thing.held_out,
        )


def _attribute(asker: _Asker) -> None:
    for thing, visits in asker.seen():
        which = int(asker.rng.integers(3))
        if which == 0:
            text = f"What colour is the object with the letter {thing.letter}?"
            answer, words = thing.colour, asker.shuffled(COLOURS)
        elif which == 1:
            text = f"What shape is the object with the letter {thing.letter}?"
            answer, words = thing.shape, asker.shuffled(SHAPES)
        else:
            text = f"Is the {thing.name} small or large?"
            answer, words = thing.size, list(SIZES)
        asker.ask(
            "attribute",
            text,
            answer,
            words,
            evidence=_evidence(visits),
            held_out=thing.held_out and which < 2,
        )


def _absent_names(asker: _Asker) -> list[str]:
    """Return names of objects that never appear; near twins of those that do first."""
    names = {thing.name for thing in asker.scene.cast}
    shapes = {thing.shape for thing in asker.scene.cast}
    colours = {thing.colour for thing in asker.scene.cast}
    absent = [f"{c} {s}" for c in COLOURS for s in SHAPES if f"{c} {s}" not in names]
    absent = asker.shuffled(tuple(absent))

    def strangeness(name: str) -> int:
        colour, shape = name.split()
        return 2 - (colour in colours) - (shape in shapes)

    return sorted(absent, key=strangeness)


def _presence(asker: _Asker) -> None:
    for (thing, visits), absent in zip(
        asker.seen(), _absent_names(asker), strict=False
    ):
        for pair, name, answer in (
            ("basic", thing.name, "yes"),
            ("hallucinated", absent, "no"),
        ):
            asker.ask(
                "presence",
                f"Does {with_article(name)} appear?",
                answer,
                ["yes", "no"],
                evidence=_evidence(visits) if answer == "yes" else (),
                pair=pair,
            )


def _count(asker: _Asker) -> None:
    counted = [(thing.name, visits) for thing, visits in asker.seen()]
    counted += [(name, ()) for name in _absent_names(asker)[: 1 + len(counted) // 4]]
    counted = [counted[i] for i in asker.rng.permutation(len(counted))]
    met: Counter[int] = Counter()
    turns = []
    for _, visits in counted:
        turns.append(met[len(visits)])
        met[len(visits)] += 1
    # one of each number before a second of any, so that a small sample is not all ones
    for i in sorted(range(len(counted)), key=lambda i: turns[i]):
        name, visits = counted[i]
        numbers = asker.shuffled(tuple(str(n) for n in range(MAX_COUNT + 1)))
        asker.ask(
            "count",
            f"How many times does the {name} appear?",
            str(len(visits)),
            numbers,
            evidence=_evidence(visits),
        )


def _order(asker: _Asker) -> None:
    seen = asker.seen()
    for (one, visits), (other, others) in zip(seen, seen[1:], strict=False):
        if abs(visits[0].start - others[0].start) < MIN_ORDER_GAP:
            continue
        first = one if visits[0].start < others[0].start else other
        asker.ask(
            "order",
            f"Which appears first, the {one.name} or the {other.name}?",
            f"the {first.name}",
            [f"the {one.name}", f"the {other.name}"],
            evidence=_evidence((visits[0], others[0])),
        )


def _when(asker: _Asker) -> None:
    for thing, visits in asker.seen():
        if len(visits) != 1:
            continue
        visit = visits[0]
        answer = _span(visit.start, visit.end)
        length = visit.end - visit.start
        others = [
            _span(start, start + length)
            for start in asker.rng.uniform(0, asker.scene.duration - length, 3)
        ]
        asker.ask(
            "when",
            f"When does the {thing.name} appear?",
            answer,
            others,
            evidence=_evidence(visits),
        )


def _span(start: float, end: float) -> str:
    """Name the first and the last whole second in view."""
    first = ceil(start)
    return f"from {clock(first)} to {clock(max(first + 1, floor(end)))}"


def _direction(asker: _Asker) -> None:
    for thing, visits in asker.seen():
        if len(visits) == 1 and visits[0].path != "stay":
            asker.ask(
                "direction",
                f"Which way does the {thing.name} move, left or right?",
                visits[0].path,
                ["left", "right"],
                evidence=_evidence(visits),
            )


def _topic(asker: _Asker) -> None:
    seconds = asker.scene.room_seconds()
    ranked = sorted(ROOMS, key=lambda room: -seconds[room])
    lead = seconds[ranked[0]] - seconds[ranked[1]]
    if lead >= MIN_TOPIC_MARGIN * asker.scene.duration:
        asker.ask(
            "topic",
            "Which room is shown most of the time?",
            f"the {ranked[0]}",
            [f"the {room}" for room in asker.shuffled(ROOMS)],
        )


def _anomaly(asker: _Asker) -> None:
    happened = asker.scene.anomalies
    asker.ask(
        "anomaly",
        "What strange thing happens?",
        happened[0].name if happened else NOTHING_STRANGE,
        [*ANOMALIES, NOTHING_STRANGE],
        evidence=tuple((a.start, a.end) for a in happened),
    )


def _caption(asker: _Asker) -> None:
    scene = asker.scene
    firsts = sorted(asker.seen(), key=lambda pair: pair[1][0].start)
    things = [f"a {t.size} {t.name} with the letter {t.letter}" for t, _ in firsts]
    seconds = scene.room_seconds()
    room = max(ROOMS, key=lambda name: seconds[name])
    text = f"In the {room}: " + ", then ".join(things)
    if scene.anomalies:
        text += f"; {scene.anomalies[0].name}"
    asker.ask("caption", "Describe the video.", text + ".", [])


_ASKERS: dict[str, Callable[[_Asker], None]] = {
    "needle": _needle,
    "attribute": _attribute,
    "presence": _presence,
    "count": _count,
    "order": _order,
    "when": _when,
    "direction": _direction,
    "topic": _topic,
    "anomaly": _anomaly,
    "caption": _caption,
}
