"""Lessons of the widened world: questions in a wording of training, and written logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dynfocus.world.wide.facts import SceneFacts, facts_of
from dynfocus.world.wide.question import WideQuestion
from dynfocus.world.wide.questions import make_questions
from dynfocus.world.wide.scene import WideScene
from dynfocus.world.wide.wordings import word

_OF_THINGS = ("presence", "absent", "count")
"""Kinds whose evidence is where a thing is; of one that is absent, no frame is."""
_NOWHERE = ((0.0, 0.0),)


def make_lessons(
    scene: WideScene,
    rng: np.random.Generator,
    max_per_kind: int | None = None,
    weights: Mapping[str, float] | None = None,
    *,
    plain: bool = False,
) -> list[WideQuestion]:
    """Ask about a scene as training does, in a random order.

    Args:
        scene: The script.
        rng: Draws order and wordings.
        max_per_kind: At most so many questions of each kind; a pair counts once.
        weights: How often questions of each kind are asked: 2 is twice, each time in
            another wording, 0.5 is every other one; a kind that is not named is left
            out. Every question once by default.
        plain: Leave every question in its plain wording.

    Returns:
        Questions whose ``question`` and ``answer`` are those of a wording. The evidence
        of a thing that is absent is one empty interval: that no frame shows it is known.
        Where it is that of one object that never changes, ``shows`` describes it.
    """
    facts = facts_of(scene)
    asked: list[WideQuestion] = []
    for question in make_questions(facts, max_per_kind):
        share = 1.0 if weights is None else weights.get(question.kind, 0.0)
        times = int(share) + int(rng.random() < share % 1)
        asked += [question] * times
    lessons = []
    for place in rng.permutation(len(asked)).tolist():
        question = asked[place]
        if not question.evidence and question.kind in _OF_THINGS:
            question = replace(question, evidence=_NOWHERE)
        else:
            question = replace(question, shows=_describe(facts, question))
        lessons.append(question if plain else _worded(rng, question))
    return lessons


def _describe(facts: SceneFacts, question: WideQuestion) -> str:
    """Describe the one object that a question is about, if its evidence shows it."""
    slots = question.slots
    if not question.evidence or "other" in slots:
        return ""
    for member in facts.seen:
        named = (
            slots.get("thing") == member.name or slots.get("letter") == member.letter
        )
        if named and not member.changes:
            return f"{member.size} {member.name} {member.letter}"
    return ""


def _worded(rng: np.random.Generator, question: WideQuestion) -> WideQuestion:
    """Put a question in one of the wordings of training, without options."""
    wording = word(
        rng,
        question.name,
        question.slots,
        question.answer,
        which="training",
    )
    return replace(question, question=wording.text, answer=wording.answer)


def write_log(scene: WideScene, times: NDArray[np.float64], mark: str) -> str:
    """Write down what is in view at each time: a mark a frame, then room and objects.

    The room stands at the front whenever it changes; an object comes with its size,
    name, letter and quarter of the screen, and with what it is doing.
    """
    parts: list[str] = []
    room = ""
    views = [(stay, view) for stay in scene.stays if (view := scene.in_view(stay))]
    for seconds in times.tolist():
        parts.append(mark)
        now = next(
            (r.name for r in scene.rooms if seconds < r.end), scene.rooms[-1].name
        )
        if now != room:
            parts.append(f" the {now}")
            room = now
        parts += [f" {a.name}" for a in scene.anomalies if a.start <= seconds < a.end]
        for stay, (start, end) in views:
            if start <= seconds < end:
                thing = scene.look_of(stay.thing, seconds)
                x, y = scene.centres(stay, np.array([seconds]))[0]
                place = (
                    f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"
                )
                parts.append(f" {thing.size} {thing.name} {thing.letter} {place}")
                parts += [
                    f" {deed.name}"
                    for deed in scene.deeds
                    if deed.thing == stay.thing and deed.start <= seconds < deed.end
                ]
    return "".join(parts)
