"""SpecTemp's loop, untrained: one role names a segment, another picks two frames of it.

Source: "SpecTemp" (CVPR 2026), as its notes tell it; no code was published. The target sees
10 even frames and either answers or names a segment. The draft sees the segment at 1 frame
a second and picks 2 frames, which join what the target sees. There are three rounds at most.

Differs from the paper:
    Both roles are one model, which is trained for neither, so figures of the paper do not
    carry over; there the draft is a smaller one. One budget holds for all steps together:
    half for what the target sees, half for the drafts. Where the draft names no two times,
    the thirds of the segment are taken.
"""

from __future__ import annotations

import re

from dynfocus.focus import FrameShare
from dynfocus.methods.intervals import Interval
from dynfocus.methods.loops.interface import Look, LoopInput, Step
from dynfocus.methods.loops.zooming import (
    ENOUGH,
    Zooming,
    accepted,
    one_pass,
    overview_look,
    tokens_of,
)

ROUNDS, EVEN_FRAMES, PICKS = 3, 10, 2
_DRAFT_FRAMES = 32
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TARGET = (
    'The question is: "{question}" If the frames shown are enough to answer it, write '
    "{enough}. If not, name the segment of the video to look into, from START to END in "
    "seconds between {start} and {end}."
)
_DRAFT = (
    "The frames show the video from {start} to {end} s. Which two moments tell most about "
    'this question: "{question}" Answer with two times in seconds.'
)
_HOW = Zooming(
    rounds=ROUNDS,
    overview_frames=lambda given: EVEN_FRAMES,
    overview_scale=1.0,
    stretch_fps=1.0,
    stretch_frames=_DRAFT_FRAMES,
    prompt=_TARGET,
    most_overlap=0.9,
)


def spectemp(given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of SpecTemp's loop; see `dynfocus.methods.loops.Rule`."""
    shares = _shares(given)
    if shares is None or (given.blocked is not None and given.file_fps is None):
        reason = given.blocked or "the budget is too small to look again"
        note = f"The answer took one pass: {reason}."
        return one_pass(given, given.budget.max_video_tokens, note)
    even, pick, draft = shares
    found, why = accepted(_HOW, given, replies[::2])
    words = {
        "question": given.question.strip(),
        "start": f"{given.start:.0f}",
        "end": f"{given.end:.0f}",
        "enough": ENOUGH,
    }
    if why is None and len(replies) % 2:  # a segment was named: let the draft look
        start, end = found[-1]
        words |= {"start": f"{start:.1f}", "end": f"{end:.1f}"}
        return Step(
            prompt=_DRAFT.format(**words),
            looks=(_draft_look(draft, found[-1]),),
            max_video_tokens=tokens_of(given, [draft]),
            intervals=(found[-1],),
        )
    picked = [
        _pick_look(pick, moment)
        for segment, reply in zip(found, replies[1::2], strict=False)
        for moment in read_moments(reply, segment)
    ]
    is_last = why is not None or len(found) == ROUNDS
    return Step(
        prompt=given.question if is_last else _TARGET.format(**words),
        looks=(overview_look(given, even), *picked),
        max_video_tokens=tokens_of(given, [even, *[pick] * len(picked)]),
        is_answer=is_last,
        intervals=tuple(found) if is_last else (),
        note=why,
    )


def read_moments(reply: str, segment: Interval) -> list[float]:
    """Read the two moments of a segment that a draft names, or take its thirds."""
    start, end = segment
    named = [float(found) for found in _NUMBER.findall(reply)]
    inside = list(dict.fromkeys(one for one in named if start <= one <= end))[:PICKS]
    thirds = [start + (end - start) / 3, start + 2 * (end - start) / 3]
    return sorted(inside) if len(inside) == PICKS else thirds


def _draft_look(share: FrameShare, segment: Interval) -> Look:
    start, end = segment
    count = min(share.num_frames, max(1, round(end - start)))
    return Look(start=start, end=end, fps=count / (end - start), scale=share.scale)


def _pick_look(share: FrameShare, moment: float) -> Look:
    """Look at the frame on display at a moment."""
    return Look(
        start=moment, end=moment + 1e-3, fps=1.0, scale=share.scale, kind="high"
    )


def _shares(given: LoopInput) -> tuple[FrameShare, FrameShare, FrameShare] | None:
    """Share the budget: a quarter for even frames, one for picks, a half for drafts."""
    total = given.budget.max_video_tokens
    quarter = None
    if total is not None:
        tails = (2 * ROUNDS + 1) * given.budget.num_tail
        quarter = max(0, total - tails) // 4
    reads = PICKS * ROUNDS * (ROUNDS + 1) // 2
    count = min(EVEN_FRAMES, given.num_frames)

    def part(times: int, tokens: int | None) -> int | None:
        return None if tokens is None else tokens // times

    even = given.budget.fit(part(ROUNDS + 1, quarter), count, least=EVEN_FRAMES)
    pick = given.budget.fit(part(reads, quarter), given.budget.frames_per_step)
    half = None if quarter is None else 2 * quarter
    draft = given.budget.fit(part(ROUNDS, half), _DRAFT_FRAMES, scale=0.5)
    if even is None or pick is None or draft is None:
        return None
    if 0 < even.num_tokens < given.budget.least:
        return None
    return even, pick, draft
