"""Caption memories: what is captioned, what is kept, and what the answer reads."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from dynfocus.focus import TwoPassBudget
from dynfocus.methods.loops import MEMORIES, CaptionStore, LoopInput, Step, follow
from dynfocus.methods.loops.captions import clock, cut, told, write_memory
from dynfocus.methods.loops.goldfish import most_similar
from dynfocus.methods.loops.video_lucy import next_period
from dynfocus.words import WordStore

GIVEN = LoopInput(
    question="When does the dog bark?",
    duration=240.0,
    start=0.0,
    end=240.0,
    num_frames=240,
    held_fps=1.0,
    file_fps=30.0,
    budget=TwoPassBudget(max_video_tokens=6000, tokens_per_step=64),
)


class Tool:
    """Caption by the time that is shown, and answer what is asked without a video."""

    def __init__(self, given: LoopInput, *replies: str) -> None:
        self.given, self.replies = given, list(replies)
        self.steps: list[Step] = []
        self.read = 0

    def look(self, look) -> int:
        rows = len(look.choose(np.arange(0, 240, 1 / 30)))
        return -(-rows // self.given.budget.frames_per_step)

    def ask(self, step: Step, seen) -> str:
        budget = self.given.budget
        self.steps.append(step)
        if step.is_blind:
            assert not seen
            if step.is_answer:
                return "an answer"
            return self.replies.pop(0) if self.replies else "SURE"
        if not seen:
            self.read += step.max_video_tokens
            return "an answer"
        own = sum(budget.step_tokens(look.scale) * count for look, count in seen)
        if budget.max_video_tokens is not None:
            assert own + budget.num_tail <= step.max_video_tokens
        self.read += own + budget.num_tail
        start = step.looks[-1].start
        return (
            f"a dog barks {{loudly}} at {start:.0f}" if 100 < start < 140 else "nothing"
        )


@pytest.mark.parametrize("name", sorted(MEMORIES))
@pytest.mark.parametrize(("total", "tail"), [(3, 0), (50, 3), (700, 0), (6000, 1)])
def test_a_memory_keeps_one_budget_and_ends_with_the_question(name, total, tail):
    budget = TwoPassBudget(max_video_tokens=total, tokens_per_step=64, num_tail=tail)
    given = replace(GIVEN, budget=budget)
    tool = Tool(given, "From 1:40 to 2:20, the dog", "From 0:10 to 0:12", "SURE")
    last, before = follow(MEMORIES[name], given, tool)
    assert last.is_answer
    assert last.prompt.endswith(GIVEN.question)
    assert tool.read <= total
    if total == 6000:
        assert "too small" not in (last.note or "")
        memory = next(s.prompt for s in reversed(tool.steps) if "barks" in s.prompt)
        assert "barks {loudly} at" in memory
        assert re.search(r"^\d+:\d\d-\d+:\d\d: ", memory, re.MULTILINE)


def test_no_budget_captions_as_the_papers_do():
    free = replace(
        GIVEN, budget=TwoPassBudget(max_video_tokens=None, tokens_per_step=64)
    )
    counts = {}
    for name in MEMORIES:
        tool = Tool(free)
        follow(MEMORIES[name], free, tool)
        counts[name] = sum(step.is_kept for step in tool.steps)
    assert counts == {
        "goldfish": 8,  # of 30 s: 240 s are less than eight clips of 80 s
        "llovi": 120,
        "sharegpt4video": 60,
        "video-lucy": 4,
    }


def test_captions_are_kept_for_the_next_question(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"any file")
    store = CaptionStore(path, "model", WordStore(tmp_path / "index"))
    first, second = Tool(GIVEN), Tool(GIVEN)
    follow(MEMORIES["goldfish"], GIVEN, first, store)
    other = replace(GIVEN, question="What colour is it?")
    last, before = follow(MEMORIES["goldfish"], other, second, store)
    assert sum(step.is_kept for step in first.steps) == 8
    assert not any(step.is_kept for step in second.steps)
    assert len(before) == 8
    third = Tool(GIVEN)
    follow(
        MEMORIES["goldfish"],
        GIVEN,
        third,
        CaptionStore(path, "another", WordStore(tmp_path / "index")),
    )
    assert any(step.is_kept for step in third.steps)


def test_goldfish_looks_at_the_clips_whose_words_fit():
    tool = Tool(GIVEN)
    last, _ = follow(MEMORIES["goldfish"], GIVEN, tool)
    assert (120.0, 150.0) in last.intervals
    assert len(last.looks) == 3
    texts = ["a cat sleeps", "the dog barks", "the dog sleeps", "the the the"]
    assert most_similar("Does a dog bark? barks", texts, 2) == [1, 0]
    assert most_similar("zebra", texts, 3) == [0, 1, 2]


def test_video_lucy_tells_a_period_again_and_stops_when_it_is_sure():
    tool = Tool(GIVEN, "From 1:40 to 2:20, look for {the dog}", "I am SURE now")
    follow(MEMORIES["video-lucy"], GIVEN, tool)
    fine = [s for s in tool.steps if not s.is_kept and not s.is_blind]
    assert [(s.looks[0].start, s.looks[0].end) for s in fine] == [
        (100, 140),
        (100, 110),
        (110, 120),
        (120, 130),
        (130, 140),
    ]
    assert "look for (the dog)" in fine[0].prompt
    assert next_period("From 5 to 6 s", GIVEN, []) == (0.0, 10.0)
    assert next_period("SURE", GIVEN, []) is None
    assert next_period("From 100 to 140", GIVEN, [(100.0, 140.0)]) is None
    assert next_period("From 500 to 540", GIVEN, []) is None


def test_differential_captions_see_neighbours_and_the_change_before():
    tool = Tool(GIVEN)
    follow(MEMORIES["sharegpt4video"], GIVEN, tool)
    captions = [step for step in tool.steps if step.is_kept]
    assert len(captions[0].looks) == 1
    assert {len(step.looks) for step in captions[1:]} == {2}
    assert captions[5].looks[0] == captions[4].looks[1]
    assert "Before them: nothing" in captions[1].prompt


def test_a_memory_is_written_in_order_of_time():
    texts = [
        told((60.0, 70.0), " b\nb "),
        None,
        told((0.0, 60.0), "a"),
        told((0, 1), " "),
    ]
    assert write_memory(texts) == "0:00-1:00: a\n1:00-1:10: b b"
    assert clock(3599.9) == "59:59"
    assert cut(GIVEN, 80.0) == [(0.0, 80.0), (80.0, 160.0), (160.0, 240.0)]
    assert len(cut(GIVEN, 1.0)) == 120
