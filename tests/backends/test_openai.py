"""Requests about chosen frames, field by field, in every layout."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from dynfocus.backends import LAYOUTS, FrameSizes, Server, frame_request
from dynfocus.methods import FrameSelection, select_frames
from phone_video import TIMES, number_of, write_phone_video
from seen_request import read_request

QUESTION = 'Is it "red",\n or \\blue?'
SIZES = FrameSizes(cone_pixels=96, rod_pixels=48)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory) -> FrameSelection:
    path = write_phone_video(tmp_path_factory.mktemp("phone") / "phone.mp4")
    return select_frames(path, QUESTION, 7, num_cones=2)


def said_times(text: str) -> list[float]:
    return [60 * int(m) + float(s) for m, s in re.findall(r"(\d\d):(\d\d\.\d)", text)]


def times_of(chosen: FrameSelection, kind: str | None = None) -> list[float]:
    """Give the times as they are written, cut to tenths."""
    frames = [frame for frame in chosen.frames if kind in (None, frame.kind)]
    return [int(10 * frame.time + 1e-6) / 10 for frame in frames]


def numbers_of(chosen: FrameSelection, kind: str | None = None) -> list[int]:
    frames = [frame for frame in chosen.frames if kind in (None, frame.kind)]
    return [int(np.abs(np.array(TIMES) - frame.time).argmin()) for frame in frames]


def test_images_show_cones_large_and_rods_small_in_time_order(chosen):
    made = frame_request(chosen, "eyes", layout="images", sizes=SIZES)
    seen = read_request(made.body)
    assert seen.order == ["text"] + ["text", "image_url"] * 7 + ["text"]
    assert seen.texts[-1] == QUESTION
    assert [said_times(text) for text in seen.texts[1:-1]] == [
        [time] for time in times_of(chosen)
    ]
    assert [number_of(picture) for picture in seen.pictures] == numbers_of(chosen)
    cones = [frame.kind == "cone" for frame in chosen.frames]
    assert [detail == "high" for detail in seen.details] == cones
    assert [picture.shape[:2] for picture in seen.pictures] == [
        (96, 72) if is_cone else (48, 36) for is_cone in cones
    ]
    assert made.num_pictures == 7
    assert made.num_pixels == 2 * 96 * 72 + 5 * 48 * 36
    assert "7 frames of a video of 00:03.3" in seen.texts[0]


def test_sheets_show_rods_together_and_say_their_times(chosen):
    made = frame_request(chosen, "eyes", sizes=SIZES)
    seen = read_request(made.body)
    assert seen.order == ["text", *(["text", "image_url"] * 3), "text"]
    sheet, *cones = seen.pictures
    assert said_times(seen.texts[1]) == times_of(chosen, "rod")
    tiles = [sheet[6:54, 6 + 42 * n : 42 + 42 * n] for n in range(5)]
    assert [number_of(tile) for tile in tiles] == numbers_of(chosen, "rod")
    assert [said_times(text) for text in seen.texts[2:-1]] == [
        [time] for time in times_of(chosen, "cone")
    ]
    assert [number_of(picture) for picture in cones] == numbers_of(chosen, "cone")
    assert all(picture.shape[:2] == (96, 72) for picture in cones)
    assert "on a contact sheet." in seen.texts[0]


def test_without_rods_there_is_no_sheet(chosen):
    alone = select_frames(chosen.video, QUESTION, 1)
    seen = read_request(frame_request(alone, "eyes").body)
    assert seen.order == ["text", "text", "image_url", "text"]
    assert seen.texts[0].startswith("1 frame of a video of 00:03.3, chosen to show")


def test_a_video_tells_vllm_the_true_times(chosen):
    made = frame_request(chosen, "eyes", layout="video", sizes=SIZES)
    seen = read_request(made.body)
    assert seen.order == ["video_url", "text", "text"]
    assert seen.texts[-1] == QUESTION
    np.testing.assert_allclose(
        seen.times, [frame.time for frame in chosen.frames], atol=5e-4
    )
    assert [number_of(picture) for picture in seen.pictures] == numbers_of(chosen)
    told = made.body["media_io_kwargs"]["video"]
    assert told["num_frames"] == 7
    assert told["duration"] == pytest.approx(chosen.duration)
    assert told["total_num_frames"] / told["fps"] == pytest.approx(
        chosen.duration, abs=1e-3
    )
    assert made.num_pixels == 7 * 96 * 72


@pytest.mark.parametrize("layout", LAYOUTS)
def test_requests_are_json_and_always_the_same(chosen, layout):
    body = frame_request(chosen, "eyes", layout=layout, max_new_tokens=9).body
    assert json.loads(json.dumps(body)) == body
    assert body == frame_request(chosen, "eyes", layout=layout, max_new_tokens=9).body
    assert body["model"] == "eyes"
    assert (body["max_tokens"], body["temperature"]) == (9, 0.0)
    assert "stream" not in body


def test_openai_itself_names_the_limit_in_another_way(chosen):
    server = Server(url="https://api.openai.com/v1")
    body = frame_request(chosen, "eyes", max_new_tokens=9, server=server).body
    assert body["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature"} & set(body)
    other = Server(url="https://notopenai.com/v1")
    assert "max_tokens" in frame_request(chosen, "eyes", server=other).body


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layout": "tiles"},
            "layout must be one of images, sheets, video, got 'tiles'",
        ),
        ({"model": " "}, "the model has no name"),
    ],
)
def test_what_is_no_request_is_refused(chosen, changes, message):
    with pytest.raises(ValueError, match=message):
        frame_request(**{"selection": chosen, "model": "eyes"} | changes)
    with pytest.raises(ValueError, match="rod_pixels must be at least 32, got 8"):
        FrameSizes(rod_pixels=8)
