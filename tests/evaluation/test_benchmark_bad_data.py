"""Annotations that are not what they should be: a sentence each, before anything is asked."""

from __future__ import annotations

import pytest

from benchmark_stand_ins import put_videos, write_json, write_lines, write_parquet
from dynfocus.evaluation.benchmarks.loading import find_oddities, open_benchmark
from dynfocus.evaluation.benchmarks.options import read_options
from dynfocus.evaluation.benchmarks.registry import load_benchmark

CHOICE = {
    "videoID": "x",
    "video_id": "1",
    "question_id": "1-1",
    "question": "Who?",
    "options": ["A. he", "B. she"],
    "answer": "A",
    "duration": "short",
}
GROUPED = CHOICE | {"group_type": "logic", "group_structure": "[1, 2, 3, 4]"}
GROUNDED = {"id": "1", "video": "v.mp4", "task": "grd", "question": "When?"}
GROUNDED |= {"answer": "from <s1> to <e1>"}
SPOKEN = {"id": "a", "video_id": "v", "question": "q", "candidates": ["x", "y"]}


def _open(name, folder, *rules):
    return open_benchmark(load_benchmark(name), folder, read_options(rules))


@pytest.mark.parametrize("name", ["msvd-qa", "lvbench", "video-mme-v2", "mlvu"])
def test_the_table_of_another_benchmark_is_refused(tmp_path, name):
    write_parquet(tmp_path / "test-0.parquet", [CHOICE])
    with pytest.raises(
        ValueError, match="its rows have the fields .* which are none of"
    ):
        _open(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "row", "message"),
    [
        ("video-mme", "video_mme.json", {"question_id": "2"}, "it lacks 'video_id'"),
        ("video-mme", "video_mme.json", CHOICE | {"options": None}, "is not iterable"),
        ("longvideobench", "lvb_val.json", SPOKEN | {"correct_choice": "x"}, "int"),
        ("longvideobench", "lvb_val.json", SPOKEN | {"correct_choice": 70}, "range"),
        ("video-mme-v2", "test.json", GROUPED | {"group_structure": "[9]"}, "[9]"),
        ("video-mme-v2", "test.json", GROUPED | {"group_type": "odd"}, "'odd'"),
        ("video-mme-v2", "test.json", GROUPED | {"question_id": "a"}, "in a number"),
        (
            "fineaction-cgr",
            "fineaction.json",
            GROUNDED | {"meta": {"duration": 0}},
            "duration must be above 0, got 0",
        ),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_folder(
    tmp_path, name, file, row, message
):
    good = {
        "video-mme": CHOICE,
        "video-mme-v2": GROUPED,
        "longvideobench": SPOKEN | {"correct_choice": 0},
        "fineaction-cgr": GROUNDED | {"meta": {"duration": 9}},
    }
    write_json(tmp_path / file, [good[name], row])
    with pytest.raises(ValueError, match="is not like the others") as caught:
        _open(name, tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}: a row of the annotations of {name}")
    assert message in told
    assert "\n" not in told


def test_an_id_that_stands_twice_is_refused(tmp_path):
    write_lines(tmp_path / "video_mme.jsonl", [CHOICE, CHOICE | {"question": "Why?"}])
    with pytest.raises(ValueError, match="1 id stands twice, the first '1-1'; leave"):
        _open("video-mme", tmp_path)


def test_copies_and_answers_outside_are_told(tmp_path):
    row = {"id": 1, "video_id": "v", "question": "who?", "answer": "man"}
    write_json(tmp_path / "test_qa.json", [row, row, row | {"answer": "dog", "id": 2}])
    told = find_oddities(_open("msvd-qa", tmp_path).items)
    assert told == [
        "1 question has the video, words and answer of an earlier one (1#2)"
    ]
    outside = CHOICE | {"answer": "C"}
    write_lines(tmp_path / "video_mme.jsonl", [outside])
    told = find_oddities(_open("video-mme", tmp_path).items)
    assert told == ["1 question has an answer outside its options (1-1)"]


def test_evidence_that_ends_early_and_odd_answers_are_told(tmp_path):
    (tmp_path / "charades_sta_test.txt").write_text("V 5 3##he sits\n")
    opened = _open("charades-sta", tmp_path)
    assert find_oddities(opened.items) == [
        "1 question has evidence that ends before it begins (V)"
    ]
    half = {"video": "v.mp4", "question": "q", "answer": "maybe"}
    pair = {"basic": half, "hallucination": half | {"answer": "no"}, "type": "t"}
    write_json(tmp_path / "temporal.json", [pair])
    notes = _open("videohallucer", tmp_path).loaded.notes
    assert any("neither yes nor no (temporal-0-basic)" in note for note in notes)
    asked = {"uid": "1", "question": "q", "answer": "A", "question_type": ["x"]}
    write_lines(tmp_path / "video_info.meta.jsonl", [{"key": "k", "qa": [asked]}])
    assert _open("lvbench", tmp_path).loaded.notes == ["1 question without options (1)"]


def test_one_film_is_read_as_several_are(tmp_path):
    asked = {"question": "q", "answer": "a"}
    film = {"info": {"video_path": "1.mp4"}, "global": [asked]}
    write_json(tmp_path / "jsons/1.json", film)
    put_videos(tmp_path, "videos/1.mp4")
    opened = _open("moviechat-1k", tmp_path)
    assert opened.video_of(opened.items[0]) == "videos/1.mp4"
