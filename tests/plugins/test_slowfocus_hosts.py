"""SlowFocus without training on plugged hosts: the moment, and a second look at it."""

from __future__ import annotations

import io
import json
import sys

import pytest
import torch
from tiny_hosts import BUILDERS, build_host, save_host

from dynfocus.cli import main
from dynfocus.methods.loops import LOOPS, grounding_prompt
from dynfocus.report import write_report
from dynfocus.video import VideoReader
from scripted import scripted

QUESTION = "what is on the red square ?"
EVERY = pytest.mark.parametrize("name", sorted(BUILDERS))


def looked(model, clip, *replies, question=QUESTION, **options):
    speaking, generator = scripted(model, *replies)
    answer = speaking.ask(clip, question, method="slowfocus", **options)
    assert sum(frame.tokens for frame in answer.frames) == answer.tokens
    assert answer.question == question
    times = [frame.time for frame in answer.frames]
    assert times == sorted(set(times))
    assert json.loads(json.dumps(answer.to_dict()))["looks"]["note"] == (
        answer.looks.note
    )
    return answer, generator


@EVERY
def test_the_second_pass_reads_dense_frames_of_the_interval(plugged, clip, name):
    model = plugged(name, max_video_tokens=1000)
    answer, generator = looked(model, clip, "From 2.0 to 3.5 s.", "a circle")
    first, second = generator.turns
    assert first.question == grounding_prompt(QUESTION, 6.0)
    assert QUESTION in second.question
    assert "from 2.0 s to 3.5 s" in second.question
    assert (answer.text, answer.confidence) == ("a circle", 0.5)
    assert answer.looks.intervals == [(2.0, 3.5)]
    assert answer.looks.replies == ["From 2.0 to 3.5 s."]
    assert answer.looks.note is None
    assert {frame.kind for frame in first.frames} == {"low"}
    dense = [frame.time for frame in answer.frames if frame.kind == "high"]
    gap = 0.5 if name.startswith("qwen") else 0.25  # pairs of frames
    assert dense == pytest.approx([2.0 + gap * place for place in range(len(dense))])
    assert dense[-1] + gap == pytest.approx(3.5)
    low = [frame.time for frame in answer.frames if frame.kind == "low"]
    assert not any(2.0 <= seconds < 3.5 for seconds in low)
    assert generator.limits[1] == 64


@EVERY
@pytest.mark.parametrize("budget", [24, 40, 64, 150, 333])
def test_one_budget_holds_for_both_passes(plugged, clip, name, budget):
    model = plugged(name, max_video_tokens=budget)
    answer, generator = looked(model, clip, "2 to 4", "yes")
    read = [int(turn.is_visual.sum()) for turn in generator.turns]
    assert sum(read) == answer.tokens <= budget
    if answer.looks.intervals:
        assert {frame.kind for frame in answer.frames} == {"low", "high"}
    else:
        assert "too small for two frequencies" in answer.looks.note


@EVERY
@pytest.mark.parametrize("budget", [24, 150, 1000])
def test_dense_frames_are_cones_and_all_others_rods(plugged, clip, name, budget):
    model = plugged(name, max_video_tokens=budget)
    speaking, generator = scripted(model, "2 to 4", "yes")
    answer = speaking.ask(clip, QUESTION, method="slow-dynfocus")
    read = [int(turn.is_visual.sum()) for turn in generator.turns]
    assert sum(read) == answer.tokens <= budget
    if not answer.looks.intervals:
        assert "too small for two frequencies" in answer.looks.note
        return
    assert answer.looks.intervals == [(2.0, 4.0)]
    second = {"low": [], "high": []}
    for frame in generator.turns[1].frames:
        second[frame.kind].append(frame.tokens)
    assert set(second["low"]) <= {2, 3}  # the last has the newline of some hosts
    assert min(second["high"]) > 2 or budget < 1000


