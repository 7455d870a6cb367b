"""VITAL's loop, untrained: even frames, and a tool that shows a clip.

Source: "Thinking With Videos: Multimodal Tool-Augmented Reinforcement Learning for Long
Video Reasoning" (2025); no code was published. The model may call ``clip(start, end)``,
which returns dense frames, up to two times.

Differs from the paper:
    The model is not trained to call the tool, so figures of the paper do not carry over.
    The number of frames of a call and the words of the prompt are not told there: 2 frames
    a second, at most 20, and the words are ours. One budget holds for all steps together.
"""

from __future__ import annotations

from dynfocus.methods.loops.interface import LoopInput, Step
from dynfocus.methods.loops.zooming import Zooming, zoom

_HOW = Zooming(
    rounds=2,
    overview_frames=lambda given: given.num_frames,
    overview_scale=0.5,
    stretch_fps=2.0,
    stretch_frames=20,
    prompt=(
        'The question is: "{question}" You have a tool, clip(start, end), which shows a '
        "part of the video densely; its times are seconds between {start} and {end}. "
        "Write one call of it, or {enough} if the question can be answered without."
    ),
    most_overlap=0.9,
)


def vital(given: LoopInput, replies: tuple[str, ...]) -> Step:
    """Give the next step of VITAL's loop; see `dynfocus.methods.loops.Rule`."""
    return zoom(_HOW, given, replies)
