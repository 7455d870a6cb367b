"""LLoVi: short clips told in words, a summary that knows the question, an answer from it.

Source: "A Simple LLM Framework for Long-Range Video Question-Answering" (EMNLP 2024) and
its published code: a caption a second, then the variant that it found best, ``(C, Q) -> S``:
a summary of 500 words that knows the question, and an answer from the summary alone.

Differs from the paper:
    One model captions, summarises and answers, where LLoVi has a captioner and GPT. Clips
    are as long as the budget demands, one second at least, 120 of them at most. The summary
    is the likeliest one, not drawn at random.
"""

from __future__ import annotations

from dynfocus.methods.loops.captions import (
    ANSWER,
    SUMMARY_TOKENS,
    Memory,
    as_rule,
    blind,
    tell_clips,
    told,
    write_memory,
)
from dynfocus.methods.loops.interface import LoopInput

_SUMMARY = (
    "{memory}\n\nThese are captions of a video, with their times. Write a summary of at most "
    'a few hundred words that helps to answer this question: "{question}"'
)


def play(given: LoopInput) -> Memory:
    """Give the steps of LLoVi."""
    total = given.budget.max_video_tokens
    said = yield from tell_clips(given, 1.0, total, frames=4)
    if not said:
        return
    texts = [told(clip, text) for clip, text in said]
    question = given.question.strip()
    summary = yield blind(
        _SUMMARY.format(memory=write_memory(texts), question=question),
        reply_tokens=SUMMARY_TOKENS,
    )
    yield blind(ANSWER.format(memory=summary, question=question), is_answer=True)


llovi = as_rule(play)
"""LLoVi as a rule; see `dynfocus.methods.loops.Rule`."""
