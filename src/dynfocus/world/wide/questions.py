"""Questions about a scene of the widened world, whose truth no text gives away.

Where a kind has few possible answers the truth is drawn before the question, so that each
is as likely as the scene allows; `dynfocus.world.wide.balance` evens out what is left over
many videos. Objects that never appear are asked about in pairs with one that does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor
from typing import Any

import numpy as np

from dynfocus.world.questions import clock, with_article
from dynfocus.world.vocabulary import (
    ANOMALIES,
    COLOURS,
    LETTERS,
    ROOMS,
    SHAPES,
    SIZES,
    is_held_out,
)
from dynfocus.world.wide.claims import make_claim
from dynfocus.world.wide.facts import Appearance, Interval, Member, SceneFacts
from dynfocus.world.wide.question import WideQuestion, put_in_words
from dynfocus.world.wide.scene import ACTIONS, CHANGES
from dynfocus.world.wide.wordings import ABSENT, UNANSWERABLE, plain_wording

PLACES = ("top left", "top right", "bottom left", "bottom right")
NOTHING_STRANGE = "nothing"
MAX_COUNT = 6
MAX_DIFFERENT = 8
MIN_ORDER_GAP = 3.0
"""Seconds between two first appearances for their order to be asked."""
MIN_TOPIC_MARGIN = 0.1
"""Share of the video by which the topic's room must lead the next one."""
_FACTS = {
    "training": (
        "the weight of the {thing}",
        "the owner of the {thing}",
        "the price of the {thing}",
        "the smell of the {room}",
        "the address of the {room}",
        "the age of the {thing}",
        "the material of the {thing}",
        "the inside of the {thing}",
        "the back of the {thing}",
        "the taste of the {thing}",
        "the maker of the {thing}",
        "the purpose of the {thing}",
        "the warmth of the {thing}",
        "the favourite food of the {thing}",
        "the one who drew the {thing}",
        "the one who sold the {thing}",
        "the country that the {thing} comes from",
        "the day on which the {thing} was made",
        "the reason why the {thing} moves",
        "the feelings of the {thing}",
        "the voice of the {thing}",
        "the sound of the {thing}",
        "the rent of the {room}",
        "the city of the {room}",
        "the noise in the {room}",
        "the light switch of the {room}",
        "the cook in the {room}",
        "the distance from the {room} to the sea",
        "the one who cleans the {room}",
        "the words that are spoken in the {room}",
        "the weather outside the {room}",
        "the year in which the {room} was built",
        "the title of the video",
        "the camera that was used",
        "the date of the recording",
        "the phone number of the {room}",
    ),
    "held_out": (
        "the music that plays while the {thing} is in view",
        "the temperature in the {room}",
        "the name of the one who filmed the {room}",
    ),
}


Unit = tuple[WideQuestion, ...]
"""Questions that stay together: one, or a pair."""


