"""Every answer is recomputed by looking at the scene sample by sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from dynfocus.world import (
    KINDS,
    Scene,
    WorldQuestion,
    make_questions,
    make_scene,
    parse_interval,
)
from dynfocus.world.questions import MIN_ORDER_GAP, clock
from dynfocus.world.render import placed_objects
from dynfocus.world.vocabulary import BASE_PIXELS, ROOMS

STEP = 0.05
CASES = [
    ("train", 0, 5.0),
    ("train", 3, 45.0),
    ("validation", 1, 120.0),
    ("test", 2, 60.0),
    ("test", 5, 150.0),
    ("test", 11, 300.0),
]


class Witness:
    """Looks at a scene at every step and remembers who was in view."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.times = np.arange(0.0, scene.duration, STEP)
        self.places: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.facts: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for seconds in self.times.tolist():
            for placed in placed_objects(scene, seconds):
                if 0 <= placed.x <= BASE_PIXELS:
                    thing = placed.thing
                    self.places[thing.name].append((seconds, placed.x))
                    self.facts[thing.name].add((thing.letter, thing.size))

    def runs(self, name: str) -> list[list[tuple[float, float]]]:
        """Split what was seen of an object into appearances."""
        runs: list[list[tuple[float, float]]] = []
        for seconds, x in self.places.get(name, []):
            if not runs or seconds - runs[-1][-1][0] > 1.5 * STEP:
                runs.append([])
            runs[-1].append((seconds, x))
        return runs

    def first(self, name: str) -> float:
        return self.places[name][0][0]


@cache
def witness(split: str, seed: int, seconds: float) -> Witness:
    return Witness(make_scene(seed, seconds, split))


def asked(kind: str) -> list[tuple[Witness, WorldQuestion]]:
    pairs = []
    for case in CASES:
        seen = witness(*case)
        pairs += [(seen, q) for q in make_questions(seen.scene) if q.kind == kind]
    assert pairs
    return pairs


def between(text: str, front: str, back: str) -> str:
    assert text.startswith(front), text
    assert text.endswith(back), text
    return text[len(front) : len(text) - len(back)]


def test_questions_repeat_and_come_by_kind():
    scene = make_scene(5, 150.0)
    questions = make_questions(scene)
    assert questions == make_questions(scene)
    order = [KINDS.index(question.kind) for question in questions]
    assert order == sorted(order)
    met = {q.kind for case in CASES for q in make_questions(witness(*case).scene)}
    assert met == set(KINDS)


def test_needle():
    for seen, question in asked("needle"):
        name = between(question.question, "What letter is on the ", "?")
        assert {letter for letter, _ in seen.facts[name]} == {question.answer}


def test_attribute():
    for seen, question in asked("attribute"):
        text = question.question
        if text.startswith("Is the "):
            name = between(text, "Is the ", " small or large?")
            assert {size for _, size in seen.facts[name]} == {question.answer}
            continue
        names = [
            n for n, facts in seen.facts.items() for x, _ in facts if x == text[-2]
        ]
        (name,) = set(names)
        word = 0 if text.startswith("What colour is the object with") else 1
        assert question.answer == name.split()[word]


