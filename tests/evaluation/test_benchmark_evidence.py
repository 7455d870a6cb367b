"""Benchmarks of evidence: KFS-Bench, LV-Haystack and Charades-STA in their real shapes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark_stand_ins import (
    StandInModel,
    put_videos,
    write_csv,
    write_json,
    write_parquet,
)
from dynfocus.evaluation.benchmarks.asking import RunSettings
from dynfocus.evaluation.benchmarks.charades_sta import read_as_published
from dynfocus.evaluation.benchmarks.loading import describe_split, open_benchmark
from dynfocus.evaluation.benchmarks.options import read_options
from dynfocus.evaluation.benchmarks.registry import load_benchmark
from dynfocus.evaluation.benchmarks.running import run_benchmark
from dynfocus.video import VideoWriter


def _open(name, folder, *rules):
    return open_benchmark(load_benchmark(name), folder, read_options(rules))


def _run(opened, out, fine_times, reply="A"):
    model = StandInModel(lambda video, question: reply)
    model.fine_times = fine_times
    document = run_benchmark(
        opened, lambda number: model, RunSettings(model="stand-in"), out
    )
    return {f["label"]: f["estimate"]["value"] for f in document["figures"]}


def _scene(name, segment, scene, start, end):
    fields = ("id", "segment_id", "scene_id", "start", "end")
    return dict(zip(fields, (name, segment, scene, start, end), strict=True))


def _long_video_bench(folder, **more):
    row = {"video_id": "Kk1", "id": "Kk1_2", "question": "What is in the corner?"}
    row |= {"candidates": ["a flag", "a clock"], "correct_choice": 0, "position": [412]}
    row |= {"question_category": "S2O", "video_path": "Kk1.mp4", "duration_group": 3600}
    write_json(folder / "lvb_val.json", [row | more])
    return row | more


def test_scenes_of_several_stretches_are_scored(tmp_path):
    _long_video_bench(tmp_path)
    scenes = [
        _scene("Kk1_2", 0, 3, "0:02:22", "0:02:29"),
        _scene("Kk1_2", 1, 3, "0:02:49", "0:02:56"),
        _scene("Kk1_2", 2, 4, "0:00:03", "0:00:05"),
        _scene("gone_0", 0, 1, "0:00:01", "0:00:02"),
    ]
    write_csv(tmp_path / "lvb_anno.csv", scenes)
    put_videos(tmp_path, "videos/Kk1.mp4")
    opened = _open("kfs-bench", tmp_path)
    assert opened.loaded.notes == ["1 annotated id without a question left out"]
    # a stretch ends a second later than is written, and its very end counts
    found = _run(opened, tmp_path / "out", (6.0, 170.0, 300.0, 6.01))
    assert found["Accuracy"] == 100
    assert (found["KFR"], found["SHR"]) == (50, 100)
    assert found["Key frames, BSR"] == 100
    alike = np.dot([1, 1], [16, 3]) / np.hypot(1, 1) / np.hypot(16, 3)
    assert (
        found["Key frames, BDS"] > 100 * alike
    )  # another power of lengths fits better
    assert found["UKSS"] == pytest.approx(100 * 0.5 ** (1 / 3))


def test_ids_of_video_mme_are_told_from_others(tmp_path):
    row = {"video_id": "003", "videoID": "Zz9", "question_id": "003-2", "duration": "s"}
    row |= {"question": "Who?", "options": ["A. He.", "B. She."], "answer": "B"}
    write_parquet(tmp_path / "videomme/test-0.parquet", [row])
    write_csv(tmp_path / "vidmme_anno.csv", [_scene("003-2", 0, 0, "0:49", "0:55")])
    opened = _open("kfs-bench", tmp_path)
    (item,) = opened.items
    assert item.evidence[0] == pytest.approx((49.0, 56.0))
    assert opened.benchmark.put(item, opened.options).endswith("The best answer is:")


def test_scenes_without_their_questions_are_told(tmp_path):
    _long_video_bench(tmp_path)
    scenes = [_scene("other_1", 0, 0, "0:00:01", "0:00:02")]
    write_csv(tmp_path / "lvb_anno.csv", scenes)
    with pytest.raises(
        ValueError, match="none of its 1 id has a question in .*lvb_val"
    ):
        _open("kfs-bench", tmp_path)


def _haystack(name="ego_7", clip="clip_1", frames=(5400, 5460)):
    return {
        "video_id": name,
        "vclip_id": clip,
        "question": "Where did I put the cup?",
        "options": {"A": "table", "B": "sink", "C": "shelf", "D": "bag", "E": None},
        "answer": "A",
        "frame_indexes_video": list(frames),
        "frame_indexes_vclip": [frame - 2700 for frame in frames],
        "video_metadata": {
            "frame_rate": 30.0,
            "video_duration": 600.0,
            "vclip_interval_in_video": [90.0, 570.0],
        },
    }


def test_key_frames_of_the_whole_video(tmp_path):
    write_parquet(tmp_path / "data/test_tiny-00000-of-00001.parquet", [_haystack()])
    put_videos(tmp_path, "ego_7.mp4", "clip_1.mp4")
    opened = _open("lv-haystack", tmp_path)
    assert opened.items[0].choices == ("table", "sink", "shelf", "bag")
    assert describe_split(opened).startswith("1 question; which split they are cannot")
    named = _open("lv-haystack", tmp_path, "split=test_tiny")
    assert describe_split(named) == "1 question, split test_tiny"
    found = _run(opened, tmp_path / "out", (12.0, 181.0, 183.0))
    assert found["Accuracy"] == 100
    assert found["Temporal precision"] == pytest.approx(200 / 3)
    assert found["Temporal recall"] == 100
    assert found["Temporal F1"] == pytest.approx(80)


def test_key_frames_of_a_clip_where_it_is_there_alone(tmp_path):
    row = _haystack()
    columns = {name: [value] for name, value in row.items()}
    write_json(tmp_path / "LVHaystack_tiny.json", columns)
    put_videos(tmp_path, "clips/clip_1.mp4")
    opened = _open("lv-haystack", tmp_path)
    assert opened.video_of(opened.items[0]) == "clips/clip_1.mp4"
    assert opened.items[0].key_times == (90.0, 92.0)


def _write_video(path, fps):
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=fps, size=(32, 32)) as writer:
        for _ in range(4):
            writer.write(np.zeros((32, 32, 3), np.uint8))


def test_frames_of_t_star_become_seconds_by_the_file(tmp_path):
    row = {"video_path": "v/Kk1.mp4", "video_id": "Kk1", "question": "What?"}
    row |= {"options": "A) a flag\nB) a clock", "answer": "B", "gt_frame_index": [10]}
    missing = row | {"video_path": "v/Gone.mp4", "video_id": "Gone"}
    write_json(tmp_path / "lv_haystack.json", [row, missing])
    _write_video(tmp_path / "v/Kk1.mp4", fps=5)
    opened = _open("lv-haystack", tmp_path)
    assert opened.items[0].choices == ("a flag", "a clock")
    assert opened.items[0].key_times == pytest.approx((2.0,))
    assert opened.items[1].key_times == ()
    assert "1 question without key frames" in opened.loaded.notes[0]


def test_the_part_of_longvideobench_has_hours_without_subtitles(tmp_path):
    row = _long_video_bench(tmp_path, position=[20])
    spoken = row | {"id": "Kk1_3", "question_category": "T2O"}
    short = row | {"id": "Kk1_4", "duration_group": 60}
    write_json(tmp_path / "lvb_val.json", [row, spoken, short])
    _write_video(tmp_path / "videos/Kk1.mp4", fps=5)
    opened = _open("lv-haystack", tmp_path, "split=longvideobench")
    (item,) = opened.items
    assert (item.id, item.key_times) == ("Kk1_2", (4.0,))


def test_the_first_letter_of_a_reply_counts_officially(tmp_path):
    write_json(tmp_path / "lv_haystack.json", [_haystack()])
    put_videos(tmp_path, "ego_7.mp4")
    opened = _open("lv-haystack", tmp_path, "parsing=official")
    found = _run(opened, tmp_path / "out", (), reply="apparently the sink")
    assert (found["Accuracy"], found["Accuracy, strict parsing"]) == (100, 0)
    assert "Temporal F1" not in found  # nothing was read finely


def test_sentences_have_their_stretch(tmp_path):
    lines = "3MSZA 24.3 30.4##person turn a light on.\n3MSZA 0.0 6.0##person sits.\n"
    (tmp_path / "charades_sta_test.txt").write_text(lines)
    put_videos(tmp_path, "Charades_v1_480/3MSZA.mp4")
    opened = _open("charades-sta", tmp_path)
    assert opened.items[0].evidence == ((24.3, 30.4),)
    assert [item.id for item in opened.items] == ["3MSZA", "3MSZA#2"]
    found = _run(opened, tmp_path / "out", (), reply="from 0:00 to 0:12")
    assert found["mIoU"] == pytest.approx(25)
    assert (found["R1@0.5"], found["R1@0.3"]) == (50, 50)
    assert found["mIoU, official parsing"] == 0  # it reads "00 - 0"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("The event 'to turn' happens in the 24.3 - 30.4 seconds.", (24.3, 30.4)),
        ("from 3 to 5 seconds, then 7 to 9", (3.0, 5.0)),
        ("5 - 3", (3.0, 5.0)),
        ("It starts at 0.8 seconds\nIt ends at 1.1 seconds", (0.8, 1.1)),
        ("It starts at 0.8 s. It ends at 1.1 s", None),  # one sentence for the script
        ("today 5", None),
        ("3to5", (3.0, 5.0)),
        ("between 3 and 5", None),
        ("1..2 - 3", None),
        ("", None),
    ],
)
def test_intervals_are_read_as_published(reply, expected):
    assert read_as_published(reply) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3MSZA 24.3##person\n", "line 1 is not VIDEO START END##CAPTION"),
        ("\n", "holds no rows; fetch it again"),
    ],
)
def test_lines_that_are_none(tmp_path, content, message):
    (tmp_path / "charades_sta_test.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        _open("charades-sta", tmp_path)
