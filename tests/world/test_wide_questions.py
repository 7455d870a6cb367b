"""Answers follow from the facts; pairs, claims and groups are what they say."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest

from dynfocus.evaluation.metrics import is_right_answer
from dynfocus.world import KINDS as NARROW_KINDS
from dynfocus.world.vocabulary import is_held_out
from dynfocus.world.wide import (
    KINDS,
    balance,
    facts_of,
    make_groups,
    make_questions,
    make_wide_scene,
)
from dynfocus.world.wide.claims import make_claim
from dynfocus.world.wide.clauses import CLAUSES
from dynfocus.world.wide.scene import ACTIONS
from dynfocus.world.wide.wordings import ABSENT, UNANSWERABLE

SEEDS = range(24)


@cache
def make_facts(seed, split="test"):
    return facts_of(make_wide_scene(seed, 150.0, split))


@cache
def asked(kind=""):
    found = [q for seed in SEEDS for q in make_questions(make_facts(seed))]
    return [q for q in found if kind in ("", q.kind)]


def facts_about(question):
    return make_facts(int(question.video.split("/")[1]))


def member(question, name=""):
    name = name or question.slots["thing"]
    return next((m for m in facts_about(question).cast if m.name == name), None)


def test_all_kinds_are_asked_and_those_of_the_narrow_world_keep_their_names():
    assert {q.kind for q in asked()} == set(KINDS)
    assert set(NARROW_KINDS) < set(KINDS)
    assert set(CLAUSES) <= {q.name for q in asked()}
    assert make_questions(make_facts(3)) == make_questions(make_facts(3))


def test_the_truth_itself_is_always_right_and_among_the_options_once():
    for q in asked():
        record = {"kind": q.kind, "truth": q.answer}
        assert is_right_answer(record, q.answer, q.evidence), q
        assert not q.options or q.options.count(q.answer) == 1
        assert len(set(q.options)) == len(q.options) <= 4
        assert q.question[0].isupper()
        assert "{" not in q.question


def test_answers_about_an_object_are_its_own():
    truths = {
        "needle": lambda m, q: m.letter,
        "direction": lambda m, q: m.appearances[0].direction,
        "where": lambda m, q: m.appearances[0].place,
        "action": lambda m, q: m.actions[0].name,
        "change": lambda m, q: m.changes[0].name,
    }
    for kind, truth in truths.items():
        assert asked(kind)
        for q in asked(kind):
            assert q.answer == truth(member(q), q)
    for q in asked("attribute"):
        if q.form == "size":
            assert q.answer == member(q).size
        else:
            (bearer,) = [
                m for m in facts_about(q).cast if m.letter == q.slots["letter"]
            ]
            assert q.answer == getattr(bearer, q.form)
    for q in asked("count"):
        found = member(q)
        assert int(q.answer) == (len(found.appearances) if found else 0)


def test_no_option_is_a_letter_that_is_never_on_such_an_object():
    questions = [
        q
        for seed in range(8)
        for q in make_questions(make_facts(seed, split="train"))
        if q.name == "needle" and q.kind != "absent"
    ]
    for q in questions:
        colour, shape = q.slots["thing"].split()
        assert not any(is_held_out(shape, colour, letter) for letter in q.options)


def test_order_and_neighbours_in_time():
    for q in asked("order"):
        starts = {
            f"the {name}": member(q, name).appearances[0].start
            for name in (q.slots["thing"], q.slots["other"])
        }
        assert q.answer == min(starts, key=starts.__getitem__)
        place = q.question.index(q.answer) > q.question.index("first") + 7
        assert q.choice == ("second" if place else "first")
    for q in asked("before_after"):
        names = [f"the {m.name}" for m in facts_about(q).seen]
        step = 1 if q.slots["relation"] == "after" else -1
        place = names.index(f"the {q.slots['thing']}")
        assert q.answer == names[place + step]


def test_presence_and_absence_come_in_pairs_of_the_same_words():
    for kind, truth in (("presence", "no"), ("absent", ABSENT)):
        pairs = defaultdict(list)
        for q in asked(kind):
            pairs[q.pair_id].append(q)
        assert len(pairs) > 40
        for basic, twin in pairs.values():
            assert (basic.pair, twin.pair) == ("basic", "hallucinated")
            assert member(basic).appearances
            assert member(twin) is None
            assert twin.answer == truth != basic.answer
            assert basic.name == twin.name
            assert set(basic.options) == set(twin.options)
            assert not twin.evidence


def test_what_nobody_can_answer_stands_beside_what_one_can():
    answers = Counter((q.pair, q.answer == UNANSWERABLE) for q in asked("unanswerable"))
    assert set(answers) == {("basic", False), ("hallucinated", True)}
    sealed = {q.slots["fact"].split(" of ")[0] for q in asked() if "fact" in q.slots}
    train = {
        q.slots["fact"].split(" of ")[0]
        for seed in range(20)
        for q in make_questions(make_facts(seed, split="train"))
        if "fact" in q.slots
    }
    assert not sealed & train


@pytest.mark.parametrize("negated", [False, True])
def test_claims_are_true_in_half_of_the_cases_negated_or_not(negated):
    rng = np.random.default_rng(9)
    claims = [
        (q, make_claim(rng, q, negated=negated))
        for q in asked("direction")
        for _ in "abc"
    ]
    assert 0.35 < np.mean([claim.answer == "yes" for _, claim in claims]) < 0.65
    for q, claim in claims:
        assert ("not" in claim.question) is negated
        says = f"move {q.answer}" in claim.question.replace("moves", "move")
        assert (claim.answer == "yes") == (says != negated)


def test_wordings_keep_the_answer_and_one_of_them_is_held_out():
    for q in asked():
        assert [w.held_out for w in q.wordings] == [False, False, True]
        for wording in q.wordings:
            if not wording.lettered:
                assert wording.answer == q.answer
                continue
            letter = re.escape(wording.answer)
            found = re.search(
                rf"[\s(]{letter}[.):]+ {re.escape(q.answer)}", wording.text
            )
            assert found, wording


def test_a_line_of_the_benchmark_can_be_written():
    line = json.loads(json.dumps(asked("needle")[0].to_dict()))
    assert {"video", "kind", "question", "answer", "evidence", "wordings"} < line.keys()
    assert {"text", "answer", "held_out"} < line["wordings"][0].keys()
    assert "slots" not in line


def test_a_limit_keeps_so_many_of_each_kind_and_spreads_their_answers():
    found = make_questions(make_facts(5), 2)
    counts = Counter(q.kind for q in found)
    assert counts["needle"] == 2
    assert counts["presence"] == counts["absent"] == 4
    numbers = {q.answer for q in found if q.kind == "count"}
    assert len(numbers) == 2


def test_balance_caps_the_commonest_choice_and_keeps_the_rest():
    found = balance(asked())
    assert balance(asked()) == found
    kept = set(map(id, found))
    strata = defaultdict(Counter)
    for q in found:
        if q.choice:
            strata[q.kind, q.form, q.num_choices][q.choice] += 1
    for (kind, _, num_choices), counts in strata.items():
        total = counts.total()
        if len(counts) == num_choices and total >= 8 * num_choices:
            assert max(counts.values()) / total <= 1 / num_choices + 0.02, kind
    assert all(id(q) in kept for q in asked() if not q.choice)
    assert len(found) > 0.6 * len(asked())


def test_balance_leaves_out_as_little_as_the_bound_allows():
    questions = [q for q in asked("action") if q.answer != ACTIONS[0]][:40]
    rare = [q for q in asked("action") if q.answer == ACTIONS[0]][:5]
    kept = Counter(q.answer for q in balance(questions + rare))
    assert kept[ACTIONS[0]] == len(rare)
    assert max(kept.values()) <= (1 / 3 + 0.01) * kept.total() < max(kept.values()) + 2


def test_groups_of_four_are_one_event_asked_again_denied_and_in_another_video():
    groups = defaultdict(list)
    for q in make_groups(asked()):
        groups[q.group].append(q)
    assert len(groups) > 30
    for first, other, claim, twin in groups.values():
        assert first.question != other.question
        assert first.answer == other.answer != twin.answer
        assert first.question == twin.question
        assert claim.kind == "claim"
        assert claim.answer in ("yes", "no")
        assert first.video == other.video == claim.video != twin.video
