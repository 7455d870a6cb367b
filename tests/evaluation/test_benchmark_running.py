"""Benchmarks from folder to figures: three of them, a model and a judge that are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark_stand_ins import (
    StandInModel,
    put_videos,
    write_json,
    write_parquet,
)
from dynfocus.errors import BackendError, BusyBackendError
from dynfocus.evaluation.benchmarks.asking import RunSettings
from dynfocus.evaluation.benchmarks.loading import (
    OpenedBenchmark,
    check_folder,
    open_benchmark,
    sample,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions, read_options
from dynfocus.evaluation.benchmarks.registry import load_benchmark
from dynfocus.evaluation.benchmarks.running import run_benchmark
from dynfocus.evaluation.pages import write_page

QUESTIONS = [
    ("901-1", "Q1w2E3r4T5y", "long", "Counting Problem", "C"),
    ("901-2", "Q1w2E3r4T5y", "long", "OCR Problems", "A"),
    ("001-1", "Zz9Yy8Xx7Ww", "short", "OCR Problems", "B"),
]


def _video_mme(folder: Path) -> Path:
    rows = [
        {
            "video_id": name[:3],
            "duration": duration,
            "domain": "Life Record",
            "sub_category": "Travel",
            "url": f"https://www.youtube.com/watch?v={video}",
            "videoID": video,
            "question_id": name,
            "task_type": task,
            "question": "How many bridges does the vlogger cross?",
            "options": ["A. 1.", "B. 2.", "C. 3.", "D. 4."],
            "answer": answer,
        }
        for name, video, duration, task, answer in QUESTIONS
    ]
    write_parquet(folder / "videomme" / "test-00000-of-00001.parquet", rows)
    put_videos(folder, "data/Q1w2E3r4T5y.mp4", "data/Zz9Yy8Xx7Ww.MP4")
    return folder


def _open(name: str, folder: Path, *rules: str) -> OpenedBenchmark:
    return open_benchmark(load_benchmark(name), folder, read_options(rules))


def _figures(document: dict) -> dict[str, float]:
    return {f["label"]: f["estimate"]["value"] for f in document["figures"]}


def _run(opened, model, out, **more):
    return run_benchmark(
        opened, lambda number: model, RunSettings(model="stand-in"), out, **more
    )


def test_letters_become_accuracy_of_each_part(tmp_path):
    opened = _open("video-mme", _video_mme(tmp_path / "data"))
    replies = {"1": "C", "2": "The answer is (A).", "3": "no idea"}
    model = StandInModel(lambda video, question: replies[str(len(model.asked))])
    document = _run(opened, model, tmp_path / "out")
    found = _figures(document)
    assert found["Overall"] == pytest.approx(200 / 3)
    assert (found["long"], found["short"], found["OCR Problems"]) == (100, 0, 50)
    assert found["Overall, official parsing and count"] == 100  # the third is dropped
    assert document["counts"]["answered"] == 2
    assert document["counts"]["unparsed"] == 1
    assert document["rules"]["unparsed"] == "wrong"
    question = model.asked[0][1]
    assert question.endswith("A. 1.\nB. 2.\nC. 3.\nD. 4.\nThe best answer is:")
    assert document["manifest"]["weights"]
    assert document["manifest"]["resolutions"] == [[28, 28]]
    page = write_page(tmp_path, "page", document, command="c", commit="0" * 40)
    assert "| Overall | 66.7 | 3 |" in page.read_text()
    assert "frames of 28 x 28 pixels" in page.read_text()


def test_a_second_run_asks_what_failed_and_nothing_else(tmp_path):
    folder = _video_mme(tmp_path / "data")
    (folder / "data/Zz9Yy8Xx7Ww.MP4").unlink()
    model = StandInModel(
        lambda video, question: "C" if len(model.asked) > 1 else "fail"
    )
    document = _run(_open("video-mme", folder), model, tmp_path)
    assert document["missing_videos"] == ["Zz9Yy8Xx7Ww"]
    assert document["counts"] == {
        "questions": 3,
        "of": 3,
        "videos": 2,
        "answered": 1,
        "unparsed": 0,
        "missing": 1,
        "failed": 1,
    }
    put_videos(folder, "data/Zz9Yy8Xx7Ww.mp4")
    document = _run(_open("video-mme", folder), model, tmp_path)
    assert document["counts"]["answered"] == 3
    assert len(model.asked) == 4  # two at first, then what failed and what was missing
    lines = (tmp_path / "video-mme.scored.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["answered"] * 3


def test_what_is_missing_can_be_left_out_of_the_count(tmp_path):
    folder = _video_mme(tmp_path / "data")
    (folder / "data/Zz9Yy8Xx7Ww.MP4").unlink()
    model = StandInModel(lambda video, question: "C")
    wrong = _run(_open("video-mme", folder), model, tmp_path)
    left_out = _run(
        _open("video-mme", folder, "missing-videos=dropped"), model, tmp_path
    )
    assert _figures(wrong)["Overall"] == pytest.approx(100 / 3)
    assert _figures(left_out)["Overall"] == 50
    assert len(model.asked) == 2  # the rule changes no answer


class StandInJudge:
    """Says yes where the prediction holds the truth; odd where a test wants."""

    name = "stand-in judge"

    def __init__(self, odd: dict[str, list[str | Exception]] | None = None) -> None:
        self.odd = odd or {}
        self.calls = 0

    def answer(self, messages: list[dict[str, str]], max_new_tokens: int) -> str:
        self.calls += 1
        text = messages[1]["content"]
        for mark, replies in self.odd.items():
            if mark in text and replies:
                reply = replies.pop(0)
                if isinstance(reply, Exception):
                    raise reply
                return reply
        truth = text.split("Correct answer: ")[1].split("\n")[0]
        said = text.split("Predicted answer: ")[1].split("\n")[0]
        return f"{{'pred': '{'yes' if truth in said else 'no'}', 'score': 4.5}}"


def _msvd(folder: Path) -> Path:
    asked = [
        {"id": n, "video_id": f"vid{n}", "question": f"what is {n}?", "answer": word}
        for n, word in enumerate(("ball", "dog", "cat"))
    ]
    write_json(folder / "test_qa.json", asked)
    put_videos(folder, *(f"videos/vid{n}.avi" for n in range(3)))
    return folder


def test_free_answers_are_judged_once_and_kept(tmp_path):
    opened = _open("msvd-qa", _msvd(tmp_path / "data"))
    model = StandInModel(lambda video, question: "a ball")
    judge = StandInJudge()
    document = _run(opened, model, tmp_path, judge=judge)
    assert _figures(document)["Accuracy"] == pytest.approx(100 / 3)
    assert _figures(document)["Score"] == pytest.approx(5)  # half up
    assert document["judge"]["name"] == "stand-in judge"
    assert document["judge"]["calls"] == 3
    cut = _open("msvd-qa", tmp_path / "data", "judge_score=truncated")
    document = _run(cut, model, tmp_path, judge=judge)
    assert _figures(document)["Score"] == pytest.approx(4)
    assert (document["judge"]["calls"], judge.calls, len(model.asked)) == (0, 3, 3)
    assert model.asked[0][1] == "what is 0?"  # no request to be brief


def test_what_is_no_verdict_is_counted_and_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr("dynfocus.evaluation.judges.grading._FIRST_WAIT_SECONDS", 0)
    odd = {
        "Question: what is 0?": ["I cannot say"] * 3,
        "Question: what is 1?": [
            BusyBackendError("busy", 0),
            "{''pred': 'yes', 'score': 3}",
        ],
    }
    opened = _open("msvd-qa", _msvd(tmp_path / "data"))
    model = StandInModel(lambda video, question: "a cat")
    document = _run(opened, model, tmp_path, judge=StandInJudge(odd))
    assert document["judge"]["malformed"] == 1
    assert document["judge"]["waits"] == 1
    assert document["counts"]["unparsed"] == 1
    assert _figures(document)["Accuracy"] == pytest.approx(200 / 3)
    assert _figures(document)["Accuracy, judged answers alone"] == 100


def test_a_judge_that_is_gone_loses_nothing(tmp_path):
    odd = {"Question: what is 2?": [BackendError("no server answers")]}
    opened = _open("msvd-qa", _msvd(tmp_path / "data"))
    model = StandInModel(lambda video, question: "a cat")
    judge = StandInJudge(odd)
    with pytest.raises(BackendError, match="no server answers"):
        _run(opened, model, tmp_path, judge=judge)
    first = judge.calls
    document = _run(opened, model, tmp_path, judge=judge)
    assert document["judge"]["judged"] == 3
    assert document["judge"]["calls"] + first == 4


def test_without_a_judge_there_is_no_figure(tmp_path):
    opened = _open("msvd-qa", _msvd(tmp_path / "data"))
    model = StandInModel(lambda video, question: "a cat")
    document = _run(opened, model, tmp_path)
    assert document["figures"] == []
    assert document["judge"] == {"name": None, "not_judged": 3}


def _mlvu(folder: Path) -> Path:
    choice = {
        "duration": 512.4,
        "question": "Arrange the events in order.",
        "candidates": ["2->1", "1->2", "4->3", "3->1"],
    }
    order = [{**choice, "video": f"order_{n}.mp4", "answer": "1->2"} for n in range(3)]
    count = [{**choice, "video": "count_1.mp4", "answer": "gone"}]
    empty = {"video": "", "question": "", "question_type": "order"}
    tasks = {
        "5_order": [{**row, "question_type": "order"} for row in order] + [empty],
        "4_count": [{**row, "question_type": "count"} for row in count],
        "8_sub_scene": [
            {
                "video": "s.mp4",
                "duration": 60,
                "question": "What happens in the kitchen?",
                "answer": "He cooks.",
                "question_type": "subPlot",
                "scoring_points": ["he cooks", "it burns"],
            }
        ],
    }
    for task, rows in tasks.items():
        write_json(folder / "json" / f"{task}.json", rows)
    put_videos(
        folder,
        *(f"video/5_order/order_{n}.mp4" for n in range(3)),
        "video/4_count/count_1.mp4",
        "video/8_sub_scene/s.mp4",
    )
    return folder


def test_mlvu_averages_tasks_and_pools_them_beside(tmp_path):
    opened = _open("mlvu", _mlvu(tmp_path / "data"))
    assert opened.loaded.notes == [
        "1 empty row left out",
        "the answer of 1 question is none of the options, so no reply can be right",
    ]
    model = StandInModel(lambda video, question: "B")
    odd = {
        "kitchen": [
            "Point 1: 'score_accuracy': 1, no. {'score_accuracy': 3.5, 'score_relevance': 4, 'total_score': 7.5}"
        ]
    }
    document = _run(opened, model, tmp_path, judge=StandInJudge(odd))
    found = _figures(document)
    assert (found["M-Avg"], found["M-Avg, all questions pooled"]) == (50, 75)
    assert (found["AO"], found["AC"]) == (100, 0)
    assert (found["G-Avg"], found["G-Avg, pooled and cut"]) == (
        pytest.approx(7.5),
        pytest.approx(7),
    )
    official = _open("mlvu", tmp_path / "data", "parsing=official", "average=micro")
    document = _run(official, model, tmp_path, judge=StandInJudge())
    found = _figures(document)
    assert found["M-Avg"] == 75
    assert found["G-Avg"] == pytest.approx(5)  # the number in the explanation is read
    tokens = {options["max_new_tokens"] for options in model.options}
    assert tokens == {16, 1000}


def test_another_split_is_told_by_its_count(tmp_path):
    rows = [
        {"id": n, "video_id": "v", "question": "who?", "answer": "man"}
        for n in range(6415)
    ]
    write_json(tmp_path / "test_qa.json", rows)
    with pytest.raises(ValueError, match="6,415 questions, which is the val split"):
        _open("msvd-qa", tmp_path)
    (tmp_path / "test_qa.json").rename(tmp_path / "val_qa.json")
    assert _open("msvd-qa", tmp_path, "split=val").split == "val"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not whole JSON"),
        ("[]", "holds no rows; fetch it again"),
        ('[{"a": 1}]', "its rows have the fields a, which are none of"),
    ],
)
def test_files_that_are_none_are_told_in_a_sentence(tmp_path, content, message):
    (tmp_path / "test_qa.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        _open("msvd-qa", tmp_path)


def test_a_folder_without_annotations_names_the_check(tmp_path):
    with pytest.raises(ValueError, match="'dynfocus eval check msvd-qa --data"):
        _open("msvd-qa", tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        _open("msvd-qa", tmp_path / "nowhere")


def test_the_check_finds_what_is_missing_half_done_and_odd(tmp_path):
    folder = _mlvu(tmp_path)
    (folder / "video/5_order/order_2.mp4").write_bytes(b"")
    (folder / "video/4_count/count_1.mp4").rename(folder / "count_1.mp4.part")
    found = check_folder(_open("mlvu", folder))
    assert set(found["missing"]) == {"4_count/count_1.mp4", "5_order/order_2.mp4"}
    assert found["partial"] == ["count_1.mp4.part", "video/5_order/order_2.mp4"]
    assert found["is_whole"] is False
    assert (
        "1 question has an answer outside its options (AC-count_1.mp4)"
        in found["notes"]
    )


def test_a_sample_is_fixed_and_keeps_videos_whole(tmp_path):
    items = _open("video-mme", _video_mme(tmp_path)).items
    first, second = sample(items, 1), sample(items, 2)
    assert {item.id for item in first} <= {item.id for item in second}
    assert first == sample(list(reversed(items)), 1)[::-1]
    assert len({item.video for item in first}) == 1
    assert sample(items, 99) == list(items)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("parsing", "a rule is written NAME=VALUE"),
        ("colour=red", "there is no 'colour'"),
        ("parsing=mine", "parsing must be one of 'strict', 'official' or 'lmms-eval'"),
    ],
)
def test_rules_that_are_none(rule, message):
    with pytest.raises(ValueError, match=message):
        read_options([rule])


def test_rules_are_all_in_a_result():
    assert set(BenchmarkOptions().to_dict()) >= {"split", "parsing", "judge_score"}