@dataclass(frozen=True)
class _Asker:
    facts: SceneFacts
    rng: np.random.Generator
    units: list[Unit] = field(default_factory=list)

    def make(
        self,
        kind: str,
        slots: dict[str, str],
        answer: str,
        distractors: Sequence[str] = (),
        *,
        name: str = "",
        **fields: Any,
    ) -> WideQuestion:
        """Make a question whose options are the answer and up to three distractors."""
        options: tuple[str, ...] = ()
        if distractors:
            others = [d for d in dict.fromkeys(distractors) if d != answer]
            options = tuple(self.shuffled([answer, *others][:4]))
        return WideQuestion(
            video=self.facts.video,
            kind=kind,
            name=name or kind,
            slots=slots,
            question=plain_wording(name or kind, slots),
            answer=answer,
            options=options,
            **fields,
        )

    def ask(self, *args: Any, **fields: Any) -> None:
        self.units.append((self.make(*args, **fields),))

    def ask_closed(
        self,
        kind: str,
        slots: dict[str, str],
        answer: str,
        words: Sequence[str],
        **f: Any,
    ) -> None:
        """Ask what has few possible answers, all of them listed."""
        f = {"choice": answer, "num_choices": len(words), **f}
        self.ask(kind, slots, answer, self.shuffled(words), **f)

    def ask_pair(self, basic: WideQuestion, twin: WideQuestion) -> None:
        pair_id = f"{basic.video}/{basic.kind}/{len(self.units)}"
        self.units.append(
            (
                replace(basic, pair="basic", pair_id=pair_id),
                replace(twin, pair="hallucinated", pair_id=pair_id),
            )
        )

    def shuffled(self, words: Sequence[str]) -> list[str]:
        return [words[i] for i in self.rng.permutation(len(words))]

    def members(self) -> list[Member]:
        """Return the objects that are seen and never change, in a random order."""
        seen = [member for member in self.facts.seen if not member.changes]
        return [seen[i] for i in self.rng.permutation(len(seen))]

    def lonely(self) -> list[tuple[Member, Appearance]]:
        """Return the objects that are seen once, with that appearance."""
        return [
            (m, m.appearances[0]) for m in self.members() if len(m.appearances) == 1
        ]

    def absent(self) -> list[str]:
        """Name objects that never appear; near twins of those that do first."""
        shapes = {member.shape for member in self.facts.cast}
        colours = {member.colour for member in self.facts.cast}
        taken = {name for m in self.facts.cast for name in (m.name, m.becomes)}
        names = self.shuffled([f"{c} {s}" for c in COLOURS for s in SHAPES])

        def strangeness(name: str) -> int:
            colour, shape = name.split()
            return 2 - (colour in colours) - (shape in shapes)

        return sorted((n for n in names if n not in taken), key=strangeness)

    def draw(self, words: Sequence[str]) -> str:
        return words[int(self.rng.integers(len(words)))]


def make_questions(
    facts: SceneFacts, max_per_kind: int | None = None
) -> list[WideQuestion]:
    """Ask everything that can be asked about a scene without ambiguity.

    Args:
        facts: What is true of it.
        max_per_kind: Keep at most so many of each kind; a pair counts once.

    Returns:
        Questions grouped by kind, in the order of ``KINDS``, each with two wordings of
        training and one that is held out; the same for the same facts.
    """
    rng = np.random.default_rng([31, *facts.key])
    questions: list[WideQuestion] = []
    for kind in KINDS:
        asker = _Asker(facts, rng)
        _ASKERS[kind](asker)
        kept = _spread(asker.units, rng)[:max_per_kind]
        questions += [put_in_words(rng, q) for unit in kept for q in unit]
    return questions


def _spread(units: list[Unit], rng: np.random.Generator) -> list[Unit]:
    """Put one unit of each choice before a second of any; else in a random order."""
    mixed = [units[i] for i in rng.permutation(len(units))]
    met: Counter[tuple[str, str]] = Counter()
    turns = []
    for unit in mixed:
        key = (unit[0].form, unit[0].choice)
        turns.append(met[key] if unit[0].choice else 0)
        met[key] += 1
    return [mixed[i] for i in sorted(range(len(mixed)), key=lambda i: turns[i])]


def _span(interval: Interval) -> str:
    """Name the first and the last whole second in view."""
    first = ceil(interval[0])
    return f"from {clock(first)} to {clock(max(first + 1, floor(interval[1])))}"


def _exact_span(interval: Interval) -> str:
    """Name start and end in tenths of a second, for what is short."""
    tenths = [round(10 * end) for end in interval]
    start, end = (f"{clock(number // 10)}.{number % 10}" for number in tenths)
    return f"from {start} to {end}"


def _letters(member: Member) -> list[str]:
    """Return the letters that it could carry: one that never is would tell by itself."""
    return [
        letter
        for letter in LETTERS
        if member.held_out or not is_held_out(member.shape, member.colour, letter)
    ]


