"""Many videos together: no answer is commoner than the others, and groups of four.

One scene cannot be balanced: it has so many objects and one room that leads. A set of
videos can, by leaving questions out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from dynfocus.world.wide.claims import STATEMENTS, make_claim
from dynfocus.world.wide.question import WideQuestion, put_in_words
from dynfocus.world.wide.wordings import WordingSet, word

MAX_SURPLUS = 0.01
"""By how much the share of a choice may exceed one over the number of choices."""
_MOST_GROUPS = 4  # of a video


def balance(questions: Sequence[WideQuestion]) -> list[WideQuestion]:
    """Leave questions out until no choice is commoner than it may be.

    Of each kind and form as many are kept as possible with each choice's share at most
    one over the number of choices plus `MAX_SURPLUS`; with fewer questions than that needs,
    as many of each choice that there is as of the rarest, or none of two choices. Questions without a choice,
    and pairs, which are balanced by construction, all stay.

    Args:
        questions: About all the videos.

    Returns:
        Those that stay, in the same order.
    """
    strata: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    keep = set(range(len(questions)))
    for place, asked in enumerate(questions):
        if asked.choice and not asked.group:
            strata[asked.kind, asked.form][asked.choice].append(place)
            keep.remove(place)
    rng = np.random.default_rng([37, 0])
    for places in strata.values():
        num_choices = questions[next(iter(places.values()))[0]].num_choices
        most = _cap([len(group) for group in places.values()], num_choices)
        for choice in sorted(places):
            group = places[choice]
            drawn = rng.permutation(len(group))[:most]
            keep.update(group[i] for i in drawn.tolist())
    return [asked for place, asked in enumerate(questions) if place in keep]


def _cap(sizes: Sequence[int], num_choices: int) -> int:
    """Return the most questions of one choice that keep its share within bounds."""
    share = 1 / num_choices + MAX_SURPLUS
    for most in range(max(sizes), 0, -1):
        if min(most, max(sizes)) <= share * sum(min(size, most) for size in sizes):
            return most
    if num_choices == 2:  # a question of one choice tests nothing
        return 0
    return min(sizes)


def make_groups(
    questions: Iterable[WideQuestion], which: WordingSet = "training"
) -> list[WideQuestion]:
    """Make groups of four questions about one event, to be scored together.

    They are a question in plain words, the same in other words, a negated claim about
    the same, and the plain question about another video where its answer is another.

    Args:
        questions: About several videos, as `make_questions` gives them.
        which: Set of the other words.

    Returns:
        Four questions a group, one after another.
    """
    rng = np.random.default_rng([41, 0])
    asked = list(questions)
    by_text: dict[str, list[WideQuestion]] = defaultdict(list)
    for question in asked:
        by_text[question.question].append(question)
    num_groups: Counter[str] = Counter()
    found: list[WideQuestion] = []
    for place in rng.permutation(len(asked)).tolist():
        first = asked[place]
        if first.pair_id or first.name not in STATEMENTS or len(first.options) < 2:
            continue
        twins = [
            twin
            for twin in by_text[first.question]
            if twin.video != first.video and twin.answer != first.answer
        ]
        if not twins or num_groups[first.video] == _MOST_GROUPS:
            continue
        num_groups[first.video] += 1
        twin = twins[int(rng.integers(len(twins)))]
        name = f"{first.video}/group/{num_groups[first.video]}"
        found += _make_group(rng, first, twin, name, which)
    return found


def _make_group(
    rng: np.random.Generator,
    first: WideQuestion,
    twin: WideQuestion,
    name: str,
    which: WordingSet,
) -> list[WideQuestion]:
    other = first.question
    while _letters(other) == _letters(first.question):
        other = word(rng, first.name, first.slots, first.answer, which=which).text
    claim = put_in_words(rng, make_claim(rng, first, negated=True))
    group = (first, replace(first, question=other), claim, twin)
    return [
        replace(question, group=name, pair="", pair_id="", choice="", num_choices=0)
        for question in group
    ]


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))