def test_a_scorer_proposes_in_place_of_the_host(plugged, clip, scorer):
    model = plugged(max_video_tokens=400, scorer=scorer)
    speaking, generator = scripted(model, "yes")
    answer = speaking.ask(clip, QUESTION, method="slow-dynfocus")
    assert len(generator.turns) == 1
    assert answer.looks.replies == []
    assert answer.looks.intervals
    dense = [frame for frame in answer.frames if frame.kind == "high"]
    assert all(
        any(start <= frame.time < end for start, end in answer.looks.intervals)
        for frame in dense
    )
    assert answer.tokens <= 400


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl"])
def test_dense_frames_are_encoded_as_the_frames_of_an_index(plugged, clip, name):
    model = plugged(name, max_video_tokens=4000)
    answer, generator = looked(model, clip, "2 to 4", "yes")
    turn = generator.turns[1]
    visual = turn.embeds[turn.is_visual]
    whole = model.index(clip, fps=4.0).features
    held = dict(zip(whole.pts_seconds.tolist(), whole.tokens, strict=True))
    place = num_dense = 0
    for frame in turn.frames:
        if frame.kind == "high":
            tokens = held[frame.time]
            torch.testing.assert_close(visual[place : place + len(tokens)], tokens)
            num_dense += 1
        place += frame.tokens
    assert num_dense == (4 if name == "qwen2_5_vl" else 8)


def test_the_index_is_used_where_it_holds_the_segment(plugged, clip, monkeypatch):
    model = plugged(max_video_tokens=500)
    index = model.index(clip, fps=4.0)
    answer, _ = looked(model, clip, "2 to 4", "yes", fps=4.0)

    def refuse(*arguments, **options):
        raise AssertionError("the file was read")

    monkeypatch.setattr(VideoReader, "stream", refuse)
    again, _ = looked(model, index, "2 to 4", "yes")
    assert again.frames == answer.frames
    assert sum(frame.kind == "high" for frame in again.frames) == 8


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        ("no idea", "The model named no interval, so the answer took one pass."),
        ("From 0 to 6.", "The interval is the whole video"),
        ("80 to 90 s", "is outside the video, which is read from 0.0 to 6.0 s, so"),
    ],
)
def test_without_a_usable_interval_the_answer_takes_one_pass(
    plugged, clip, reply, note
):
    model = plugged(max_video_tokens=90)
    answer, generator = looked(model, clip, reply, "yes")
    assert note in answer.looks.note
    assert answer.looks.intervals == []
    assert generator.turns[1].question == QUESTION
    assert {frame.kind for frame in generator.turns[1].frames} <= {"cone", "rod"}
    assert answer.tokens <= 90


def test_a_moment_is_widened_and_an_end_outside_is_cut(plugged, clip):
    model = plugged(max_video_tokens=300)
    answer, _ = looked(model, clip, "at 0:03", "yes")
    assert answer.looks.intervals == [(2.0, 4.0)]
    assert "has no length" in answer.looks.note
    answer, _ = looked(model, clip, "4 to 9", "yes")
    assert answer.looks.intervals == [(4.0, 6.0)]
    assert "was cut to the video" in answer.looks.note


def test_a_question_that_names_times_needs_no_first_pass(plugged, clip):
    model = plugged(max_video_tokens=300)
    question = "what is on the square between 2 s and 3 s ?"
    answer, generator = looked(model, clip, "yes", question=question)
    assert answer.looks.intervals == [(2.0, 3.0)]
    assert answer.looks.replies == []
    assert [turn.question for turn in generator.turns] == [question]
    answer, _ = looked(model, clip, "yes", question="what happens at 0:03 ?")
    assert answer.looks.intervals == [(1.0, 5.0)]
    assert answer.looks.note is None


def test_a_file_that_vanishes_between_the_passes_is_said(plugged, clip):
    model = plugged(max_video_tokens=300)
    speaking, generator = scripted(model, "2 to 3", "yes")
    generate = generator.generate

    def vanish(turn, options, on_text=None):
        clip.unlink(missing_ok=True)
        return generate(turn, options, on_text)

    generator.generate = vanish
    answer = speaking.ask(clip, QUESTION, method="slowfocus")
    assert answer.text == "yes"
    assert answer.looks.intervals == []
    assert "The answer took one pass" in answer.looks.note
    assert clip.name in answer.looks.note


def test_frames_without_a_file_are_looked_at_once(plugged, make_frames):
    model = plugged(max_video_tokens=300)
    answer, generator = looked(model, make_frames(6), "yes")
    assert len(generator.turns) == 1
    assert "a stream or frames, with no file" in answer.looks.note


