from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dynfocus.defaults import NANO_QUESTIONS
from dynfocus.world import find_questions, make_dataset, make_video


def test_the_answer_alone_is_on_standard_output(run, models, clip):
    outcome = run("ask", clip, "What is this?", "-m", "other")
    assert outcome.code == 0
    assert outcome.out == "words: 3\n"
    (line,) = outcome.err_lines
    assert line.startswith("88 video tokens, 6 frames (2 Cones, 4 Rods), 0.25 s after ")
    assert models[0].name == "other"


def test_json_is_one_document(run, models, clip):
    outcome = run("ask", clip, "What is this?", "-m", "nano", "--json", "--fps", 2)
    document = outcome.document
    assert document["text"] == "words: 3"
    assert document["question"] == "What is this?"
    assert document["model"] == "nano"
    assert document["tokens"] == sum(frame["tokens"] for frame in document["frames"])
    assert len(document["frames"]) == 12
    assert outcome.code == 0


def test_the_index_on_disk_can_be_left_out(run, models, clip):
    outcome = run("ask", clip, "What?", "-m", "nano", "--json")
    assert outcome.document["from_index"] is False
    run("ask", clip, "What?", "-m", "nano", "--no-index")
    run("chat", clip, "-m", "nano", "--no-index", stdin="exit\n")
    run("timeline", clip, "What?", "--no-index")
    assert [model.index_folder for model in models] == [None, False, False, False]


def test_the_question_may_come_from_standard_input(run, models, clip):
    outcome = run("ask", clip, "-", "-m", "nano", stdin="  How many\nbars are there?\n")
    assert outcome.out == "words: 5\n"


def test_max_frames_is_passed_on(run, models, clip):
    outcome = run("ask", clip, "What?", "-m", "nano", "--json", "--max-frames", 4)
    assert len(outcome.document["frames"]) == 4


def test_nano_says_that_it_does_not_know_this_world(run, clip):
    outcome = run("ask", clip, "What?", "-m", "nano", "--no-index")
    assert outcome.err_lines[0].startswith(f"dynfocus: warning: {clip} does not look")
    assert "name a model that knows the real world" in outcome.err_lines[0]
    assert outcome.code == 0


def test_nano_says_nothing_about_its_own_world(run, tmp_path):
    made = make_video(tmp_path / "world.mp4", 5, seed=3)
    outcome = run("ask", made.path, "What?", "--no-index")
    assert "warning" not in outcome.err
    assert outcome.err_lines[0] == "Model: nano, as this is a FocusWorld video"


def test_report_is_written(run, models, clip):
    outcome = run("ask", clip, "Which <bar>?", "-m", "nano", "--report", "r.html")
    assert outcome.code == 0
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 2 + 2 * 2  # Cones, and of each a frame and a layer
    assert "What the spatial prototypes merged" in page
    assert "Which &lt;bar&gt;?" in page
    assert outcome.err_lines[-1] == "Report: r.html"


def test_report_marks_the_evidence_of_a_world_video(run, models, tmp_path):
    folder = make_dataset(tmp_path / "w", 1, 20, seed=3, size=112)
    (video,) = (folder / "videos").glob("*.mp4")
    asked = next(one for one in find_questions(video) if one.kind == "needle")
    outcome = run("ask", video, asked.question, "--report", "r.html")
    assert outcome.code == 0
    page = Path("r.html").read_text(encoding="utf-8")
    assert f"Truth: {asked.answer}<" in page
    assert '<span class="mark wrong">' in page
    assert page.count('<rect class="evidence"') == len(asked.evidence)
    (begin, end), *_ = asked.evidence
    for part, shows_it in (((0, begin + 0.5), False), ((begin, end), True)):
        excerpt = ("--start", part[0], "--end", part[1])
        run("ask", video, asked.question, *excerpt, "--report", "r.html")
        page = Path("r.html").read_text(encoding="utf-8")
        assert ("Truth:" in page) == shows_it
    run("ask", video, "What else?", "--report", "r.html")
    page = Path("r.html").read_text(encoding="utf-8")
    assert "Truth:" not in page
    assert '<rect class="evidence"' not in page
    note = {"video": video.name, "questions": [{"question": 3}]}
    video.with_suffix(".json").write_text(json.dumps(note))
    outcome = run("ask", video, asked.question, "--report", "r.html")
    assert (outcome.code, outcome.out) == (1, "")
    assert "does not hold the questions about its video" in outcome.err
    assert len(models) == 4


