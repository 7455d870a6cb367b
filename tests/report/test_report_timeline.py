from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dynfocus.models import FrameReport
from dynfocus.report import draw_timeline


def frames_of(*cones: bool) -> list[FrameReport]:
    return [
        FrameReport(
            index=i,
            time=float(i),
            score=i / len(cones),
            kind="cone" if cone else "rod",
            tokens=1,
        )
        for i, cone in enumerate(cones)
    ]


def marks(svg: str, name: str) -> list[dict[str, str]]:
    return [
        dict(re.findall(r'(\w+)="([^"]*)"', tag))
        for tag in re.findall(rf'<\w+ class="{name}"[^>]*>', svg)
    ]


def test_cones_are_bars_at_their_times_and_scores():
    svg = draw_timeline(frames_of(False, True, False, True), 4.0)
    bars = marks(svg, "cone-mark")
    assert [float(bar["x"]) for bar in bars] == [254.0, 746.0]
    assert [float(bar["height"]) for bar in bars] == [30.0, 90.0]
    assert "<title>Cone at 00:03.0, score 0.75</title>" in svg


def test_each_rod_is_one_tick():
    svg = draw_timeline(frames_of(False, True, False, False), 4.0)
    (path,) = marks(svg, "rod-marks")
    assert path["d"].count("M") == 3


def test_evidence_is_a_band():
    svg = draw_timeline(frames_of(True, False), 10.0, evidence=[(2.0, 7.0)])
    (band,) = marks(svg, "evidence")
    assert float(band["x"]) == pytest.approx(204.8)
    assert float(band["width"]) == pytest.approx(492.0)


@pytest.mark.parametrize("count", [1, 2, 3600])
def test_any_length_is_drawn_inside_the_picture(count):
    svg = draw_timeline(frames_of(*([True] + [False] * (count - 1))), float(count))
    assert all(0 <= float(bar["x"]) <= 1000 for bar in marks(svg, "cone-mark"))
    assert len(svg) < 80 * count + 3000


def test_times_beyond_the_duration_stay_inside():
    svg = draw_timeline(frames_of(True, True), 0.0)
    assert all(float(bar["x"]) <= 1000 for bar in marks(svg, "cone-mark"))


def test_the_drawing_is_well_formed():
    svg = draw_timeline(frames_of(True, False, True), 3.0, [(0.0, 1.0)])
    ElementTree.fromstring(svg.replace("class=timeline", 'class="timeline"'))


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="at least one frame, got none"):
        draw_timeline([], 3.0)