def test_many_frames_without_a_file_are_looked_at_again(plugged, make_frames):
    model = plugged(max_video_tokens=300)
    model.backbone._max_video_tokens = 2000
    index = model.index(make_frames(60))
    speaking, _ = scripted(model, "20 to 30", "yes")
    answer = speaking.ask(index, QUESTION, method="slowfocus", max_video_tokens=150)
    dense = [frame.time for frame in answer.frames if frame.kind == "high"]
    assert dense
    assert all(20 <= seconds < 30 for seconds in dense)


def test_a_video_of_one_low_frame_is_looked_at_closely_at_once(plugged, clip):
    model = plugged(max_video_tokens=600)
    answer, generator = looked(model, clip, "yes", fps=0.1)
    assert len(generator.turns) == 1
    assert "too short for two passes" in answer.looks.note
    assert sum(frame.kind == "high" for frame in answer.frames) > 10


def test_random_text_of_a_host_still_gives_an_answer(plugged, clip):
    for name in ("llava_onevision", "qwen2_5_vl"):
        answer = plugged(name, max_video_tokens=200).ask(
            clip, QUESTION, method="slowfocus", max_new_tokens=3
        )
        assert len(answer.looks.replies) == 1
        assert answer.tokens <= 200


def test_only_the_answer_is_streamed_and_each_question_is_grounded(plugged, clip):
    model, generator = scripted(
        plugged(max_video_tokens=200), "1 to 2", "one", "4 to 5", "two"
    )
    pieces = []
    answers = model.ask(
        clip, [QUESTION, "where ?"], method="slowfocus", on_text=pieces.append
    )
    assert pieces == ["one", "two"]
    assert [one.looks.intervals for one in answers] == [[(1.0, 2.0)], [(4.0, 5.0)]]
    assert len(generator.turns) == 4


def test_a_conversation_looks_again_for_each_question(plugged, clip):
    model, generator = scripted(plugged(max_video_tokens=200), "1 to 2", "one")
    chat = model.chat(clip, method="slowfocus")
    assert chat.ask(QUESTION).looks.intervals == [(1.0, 2.0)]
    generator.replies += ["4 to 5", "two"]
    assert chat.ask("and then ?").looks.intervals == [(4.0, 5.0)]
    assert generator.turns[-1].history[0].answer == "one"


def test_an_unknown_method_names_those_that_look_again(plugged, clip):
    with pytest.raises(
        ValueError, match="ranked, .*slowfocus, .*uniform, .*got 'slow'"
    ):
        plugged().ask(clip, QUESTION, method="slow")


def test_an_excerpt_is_looked_at_again_within_its_bounds(plugged, clip):
    model = plugged(max_video_tokens=300)
    answer, generator = looked(model, clip, "1 to 3.5", "yes", start=2.0, end=5.0)
    assert "between 2 and 5" in generator.turns[0].question
    assert answer.looks.intervals == [(2.0, 3.5)]
    assert all(2.0 <= frame.time < 5.0 for frame in answer.frames)
    assert any(frame.kind == "high" for frame in answer.frames)


def test_several_videos_are_answered_in_one_pass(plugged, clip, make_frames):
    model, generator = scripted(plugged(max_video_tokens=300), "yes")
    answer = model.ask([clip, make_frames(4)], QUESTION, method="slowfocus")
    assert len(generator.turns) == 1
    assert "several videos" in answer.looks.note