def _needle(asker: _Asker) -> None:
    for member in asker.members():
        asker.ask_closed(
            "needle",
            {"thing": member.name},
            member.letter,
            _letters(member),
            num_choices=len(LETTERS),
            evidence=member.evidence,
            held_out=member.held_out,
        )


def _attribute(asker: _Asker) -> None:
    for member in asker.members():
        which = asker.draw(("colour", "shape", "size"))
        fields: dict[str, Any] = {"evidence": member.evidence, "form": which}
        if which == "size":
            slots = {"thing": member.name}
            asker.ask_closed(
                "attribute", slots, member.size, SIZES, name="size", **fields
            )
            continue
        slots = {"attribute": which, "letter": member.letter}
        words = COLOURS if which == "colour" else SHAPES
        answer = member.colour if which == "colour" else member.shape
        fields["held_out"] = member.held_out
        asker.ask_closed("attribute", slots, answer, words, **fields)


def _named(name: str) -> dict[str, str]:
    return {"thing": name, "a_thing": with_article(name)}


def _presence(asker: _Asker) -> None:
    for member, absent in zip(asker.members(), asker.absent(), strict=False):
        basic = asker.make(
            "presence",
            _named(member.name),
            "yes",
            ("yes", "no"),
            evidence=member.evidence,
        )
        asker.ask_pair(
            basic, asker.make("presence", _named(absent), "no", ("yes", "no"))
        )


def _absent(asker: _Asker) -> None:
    """Ask the same about an object that is there and one that is not."""
    names = asker.absent()
    for member in asker.members():
        said: dict[str, tuple[str, Sequence[str]]] = {
            "needle": (member.letter, _letters(member)),
            "size": (member.size, SIZES),
        }
        if len(member.appearances) == 1:
            (stay,) = member.appearances
            if stay.direction:
                said["direction"] = stay.direction, ("left", "right")
            if stay.place:
                said["where"] = stay.place, PLACES
        if len(member.actions) == 1:
            said["action"] = member.actions[0].name, ACTIONS
        if not names:
            return
        name = asker.draw(tuple(said))
        answer, words = said[name]
        others = [w for w in asker.shuffled(words) if w != answer][:2]
        listed = [answer, *others, ABSENT]
        slots = {"thing": member.name}, {"thing": names.pop(0)}
        basic = asker.make(
            "absent", slots[0], answer, listed, name=name, evidence=member.evidence
        )
        asker.ask_pair(basic, asker.make("absent", slots[1], ABSENT, listed, name=name))


def _count(asker: _Asker) -> None:
    counted = [(member.name, member.evidence) for member in asker.members()]
    counted += [(name, ()) for name in asker.absent()[:2]]
    numbers = [str(n) for n in range(MAX_COUNT + 1)]
    for name, evidence in counted:
        if len(evidence) <= MAX_COUNT:
            answer = str(len(evidence))
            asker.ask_closed(
                "count", {"thing": name}, answer, numbers, evidence=evidence
            )


def _different(asker: _Asker) -> None:
    seen = asker.facts.seen
    if 1 <= len(seen) <= MAX_DIFFERENT:
        numbers = [str(n) for n in range(1, MAX_DIFFERENT + 1)]
        asker.ask_closed("different", {}, str(len(seen)), numbers)


def _order(asker: _Asker) -> None:
    members = asker.members()
    for one, other in zip(members, members[1:], strict=False):
        starts = one.appearances[0].start, other.appearances[0].start
        if abs(starts[0] - starts[1]) < MIN_ORDER_GAP:
            continue
        is_first = bool(asker.rng.integers(2))  # the truth, before the question
        if (starts[0] < starts[1]) != is_first:
            one, other = other, one
        asker.ask(
            "order",
            {"thing": one.name, "other": other.name},
            f"the {(one if is_first else other).name}",
            (f"the {one.name}", f"the {other.name}"),
            choice="first" if is_first else "second",
            num_choices=2,
            evidence=(one.evidence[0], other.evidence[0]),
        )


