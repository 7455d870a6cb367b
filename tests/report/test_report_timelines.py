from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dynfocus.errors import UnwritableFileError
from dynfocus.focus import VideoFeatures
from dynfocus.index import VideoIndex
from dynfocus.models import FrameReport
from dynfocus.report import (
    QuestionTimeline,
    check_timelines_path,
    draw_timelines,
    write_timelines,
)

LEFT, COLUMN, RIGHT_PANEL = 24, 760, 24 + 760 + 36
TOP, BASE = 24 + 96 + 62, 24 + 96 + 62 + 150
CONE, EVIDENCE = (224, 138, 30), (191, 227, 195)


def index_of(num_frames: int = 100, *, with_pictures: bool = True) -> VideoIndex:
    pictures = np.zeros((num_frames, 20, 30, 3), np.uint8)
    pictures[:, :, :, 0] = np.arange(num_frames)[:, None, None]
    return VideoIndex(
        features=VideoFeatures(
            pooled=torch.zeros(num_frames, 4, 8),
            spatial=torch.zeros(num_frames, 6, 8),
            pts_seconds=torch.arange(num_frames, dtype=torch.float64),
        ),
        source="/a/video.mp4",
        duration=float(num_frames),
        fps=1.0,
        thumbnails=pictures if with_pictures else None,
    )


def timeline_of(
    cones: dict[int, float], num_frames: int = 100, **changes: object
) -> QuestionTimeline:
    frames = [
        FrameReport(
            index=i,
            time=float(i),
            score=cones.get(i, 0.1),
            kind="cone" if i in cones else "rod",
            tokens=12 if i in cones else 2,
        )
        for i in range(num_frames)
    ]
    return QuestionTimeline(question="What?", frames=frames, **changes)


def columns_of(sheet: Image.Image, y: float, colour: tuple[int, int, int]) -> list[int]:
    line = np.asarray(sheet)[round(y)]
    return np.nonzero((line == colour).all(1))[0].tolist()


def test_each_question_has_a_panel_beside_the_other():
    sheet = draw_timelines(
        index_of(), [timeline_of({20: 1.0}), timeline_of({50: 0.6, 80: 1.0})]
    )
    high = columns_of(sheet, TOP + 20, CONE)  # above a score of 0.6
    assert {x < RIGHT_PANEL for x in high} == {True, False}
    assert high[0] == pytest.approx(LEFT + 0.2 * COLUMN, abs=2)
    assert high[-1] == pytest.approx(RIGHT_PANEL + 0.8 * COLUMN, abs=3)
    low = columns_of(sheet, BASE - 20, CONE)
    assert any(abs(x - RIGHT_PANEL - 0.5 * COLUMN) < 3 for x in low)


def test_evidence_is_a_band_over_its_seconds():
    shown = timeline_of({5: 1.0}, evidence=((30.0, 50.0),))
    sheet = draw_timelines(index_of(), [shown, timeline_of({5: 1.0})])
    band = columns_of(sheet, TOP + 20, EVIDENCE)
    assert band[0] == pytest.approx(LEFT + 0.3 * COLUMN, abs=1)
    assert band[-1] == pytest.approx(LEFT + 0.5 * COLUMN, abs=1)
    assert len(band) == band[-1] - band[0] + 1


def test_the_best_cones_are_shown_in_time_order():
    scores = {10: 0.2, 20: 0.9, 30: 0.8, 40: 1.0, 50: 0.7, 60: 0.6, 70: 0.5}
    sheet = draw_timelines(index_of(), [timeline_of(scores, evidence=((40, 41),))])
    y = BASE + 16 + 34
    reds = [sheet.getpixel((LEFT + 10 + 128 * place, y + 5))[0] for place in range(6)]
    assert reds == [20, 30, 40, 50, 60, 70]  # not 10, the worst of seven
    height = round((760 - 5 * 8) // 6 * 20 / 30)
    bands = [
        sheet.getpixel((LEFT + 10 + 128 * p, y + height + 1)) == CONE for p in range(6)
    ]
    assert bands == [True, True, False, True, True, True]


def test_the_summary_counts_the_evidence():
    shown = timeline_of({5: 1.0, 31: 0.5, 50: 0.2}, evidence=((30.0, 50.0),))
    assert shown.summary() == (
        "Cones: 3 of 100 frames, 230 tokens; in the evidence 1 of 20"
    )
    assert timeline_of({5: 1.0}).summary() == "Cones: 1 of 100 frames, 210 tokens"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_questions(count):
    sheet = draw_timelines(index_of(), [timeline_of({20: 1.0})] * count)
    assert sheet.width == 2 * LEFT + (760 if count == 1 else 2 * 760 + 36)
    rows = -(-count // 2)
    one = draw_timelines(index_of(), [timeline_of({20: 1.0})]).height
    assert sheet.height == 120 + rows * (one - 120)


@pytest.mark.parametrize("num_frames", [1, 2, 3600])
def test_videos_of_any_length_and_without_pictures(num_frames):
    index = index_of(num_frames, with_pictures=False)
    sheet = draw_timelines(index, [timeline_of({0: 0.0}, num_frames)])
    assert sheet.height < draw_timelines(index_of(), [timeline_of({0: 0.0})]).height


def test_a_png_file_is_written(tmp_path):
    path = tmp_path / "t.png"
    write_timelines(path, index_of(), [timeline_of({20: 1.0})] * 2)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
    assert [file.name for file in tmp_path.iterdir()] == ["t.png"]


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, got .*t\.jpg"):
        check_timelines_path(tmp_path / "t.jpg")
    with pytest.raises(UnwritableFileError, match="the timelines cannot be written"):
        check_timelines_path(tmp_path / "no" / "t.png")
    with pytest.raises(ValueError, match="at least one question, got none"):
        draw_timelines(index_of(), [])
    with pytest.raises(ValueError, match="at least one frame, got none"):
        QuestionTimeline(question="What?", frames=[])


@pytest.mark.parametrize(("shape", "height"), [((300, 10), 240), ((10, 300), 4)])
def test_pictures_of_any_shape_leave_a_page_that_can_be_read(shape, height):
    index = index_of()
    pictures = np.zeros((len(index.thumbnails), *shape, 3), np.uint8)
    index = replace(index, thumbnails=pictures)
    bare = draw_timelines(replace(index, thumbnails=None), [timeline_of({20: 1.0})])
    sheet = draw_timelines(index, [timeline_of({20: 1.0})])
    assert sheet.height - bare.height == pytest.approx(height + 24, abs=6)
