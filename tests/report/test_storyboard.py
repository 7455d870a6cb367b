from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dynfocus.methods.selectors.prototypes import stretches_of
from dynfocus.report import make_storyboard
from dynfocus.video import (
    SampledFrames,
    UnreadableVideoError,
    VideoReader,
    VideoWriter,
)


def test_known_scenes_are_found_and_a_returning_one_is_recognised(scenes_video):
    board = make_storyboard(scenes_video)
    assert [tile.stretches for tile in board.tiles] == [
        ((3.0, 5.0),),
        ((5.0, 9.0),),
        ((0.0, 3.0), (9.0, 10.0)),
    ]
    assert board.name == "four scenes.mp4"
    assert board.duration == pytest.approx(10)


def test_each_prototype_lies_in_its_own_stretch_and_tiles_follow_time(scenes_video):
    board = make_storyboard(scenes_video, num_prototypes=6)
    times = [tile.pts_seconds for tile in board.tiles]
    assert len(times) == 6
    assert times == sorted(times)
    for tile in board.tiles:
        assert any(start <= tile.pts_seconds < end for start, end in tile.stretches)


def test_stretches_cover_the_video_once(scenes_video):
    board = make_storyboard(scenes_video, num_prototypes=7, fps=4)
    stretches = sorted(s for tile in board.tiles for s in tile.stretches)
    assert stretches[0][0] == 0
    assert stretches[-1][1] == pytest.approx(board.duration)
    assert all(a[1] == b[0] for a, b in zip(stretches, stretches[1:], strict=False))
    covered = sum(tile.covered_seconds for tile in board.tiles)
    assert covered == pytest.approx(board.duration)


def test_the_same_video_gives_the_same_storyboard(scenes_video):
    first, second = make_storyboard(scenes_video), make_storyboard(scenes_video)
    assert first.to_dict() == second.to_dict()
    for a, b in zip(first.tiles, second.tiles, strict=True):
        np.testing.assert_array_equal(a.picture, b.picture)


def test_pictures_have_the_shape_of_the_video(scenes_video):
    board = make_storyboard(scenes_video, tile_pixels=64)
    assert {tile.picture.shape for tile in board.tiles} == {(36, 64, 3)}


def test_a_still_picture_is_one_event(still_video):
    board = make_storyboard(still_video)
    assert len(board.tiles) == 1
    assert board.num_frames == 20
    assert board.tiles[0].stretches == ((0.0, pytest.approx(2.0)),)


def test_one_frame_is_one_event(tmp_path):
    with VideoWriter(tmp_path / "one.mp4", fps=8, size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    board = make_storyboard(tmp_path / "one.mp4")
    assert [tile.pts_seconds for tile in board.tiles] == [0]
    assert board.to_dict()["num_frames"] == 1


def test_frames_shown_longer_than_a_step_count_once(still_video):
    assert make_storyboard(still_video, fps=25).num_frames == 20


@pytest.mark.parametrize("count", [0, 101])
def test_more_prototypes_than_frames_are_refused(scenes_video, count):
    with pytest.raises(
        ValueError, match=r"from 1 to the 90 frames .* got " + str(count)
    ):
        make_storyboard(scenes_video, num_prototypes=count)


def test_what_is_no_video_is_refused(tmp_path):
    path = tmp_path / "no.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(UnreadableVideoError):
        make_storyboard(path)


def test_progress_ends_complete(scenes_video):
    seen = []
    make_storyboard(
        scenes_video, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (90, 90)


def test_the_plain_data_is_json(scenes_video):
    document = json.loads(json.dumps(make_storyboard(scenes_video).to_dict()))
    assert [p["covered_seconds"] for p in document["prototypes"]] == [2, 4, 4]


def test_stretches_of_an_assignment():
    stretches = stretches_of(
        np.array([0, 0, 1, 0, 2]), np.array([0.0, 1.0, 2.5, 3.0, 4.0]), 6.0
    )
    assert stretches == {
        0: ((0.0, 2.5), (3.0, 4.0)),
        1: ((2.5, 3.0),),
        2: ((4.0, 6.0),),
    }


def test_the_room_mentions_no_file_it_does_not_own(scenes_video):
    assert [path.name for path in Path(scenes_video).parent.iterdir()] == [
        "four scenes.mp4"
    ]


def test_a_tile_that_cannot_be_decoded_again_is_enlarged(scenes_video, monkeypatch):
    whole = make_storyboard(scenes_video, tile_pixels=64)
    sample = VideoReader.sample

    def lose_the_first(reader, **plan):
        sampled = sample(reader, **plan)
        if "times" in plan:
            return SampledFrames(sampled.frames[1:], sampled.times[1:])
        return sampled

    monkeypatch.setattr(VideoReader, "sample", lose_the_first)
    board = make_storyboard(scenes_video, tile_pixels=64)
    assert board.to_dict() == whole.to_dict()
    for ours, theirs in zip(board.tiles, whole.tiles, strict=True):
        unlike = np.abs(ours.picture.astype(int) - theirs.picture).mean()
        assert unlike < 12