def _before_after(asker: _Asker) -> None:
    seen = asker.facts.seen
    names = [f"the {member.name}" for member in seen]
    for place in range(len(seen) - 1):
        near = seen[max(0, place - 1) : place + 3]
        starts = [member.appearances[0].start for member in near]
        gaps = [b - a for a, b in zip(starts, starts[1:], strict=False)]
        if min(gaps) < MIN_ORDER_GAP or len(names) < 4:
            continue
        relation = asker.draw(("before", "after"))
        one, other = seen[place], seen[place + 1]
        if relation == "before":
            one, other = other, one
        others = [n for n in asker.shuffled(names) if n != f"the {one.name}"]
        asker.ask(
            "before_after",
            {"thing": one.name, "relation": relation},
            f"the {other.name}",
            others,
            num_choices=len(COLOURS) * len(SHAPES) - 1,
            evidence=(one.evidence[0], other.evidence[0]),
        )


def _others_at(facts: SceneFacts, place: int) -> list[tuple[int, Interval]]:
    """Return who is ever next to a member, and when."""
    return [
        (b if a == place else a, t) for a, b, t in facts.meetings if place in (a, b)
    ]


def _beside(asker: _Asker) -> None:
    facts = asker.facts
    for place, member in enumerate(facts.cast):
        met = _others_at(facts, place)
        if len({who for who, _ in met}) != 1 or member.changes:
            continue
        neighbour = facts.cast[met[0][0]]
        if neighbour.becomes not in ("", neighbour.name):
            continue
        names = [f"the {other.name}" for other in facts.cast if other is not member]
        if len(names) >= 4:
            asker.ask(
                "beside",
                {"thing": member.name},
                f"the {neighbour.name}",
                asker.shuffled(names),
                num_choices=len(COLOURS) * len(SHAPES) - 1,
                evidence=tuple(when for _, when in met),
            )


def _ask_times(
    asker: _Asker,
    kind: str,
    asked: Sequence[tuple[dict[str, str], Interval]],
    name_span: Callable[[Interval], str],
) -> None:
    """Ask when each of some things happened, among the times of the others."""
    for slots, interval in asked:
        length = interval[1] - interval[0]
        room = max(0.0, asker.facts.duration - length)
        starts = asker.rng.uniform(0, room, 3).tolist()
        others = [other for _, other in asked]
        others += [(start, start + length) for start in starts]
        # a shift by a third of the length either way leaves an IoU of half or more
        num_choices = max(1, floor(room / (2 / 3 * length)))
        wrong = [name_span(o) for o in others if _is_apart(o, interval)]
        fields = {"evidence": (interval,), "num_choices": num_choices}
        asker.ask(kind, slots, name_span(interval), wrong, **fields)


def _is_apart(one: Interval, other: Interval) -> bool:
    """Tell whether two intervals have nothing in common, with a second to spare."""
    return one[1] + 1 < other[0] or other[1] + 1 < one[0]


def _when(asker: _Asker) -> None:
    stays = [
        ({"thing": member.name}, (stay.start, stay.end))
        for member, stay in asker.lonely()
    ]
    _ask_times(asker, "when", stays, _span)


def _direction(asker: _Asker) -> None:
    for member, stay in asker.lonely():
        if stay.direction:
            asker.ask_closed(
                "direction",
                {"thing": member.name},
                stay.direction,
                ("left", "right"),
                evidence=member.evidence,
            )


def _where(asker: _Asker) -> None:
    for member, stay in asker.lonely():
        if stay.place:
            asker.ask_closed(
                "where",
                {"thing": member.name},
                stay.place,
                PLACES,
                evidence=member.evidence,
            )


