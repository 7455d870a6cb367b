"""Pictures: timelines, storyboards, and reports as one self-contained HTML page."""

from dynfocus.report.answers import write_report
from dynfocus.report.found_words import write_found
from dynfocus.report.frame_sheets import FrameSheet, draw_frame_sheets, encode_jpeg
from dynfocus.report.storyboard import (
    Storyboard,
    StoryboardTile,
    check_storyboard_path,
    draw_storyboard,
    make_storyboard,
    write_storyboard,
)
from dynfocus.report.timelines import (
    QuestionTimeline,
    check_timelines_path,
    draw_timeline,
    draw_timelines,
    write_timelines,
)

__all__ = [
    "FrameSheet",
    "QuestionTimeline",
    "Storyboard",
    "StoryboardTile",
    "check_storyboard_path",
    "check_timelines_path",
    "draw_frame_sheets",
    "draw_storyboard",
    "draw_timeline",
    "draw_timelines",
    "encode_jpeg",
    "make_storyboard",
    "write_found",
    "write_report",
    "write_storyboard",
    "write_timelines",
]
