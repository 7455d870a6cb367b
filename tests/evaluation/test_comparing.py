"""Two runs of answers, compared one by one."""

import json

import pytest

from dynfocus.evaluation.comparing import compare_answers


def write(path, records, head=True):
    lines = [{"made_with": {"model": "nano"}}] if head else []
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *records]))
    return path


def record(video, answer, **more):
    right = answer == "A"
    known = {"system": "model", "video": video, "question": "Which?", "kind": "needle"}
    return {**known, "answer": answer, "right": right, "tokens": 8, **more}


def test_the_same_answers_are_the_same_whatever_they_took(tmp_path):
    first = write(tmp_path / "a", [record(0, "A", seconds=1), record(1, "B")])
    second = write(tmp_path / "b", [record(1, "B"), record(0, "A", seconds=9)])
    found = compare_answers(first, second)
    assert found.is_same
    assert found.num_same == 2
    assert found.gain.value == 0


@pytest.mark.parametrize("change", [{"tokens": 9}, {"evidence_seen": True}])
def test_tokens_and_frames_count_like_words(tmp_path, change):
    first = write(tmp_path / "a", [record(0, "A")])
    found = compare_answers(first, write(tmp_path / "b", [record(0, "A", **change)]))
    assert not found.is_same
    assert found.changed == [(record(0, "A"), record(0, "A", **change))]


def test_what_one_run_alone_answered_is_named(tmp_path):
    first = write(tmp_path / "a", [record(video, "B") for video in range(20)])
    second = write(tmp_path / "b", [record(video, "A") for video in range(1, 21)])
    found = compare_answers(first, second)
    assert [r["video"] for r in found.only_first] == [0]
    assert [r["video"] for r in found.only_second] == [20]
    assert len(found.changed) == 19
    assert found.gain.verdict == "better"
    assert found.to_dict()["gain"]["value"] == 100


def test_answers_of_batch_are_compared_by_id(tmp_path):
    rows = [{"id": "x", "video": "a.mp4", "question": "Why?", "answer": "so"}]
    first = write(tmp_path / "a", rows, head=False)
    found = compare_answers(first, first)
    assert found.is_same
    assert found.gain is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("nonsense", "holds no JSON lines"), ('{"a": 1}', "holds no answers")],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        compare_answers(path, path)


def test_a_question_that_was_answered_twice_is_refused(tmp_path):
    path = write(tmp_path / "a", [record(0, "A"), record(0, "B")])
    with pytest.raises(ValueError, match="answers 'Which\\?' twice"):
        compare_answers(path, path)