def _action(asker: _Asker) -> None:
    for member in asker.members():
        if len(member.actions) == 1:
            asker.ask_closed(
                "action",
                {"thing": member.name},
                member.actions[0].name,
                ACTIONS,
                evidence=(member.actions[0].interval,),
            )


def _action_time(asker: _Asker) -> None:
    actions = [
        ({"thing": member.name, "action": action.name}, action.interval)
        for member in asker.members()
        for action in member.actions
        if len(member.actions) == 1
    ]
    _ask_times(asker, "action_time", actions, _exact_span)


def _change(asker: _Asker) -> None:
    for member in asker.facts.seen:
        if len(member.changes) == 1:
            asker.ask_closed(
                "change",
                {"thing": member.name},
                member.changes[0].name,
                CHANGES,
                evidence=(member.changes[0].interval,),
            )


def main_room(facts: SceneFacts) -> tuple[str, float]:
    """Return the room that is shown longest, and its lead in seconds."""
    seconds = dict.fromkeys(ROOMS, 0.0)
    for room in facts.rooms:
        seconds[room.name] += room.end - room.start
    first, second = sorted(ROOMS, key=lambda name: -seconds[name])[:2]
    return first, seconds[first] - seconds[second]


def _topic(asker: _Asker) -> None:
    room, lead = main_room(asker.facts)
    if lead >= MIN_TOPIC_MARGIN * asker.facts.duration:
        rooms = [f"the {name}" for name in ROOMS]
        asker.ask_closed("topic", {}, f"the {room}", rooms)


def _anomaly(asker: _Asker) -> None:
    happened = asker.facts.anomalies
    answer = happened[0].name if happened else NOTHING_STRANGE
    evidence = tuple(moment.interval for moment in happened)
    words = (*ANOMALIES, NOTHING_STRANGE)
    asker.ask_closed("anomaly", {}, answer, words, evidence=evidence)


def _caption(asker: _Asker) -> None:
    things = [
        f"a {m.size} {m.name} with the letter {m.letter}" for m in asker.facts.seen
    ]
    text = f"In the {main_room(asker.facts)[0]}: " + ", then ".join(things)
    if asker.facts.anomalies:
        text += f"; {asker.facts.anomalies[0].name}"
    asker.ask("caption", {}, text + ".")


def _summary(asker: _Asker) -> None:
    facts = asker.facts
    num = len(facts.seen)
    doings = [
        f"the {m.name} is seen to {a.name}" for m in facts.seen for a in m.actions
    ]
    events = [moment.name for moment in facts.anomalies] + doings[:2]
    text = f"{num} objects come and go, mostly in the {main_room(facts)[0]}"
    asker.ask("summary", {}, "; ".join([text, *events]) + ".")


def _unanswerable(asker: _Asker) -> None:
    """Ask what nobody can see, beside what can be seen of the same object."""
    for member in asker.members():
        which = "training" if asker.facts.video.startswith("train") else "held_out"
        known = {"thing": member.name, "room": asker.draw(ROOMS)}
        fact = asker.draw(_FACTS[which]).format(**known)
        basic = asker.make(
            "unanswerable",
            {"thing": member.name},
            member.letter,
            name="needle",
            evidence=member.evidence,
        )
        asker.ask_pair(basic, asker.make("unanswerable", {"fact": fact}, UNANSWERABLE))


def _claim(asker: _Asker) -> None:
    found = _Asker(asker.facts, asker.rng)
    for name in (
        "needle",
        "attribute",
        "count",
        "order",
        "direction",
        "where",
        "topic",
    ):
        _ASKERS[name](found)
    asker.units.extend(
        (make_claim(asker.rng, question),) for (question,) in found.units
    )


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
    "where": _where,
    "different": _different,
    "beside": _beside,
    "before_after": _before_after,
    "action": _action,
    "action_time": _action_time,
    "change": _change,
    "summary": _summary,
    "absent": _absent,
    "claim": _claim,
    "unanswerable": _unanswerable,
}
KINDS = tuple(_ASKERS)
