"""LOVE-R1's loop, untrained: all of the video small and often, then stretches large.

Source: "LOVE-R1: Advancing Long Video Understanding with an Adaptive Zoom-in Mechanism via
Multi-Step Reasoning" (2025) and its published code. The overview has 2 frames a second, at
most 768, of an eighth of the tokens. A stretch that the model names is widened by 5 s at
both ends, to a least length of ``min(30 s, duration / 8)``; one shorter than 3 s, or of an
intersection over union above 0.3 with an earlier one, is refused. It is shown with 2
frames a second, at most 32, whole. There are two stretches at most.

Differs from the paper:
    The model is not trained to zoom, so figures of the paper do not carry over. One budget
    holds for all steps together, so that there are fewer frames than these where it binds.
    No clock is painted into frames, and frames have one of the sizes that the budget
    knows: a quarter of the side.
"""

from __future__ import annotations

from dynfocus.methods.loops.interface import LoopInput, Step
from dynfocus.methods.loops.zooming import Zooming, zoom

_HOW = Zooming(
    rounds=2,
    overview_frames=lambda given: min(768, max(1, round(2 * given.seconds))),
    overview_scale=8**-0.5,
    stretch_fps=2.0,
    stretch_frames=32,
    prompt=(
        'The question is: "{question}" If the frames shown are enough to answer it, write '
        "{enough}. If not, name the stretch of the video that must be seen in detail, as "
        "[start, end] in seconds between {start} and {end}."
    ),
    around=5.0,
    least_seconds=lambda given: min(30.0, given.seconds / 8),
    shortest=3.0,
    most_overlap=0.3,
)


def love_r1(given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of LOVE-R1's loop; see `dynfocus.methods.loops.Rule`."""
    return zoom(_HOW, given, replies)
