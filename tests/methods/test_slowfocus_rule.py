"""The rule of SlowFocus: from what was seen to the next look, without any model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dynfocus.errors import UnreadableVideoError
from dynfocus.focus import TwoPassBudget
from dynfocus.methods.loops import (
    LOOPS,
    Look,
    LoopInput,
    follow,
    grounding_prompt,
    slow_dynfocus,
    slowfocus,
)

GIVEN = LoopInput(
    question="Who comes in?",
    duration=60.0,
    start=0.0,
    end=60.0,
    num_frames=60,
    held_fps=1.0,
    file_fps=30.0,
    budget=TwoPassBudget(max_video_tokens=3000, tokens_per_step=20),
)


def test_the_first_step_asks_when():
    step = slowfocus(GIVEN, ())
    assert step.prompt == grounding_prompt("Who comes in?", 60.0)
    assert "Who comes in?" in step.prompt
    assert "in seconds between 0 and 60" in step.prompt
    assert step.looks == (Look(start=0, end=60, fps=50 / 60),)
    assert not step.is_answer
    assert LOOPS["slowfocus"] is slowfocus


def test_the_second_step_looks_again_and_answers():
    step = slowfocus(GIVEN, ("From 10 to 14.",))
    low, dense = step.looks
    assert (low.kind, low.num_frames) == ("low", 50)
    assert dense == Look(start=10, end=14, fps=5, kind="high")
    assert step.is_answer
    assert step.prompt.endswith("Who comes in?")
    assert slowfocus(GIVEN, ("From 10 to 14.",)) == step


def test_a_long_interval_is_looked_at_twice_as_densely_as_before():
    step = slowfocus(GIVEN, ("From 10 to 40.",))
    assert step.looks[1].num_frames == pytest.approx(50, abs=1)  # twice 50 / 60


def test_several_intervals_share_the_dense_frames_by_length():
    step = slowfocus(GIVEN, ("2 to 3, 40 to 43 and 42 to 44",))
    assert step.intervals == ((2.0, 3.0), (40.0, 44.0))
    assert [look.num_frames for look in step.looks[1:]] == [4, 16]


def test_no_more_frames_are_wanted_than_the_file_has():
    slow = replace(GIVEN, file_fps=2.0)
    assert slowfocus(slow, ("From 10 to 14.",)).looks[1].num_frames == 8


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            {"file_fps": None, "held_fps": 5 / 6, "blocked": "it is gone"},
            "pass: it is gone.",
        ),
        ({"file_fps": 0.5, "held_fps": 0.5, "num_frames": 30}, "no more frames"),
        ({"budget": TwoPassBudget(max_video_tokens=3, tokens_per_step=20)}, "of 3 is"),
    ],
)
def test_what_makes_a_second_look_useless_is_known_before_the_first(change, note):
    given = replace(GIVEN, **{"num_frames": 50, **change})
    step = slowfocus(given, ())
    assert step.is_answer
    assert step.looks == ()
    assert note in step.note


def test_an_answer_in_one_pass_gets_what_the_first_has_left():
    step = slowfocus(GIVEN, ("I do not know.",))
    assert step.max_video_tokens == 2000
    assert step.prompt == "Who comes in?"


def test_times_of_a_grid_are_written_and_read():
    given = replace(GIVEN, grid=1000)
    assert "as numbers from 000 to 999" in slowfocus(given, ()).prompt
    step = slowfocus(given, ("From 100 to 150.",))
    assert step.intervals == ((6.0, 9.0),)
    assert "from 100 to 150" in step.prompt


def test_a_question_may_name_steps_of_the_grid():
    question = "What happens from 100 to 150?"
    given = replace(GIVEN, question=question, grid=1000)
    step = slowfocus(given, ())
    assert (step.intervals, step.prompt) == (((6.0, 9.0),), question)
    for other in (replace(given, grid=None), replace(given, question="10 to 15 dogs?")):
        assert not slowfocus(other, ()).is_answer


@pytest.mark.parametrize("rule", [slowfocus, slow_dynfocus])
def test_a_question_that_names_all_of_the_video_names_no_moment(rule):
    given = replace(GIVEN, question="Within 0 s to 60 s: how many people come in?")
    step = rule(given, ())
    assert step.prompt == grounding_prompt(given.question, 60.0)
    assert rule(given, ("10 to 14",)).intervals == ((10.0, 14.0),)
    steps = replace(given, question="From 000 to 999, who comes in?", grid=1000)
    assert not rule(steps, ()).is_answer


def test_a_video_of_one_pair_of_frames_is_too_short_for_two_passes():
    pairs = replace(GIVEN.budget, frames_per_step=2)
    step = slowfocus(replace(GIVEN, num_frames=2, budget=pairs), ())
    assert step.is_answer
    assert "too short for two passes" in step.note


def test_an_excerpt_bounds_every_look():
    given = replace(GIVEN, start=20.0, end=40.0, num_frames=20)
    step = slowfocus(given, ("10 to 25",))
    assert step.looks[0].start == 20.0
    assert step.intervals == ((20.0, 25.0),)
    assert "is outside the video, which is read from 20.0 to 40.0 s" in (
        slowfocus(given, ("10 to 15",)).note
    )


PROPOSING = replace(GIVEN, propose=lambda: [(20.0, 22.0), (40.0, 41.0)])


def test_proposed_stretches_take_the_place_of_pass_1():
    step = slow_dynfocus(PROPOSING, ())
    assert step.is_answer
    assert step.prompt == GIVEN.question
    assert step.intervals == ((19.5, 22.5), (39.5, 41.5))  # half a low step longer
    low, *dense = step.looks
    assert (low.scale, low.num_frames) == (0.0, 60)  # Rods
    assert [look.kind for look in dense] == ["high", "high"]
    assert sum(look.num_frames for look in dense) == 20
    assert {look.scale for look in dense} == {1.0}
    assert step.max_video_tokens == 3000
    ends = replace(GIVEN, propose=lambda: [(0.0, 2.0)])
    assert slow_dynfocus(ends, ()).intervals == ((0.0, 2.5),)


@pytest.mark.parametrize("propose", [None, list])
def test_without_proposals_the_model_is_asked_and_low_frames_become_rods(propose):
    given = replace(GIVEN, propose=propose)
    assert slow_dynfocus(given, ()) == slowfocus(given, ())
    step = slow_dynfocus(given, ("From 10 to 14.",))
    assert step.intervals == ((10.0, 14.0),)
    assert "from 10.0 s to 14.0 s" in step.prompt
    assert [look.scale for look in step.looks] == [0.0, 1.0]
    assert step.max_video_tokens == slowfocus(given, ("10 to 14",)).max_video_tokens
    note = slow_dynfocus(given, ("No idea.",)).note
    assert note == "The model named no interval, so the answer took one pass."


def test_a_question_that_names_times_needs_no_proposals():
    def refuse():
        raise AssertionError("frames were rated")

    question = "What happens between 10 s and 12 s?"
    step = slow_dynfocus(replace(GIVEN, question=question, propose=refuse), ())
    assert step.intervals == ((10.0, 12.0),)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"file_fps": None, "blocked": "the video is a stream"},
            "The answer took one pass: the video is a stream.",
        ),
        (
            {"file_fps": 1.0},
            "The answer took one pass: the video has no more frames than were read.",
        ),
        (
            {"budget": TwoPassBudget(max_video_tokens=3, tokens_per_step=20)},
            "The budget of 3 is too small for two frequencies, so the answer took one "
            "pass.",
        ),
        (
            {"propose": lambda: [(0.0, 60.0)]},
            "The interval is the whole video, so the answer took one pass.",
        ),
    ],
)
def test_without_a_second_look_proposals_are_of_no_use(changes, note):
    step = slow_dynfocus(replace(PROPOSING, **changes), ())
    assert (step.is_answer, step.looks, step.note) == (True, (), note)


class Tool:
    """Answer by script; after some looks the file is gone."""

    def __init__(self, *replies: str, num_looks: int = 99) -> None:
        self.replies = list(replies)
        self.num_looks = num_looks
        self.looks: list[Look] = []
        self.prompts: list[str] = []

    def look(self, look: Look) -> int:
        if len(self.looks) == self.num_looks:
            raise UnreadableVideoError("clip.mp4 is gone.")
        self.looks.append(look)
        return look.num_frames

    def ask(self, step, seen) -> str:
        self.prompts.append(step.prompt)
        return self.replies.pop(0)


def test_a_loop_is_followed_to_its_answer():
    tool = Tool("10 to 14", "a dog")
    last, before = follow(slowfocus, GIVEN, tool)
    assert [reply for _, reply in before] == ["10 to 14"]
    assert last.intervals == ((10.0, 14.0),)
    assert len(tool.looks) == 3


def test_a_look_that_fails_is_answered_without_it():
    given = replace(GIVEN, num_frames=50, held_fps=50 / 60)
    tool = Tool("10 to 14", "a dog", num_looks=2)
    last, _ = follow(slowfocus, given, tool)
    assert last.note == "The answer took one pass: clip.mp4 is gone."
    with pytest.raises(UnreadableVideoError):
        follow(slowfocus, GIVEN, Tool("10 to 14", num_looks=0))


def test_a_look_chooses_even_frames_or_the_one_on_display():
    times = np.arange(0, 10, 0.5)
    look = Look(start=2, end=4, fps=1)
    assert look.choose(times).tolist() == [5, 7]
    assert replace(look, fps=30).choose(times).tolist() == [4, 5, 6, 7]
    assert Look(start=2.1, end=2.3, fps=5).choose(times).tolist() == [4]
