"""Loops: rules that look at a video, read what a model makes of it, and look again."""

from dynfocus.methods.loops.captions import CaptionStore
from dynfocus.methods.loops.goldfish import goldfish
from dynfocus.methods.loops.interface import (
    Look,
    LoopInput,
    Rule,
    Step,
    Tool,
    follow,
)
from dynfocus.methods.loops.llovi import llovi
from dynfocus.methods.loops.love_r1 import love_r1
from dynfocus.methods.loops.sharegpt4video import sharegpt4video
from dynfocus.methods.loops.slowfocus import (
    FOCUS_HINT,
    GROUNDING_PROMPT,
    focused_question,
    grounding_prompt,
    slow_dynfocus,
    slowfocus,
)
from dynfocus.methods.loops.spectemp import spectemp
from dynfocus.methods.loops.tstar import tstar
from dynfocus.methods.loops.video_lucy import video_lucy
from dynfocus.methods.loops.vital import vital

__all__ = [
    "CaptionStore",
    "FOCUS_HINT",
    "GROUNDING_PROMPT",
    "LOOPS",
    "Look",
    "LoopInput",
    "MEMORIES",
    "Rule",
    "Step",
    "Tool",
    "focused_question",
    "follow",
    "grounding_prompt",
    "slowfocus",
]

MEMORIES: dict[str, Rule] = {
    "goldfish": goldfish,
    "llovi": llovi,
    "sharegpt4video": sharegpt4video,
    "video-lucy": video_lucy,
}
"""Caption memories by name, for models that can be asked without a video, too."""
LOOPS: dict[str, Rule] = {
    **MEMORIES,
    "love-r1": love_r1,
    "slow-dynfocus": slow_dynfocus,
    "slowfocus": slowfocus,
    "spectemp": spectemp,
    "tstar": tstar,
    "vital": vital,
}
"""Rules of this package by name; each is a ``method`` of models that can look again."""
