"""T*'s loop, untrained: the model names what to look for, then finds it in small frames.

Source: "T*: Re-thinking Temporal Search for Long-Form Video Understanding" (CVPR 2025) and
its published code: from 8 even frames a model names target objects and cue objects; in each
round 16 seconds are looked at for them, drawn where they are likely; a target counts 1.0, a
cue 0.5, and raises what is within 5 s. At last frames are drawn by these scores.

Differs from the paper:
    The model itself says at which times it sees the objects, where T* has a detector of
    open vocabulary. There are three rounds at most; the search ends once a target was
    seen. Random numbers depend on the question and the length of the video alone. The
    frames of the answer are those of the highest scores, no draw. One budget holds for all
    steps together. The selector ``tstar-search`` has the published search over the scores
    of a scorer.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

from dynfocus.focus import FrameShare
from dynfocus.methods.loops.interface import Look, LoopInput, Step
from dynfocus.methods.loops.zooming import one_pass, overview_look, tokens_of
from dynfocus.methods.selectors.interface import Floats, Indices, best_first
from dynfocus.methods.selectors.tstar import draw_round, spread_confidence

ROUNDS, GRID, EVEN_FRAMES, ANSWER_FRAMES = 3, 16, 8, 16
TARGET, CUE = 1.0, 0.5
_NUMBER = re.compile(r"(?<![\d.])\d+(?:\.\d+)?")
_NAME = (
    'To answer the question "{question}", which objects must be found in the video? Write '
    "two lists of a few words each. Targets: ... Cues: ..."
)
_FIND = (
    "The frames are of these times in seconds: {times}. At which of them do you see one of "
    "the targets, and at which only a cue?\n{objects}\nWrite Targets: and the times, then "
    "Cues: and the times."
)


def tstar(given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of T*'s loop; see `dynfocus.methods.loops.Rule`."""
    shares = _shares(given)
    if shares is None:
        note = "The budget is too small to search, so the answer took one pass."
        return one_pass(given, given.budget.max_video_tokens, note)
    even, small, large = shares
    if not replies:
        return Step(
            prompt=_NAME.format(question=given.question.strip()),
            looks=(overview_look(given, even),),
            max_video_tokens=tokens_of(given, [even]),
        )
    random = np.random.default_rng(
        zlib.crc32(given.question.encode(), int(given.duration * 1000))
    )
    times = _seconds(given)
    raw, leading = np.full(len(times), np.nan), list[int]()
    count = min(GRID, small.num_frames, len(times))
    batch = np.linspace(0, len(times) - 1, count).round().astype(np.int64)
    is_found = False
    for reply in replies[1:]:
        raw[batch] = read_sightings(reply, times[batch])
        leading += batch[raw[batch] >= CUE].tolist()
        is_found |= bool((raw[batch] == TARGET).any())
        confidence = spread_confidence(raw, leading, times, is_scaled=True)
        left = min(count, int(np.isnan(raw).sum()))
        batch = draw_round(confidence, np.isnan(raw), left, random)
    if not is_found and len(replies) <= ROUNDS and len(batch):
        batch = np.sort(batch)
        said = ", ".join(f"{time:.1f}" for time in times[batch])
        return Step(
            prompt=_FIND.format(times=said, objects=replies[0].strip()),
            looks=tuple(_moment(times[one], small.scale, "low") for one in batch),
            max_video_tokens=tokens_of(given, [small]),
        )
    chosen = _best(
        spread_confidence(raw, leading, times, is_scaled=True), raw, large.num_frames
    )
    return Step(
        prompt=given.question,
        looks=tuple(_moment(times[one], large.scale, "high") for one in chosen),
        max_video_tokens=tokens_of(given, [large]),
        is_answer=True,
        intervals=tuple((float(times[one]), float(times[one])) for one in chosen),
        note=None if is_found else "No target was seen.",
    )


def read_sightings(reply: str, times: Floats) -> Floats:
    """Read at which of some times a reply sees targets and cues.

    Args:
        reply: What the model wrote.
        times: The times that were shown, in seconds, ``[B]``.

    Returns:
        1 for a target, 0.5 for a cue, 0 for none, ``[B]``.
    """
    before, _, after = re.sub(r"(?i)\bcues?\b", "\0", reply).partition("\0")
    seen: Floats = np.zeros(len(times))
    for text, worth in ((after, CUE), (before, TARGET)):
        for found in _NUMBER.findall(text):
            apart = np.abs(times - float(found))
            if len(apart) and apart.min() <= 0.5:
                seen[int(apart.argmin())] = worth
    return seen


def _best(confidence: Floats, raw: Floats, count: int) -> Indices:
    """Take the best seconds, those that were seen first; of none the even ones."""
    order = best_first(confidence + 1e-9 * ~np.isnan(raw))[: min(count, len(raw))]
    return np.sort(order)


def _seconds(given: LoopInput) -> Floats:
    """Give the seconds that can be looked at, ``[N]``."""
    count = max(1, int(given.seconds))
    middles = np.arange(count, dtype=np.float64) + 0.5
    return given.start + middles * (given.seconds / count)


def _moment(time: float, scale: float, kind: str) -> Look:
    is_high = kind == "high"
    return Look(
        start=float(time),
        end=float(time) + 1e-3,
        fps=1.0,
        scale=scale,
        kind="high" if is_high else "low",
    )


def _shares(given: LoopInput) -> tuple[FrameShare, FrameShare, FrameShare] | None:
    """Share the budget: an eighth to name, an eighth a round, a half to answer."""
    total, budget = given.budget.max_video_tokens, given.budget
    eighth = half = None
    if total is not None:
        left = max(0, total - (ROUNDS + 2) * budget.num_tail)
        eighth, half = left // 8, left // 2
    per_step = budget.frames_per_step
    even = budget.fit(eighth, min(EVEN_FRAMES, given.num_frames), scale=0.5)
    small = budget.fit(eighth, GRID * per_step, scale=0.25)
    large = budget.fit(half, ANSWER_FRAMES * per_step)
    if even is None or small is None or large is None:
        return None
    if 0 < even.num_tokens < given.budget.least:
        return None
    return even, _in_steps(small, per_step), _in_steps(large, per_step)


def _in_steps(share: FrameShare, frames_per_step: int) -> FrameShare:
    """Count steps in place of frames: a moment takes a step, however few its frames."""
    return share._replace(num_frames=max(1, share.num_frames // frames_per_step))
