"""Published loops, untrained: from replies to the next look, within one budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dynfocus.focus import TwoPassBudget
from dynfocus.methods.loops import LOOPS, LoopInput, Step, follow
from dynfocus.methods.loops.love_r1 import love_r1
from dynfocus.methods.loops.spectemp import read_moments, spectemp
from dynfocus.methods.loops.tstar import read_sightings, tstar
from dynfocus.methods.loops.vital import vital

GIVEN = LoopInput(
    question="Who comes in?",
    duration=240.0,
    start=0.0,
    end=240.0,
    num_frames=240,
    held_fps=1.0,
    file_fps=30.0,
    budget=TwoPassBudget(max_video_tokens=6000, tokens_per_step=64),
)
OTHERS = ["love-r1", "spectemp", "tstar", "vital"]


class Tool:
    """Answer by script, and count what is read."""

    def __init__(self, given: LoopInput, replies: tuple[str, ...]) -> None:
        self.given, self.replies = given, list(replies)
        self.steps: list[Step] = []
        self.read = 0

    def look(self, look) -> int:
        rows = len(look.choose(np.arange(0, self.given.end, 1 / 30)))
        return -(-rows // self.given.budget.frames_per_step)

    def ask(self, step: Step, seen) -> str:
        budget = self.given.budget
        own = sum(budget.step_tokens(look.scale) * count for look, count in seen)
        own = own + budget.num_tail if seen else step.max_video_tokens
        assert own <= step.max_video_tokens
        self.read += own
        self.steps.append(step)
        return self.replies.pop(0) if self.replies else "an answer"


SCRIPTS = [
    (),
    ("ENOUGH",),
    ("[50, 70]", "[120, 180]", "ENOUGH", "Targets: 12", "x", "y", "z"),
    ("From 50 to 70", "52 and 61", "From 90 to 99", "93, 95", "From 1 to 20", "3 4"),
    ("Targets: dog", "Cues: 22.5", "Cues: 7.5", "none", "none"),
]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("replies", SCRIPTS)
@pytest.mark.parametrize(
    ("total", "shape"), [(40, (2, 3)), (300, (1, 0)), (2000, (2, 3))]
)
def test_a_loop_ends_with_the_question_and_keeps_its_budget(
    name, replies, total, shape
):
    per_step, num_tail = shape
    budget = TwoPassBudget(
        max_video_tokens=total,
        tokens_per_step=64,
        frames_per_step=per_step,
        num_tail=num_tail,
    )
    given = replace(GIVEN, budget=budget)
    tool = Tool(given, replies)
    last, before = follow(LOOPS[name], given, tool)
    assert last.is_answer
    assert last.prompt == GIVEN.question
    assert tool.read <= total
    assert len(before) <= 7
    for step in tool.steps:
        assert all(0 <= look.start < look.end <= 241 for look in step.looks)


@pytest.mark.parametrize("name", OTHERS)
def test_a_rule_is_pure_and_needs_no_budget(name):
    given = replace(
        GIVEN, budget=TwoPassBudget(max_video_tokens=None, tokens_per_step=64)
    )
    assert LOOPS[name](given, ()) == LOOPS[name](given, ())
    tool = Tool(given, ())
    step = LOOPS[name](given, ())
    assert step.max_video_tokens is None
    assert sum(tool.look(look) for look in step.looks) > 0


def test_love_r1_zooms_by_its_numbers():
    free = replace(
        GIVEN,
        num_frames=480,
        held_fps=2.0,
        budget=TwoPassBudget(max_video_tokens=None, tokens_per_step=64),
    )
    (overview,) = love_r1(free, ()).looks
    assert (overview.num_frames, overview.scale) == (480, 0.25)  # 2 a second
    assert "[start, end] in seconds between 0 and 240" in love_r1(free, ()).prompt
    step = love_r1(free, ("[50, 60]",))
    assert step.looks[1].start == 40  # 45 to 65 is widened to 30 s, about its middle
    assert step.looks[1].end == 70
    assert step.looks[1].num_frames == 32
    assert not step.is_answer
    again = love_r1(free, ("[50, 60]", "[52, 62]"))
    assert again.is_answer
    assert "was shown before" in again.note
    both = love_r1(free, ("[50, 60]", "[200, 210]"))
    assert both.intervals == ((40.0, 70.0), (190.0, 220.0))
    assert both.is_answer
    none = love_r1(free, ("[300, 400]",))
    assert (none.looks, none.is_answer) == ((), True)
    assert "too short or outside the video" in none.note


def test_vital_shows_the_clips_that_are_called_for():
    step = vital(GIVEN, ("clip(10, 14)",))
    assert step.looks[1].kind == "high"
    assert (step.looks[1].start, step.looks[1].end) == (10, 14)
    assert step.looks[1].num_frames == 8
    assert vital(GIVEN, ("ENOUGH",)).note == "The model said that it had seen enough."


def test_spectemp_lets_a_draft_pick_two_frames():
    first = spectemp(GIVEN, ())
    assert (first.looks[0].num_frames, first.looks[0].scale) == (10, 0.5)
    draft = spectemp(GIVEN, ("From 50 to 70",))
    assert "from 50.0 to 70.0 s" in draft.prompt
    assert draft.looks[0].num_frames == 20
    target = spectemp(GIVEN, ("From 50 to 70", "at 52 and 61.5"))
    assert [look.start for look in target.looks[1:]] == [52.0, 61.5]
    assert not target.is_answer
    assert read_moments("I cannot say", (30.0, 60.0)) == [40.0, 50.0]
    assert read_moments("in 2024, at 33", (30.0, 60.0)) == [40.0, 50.0]


def test_tstar_looks_where_it_saw_something():
    named = tstar(GIVEN, ())
    assert "which objects" in named.prompt
    search = tstar(GIVEN, ("Targets: dog. Cues: leash.",))
    assert "dog" in search.prompt
    assert len(search.looks) == 16
    times = [look.start for look in search.looks]
    assert times == sorted(times)
    seen = f"Targets: {times[3]:.1f}. Cues: {times[9]:.1f}"
    answer = tstar(GIVEN, ("Targets: dog. Cues: leash.", seen))
    assert answer.is_answer
    assert answer.note is None
    near = [look.start for look in answer.looks if abs(look.start - times[3]) <= 5]
    assert len(near) >= 5
    unseen = tstar(GIVEN, ("Targets: dog", "none", "none", "none"))
    assert unseen.note == "No target was seen."
    found = read_sightings("Targets: 3.5, 80 Cues: 7", np.array([3.5, 5.5, 7.5]))
    assert found.tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("name", ["love-r1", "vital", "spectemp"])
def test_a_video_that_cannot_be_seen_again_is_answered_in_one_pass(name):
    given = replace(GIVEN, file_fps=None, blocked="the file is gone")
    step = LOOPS[name](given, ())
    assert step.is_answer
    assert step.note == "The answer took one pass: the file is gone."
