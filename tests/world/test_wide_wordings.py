"""Every question has many structures, and some of them are never in training."""

from __future__ import annotations

import string

import numpy as np
import pytest

from dynfocus.world.wide.clauses import CLAUSES
from dynfocus.world.wide.wordings import forms, plain_wording, word

SLOTS = {
    "thing": "red square",
    "a_thing": "a red square",
    "other": "blue star",
    "letter": "K",
    "attribute": "colour",
    "relation": "after",
    "action": "spin",
    "claim": "the red square carries the letter K",
    "fact": "the weight of the red square",
}


@pytest.mark.parametrize("name", CLAUSES)
def test_each_question_has_twenty_structures_in_training_and_others_held_out(name):
    known, unknown = forms(name), forms(name, "held_out")
    assert len({(form.clause, form.frame) for form in known}) >= 20
    assert len({(form.clause, form.frame) for form in unknown}) >= 10
    texts = {form.frame.replace("{}", form.clause) for form in known}
    assert len(texts) >= 20  # the words differ too
    assert not texts & {form.frame.replace("{}", form.clause) for form in unknown}


@pytest.mark.parametrize("name", CLAUSES)
def test_held_out_structures_have_a_clause_or_a_frame_that_training_lacks(name):
    clauses = {form.clause for form in forms(name) if form.syntax != "gap"}
    frames = {form.frame for form in forms(name)}
    for form in forms(name, "held_out"):
        assert form.clause not in clauses or form.frame not in frames


@pytest.mark.parametrize("name", CLAUSES)
def test_every_clause_keeps_the_slots_of_the_plain_wording(name):
    def slots(text):
        return {field for _, field, _, _ in string.Formatter().parse(text) if field}

    for form in (*forms(name), *forms(name, "held_out")):
        assert slots(form.clause) == slots(CLAUSES[name].plain)
    assert "{" not in plain_wording(name, SLOTS)


def test_plain_wordings_are_those_that_the_narrow_world_asks():
    assert plain_wording("needle", SLOTS) == "What letter is on the red square?"
    assert plain_wording("presence", SLOTS) == "Does a red square appear?"
    assert plain_wording("caption", SLOTS) == "Describe the video."


def test_the_same_generator_gives_the_same_words():
    def draw():
        rng = np.random.default_rng(3)
        return [word(rng, "needle", SLOTS, "K", ("K", "M")) for _ in range(50)]

    assert draw() == draw()
    assert len({wording.text for wording in draw()}) > 40


def test_spelling_case_and_punctuation_vary():
    rng = np.random.default_rng(4)
    texts = [word(rng, "attribute", SLOTS, "red").text for _ in range(300)]
    assert any("colour" in text for text in texts)
    assert any("color" in text and "colour" not in text for text in texts)
    assert any(text.islower() for text in texts)
    assert any(text.isupper() for text in texts)
    assert any(text.endswith("?") for text in texts)
    assert any(text[-1].isalpha() for text in texts)


def test_lettered_options_are_answered_by_a_letter():
    rng = np.random.default_rng(5)
    options = ("left", "right", "up")
    drawn = [word(rng, "direction", SLOTS, "right", options) for _ in range(80)]
    lettered = [wording for wording in drawn if wording.lettered]
    assert 5 < len(lettered) < 60
    for wording in lettered:
        assert wording.answer == "B"
        assert all(option in wording.text for option in options)
    assert all(w.answer == "right" for w in drawn if not w.lettered)


def test_a_set_is_drawn_from_alone():
    rng = np.random.default_rng(6)
    for which in ("training", "held_out"):
        drawn = [word(rng, "when", SLOTS, "x", which=which) for _ in range(30)]
        assert {wording.held_out for wording in drawn} == {which == "held_out"}


def test_a_question_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="name must be one of needle"):
        forms("colour of the sky")
