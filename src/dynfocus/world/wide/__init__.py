"""The widened FocusWorld, which is to take the place of the world that nano knows."""

from dynfocus.world.wide.balance import balance, make_groups
from dynfocus.world.wide.facts import (
    Appearance,
    Member,
    Moment,
    SceneFacts,
    facts_of,
)
from dynfocus.world.wide.question import WideQuestion
from dynfocus.world.wide.questions import KINDS, make_questions
from dynfocus.world.wide.render import Painter, render
from dynfocus.world.wide.scene import VARIATIONS, WideScene
from dynfocus.world.wide.script import make_wide_scene

__all__ = [
    "KINDS",
    "VARIATIONS",
    "Painter",
    "WideScene",
    "Appearance",
    "Member",
    "Moment",
    "SceneFacts",
    "WideQuestion",
    "balance",
    "facts_of",
    "make_groups",
    "make_questions",
    "make_wide_scene",
    "render",
]
