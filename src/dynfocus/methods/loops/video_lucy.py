"""VideoLucy: a coarse memory of a video, and periods told again in detail where it lacks.

Source: "VideoLucy: Deep Memory Backtracking for Long Video Understanding" (NeurIPS 2025)
and its published code. Clips of 60 s are captioned. In up to five rounds the model says
whether it is sure; if not, it names the most relevant period and writes an instruction,
by which the period is captioned as a whole and in clips of 10 s, which join the memory.
At last it answers from the memory.

Differs from the paper:
    One model does all; the paper has DeepSeek-R1 read the memory. The model writes SURE or
    a period in words, which are read as people would, in place of Python literals. The step
    that asks for two periods, and clips of one second, are left out. Half of the budget is
    for the coarse memory, the rest for as many rounds as it affords.
"""

from __future__ import annotations

from dynfocus.methods.intervals import Interval, find_intervals
from dynfocus.methods.loops.captions import (
    ANSWER,
    Memory,
    as_rule,
    blind,
    caption,
    share_of,
    tell_clips,
    told,
    write_memory,
)
from dynfocus.methods.loops.interface import LoopInput

COARSE_SECONDS, FINE_SECONDS, ROUNDS = 60.0, 10.0, 5
_FINE_CLIPS = 6
SURE = "SURE"
_ASK = (
    "{memory}\n\nThis is what is known of a video from 0:00 to {end}. The question is: "
    '"{question}" If this is enough to answer it, write {sure}. If not, name the one period '
    "that must be looked at again, from START to END, and what to look for in it."
)
_CLOSER = (
    "These frames show a video from {{start}} to {{end}}. {instruction}\nDescribe what "
    "tells something about that."
)


def play(given: LoopInput) -> Memory:
    """Give the steps of VideoLucy."""
    total = given.budget.max_video_tokens
    half = None if total is None else total // 2
    said = yield from tell_clips(given, COARSE_SECONDS, half)
    if not said:
        return
    texts = [told(clip, text) for clip, text in said]
    question = given.question.strip()
    fine = share_of(given, half, ROUNDS * (_FINE_CLIPS + 1))
    visited: list[Interval] = []
    while fine is not None and len(visited) < ROUNDS:
        asked = _ASK.format(
            memory=write_memory(texts),
            end=f"{int(given.end) // 60}:{int(given.end) % 60:02d}",
            question=question,
            sure=SURE,
        )
        reply = yield blind(asked, reply_tokens=96)
        period = next_period(reply, given, visited)
        if period is None:
            break
        visited.append(period)
        instruction = " ".join(reply.split()).replace("{", "(").replace("}", ")")
        prompt = _CLOSER.format(instruction=instruction)
        for clip in (period, *_parts(period)):
            text = yield caption(given, fine, clip, prompt, is_kept=False)
            texts.append(told(clip, text))
    memory = write_memory(texts)
    yield blind(ANSWER.format(memory=memory, question=question), is_answer=True)


def next_period(
    reply: str, given: LoopInput, visited: list[Interval]
) -> Interval | None:
    """Read the period to look at again; None where the model is sure or names none anew."""
    named = find_intervals(reply, given.duration)
    if SURE.lower() in reply.lower().split() or not named:
        return None
    start, end = max(given.start, named[0][0]), min(given.end, named[0][1])
    if start >= given.end or end < given.start:
        return None
    if end - start < FINE_SECONDS:
        start = max(given.start, start - FINE_SECONDS / 2)
        end = min(given.end, start + FINE_SECONDS)
    end = min(end, start + COARSE_SECONDS)
    is_new = (start, end) not in visited and end > start
    return (start, end) if is_new else None


def _parts(period: Interval) -> list[Interval]:
    """Cut a period into clips of 10 s, six at most."""
    start, end = period
    count = min(_FINE_CLIPS, max(1, round((end - start) / FINE_SECONDS)))
    if count == 1:
        return []
    step = (end - start) / count
    return [
        (start + place * step, start + (place + 1) * step) for place in range(count)
    ]


video_lucy = as_rule(play)
"""VideoLucy as a rule; see `dynfocus.methods.loops.Rule`."""
