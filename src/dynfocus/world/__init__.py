"""FocusWorld: procedural videos whose every answer is known.

Rooms, long redundant stretches, and objects with letters that come and go. The same
seed gives the same video; train, validation and test draw from disjoint random streams,
and one combination of shape, colour and letter in eight occurs in test only.
"""

from dynfocus.world.dataset import make_dataset
from dynfocus.world.questions import (
    KINDS,
    WorldQuestion,
    make_questions,
    parse_interval,
)
from dynfocus.world.render import render
from dynfocus.world.scene import Scene, make_scene
from dynfocus.world.video import (
    World,
    WorldVideo,
    find_questions,
    is_world_video,
    make_video,
)
from dynfocus.world.wide import WideQuestion

__all__ = [
    "KINDS",
    "Scene",
    "WideQuestion",
    "World",
    "WorldQuestion",
    "WorldVideo",
    "find_questions",
    "is_world_video",
    "make_dataset",
    "make_questions",
    "make_scene",
    "make_video",
    "parse_interval",
    "render",
]
