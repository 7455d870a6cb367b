"""FocusWorld as a file: what is read back is what was drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dynfocus.video import VideoReader, VideoWriter
from dynfocus.world import (
    find_questions,
    is_world_video,
    make_dataset,
    make_questions,
    make_video,
    render,
)
from dynfocus.world.scene import LANES, make_scene
from dynfocus.world.vocabulary import COLOUR_RGB


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve seconds under a path with spaces and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("wörld a")
    return make_video(folder / "ein Vidéo.mp4", 12.0, 4, size=112)


def test_the_file_has_the_length_size_and_rate_asked_for(made):
    reader = VideoReader(made.path)
    assert reader.duration == pytest.approx(12.0, abs=0.01)
    assert reader.frame_count == 96
    assert reader.fps == pytest.approx(8.0)
    assert tuple(reader.size) == (112, 112)


def test_frames_read_back_are_the_frames_drawn(made):
    times = np.arange(0.0, 12.0, 0.5)
    read = VideoReader(made.path).sample(times=times)
    drawn = np.stack(list(render(made.scene, times.tolist())))
    errors = np.abs(read.frames.astype(int) - drawn).mean((1, 2, 3))
    assert errors.max() < 6
    later = np.stack(list(render(made.scene, (times + 1).tolist())))
    moved = np.abs(later.astype(int) - drawn).mean((1, 2, 3)) > 3
    assert moved.any()
    wrong = np.abs(read.frames.astype(int) - later).mean((1, 2, 3))
    assert (errors < wrong)[moved].all()


def test_the_evidence_shows_its_object_in_the_file(made):
    for index, thing in enumerate(made.scene.cast):
        for visit in made.scene.visits_of(index):
            middle = (visit.start + visit.end) / 2
            if any(a.start <= middle < a.end for a in made.scene.anomalies):
                continue
            (frame,) = VideoReader(made.path).sample(times=[middle]).frames
            x, y = round(visit.x_at(middle)), round(LANES[visit.lane])
            half = thing.pixels // 2
            box = frame[max(0, y - half) : y + half, max(0, x - half) : x + half]
            distance = np.abs(box.astype(int) - COLOUR_RGB[thing.colour]).max(-1)
            assert (distance <= 40).sum() >= 30


def test_a_video_knows_its_truth(made):
    assert made.questions == tuple(make_questions(made.scene))
    assert (made.duration, made.seed) == (12.0, 4)
    plain = json.loads(json.dumps(made.to_dict()))
    assert plain["video"] == "ein Vidéo.mp4"
    assert len(plain["questions"]) == len(made.questions)
    assert plain["scene"]["split"] == "test"


def test_the_same_seed_writes_the_same_pixels(tmp_path, made):
    again = make_video(tmp_path / "b.mp4", 12.0, 4, size=112)
    assert again.scene == made.scene
    one, other = (VideoReader(v.path).sample(fps=1).frames for v in (made, again))
    np.testing.assert_array_equal(one, other)


def test_progress_counts_every_frame(tmp_path):
    seen = []
    make_video(
        tmp_path / "a.mp4",
        5.0,
        0,
        fps=2,
        size=112,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(n, 10) for n in range(1, 11)]


def test_a_world_video_is_recognised(tmp_path, made):
    assert is_world_video(made.path)
    assert is_world_video(str(made.path))
    plain = tmp_path / "plain.mp4"
    with VideoWriter(plain, fps=4, size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert not is_world_video(plain)
    text = tmp_path / "text.mp4"
    text.write_text("dynfocus FocusWorld")
    assert not is_world_video(text)
    assert not is_world_video(tmp_path / "missing.mp4")
    assert not is_world_video(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": 3.0}, "duration must be at least 5 seconds, got 3"),
        ({"size": 100}, "size must be a multiple of 112, got 100"),
        ({"fps": 0}, "fps must be above 0"),
        ({"split": "dev"}, "split must be one of train, validation, test, got 'dev'"),
        ({"seed": -2}, "seed must be 0 or more, got -2"),
    ],
)
def test_bad_settings_are_refused_and_leave_nothing(tmp_path, changes, message):
    settings = {"duration": 6.0, "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        make_video(tmp_path / "a.mp4", **settings)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(OSError, match=r"a\.mp4"):
        make_video(tmp_path / "no" / "a.mp4", 6.0, 0)


def test_an_interrupted_video_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_video(tmp_path / "a.mp4", 6.0, 0, size=112, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_questions_are_found_in_the_note_beside_a_video(tmp_path):
    folder = make_dataset(tmp_path / "w", 1, 12.0, seed=4, size=112)
    video = folder / "videos" / "test-000004.mp4"
    found = find_questions(video)
    assert found == tuple(make_questions(make_scene(4, 12.0)))
    (folder / "videos" / "test-000004.json").rename(video.with_name("questions.json"))
    assert find_questions(str(video)) == found
    assert find_questions(video.with_name("other.mp4")) == ()
    video.with_name("questions.json").unlink()
    assert find_questions(video) == ()


@pytest.mark.parametrize(
    "content",
    [
        '{"video": "v.mp4"}',
        '{"video": "v.mp4", "questions": [{"kind": "needle"}]}',
        '{"video": "v.mp4", "questions": [{"evidence": [[1]], "options": []}]}',
    ],
)
def test_a_note_that_holds_no_questions_is_named(tmp_path, content):
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(ValueError, match=r"v\.json does not hold the questions"):
        find_questions(tmp_path / "v.mp4")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"video": {"fps": 8}}'])
def test_a_file_of_others_beside_a_video_is_no_note(tmp_path, content):
    (tmp_path / "v.json").write_text(content)
    assert find_questions(tmp_path / "v.mp4") == ()
