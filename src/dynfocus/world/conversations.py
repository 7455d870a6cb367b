"""FocusWorld as instruction data: conversations about videos, pictures and logs.

A video or picture is named by an address such as ``focusworld:train/12?seconds=45`` or
``focusworld:train/12?seconds=45&at=3.5``; ``render_address`` draws its frames when they
are needed, so training data of any size takes no disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from dynfocus.video import SampledFrames
from dynfocus.world.questions import WorldQuestion, make_questions, with_article
from dynfocus.world.render import disturb, placed_objects
from dynfocus.world.scene import Scene, Split, scene_generator
from dynfocus.world.video import NARROW, World
from dynfocus.world.vocabulary import BADGE_PIXELS, BASE_PIXELS, COLOURS, SHAPES
from dynfocus.world.wide import VARIATIONS, WideQuestion, WideScene
from dynfocus.world.wide.lessons import make_lessons, write_log

SCHEME = "focusworld"
PLACEHOLDER = "<image>"
"""Marks the place of a video or picture in a human turn, as in LLaVA's data."""
_NOT_IN_LOGS = ("when", "direction", "action_time")
"""Kinds whose truth the marks of a log do not show."""
_MOST_OF_A_KIND = 3
"""Questions of a kind about a written log of the widened world."""
_WIDE_PIXELS = 128
"""Shorter side of what is drawn of a widened video, as wide as nano sees."""
FRAME_MARK = "|"
"""Stands before the objects of each frame in a written log."""


@dataclass(frozen=True, kw_only=True)
class WorldAddress:
    """Where a FocusWorld video or picture comes from."""

    split: Split
    seed: int
    seconds: float
    at: float | None = None
    """Time of a single picture; None for the whole video."""
    world: World = NARROW
    """The narrow or the widened world."""

    def __str__(self) -> str:
        tail = "" if self.at is None else f"&at={self.at:.15g}"
        if self.world.wide:
            tail += "".join(
                ["&world=wide", *(f"&unseen={v}" for v in self.world.unseen)]
            )
        return f"{SCHEME}:{self.split}/{self.seed}?seconds={self.seconds:.15g}{tail}"

    def scene(self) -> Scene | WideScene:
        """Return the script."""
        return self.world.scene(self.seed, self.seconds, self.split)


def parse_address(text: str) -> WorldAddress | None:
    """Read an address; returns None for anything that is not of this scheme.

    Raises:
        ValueError: If it is of this scheme but malformed.
    """
    if not text.startswith(f"{SCHEME}:"):
        return None
    parts = urlsplit(text)
    fields = parse_qs(parts.query)
    try:
        split, seed = parts.path.split("/")
        scene_generator(int(seed), split)  # type: ignore[arg-type]
        at = float(fields["at"][0]) if "at" in fields else None
        unseen = tuple(v for v in VARIATIONS if v in fields.get("unseen", ()))
        return WorldAddress(
            world=World(wide=fields.get("world") == ["wide"], unseen=unseen),
            split=split,  # type: ignore[arg-type]
            seed=int(seed),
            seconds=float(fields["seconds"][0]),
            at=at,
        )
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{text!r} is not a FocusWorld address such as focusworld:train/12?seconds=45"
        ) from error


def render_address(
    address: WorldAddress, fps: float = 1.0, times: NDArray[np.float64] | None = None
) -> SampledFrames:
    """Draw the frames of an address, with the marks that a codec leaves.

    Args:
        address: What is drawn.
        fps: Frames a second of a whole video.
        times: Moments of a video in seconds, in place of all at ``fps``.

    Returns:
        Frames ``[T, H, W, 3]`` uint8 and their times. The shorter side has 112 pixels, and
        128 in the widened world.
    """
    if address.at is not None:
        times = np.array([address.at])
    elif times is None:
        times = np.arange(0.0, address.seconds, 1.0 / fps)
    size = _WIDE_PIXELS if address.world.wide else BASE_PIXELS
    drawn = address.world.pictures(address.scene(), times.tolist(), size)
    pictures = np.stack(list(drawn))
    rng = np.random.default_rng([41, address.seed, int(10 * address.seconds)])
    shown = times if address.at is None else np.zeros(1)
    return SampledFrames(disturb(pictures, rng), shown)


def video_samples(
    address: WorldAddress,
    *,
    turns_per_sample: int = 4,
    weights: Mapping[str, float] | None = None,
    max_per_kind: int | None = None,
) -> list[dict[str, Any]]:
    """Return conversations about one video in LLaVA's format.

    The questions are shuffled and dealt out, ``turns_per_sample`` to a conversation; the
    video stands before the first.

    Args:
        address: The video.
        turns_per_sample: Questions of a conversation.
        weights: How often the questions of each kind are dealt out: 2 is twice, 0.5 is
            every other one, and a kind that is not named is left out. Every question
            once by default.
        max_per_kind: At most so many different questions of each kind.
    """
    rng = np.random.default_rng([43, address.seed])
    samples: list[dict[str, Any]] = []
    for order in _deal(address.scene(), rng, weights, max_per_kind):
        for start in range(0, len(order), turns_per_sample):
            group = order[start : start + turns_per_sample]
            name = f"{address}#{len(samples)}"
            samples.append(make_sample(name, "video", str(address), group))
    return samples