def test_presence_comes_in_pairs():
    for case in CASES:
        seen = witness(*case)
        questions = [q for q in make_questions(seen.scene) if q.kind == "presence"]
        pairs = [q.pair for q in questions]
        assert pairs == ["basic", "hallucinated"] * (len(pairs) // 2)
        for question in questions:
            name = between(question.question, "Does a", " appear?").lstrip("n ")
            assert question.answer == ("yes" if seen.runs(name) else "no")
            assert question.answer == ("yes" if question.pair == "basic" else "no")


def test_count():
    answers = Counter()
    for seen, question in asked("count"):
        name = between(question.question, "How many times does the ", " appear?")
        assert question.answer == str(len(seen.runs(name)))
        answers[question.answer] += 1
    assert len(answers) >= 4
    assert answers["0"] > 0


def test_order():
    for seen, question in asked("order"):
        both = between(question.question, "Which appears first, the ", "?")
        one, other = both.split(" or the ")
        assert abs(seen.first(one) - seen.first(other)) > MIN_ORDER_GAP - 2 * STEP
        first = min(one, other, key=seen.first)
        assert question.answer == f"the {first}"


def test_order_of_objects_that_meet():
    num_met = 0
    for seed in range(40):
        scene = make_scene(seed, 40.0)
        firsts: dict[str, float] = {}
        lasts: dict[str, float] = {}
        for seconds in np.arange(0.0, 40.0, 0.25).tolist():
            for placed in placed_objects(scene, seconds):
                if 0 <= placed.x <= BASE_PIXELS:
                    firsts.setdefault(placed.thing.name, seconds)
                    lasts[placed.thing.name] = seconds
        for question in make_questions(scene):
            if question.kind == "order":
                names = [option.removeprefix("the ") for option in question.options]
                first, second = sorted(names, key=firsts.__getitem__)
                assert question.answer == f"the {first}"
                num_met += firsts[second] < lasts[first]
    assert num_met > 5


def test_when():
    for seen, question in asked("when"):
        name = between(question.question, "When does the ", " appear?")
        (run,) = seen.runs(name)
        start, end = parse_interval(question.answer)
        assert 0 <= start - run[0][0] < 1 + STEP
        assert -STEP <= run[-1][0] + STEP - end < 1 + STEP


def test_direction():
    answers = set()
    for seen, question in asked("direction"):
        name = between(
            question.question, "Which way does the ", " move, left or right?"
        )
        (run,) = seen.runs(name)
        moves = np.diff([x for _, x in run])
        assert (moves > 0).all() if question.answer == "right" else (moves < 0).all()
        answers.add(question.answer)
    assert answers == {"left", "right"}


def test_topic():
    for seen, question in asked("topic"):
        shown = Counter(
            room.name
            for seconds in seen.times
            for room in seen.scene.rooms
            if room.start <= seconds < room.end
        )
        assert question.answer == f"the {shown.most_common(1)[0][0]}"
        assert sum(shown.values()) == len(seen.times)


def test_topic_is_not_asked_without_a_clear_winner():
    unclear = 0
    for seed in range(60):
        scene = make_scene(seed, 100.0)
        lengths = sorted(scene.room_seconds().values())
        is_clear = lengths[-1] - lengths[-2] >= 10.0
        kinds = [question.kind for question in make_questions(scene)]
        assert ("topic" in kinds) == is_clear
        unclear += not is_clear
    assert unclear


def test_anomaly():
    answers = set()
    for seen, question in asked("anomaly"):
        names = {
            stretch.name
            for seconds in seen.times
            for stretch in seen.scene.anomalies
            if stretch.start <= seconds < stretch.end
        }
        assert names == ({question.answer} - {"nothing"})
        answers.add(question.answer)
    assert len(answers) > 1


def test_caption_names_all_in_order_of_appearance():
    for seen, question in asked("caption"):
        names = sorted(seen.places, key=seen.first)
        places = [question.answer.index(f" {name} with") for name in names]
        assert places == sorted(places)
        assert question.answer.count(" with the letter ") == len(names)
        room = question.answer.removeprefix("In the ").split(":")[0]
        assert room in ROOMS
        assert question.options == (question.answer,)


def test_options_hold_the_answer_once_and_no_other_right_one():
    sizes = defaultdict(set)
    for case in CASES:
        for question in make_questions(witness(*case).scene):
            assert question.options.count(question.answer) == 1
            assert len(set(question.options)) == len(question.options) <= 4
            sizes[question.kind].add(len(question.options))
    assert sizes["needle"] == sizes["count"] == sizes["anomaly"] == {4}
    assert sizes["presence"] == sizes["order"] == sizes["direction"] == {2}


def test_evidence_is_what_was_in_view():
    named = ("needle", "presence", "count", "when", "direction")
    for case in CASES:
        seen = witness(*case)
        for question in make_questions(seen.scene):
            for start, end in question.evidence:
                assert 0 <= start < end <= seen.scene.duration
            if question.kind not in named:
                continue
            name = next((n for n in seen.places if f"{n}" in question.question), None)
            runs = seen.runs(name) if name else []
            assert len(runs) == len(question.evidence)
            for run, (start, end) in zip(runs, question.evidence, strict=True):
                assert run[0][0] == pytest.approx(start, abs=1.01 * STEP)
                assert run[-1][0] == pytest.approx(end, abs=1.01 * STEP)


def test_held_out_marks_the_combinations_that_training_never_shows():
    marked = 0
    for seen, question in asked("needle"):
        name = between(question.question, "What letter is on the ", "?")
        thing = next(t for t in seen.scene.cast if t.name == name)
        assert question.held_out == thing.held_out
        marked += question.held_out
    assert marked


def test_a_limit_keeps_so_many_of_each_kind():
    scene = make_scene(5, 150.0)
    whole = Counter(question.kind for question in make_questions(scene))
    some = Counter(question.kind for question in make_questions(scene, 2))
    for kind in KINDS:
        assert some[kind] == min(whole[kind], 4 if kind == "presence" else 2)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("from 00:03 to 00:09", (3.0, 9.0)),
        ("from 01:05 to 61:10", (65.0, 3670.0)),
        ("from 1:5 to 2:10", (65.0, 130.0)),
        ("from 00:03.5 to 01:09.1", (3.5, 69.1)),
        ("from 00:03. to 00:09", None),
        ("from 00:.5 to 00:09", None),
        ("", None),
        ("00:03 to 00:09", None),
        ("from 00:03 until 00:09", None),
        ("from 3 to 9", None),
        ("from 00:aa to 00:09", None),
        ("from 00:-3 to 00:09", None),
        ("from 00:03 to 00:09 or so", None),
    ],
)
def test_intervals_are_read(text, interval):
    assert parse_interval(text) == interval


def test_the_clock_writes_what_is_read_back():
    for seconds in (0, 9, 59, 60, 3599, 3600, 7325):
        text = f"from {clock(seconds)} to {clock(seconds + 1.9)}"
        assert parse_interval(text) == (seconds, seconds + 1)
