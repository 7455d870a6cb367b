"""FocusWorld as instruction data: conversations about videos, pictures and logs.

A video or picture is named by an address such as ``focusworld:train/12?seconds=45`` or
``focusworld:train/12?seconds=45&at=3.5``; ``render_address`` draws its frames when they
are needed, so training data of any size takes no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from dynfocus.video import SampledFrames
from dynfocus.world.questions import WorldQuestion, make_questions, with_article
from dynfocus.world.render import placed_objects, render
from dynfocus.world.scene import Scene, Split, make_scene, scene_generator
from dynfocus.world.snapshots import disturb
from dynfocus.world.vocabulary import BADGE_PIXELS, BASE_PIXELS, COLOURS, SHAPES

SCHEME = "focusworld"
PLACEHOLDER = "<image>"
"""Marks the place of a video or picture in a human turn, as in LLaVA's data."""


@dataclass(frozen=True, kw_only=True)
class WorldAddress:
    """Where a FocusWorld video or picture comes from."""

    split: Split
    seed: int
    seconds: float
    at: float | None = None
    """Time of a single picture; None for the whole video."""

    def __str__(self) -> str:
        tail = "" if self.at is None else f"&at={self.at:.15g}"
        return f"{SCHEME}:{self.split}/{self.seed}?seconds={self.seconds:.15g}{tail}"

    def scene(self) -> Scene:
        """Return the script."""
        return make_scene(self.seed, self.seconds, self.split)


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
        return WorldAddress(
            split=split,  # type: ignore[arg-type]
            seed=int(seed),
            seconds=float(fields["seconds"][0]),
            at=at,
        )
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{text!r} is not a FocusWorld address such as focusworld:train/12?seconds=45"
        ) from error


def render_address(address: WorldAddress, fps: float = 1.0) -> SampledFrames:
    """Draw the frames of an address at ``fps``, with the marks that a codec leaves.

    Returns:
        Frames ``[T, 112, 112, 3]`` uint8 and their times.
    """
    if address.at is None:
        times = np.arange(0.0, address.seconds, 1.0 / fps)
    else:
        times = np.array([address.at])
    pictures = np.stack(list(render(address.scene(), times.tolist())))
    rng = np.random.default_rng([41, address.seed, int(10 * address.seconds)])
    shown = times if address.at is None else np.zeros(1)
    return SampledFrames(disturb(pictures, rng), shown)


def video_samples(
    address: WorldAddress,
    *,
    turns_per_sample: int = 4,
    max_per_kind: int | None = None,
    kinds: tuple[str, ...] | None = None,
    repeats: int = 1,
    near_twins: bool = True,
) -> list[dict[str, Any]]:
    """Return conversations about one video in LLaVA's format.

    The questions are shuffled and dealt out, ``turns_per_sample`` to a conversation; the
    video stands before the first. ``repeats`` deals them out so many times anew;
    ``near_twins`` is explained at ``make_questions``.
    """
    scene = address.scene()
    questions = [
        q
        for q in make_questions(scene, max_per_kind, near_twins=near_twins)
        if kinds is None or q.kind in kinds
    ]
    rng = np.random.default_rng([43, address.seed])
    samples: list[dict[str, Any]] = []
    for _ in range(repeats):
        order = [questions[i] for i in rng.permutation(len(questions))]
        for start in range(0, len(order), turns_per_sample):
            group = order[start : start + turns_per_sample]
            name = f"{address}#{len(samples)}"
            samples.append(make_sample(name, "video", str(address), group))
    return samples


def picture_sample(address: WorldAddress) -> dict[str, Any] | None:
    """Return a conversation about one picture, or None if it shows nothing whole."""
    assert address.at is not None
    scene = address.scene()
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
    name: str, medium: str, place: str, questions: Sequence[WorldQuestion]
) -> dict[str, Any]:
    """Write questions about one medium as a conversation in LLaVA's format.

    Args:
        name: The sample's id.
        medium: ``video`` or ``image``.
        place: Its file or address.
        questions: The turns; the medium stands before the first.

    Returns:
        The sample; ``evidence`` holds for each question the half-open intervals of
        seconds that show its answer, where any of them has some.
    """
    turns = []
    evidence = [[list(span) for span in question.evidence] for question in questions]
    for position, question in enumerate(questions):
        mark = f"{PLACEHOLDER}\n" if position == 0 else ""
        turns.append({"from": "human", "value": mark + question.question})
        turns.append({"from": "gpt", "value": question.answer})
    sample = {"id": name, medium: place, "conversations": turns}
    return {**sample, "evidence": evidence} if any(evidence) else sample