@pytest.mark.parametrize("path", ["missing/r.html", "."])
def test_unwritable_report_fails_before_the_model_is_loaded(run, models, clip, path):
    outcome = run("ask", clip, "What?", "--report", path)
    assert outcome.code == 1
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: the report cannot be written to ")
    assert models == []


def test_paths_with_spaces_and_other_scripts(run, models, clip, tmp_path):
    folder = tmp_path / "a folder - 日本語"
    folder.mkdir()
    video = shutil.copy(clip, folder / "Ü né 1.mp4")
    call = ("ask", video, "赤い四角の文字は何ですか?", "-m", "nano", "--json")
    outcome = run(*call, "--report", "ü.html")
    assert outcome.code == 0
    assert outcome.document["video"] == str(video)
    assert "Ü né 1.mp4" in Path("ü.html").read_text(encoding="utf-8")


def test_unknown_method_names_what_is_accepted(run, models, clip):
    outcome = run("ask", clip, "What?", "-m", "other", "--method", "magic")
    assert outcome.code == 2
    assert outcome.err == (
        "dynfocus: Invalid value: --method must be one of dynfocus, got 'magic'; see "
        "'dynfocus ask --help'\n"
    )
    assert models[0].num_indexed == 0


@pytest.mark.parametrize("name", ["no/such/folder/here", "empty"])
def test_a_model_folder_that_holds_no_model_is_one_sentence(run, clip, tmp_path, name):
    (tmp_path / "empty").mkdir()
    outcome = run("ask", clip, "What?", "--model", tmp_path / name)
    assert outcome.code == 1
    assert outcome.out == ""
    (line,) = outcome.err_lines
    assert line.startswith("dynfocus: ")
    assert name in line


def test_chat_encodes_once_and_answers_each_line(run, models, clip):
    outcome = run(
        "chat", clip, "-m", "other", stdin="One two three\n\nFour\nexit\nnever asked\n"
    )
    assert outcome.code == 0
    assert outcome.out.split("\n") == ["words: 3 ", "words: 1 ", ""]
    assert [line.split(",")[0] for line in outcome.err_lines] == ["88 video tokens"] * 2
    assert models[0].num_indexed == 1


def test_chat_with_nano_answers_as_ask_and_says_why(run, tmp_path):
    world = make_video(tmp_path / "w.mp4", 30, seed=3)
    asked = [question.question for question in world.questions[:4]]
    outcome = run("chat", world.path, "-m", "nano", stdin="\n".join(asked))
    alone = [run("ask", world.path, one, "-m", "nano").out for one in asked]
    assert (outcome.code, outcome.out) == (0, "".join(alone))
    told = [line for line in outcome.err_lines if "single questions" in line]
    assert told == [
        "dynfocus: warning: nano was trained on single questions: each is asked without "
        "those before it, so write it out in full"
    ]


def test_the_video_is_not_written_over(run, models, clip):
    before = Path(clip).read_bytes()
    calls = [
        ("ask", clip, "What?", "-m", "other", "--report", clip),
        ("frames", clip, "x", "--served-model", "m", "--request", clip),
        ("batch", clip, "--out", clip),
    ]
    for call in calls:
        outcome = run(*call)
        assert (outcome.code, outcome.out) == (1, "")
        assert "that is the file that is read; name another" in outcome.err
    assert Path(clip).read_bytes() == before


def test_chat_goes_on_after_a_failed_turn_and_says_so_at_the_end(run, models, clip):
    outcome = run("chat", clip, "-m", "other", stdin="this is too long\nOne\n")
    assert outcome.code == 1
    assert outcome.out == "words: 1 \n"
    assert outcome.err_lines[0] == (
        "dynfocus: the prompt has too many tokens; ask for less"
    )


def test_several_questions_are_answered_in_one_call(run, models, clip):
    outcome = run("ask", clip, "What is this?", "Who?", "-m", "other")
    assert (outcome.code, outcome.out) == (0, "words: 3\nwords: 1\n")
    assert models[0].num_indexed == 1
    assert len(outcome.err_lines) == 2
    call = ("ask", clip, "What is this?", "Who?", "-m", "other", "--json")
    outcome = run(*call, "--report", "r.html")
    texts = [answer["text"] for answer in outcome.document["answers"]]
    assert texts == ["words: 3", "words: 1"]
    assert outcome.document["video"] == str(clip)
    page = Path("r.html").read_text(encoding="utf-8")
    assert "What is this?" in page
    assert "Who?" in page


