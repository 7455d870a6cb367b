"""ShareGPT4Video's differential captions: what changes from one key frame to the next.

Source: "ShareGPT4Video: Improving Video Understanding and Generation with Better Captions"
(NeurIPS 2024). The first key frame is described; then the change between neighbours, given
the differential caption before; a language model makes a description of the chain and its
times, from which the question is answered here.

Differs from the paper:
    Key frames are even ones, as many as the budget affords, 60 at most, where the paper
    picks them by the similarity of CLIP. The captions are not training data but a memory.
"""

from __future__ import annotations

from dynfocus.methods.loops.captions import (
    ANSWER,
    CAPTION_TOKENS,
    SUMMARY_TOKENS,
    Memory,
    affordable,
    as_rule,
    blind,
    clock,
    cut,
    share_of,
    told,
    too_small,
    write_memory,
)
from dynfocus.methods.loops.interface import Look, LoopInput, Step
from dynfocus.methods.loops.zooming import tokens_of

SECONDS, MOST_FRAMES = 2.0, 60
_FIRST = "This is the first key frame of a video. Describe it in two sentences."
_CHANGE = (
    "These are two key frames of a video, at {before} and {now}. Before them: {last}\n"
    "Describe in two sentences what changes from the first to the second."
)
_SUMMARY = (
    "{memory}\n\nThese captions tell a video frame by frame, each what changed since the "
    "one before. Describe the whole video in order, with times."
)


def play(given: LoopInput) -> Memory:
    """Give the steps of differential captions."""
    total = given.budget.max_video_tokens
    per_step = given.budget.frames_per_step
    wanted = len(cut(given, SECONDS, MOST_FRAMES))
    pairs = affordable(given, total, 2 * wanted) // 2
    clips = cut(given, SECONDS, max(1, pairs))
    share = share_of(given, total, 2 * len(clips), frames=per_step)
    if share is None or pairs < 1:
        yield too_small(given)
        return
    moments = [(start + end) / 2 for start, end in clips]
    texts, last = [], ""
    for place, clip in enumerate(clips):
        seen = moments[max(0, place - 1) : place + 1]
        prompt = _FIRST
        if place:
            prompt = _CHANGE.format(
                before=clock(seen[0]), now=clock(seen[1]), last=last
            )
        last = yield Step(
            prompt=prompt,
            looks=tuple(
                Look(start=at, end=at + 1e-3, fps=1.0, scale=share.scale, kind="high")
                for at in seen
            ),
            max_video_tokens=tokens_of(given, [share] * len(seen)),
            reply_tokens=CAPTION_TOKENS,
            is_kept=True,
        )
        texts.append(told(clip, last))
    question = given.question.strip()
    summary = yield blind(
        _SUMMARY.format(memory=write_memory(texts)), reply_tokens=SUMMARY_TOKENS
    )
    yield blind(ANSWER.format(memory=summary, question=question), is_answer=True)


sharegpt4video = as_rule(play)
"""Differential captions as a rule; see `dynfocus.methods.loops.Rule`."""