def test_the_report_shows_both_frequencies(plugged, clip, tmp_path):
    model, _ = scripted(plugged(max_video_tokens=600), "<2> to 3.5 s", "a circle")
    index = model.index(clip)
    answer = model.ask(index, QUESTION, method="slowfocus")
    page = tmp_path / "r.html"
    write_report(page, index, [answer], title=QUESTION)
    text = page.read_text()
    kinds = [frame.kind for frame in answer.frames]
    assert text.count('alt="dense frame at') == kinds.count("high") == 6
    assert text.count('alt="low-frequency frame at') == kinds.count("low") == 4
    assert "&lt;2&gt; to 3.5 s" in text
    assert text.count('class="looked"') == 1
    assert "Looked at again: 2.0 to 3.5 s." in text
    assert "Cone" not in text
    clip.unlink()
    write_report(page, index, [answer], title=QUESTION)
    assert page.read_text().count('alt="dense frame at') == 2  # the index has them


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl"])
def test_the_commands_look_again(clip, tmp_path, capsys, monkeypatch, name):
    folder = save_host(build_host(name), tmp_path / "host")
    question = "what is on the square between 2 s and 3 s ?"
    page = tmp_path / "r.html"
    options = ["--method", "slowfocus", "--max-video-tokens", "600"]
    options += ["--max-new-tokens", "3", "--model", str(folder)]
    call = ["ask", str(clip), question, *options, "--report", str(page)]
    assert main([*call, "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    looks = document["looks"]
    assert looks.pop("confidence") is None  # nothing was asked for the interval
    assert looks == {"intervals": [[2, 3]], "replies": [], "note": None}
    kinds = [frame["kind"] for frame in document["frames"]]
    assert {"low", "high"} == set(kinds)
    assert f"{kinds.count('high')} dense, {kinds.count('low')} at the low" in (
        printed.err
    )
    assert "looked again from 2.0 to 3.0 s; " in printed.err
    assert 'class="looked"' in page.read_text()
    assert main(["ask", str(clip), "what is red ?", *options]) == 0
    cost = next(
        line for line in capsys.readouterr().err.splitlines() if " sure" in line
    )
    assert cost.endswith(
        " s for reading the video. The model named no interval, so the answer took one "
        "pass."
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{question}\nand then ?\n"))
    assert main(["chat", str(clip), *options]) == 0
    printed = capsys.readouterr().err
    assert printed.count("looked again from 2.0 to 3.0 s; ") == 1
    assert printed.count("The model named no interval") == 1
    rows = tmp_path / "rows.jsonl"
    row = {"video": str(clip), "question": question}
    rows.write_text(json.dumps(row))
    out = tmp_path / "answers.jsonl"
    assert main(["batch", str(rows), "--out", str(out), *options]) == 0
    record = json.loads(out.read_text().splitlines()[-1])
    assert record["looks"]["intervals"] == [[2, 3]]
    assert record["tokens"] == document["tokens"]


def test_a_row_may_ask_for_a_second_look_of_its_own(clip, tmp_path):
    folder = save_host(build_host("llava_onevision"), tmp_path / "host")
    rows = [
        {"video": str(clip), "question": "what is at 0:02 ?", "method": "slowfocus"},
        {"video": str(clip), "question": "what is at 0:02 ?"},
        {"video": str(clip), "question": "what is at 0:02 ?", "method": "slow"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "answers.jsonl"
    call = ["batch", str(tmp_path / "rows.jsonl"), "--out", str(out)]
    assert main([*call, "--model", str(folder), "--max-new-tokens", "2"]) == 1
    again, plain, wrong = map(json.loads, out.read_text().splitlines())
    assert again["looks"]["intervals"] == [[0, 4]]
    assert "looks" not in plain
    assert "got 'slow'" in wrong["error"]


@pytest.mark.parametrize("name", ["llava_next_video", "qwen3_vl"])
def test_every_loop_keeps_the_budget_of_a_host(plugged, clip, name):
    said = ["From 1.0 to 4.5", "2.0 and 3.0", "Targets: 2.5", "ENOUGH", *"abcdefgh" * 9]
    for method in sorted(set(LOOPS) - {"slowfocus", "slow-dynfocus"}):
        for budget in (60, 500):
            model, generator = scripted(plugged(name, max_video_tokens=budget), *said)
            answer = model.ask(clip, QUESTION, method=method)
            assert generator.turns[-1].question.endswith(QUESTION)
            assert answer.tokens <= budget
            assert sum(frame.tokens for frame in answer.frames) == answer.tokens
            assert len(answer.looks.replies) >= len(generator.turns) - 1


@EVERY
def test_a_host_reads_a_memory_without_a_video(plugged, clip, name, monkeypatch):
    monkeypatch.setattr(
        sys.modules["dynfocus.methods.loops.llovi"], "SUMMARY_TOKENS", 8
    )
    model, generator = scripted(
        plugged(name, max_video_tokens=200), *["a red square"] * 40
    )
    answer = model.ask(clip, QUESTION, method="llovi")
    assert not generator.turns[-1].is_visual.any()
    assert "a red square" in generator.turns[-1].question
    assert generator.turns[0].is_visual.any()
    assert 0 < answer.tokens <= 200
    again = plugged(name, max_video_tokens=200).ask(
        clip, "is it red ?", method="llovi", max_new_tokens=2
    )
    assert isinstance(again.text, str)
    assert again.tokens == 0  # the captions are known, and nothing else is shown