def _deal(
    scene: Scene | WideScene,
    rng: np.random.Generator,
    weights: Mapping[str, float] | None,
    max_per_kind: int | None,
) -> Iterator[Sequence[WorldQuestion | WideQuestion]]:
    """Yield the questions of a video in a random order, as often as they are asked."""
    if isinstance(scene, WideScene):
        yield make_lessons(scene, rng, max_per_kind, weights)
        return
    asked = make_questions(scene, max_per_kind)
    shares = [1.0 if weights is None else weights.get(q.kind, 0.0) for q in asked]
    for dealt in range(math.ceil(max(shares, default=0.0))):
        left = [share - dealt for share in shares]
        drawn = [share >= 1 or (share > 0 and rng.random() < share) for share in left]
        questions = list(compress(asked, drawn))
        yield [questions[i] for i in rng.permutation(len(questions))]


def frame_log(scene: Scene | WideScene, times: NDArray[np.float64]) -> str:
    """Write down what is in view at each time: a mark a frame, then its objects.

    The room stands at the front whenever it changes.
    """
    if isinstance(scene, WideScene):
        return write_log(scene, times, FRAME_MARK)
    parts: list[str] = []
    room = ""
    for seconds in times:
        parts.append(FRAME_MARK)
        now = next(r.name for r in scene.rooms if seconds < r.end)
        if now != room:
            parts.append(f" the {now}")
            room = now
        parts += [f" {a.name}" for a in scene.anomalies if a.start <= seconds < a.end]
        for visit in scene.visits:
            if visit.start <= seconds < visit.end:
                thing = scene.cast[visit.object_index]
                parts.append(f" {thing.size} {thing.name} {thing.letter}")
    return "".join(parts)


def log_conversation(
    seed: int,
    max_frames: int,
    num_questions: int,
    world: World = NARROW,
    *,
    longest: float = 120.0,
    plain: float = 0.0,
) -> list[tuple[str, str]]:
    """Return questions and answers about a scene, its log before the first question.

    Args:
        seed: Number of the conversation.
        max_frames: Frames of the log at most.
        num_questions: Questions at most.
        world: The narrow or the widened world.
        longest: Seconds of the longest scene; the shortest has ten.
        plain: Share of the conversations whose questions all have the plain wording. The
            narrow world has no other.
    """
    rng = np.random.default_rng([31, seed])
    duration = float(np.exp(rng.uniform(np.log(10), np.log(longest))))
    scene = world.scene(seed, duration, "train")
    num_frames = int(min(max_frames, max(6, duration * rng.uniform(0.4, 1.0))))
    log = frame_log(scene, (np.arange(num_frames) + 0.5) * duration / num_frames)
    asked: Sequence[WorldQuestion | WideQuestion]
    if isinstance(scene, WideScene):
        is_plain = plain > 0 and rng.random() < plain
        asked = make_lessons(scene, rng, _MOST_OF_A_KIND, plain=is_plain)
    else:
        asked = make_questions(scene)
    asked = [q for q in asked if q.kind not in _NOT_IN_LOGS and len(q.answer) < 120]
    picked = [asked[i] for i in rng.permutation(len(asked))[:num_questions]]
    turns = [(q.question, q.answer) for q in picked]
    return [(f"{log}\n{turns[0][0]}", turns[0][1]), *turns[1:]]


def picture_sample(address: WorldAddress) -> dict[str, Any] | None:
    """Return a conversation about one picture, or None if it shows nothing whole."""
    scene = address.scene()
    assert address.at is not None
    assert isinstance(scene, Scene)
    margin = BADGE_PIXELS / 2
    seen = [
        p.thing
        for p in placed_objects(scene, address.at)
        if margin <= p.x <= BASE_PIXELS - margin
    ]
    if not seen:
        return None
    rng = np.random.default_rng([47, address.seed, int(address.at)])
    thing = seen[int(rng.integers(len(seen)))]
    names = {f"{c} {s}" for c in COLOURS for s in SHAPES}
    shown = {p.thing.name for p in placed_objects(scene, address.at)}
    absent = sorted(names - shown)[int(rng.integers(len(names - shown)))]
    pairs = [
        (f"What letter is on the {thing.name}?", thing.letter),
        (f"What colour is the object with the letter {thing.letter}?", thing.colour),
        (f"What shape is the object with the letter {thing.letter}?", thing.shape),
        (f"Does {with_article(thing.name)} appear?", "yes"),
        (f"Does {with_article(absent)} appear?", "no"),
    ]
    group = [
        WorldQuestion(kind="picture", question=pairs[i][0], answer=pairs[i][1])
        for i in rng.permutation(len(pairs))[:3]
    ]
    return make_sample(f"{address}#0", "image", str(address), group)


def make_sample(
    name: str,
    medium: str,
    place: str,
    questions: Sequence[WorldQuestion | WideQuestion],
) -> dict[str, Any]:
    """Write questions about one medium as a conversation in LLaVA's format.

    Args:
        name: The sample's id.
        medium: ``video`` or ``image``.
        place: Its file or address.
        questions: The turns; the medium stands before the first.

    Returns:
        The sample; ``evidence`` holds for each question the half-open intervals of
        seconds that show its answer, where any of them has some, and ``shows`` what is
        seen then, in words, empty where that is not one object.
    """
    turns = []
    evidence = [[list(span) for span in question.evidence] for question in questions]
    for position, question in enumerate(questions):
        mark = f"{PLACEHOLDER}\n" if position == 0 else ""
        turns.append({"from": "human", "value": mark + question.question})
        turns.append({"from": "gpt", "value": question.answer})
    sample: dict[str, Any] = {"id": name, medium: place, "conversations": turns}
    if any(evidence):
        sample["evidence"] = evidence
        shows = [q.shows for q in questions if isinstance(q, WideQuestion)]
        if shows:
            sample["shows"] = shows
    return sample
