"""Every released shape of the annotations is read as it is, and marked by its rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark_stand_ins import (
    StandInModel,
    put_videos,
    write_csv,
    write_json,
    write_lines,
    write_parquet,
)
from dynfocus.evaluation.benchmarks.asking import RunSettings, make_rows
from dynfocus.evaluation.benchmarks.loading import open_benchmark
from dynfocus.evaluation.benchmarks.marking import mark_records
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions, read_options
from dynfocus.evaluation.benchmarks.registry import OWN, load_benchmark
from dynfocus.evaluation.benchmarks.subtitles import (
    add_subtitles,
    choose_lines,
    find_subtitles,
    read_lines,
)
from dynfocus.evaluation.benchmarks.video_mme_v2 import score_group
from dynfocus.models.options import AskOptions


def _load(name, folder, *rules):
    return open_benchmark(load_benchmark(name), folder, read_options(rules))


def _mark(opened, replies, judged=None):
    """Mark replies, in the order of the questions, without a model; give the figures."""
    rows = make_rows(opened, opened.items, AskOptions())
    records = []
    for row, reply in zip(rows, replies, strict=True):
        record = {
            "id": row.id,
            "video": row.video,
            "question": row.question,
            "evidence": row.evidence,
            **row.facts,
            "answer": reply,
        }
        if judged is not None:
            record["verdicts"] = judged
        records.append(record)
    opened.benchmark.pair_up(records)
    marked = mark_records(opened, records)
    figures = opened.benchmark.figures(marked, opened.options)
    return {figure.label: figure.estimate.value for figure in figures}, marked


@pytest.mark.parametrize("name", OWN)
def test_every_benchmark_says_where_it_is_from(name):
    benchmark = load_benchmark(name)
    assert benchmark.name == name
    assert benchmark.source
    assert benchmark.layout
    assert set(benchmark.rules) <= set(BenchmarkOptions().to_dict())
    assert all(row.source for row in benchmark.published)


OPEN_SHAPES = [
    "a pair of questions and answers",
    "one file with questions and answers",
    "Chat-UniVi's file",
    "IG-VLM's table",
]


def _open_answers(folder: Path, shape: str) -> None:
    if shape == OPEN_SHAPES[0]:
        asked = {"video_name": "aB3xYz", "question": "is the dog on the left brown"}
        write_json(folder / "test_q.json", [{**asked, "question_id": "v_aB3xYz_4"}])
        answer = {"answer": "yes", "type": 3, "question_id": "v_aB3xYz_4"}
        write_json(folder / "test_a.json", [answer])
    elif shape == OPEN_SHAPES[1]:
        row = {"id": 31007, "video_id": "aB3xYz", "question": "kicks what?"}
        write_json(folder / "test_qa.json", [{**row, "answer": "yes"}])
    elif shape == OPEN_SHAPES[2]:
        row = {"question": "kicks what?", "video_name": "aB3xYz", "answer": "yes"}
        write_json(folder / "msvd_qa.json", [row])
    else:
        row = {"": 0, "video_id": "x", "answer": "yes", "question": "kicks what?"}
        row |= {"video_name": "aB3xYz", "question_id": 5, "question_type": "what"}
        write_csv(folder / "msvd_qa.csv", [row])


@pytest.mark.parametrize("shape", OPEN_SHAPES)
def test_four_shapes_of_open_answers(tmp_path, shape):
    _open_answers(tmp_path, shape)
    opened = _load("msvd-qa", tmp_path)
    (item,) = opened.items
    assert opened.loaded.shape == shape
    assert (item.video, item.answer) == ("aB3xYz", "yes")
    figures, _ = _mark(opened, ["Yes."], [{"pred": "yes", "score": 3.2}])
    assert (figures["Accuracy"], figures["Exact match"]) == (100, 100)
    assert figures["Score"] == pytest.approx(3)


def test_files_of_two_editions_are_told(tmp_path):
    _open_answers(tmp_path, OPEN_SHAPES[0])
    write_json(tmp_path / "test_a.json", [{"answer": "no", "question_id": "other"}])
    with pytest.raises(ValueError, match="row 1 of .* asks 'v_aB3xYz_4'"):
        _load("msvd-qa", tmp_path)
    (tmp_path / "test_a.json").unlink()
    with pytest.raises(ValueError, match=r"has no test_a.json beside it"):
        _load("msvd-qa", tmp_path)


def test_activitynet_has_figures_of_its_types(tmp_path):
    _open_answers(tmp_path, OPEN_SHAPES[0])
    put_videos(tmp_path, "all_test/v_aB3xYz.mkv")
    opened = _load("activitynet-qa", tmp_path)
    assert opened.video_of(opened.items[0]) == "all_test/v_aB3xYz.mkv"
    figures, _ = _mark(opened, ["yes"], [{"pred": "no", "score": 0}])
    assert (figures["yes/no"], figures["Exact match, free"]) == (0, 100)
    worded = _load("activitynet-qa", tmp_path, "prompt=lmms-eval")
    (row,) = make_rows(worded, worded.items, AskOptions())
    assert row.question.startswith("Is the dog on the left brown?\n")


def test_msrvtt_numbers_are_names(tmp_path):
    row = {"id": 1, "video_id": 7010, "question": "who?", "answer": "man"}
    write_json(tmp_path / "test_qa.json", [{**row, "category_id": 3}])
    assert _load("msrvtt-qa", tmp_path).items[0].video == "video7010"


def test_vcg_bench_pairs_what_is_asked_twice(tmp_path):
    one = {"Q": "What tools?", "A": "A wire loop.", "video_name": "v_Ab12Cd34Ef5"}
    write_json(tmp_path / "generic_qa.json", [one, one])
    write_json(tmp_path / "temporal_qa.json", [one])
    two = {"Q1": "Tools?", "Q2": "Which tools?", "A": "A loop.", "video_name": "v_x"}
    write_json(tmp_path / "consistency_qa.json", [two])
    opened = _load("vcg-bench", tmp_path)
    rows = make_rows(opened, opened.items, AskOptions())
    records = [
        {"id": r.id, "video": r.video, **r.facts, "answer": f"reply {n}"}
        for n, r in enumerate(rows)
    ]
    opened.benchmark.pair_up(records)
    asked = [task for record in records for task in opened.benchmark.to_judge(record)]
    aspects = [task.aspect for task in asked]
    generic = ["correctness", "detail", "context"]
    assert aspects == [*generic, *generic, "temporal", "consistency"]
    assert asked[-1].fields["pred2"] == "reply 4"
    scores = iter([5, 4, 3, 1, 2, 3, 2, 4.8])
    for record in records:
        found = [{"score": next(scores)} for _ in opened.benchmark.to_judge(record)]
        record["verdicts"] = found
    marked = mark_records(opened, records)
    figures = opened.benchmark.figures(marked, opened.options)
    values = {f.label: f.estimate.value for f in figures if f.is_main}
    assert values == pytest.approx({"CI": 3, "DO": 3, "CU": 3, "TU": 2, "CO": 5})


LVBENCH = {
    "uid": "77001",
    "question": "Which lane wins the second race?\n(A) 2\n(B) 3\n(C) 4\n(D) 6",
    "answer": "C",
    "question_type": ["event understanding", "temporal grounding"],
    "time_reference": "41:10-42:05",
}


def test_lvbench_counts_a_question_in_each_of_its_tags(tmp_path):
    video = {"key": "Zz9Yy8Xx7Ww", "type": "sport"}
    other = {**LVBENCH, "uid": 77002, "question_type": ["reasoning"]}
    odd = {**LVBENCH, "uid": "77003", "time_reference": "None-None"}
    path = tmp_path / "video_info.meta.jsonl"
    write_lines(path, [{**video, "qa": [LVBENCH, other, odd]}])
    opened = _load("lvbench", tmp_path)
    item = opened.items[0]
    assert (item.question, item.choices) == (
        "Which lane wins the second race?",
        ("2", "3", "4", "6"),
    )
    assert item.evidence == ((2470.0, 2525.0),)
    assert [i.id for i in opened.items] == ["77001", "77002", "77003"]
    figures, _ = _mark(opened, ["(C)", "B", None])
    assert figures["Overall"] == pytest.approx(100 / 3)
    assert (figures["EU"], figures["TG"], figures["Rea"]) == (50, 50, 0)
    assert figures["Overall, official parsing and count"] == 50  # the third is skipped
    with pytest.raises(ValueError, match=r"the clean edition has 1,519"):
        _load("lvbench", tmp_path, "size=clean")


@pytest.mark.parametrize(
    "row",
    [
        {"key": "k", **LVBENCH},
        {
            "video": "00000001",
            "question": "Which?",
            "candidates": ["(A) 2", "(B) 3", "(C) 4", "(D) 6"],
            "answer": "(C) 4",
        },
        {
            "video_path": "k.mp4",
            "question": "Which?",
            "options": ["2", "3", "4", "6"],
            "answer": "C",
        },
    ],
)
def test_other_shapes_of_lvbench(tmp_path, row):
    write_lines(tmp_path / "lvbench.jsonl", [row])
    (item,) = _load("lvbench", tmp_path).items
    assert (item.choices, item.answer) == (("2", "3", "4", "6"), "C")


def test_video_mme_also_comes_as_its_scorers_template(tmp_path):
    asked = {
        "question_id": "901-2",
        "task_type": "Counting Problem",
        "question": "How?",
    }
    asked |= {"options": ["A. 1.", "B. 2.", "C. 3.", "D. 4."], "answer": "C"}
    film = {"video_id": "901", "duration": "long", "domain": "D", "sub_category": "S"}
    write_json(tmp_path / "video_mme.json", [{**film, "questions": [asked]}])
    opened = _load("video-mme", tmp_path)
    assert opened.loaded.shape == "the scorer's template, a row a video"
    assert opened.items[0].choices == ("1.", "2.", "3.", "4.")


@pytest.mark.parametrize(
    ("kind", "structure", "right", "expected"),
    [
        ("relevance", "", "1101", 56.25),
        ("relevance", "", "0000", 0),
        ("logic", "[1, 2, 3, 4]", "1101", 25),
        ("logic", "[1, 2, 3, 4]", "0111", 0),
        ("logic", "[1, [2, 3], 4]", "1010", 100 * 4 / 12),
        ("logic", "[1, [2, 3], 4]", "1110", 100 * 7 / 12),
        ("logic", "[[1, 2], 3, 4]", "0111", 10),
        ("logic", "[[1, 2], 3, 4]", "1100", 20),
        ("logic", "[[1,2],3,4]", "1111", 100),
    ],
)
def test_groups_of_video_mme_v2_are_not_linear(kind, structure, right, expected):
    answers = [one == "1" for one in right]
    assert score_group(kind, structure, answers) == pytest.approx(expected)


def test_video_mme_v2_scores_groups(tmp_path):
    rows = [
        {
            "video_id": "001",
            "question_id": f"001-{n}",
            "question": "Which?",
            "options": "A. 1\nB. 2\nC. 3\nD. 4\nE. 5\nF. 6\nG. 7\nH. 8",
            "answer": "H",
            "group_type": "logic",
            "group_structure": "[1, 2, 3, 4]",
            "level": 2,
            "second_head": "s",
            "third_head": "t",
        }
        for n in range(1, 5)
    ]
    write_parquet(tmp_path / "test.parquet", rows)
    opened = _load("video-mme-v2", tmp_path)
    figures, _ = _mark(opened, ["H", "H", "A", "H"])
    assert (figures["Group score"], figures["Accuracy"]) == (25, 75)
    assert figures["Group score, level 2"] == 25
    with pytest.raises(ValueError, match="group_structure must be one of"):
        score_group("logic", "[4]", [True])


def test_videohallucer_needs_both_halves(tmp_path):
    basic = {"video": "k.mp4", "question": "Is there a kettle?", "answer": "yes"}
    other = {"video": "k.mp4", "question": "Is there a toaster?", "answer": "no"}
    pair = {"basic": basic, "hallucination": other, "type": "object"}
    second = {**pair, "basic": {**basic, "question": "Is there a cup?"}}
    write_json(tmp_path / "object_relation/object_relation.json", [pair, second, pair])
    put_videos(tmp_path, "object_relation/videos/k.mp4")
    opened = _load("videohallucer", tmp_path)
    assert opened.video_of(opened.items[0]) == "object_relation/videos/k.mp4"
    assert "1 pair that stand twice left out" in opened.loaded.notes
    assert len(_load("videohallucer", tmp_path, "duplicates=kept").items) == 6
    figures, _ = _mark(opened, ["Yes.", "no", "yes", "yes, not no"])
    assert (figures["Basic"], figures["Hallucinated"], figures["Overall"]) == (
        100,
        50,
        50,
    )
    assert figures["Overall, official reading"] == 100  # both words are right for both


def test_longvideobench_in_both_shapes(tmp_path):
    row = {
        "video_id": "Kk1",
        "id": "Kk1_2",
        "question": "When the map is shown, what is in the corner?",
        "correct_choice": 1,
        "position": [412],
        "question_category": "S2O",
        "level": "L1-Perception",
        "video_path": "Kk1.mp4",
        "subtitle_path": "Kk1_en.json",
        "duration_group": 600,
        "starting_timestamp_for_subtitles": 10,
    }
    choices = ["a compass", "a flag", "a clock"]
    write_json(tmp_path / "lvb_val.json", [{**row, "candidates": choices}])
    first = _load("longvideobench", tmp_path).items
    (tmp_path / "lvb_val.json").unlink()
    columns = {f"option{n}": one for n, one in enumerate([*choices, "N/A", "N/A"])}
    write_parquet(tmp_path / "validation-00000.parquet", [{**row, **columns}])
    opened = _load("longvideobench", tmp_path)
    assert opened.items == first
    figures, marked = _mark(opened, ["no idea"])
    assert figures["Overall"] == 0
    assert marked[0]["right_official"] in (
        True,
        False,
    )  # a guess, the same in every run
    again = _mark(opened, ["no idea"])[1]
    assert again[0]["right_official"] == marked[0]["right_official"]
    guessed = _load("longvideobench", tmp_path, "unparsed=guessed")
    assert _mark(guessed, ["no idea"])[1][0]["parsed"] in "ABC"


def test_egoschema_writes_what_its_server_takes(tmp_path):
    options = {f"option {n}": f"C does {n}." for n in range(5)}
    rows = [{"q_uid": f"0a1b-{n}", "question": "Why?", **options} for n in range(2)]
    write_json(tmp_path / "questions.json", rows)
    write_json(tmp_path / "subset_answers.json", {"0a1b-0": 3})
    assert [i.answer for i in _load("egoschema", tmp_path).items] == ["D"]
    opened = _load("egoschema", tmp_path, "split=full")
    figures, marked = _mark(opened, ["D", "(B)"])
    assert figures["Overall"] == 100
    assert opened.benchmark.submission(marked[1:]) == {"0a1b-1": 1}
    write_json(tmp_path / "subset_answers.json", {"other": 3})
    with pytest.raises(
        ValueError, match="answers 'other', which questions.json does not"
    ):
        _load("egoschema", tmp_path)
    early = [{k: v for k, v in row.items() if k != "question"} for row in rows]
    write_json(tmp_path / "questions.json", early)
    with pytest.raises(ValueError, match="the early edition"):
        _load("egoschema", tmp_path)


def test_egoschema_as_a_table(tmp_path):
    row = {"question_idx": "1", "question": "Why?", "video_idx": "u", "answer": "2"}
    row["option"] = [f"{one}. C {one}" for one in "ABCDE"]
    write_parquet(tmp_path / "test.parquet", [row])
    (item,) = _load("egoschema", tmp_path).items
    assert (item.answer, item.choices[0]) == ("C", "C A")


def test_next_qa_groups_its_types(tmp_path):
    row = {"video": 5550001112, "frame_count": 640, "width": 480, "height": 360}
    row |= {"question": "why did she wave", "answer": 3, "qid": 2, "type": "CW"}
    row |= {
        f"a{n}": text for n, text in enumerate(("dance", "swim", "cold", "bye", "pick"))
    }
    write_csv(tmp_path / "test.csv", [row, {**row, "qid": 3, "type": "TP"}])
    write_json(tmp_path / "map_vid_vidorID.json", {"5550001112": "1164/5550001112"})
    put_videos(tmp_path, "videos/5550001112.mp4")
    opened = _load("next-qa", tmp_path)
    assert opened.items[0].id == "5550001112_2"
    assert opened.video_of(opened.items[0]) == "videos/5550001112.mp4"
    figures, _ = _mark(opened, ["D", "A"])
    assert (figures["causal"], figures["TN"]) == (100, 0)


def test_mvbench_asks_about_spans_and_folders_of_frames(tmp_path):
    row = {"video": "c.mp4", "question": "How many?", "candidates": ["3", "4"]}
    row |= {"answer": "4"}
    write_json(tmp_path / "json/moving_count.json", [row, {**row, "candidates": ["4"]}])
    span = {**row, "start": 2.5, "end": 7.0}
    write_json(tmp_path / "json/action_sequence.json", [span])
    write_json(tmp_path / "json/episodic_reasoning.json", [{**row, "video": "s01"}])
    put_videos(
        tmp_path,
        "video/clevrer/video_validation/c.mp4",
        "video/star/c.mp4",
        "video/tvqa/frames_fps3_hq/s01/00001.jpg",
    )
    opened = _load("mvbench", tmp_path)
    assert "17 tasks of 20 without a file" in opened.loaded.notes
    rows = {r.id: r for r in make_rows(opened, opened.items, AskOptions())}
    spanned = rows["action_sequence-0"].options
    assert (spanned.start, spanned.end) == (2.5, 7.0)
    found = {i.id: opened.video_of(i) for i in opened.items}
    assert found["action_sequence-0"] == "video/star/c.mp4"
    assert found["episodic_reasoning-0"] == "video/tvqa/frames_fps3_hq/s01"
    figures, _ = _mark(opened, ["(B)", "", "", "b"])
    assert figures["Avg"] == 50
    assert figures["Avg, official parsing and count"] == 100  # empty replies are right


def test_moviechat_tells_films_from_moments(tmp_path):
    row = {"video_name": "1.mp4", "question": "When?", "answer": "day"}
    rows = [{**row, "time": None}, {**row, "question": "Who?", "time": 3000}]
    write_parquet(tmp_path / "test.parquet", rows)
    opened = _load("moviechat-1k", tmp_path)
    assert [item.kind for item in opened.items] == ["global", "breakpoint"]
    figures, _ = _mark(opened, ["day", "day"], [{"pred": "yes", "score": 5}])
    assert figures["Accuracy, breakpoint"] == 100
    film = {"info": {"video_path": "1.mp4"}, "global": [row], "breakpoint": [rows[1]]}
    (tmp_path / "test.parquet").unlink()
    for name in ("1", "2"):
        write_json(tmp_path / f"jsons/{name}.json", film)
    assert len(_load("moviechat-1k", tmp_path).items) == 4


def test_fineaction_grounds_by_markers(tmp_path):
    row = {
        "id": "fa_1",
        "video": "v_1.mp4",
        "task": "grd_1st",
        "question": "<video>\nWithin <s0> to <e0>, when is the ball first thrown?",
        "answer": "from <s1> to <e1>",
        "meta": {
            "duration": 140.0,
            "token": {"<s0>": 0.0, "<e0>": 140.0, "<s1>": 33.6, "<e1>": 37.8},
        },
    }
    reasoned = {**row, "id": "fa_2", "task": "rsn_times", "answer": "twice"}
    write_json(tmp_path / "fineaction_cgr.json", [row, {**row, "id": "fa_3"}, reasoned])
    opened = _load("fineaction-cgr", tmp_path)
    assert (
        opened.items[0].question
        == "Within 0 s to 140 s, when is the ball first thrown?"
    )
    figures, marked = _mark(
        opened, ["from 240 to 270", "from 0:34 to 0:38", "two times"]
    )
    assert marked[0]["right"] == pytest.approx(0.03 / (0.03 + 1e-5), abs=1e-6)
    assert 0.8 < marked[1]["right"] < 1
    assert figures["R1@0.7"] == 100
    assert marked[2]["right"] is False  # nobody judged it


def test_subtitles_of_the_sampled_frames_stand_before_the_question(tmp_path):
    from dynfocus.evaluation.benchmarks.running import run_benchmark

    row = {"video_id": "K", "id": "K_1", "question": "What?", "candidates": ["a", "b"]}
    row |= {"correct_choice": 0, "video_path": "K.mp4", "subtitle_path": "K_en.json"}
    row |= {"starting_timestamp_for_subtitles": 10, "question_category": "T2O"}
    write_json(tmp_path / "lvb_val.json", [row])
    said = [
        {"timestamp": [10.5, 11.5], "text": "hello"},
        {"start": "0:00:40.0", "end": "0:00:42.0", "line": "much later"},
    ]
    write_json(tmp_path / "subtitles/K_en.json", said)
    put_videos(tmp_path, "videos/K.mp4")
    asked = []
    for which in ("frames", "all", "none"):
        model = StandInModel(lambda video, question: "A")
        opened = _load("longvideobench", tmp_path, f"subtitles={which}")
        settings = RunSettings(model="stand-in")
        run_benchmark(opened, lambda number, m=model: m, settings, tmp_path / which)
        asked.append(model.asked[0][1])
    assert "hello\nQuestion: What?" in asked[0]
    assert "much later" in asked[1]
    assert asked[2].startswith("Question: What?")


def test_ten_frames_have_the_subtitles_of_ten_moments(tmp_path):
    path = tmp_path / "subtitle/Q1.srt"
    path.parent.mkdir()
    said = "1\n00:00:01,500 --> 00:00:02,500\nhello\n\n"
    path.write_text(f"{said}2\n00:00:30,000 --> 00:00:31,000\nlater\n")
    found = find_subtitles(tmp_path, "Q1")
    assert found == path
    lines = read_lines(path)
    assert [line.text for line in choose_lines(lines, [0.0, 1.0, 2.0])] == ["hello"]
    assert add_subtitles("Why?", choose_lines(lines)).endswith("hello\nlater\nWhy?")
    assert add_subtitles("Why?", []) == "Why?"
    words = tmp_path / "subtitle/001.jsonl"
    write_lines(words, [{"text": "hey", "start_time": 1.0, "end_time": 1.2}])
    assert [line.text for line in read_lines(words)] == ["hey"]
