"""Goldfish: clips told in words, those found whose words fit, looked at again.

Source: "Goldfish: Vision-Language Understanding of Arbitrarily Long Videos" (ECCV 2024) and
its published code. Clips of 80 s are captioned; the three whose captions are most similar
to the question answer it, with the clips themselves where the answering model sees.

Differs from the paper:
    Captions are compared by their words (cosine of tf-idf), where Goldfish has a sentence
    encoder; a clip has one caption and no subtitles, so that three clips are three. One
    model does all. Half of the budget is for captions, half for the clips that are found.
    Clips are shorter than 80 s in a video of less than eight of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from dynfocus.methods.loops.captions import (
    ANSWER,
    Memory,
    as_rule,
    tell_clips,
    told,
    write_memory,
)
from dynfocus.methods.loops.interface import Look, LoopInput, Step
from dynfocus.methods.loops.zooming import tokens_of

CLIP_SECONDS, NUM_FOUND, LEAST_CLIPS = 80.0, 3, 8
_WORD = re.compile(r"\w+")


def play(given: LoopInput) -> Memory:
    """Give the steps of Goldfish."""
    total = given.budget.max_video_tokens
    half = None if total is None else total // 2
    seconds = min(CLIP_SECONDS, given.seconds / LEAST_CLIPS)
    said = yield from tell_clips(given, seconds, half)
    if not said:
        return
    clips, captions = zip(*said, strict=True)
    texts = [told(clip, text) for clip, text in said]
    found = sorted(most_similar(given.question, captions, NUM_FOUND))
    memory = write_memory(texts[place] for place in found)
    left = None if half is None else total - half - given.budget.num_tail  # type: ignore[operator]
    closer = given.budget.fit(
        None if left is None else max(0, left) // len(found), 32, least=8
    )
    prompt = ANSWER.format(memory=memory, question=given.question.strip())
    if closer is None or 0 < closer.num_tokens * len(found) < given.budget.least:
        yield Step(prompt=prompt, is_blind=True, is_answer=True, max_video_tokens=0)
        return
    looks = []
    for place in found:
        start, end = clips[place]
        fps = min(
            closer.num_frames / (end - start), max(given.most_fps, 1 / (end - start))
        )
        looks.append(
            Look(start=start, end=end, fps=fps, scale=closer.scale, kind="high")
        )
    yield Step(
        prompt=prompt,
        looks=tuple(looks),
        max_video_tokens=tokens_of(given, [closer] * len(found)),
        is_answer=True,
        intervals=tuple(clips[place] for place in found),
    )


def most_similar(question: str, texts: Sequence[str], count: int) -> list[int]:
    """Find the texts whose words fit a question best, by the cosine of tf-idf.

    Args:
        question: The question.
        texts: The texts.
        count: How many; all if there are no more.

    Returns:
        Places of the texts, the best first, of equal ones the earlier.
    """
    bags = [Counter(_WORD.findall(text.lower())) for text in texts]
    seen = Counter(word for bag in bags for word in bag)

    def weigh(bag: Counter[str]) -> dict[str, float]:
        rare = {word: math.log((1 + len(bags)) / (1 + seen[word])) for word in bag}
        return {word: (1 + math.log(count)) * rare[word] for word, count in bag.items()}

    asked = weigh(Counter(_WORD.findall(question.lower())))
    scores = []
    for bag in map(weigh, bags):
        length = math.sqrt(sum(value * value for value in bag.values())) or 1.0
        scores.append(
            sum(value * bag.get(word, 0.0) for word, value in asked.items()) / length
        )
    return sorted(range(len(texts)), key=lambda place: -scores[place])[:count]


goldfish = as_rule(play)
"""Goldfish as a rule; see `dynfocus.methods.loops.Rule`."""