def test_a_question_that_fails_takes_no_other_answer_along(run, models, clip):
    call = ("ask", clip, "What is this?", "this is too long", "Who?", "-m", "other")
    outcome = run(*call)
    assert (outcome.code, outcome.out) == (1, "words: 3\nwords: 1\n")
    error = "the prompt has too many tokens; ask for less"
    assert outcome.err_lines[1] == f"dynfocus: {error}"
    outcome = run(*call, "--json", "--report", "r.html")
    assert outcome.code == 1
    first, second, third = outcome.document["answers"]
    assert (first["text"], third["text"]) == ("words: 3", "words: 1")
    assert second == {"question": "this is too long", "error": error}
    assert "too long" not in Path("r.html").read_text(encoding="utf-8")
    alone = run("ask", clip, "this is too long", "-m", "other", "--json")
    assert (alone.code, alone.out, alone.err) == (1, "", f"dynfocus: {error}\n")


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("half \ud83d", "the question holds half a character, '\\ud83d', at place 6"),
        ("caf\udce9", "the question holds a byte that is not UTF-8, 0xe9, at place 4"),
        ("\x00", "the question is empty"),
        ("\u200b ", "the question is empty"),
    ],
)
def test_a_question_that_cannot_be_asked_is_a_wrong_call(
    run, models, clip, question, problem
):
    calls = [("ask", clip, "What?", question), ("watch", clip, "--ask", question)]
    for call in [*calls, ("frames", clip, question), ("timeline", clip, question)]:
        outcome = run(*call)
        assert outcome.code == 2
        assert f"Invalid value: {problem}" in outcome.err
    assert models == []


def test_several_videos_are_asked_about_together(run, models, clip, tmp_path):
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    call = ("ask", clip, "--also", other, "Which of both?", "-m", "other")
    outcome = run(*call)
    assert (outcome.code, outcome.out) == (0, "words: 3\n")
    assert models[0].num_indexed == 2
    assert re.search(r"12 frames .* after .* for reading the videos$", outcome.err)
    document = run(*call, "--json", "--report", "r.html").document
    assert document["video"] == [str(clip), str(other)]
    assert [frame["video"] for frame in document["frames"]] == [0] * 6 + [1] * 6
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert f"Video 1: {clip.name}" in page
    assert "Video 2: other.mp4" in page
    assert "layer 1 of the frame at Video 2, 00:03.0" in page
    missing = run("ask", clip, "What?", "--also", "no.mp4", "-m", "other")
    assert missing.code == 1
    assert "no.mp4: there is no such file" in missing.err
    over = run("ask", clip, "What?", "--also", other, "--report", other)
    assert over.code == 1
    assert "that is the file that is read" in over.err


def test_nano_says_that_it_was_trained_on_one_video(run, tmp_path):
    paths = [make_video(tmp_path / f"{n}.mp4", 6, seed=n).path for n in (1, 2)]
    call = (paths[0], "--also", paths[1], "--no-index")
    for outcome in (
        run("ask", *call, "What letter is on the red square?", "Who?"),
        run("chat", *call, stdin="What letter is on the red square?\nWho?\n"),
    ):
        assert outcome.code == 0
        told = [line for line in outcome.err_lines if "trained on one video" in line]
        assert len(told) == 1


def test_a_budget_below_the_least_is_a_wrong_call(run, tmp_path):
    path = make_video(tmp_path / "w.mp4", 6, seed=1).path
    for call in (("ask", path, "What?"), ("chat", path)):
        for budget in (0, 1):
            outcome = run(*call, "--max-video-tokens", budget, "--no-index")
            assert outcome.code == 2
            assert "Invalid value" in outcome.err
    assert "--max-video-tokens must be at least 12, the tokens of one" in outcome.err


def test_an_answer_says_its_time_and_its_confidence(run, tmp_path):
    made = make_video(tmp_path / "w.mp4", 30, seed=3)
    asked = next(one for one in made.questions if one.kind == "needle")
    outcome = run("ask", made.path, asked.question, "--no-index")
    assert outcome.out == f"{asked.answer}\n"
    assert re.match(r"at 00:\d\d, \d+ % sure; \d+ video tokens", outcome.err_lines[-1])
    document = run("ask", made.path, asked.question, "--no-index", "--json").document
    assert 0 < document["confidence"] <= 1
    assert 0 <= document["best_time"] <= 30


def test_what_nano_can_be_asked_is_said_by_help_and_chat(run, models, clip):
    listed = run("ask", "--help").out
    told = run("chat", clip, "-m", "nano", stdin="exit\n").err
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for question in NANO_QUESTIONS:
        assert question in listed
        assert question in told
        assert question in readme
    other = run("chat", clip, "-m", "other", stdin="exit\n").err
    assert NANO_QUESTIONS[0] not in other
