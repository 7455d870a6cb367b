"""Answers through a server, from the command line."""

from __future__ import annotations

import pytest

from dynfocus.world import make_video
from served_language_model import ServedLanguageModel

KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("world") / "video.mp4", 20, seed=3)


def serve(run, stand_in) -> ServedLanguageModel:
    """Export the language model by the command and serve it."""
    outcome = run("export-language-model", "nano", "lang", "--dtype", "float32")
    assert (outcome.code, outcome.out) == (0, "lang\n")
    assert outcome.err_lines[-1].endswith("vllm serve lang --enable-prompt-embeds")
    language = ServedLanguageModel("lang")
    stand_in.check, stand_in.answer = language.check, language.answer
    return language


def test_vllm_gives_the_answers_of_the_model(run, world, stand_in):
    language = serve(run, stand_in)
    question = world.questions[0].question
    server = ("--backend", "vllm", "--url", stand_in.url.removesuffix("/v1"))
    local = run("ask", world.path, question, "--json", "--max-frames", 9).document
    outcome = run("ask", world.path, question, "--max-frames", 9, *server)
    assert (outcome.code, outcome.out) == (0, f"{local['text']}\n")
    assert len(language.embeds) == 1
    outcome = run("ask", world.path, question, "--json", "--max-frames", 9, *server)
    for name in ("text", "tokens", "frames", "question", "model"):
        assert outcome.document[name] == local[name]
    assert outcome.document["backend"] == "vllm"
    assert outcome.document["url"] == stand_in.url

    part = ("--start", "0:05", "--end", 12, "--json")
    local = run("ask", world.path, question, *part).document
    served = run("ask", world.path, question, *part, *server).document
    assert [frame["time"] for frame in served["frames"]] == list(range(5, 12))
    assert (served["text"], served["frames"]) == (local["text"], local["frames"])

    asked = f"{question}\n{world.questions[-1].question}\n"
    talk = run("chat", world.path, stdin=asked)
    assert talk.code == 0
    served = run("chat", world.path, *server, stdin=asked)
    ours = [line.strip() for line in talk.out.splitlines()]
    assert served.out.splitlines() == ours


def test_vllm_answers_about_several_videos_as_the_model_does(run, world, stand_in):
    language = serve(run, stand_in)
    question = world.questions[0].question
    server = ("--backend", "vllm", "--url", stand_in.url.removesuffix("/v1"))
    call = ("ask", world.path, "--also", world.path, question, "--json")
    local = run(*call, "--max-frames", 5).document
    outcome = run(*call, "--max-frames", 5, *server)
    assert "the server read" not in outcome.err
    for name in ("text", "tokens", "frames"):
        assert outcome.document[name] == local[name]
    assert len(language.embeds) == 1
    assert len(language.embeds[0]) > local["tokens"]  # with the names of the videos


def test_vllm_writes_both_passes(run, world, stand_in):
    language = serve(run, stand_in)
    call = ("--json", "--method", "slowfocus", "--max-new-tokens", 8)
    server = ("--backend", "vllm", "--url", stand_in.url)
    for question, num_requests in (("What moves?", 2), ("What is red at 0:09?", 1)):
        language.embeds.clear()
        local = run("ask", world.path, question, *call).document
        served = run("ask", world.path, question, *call, *server).document
        assert served["looks"].pop("confidence") is None  # the server gives none
        assert local["looks"].pop("confidence", None) is None or num_requests == 2
        for name in ("text", "tokens", "frames", "looks"):
            assert served[name] == local[name]
        assert len(language.embeds) == num_requests
    assert served["looks"]["intervals"] == [[7, 11]]


def test_a_folder_whose_name_no_library_can_write_is_refused(run, tmp_path):
    outcome = run("export-language-model", "nano", "lang\udcff")
    assert outcome.code == 1
    assert "holds a byte that is not UTF-8, 0xff, at place" in outcome.err
    assert not list(tmp_path.iterdir())


def test_the_exported_weights_have_the_precision_of_the_model(run):
    outcome = run("export-language-model", "nano", "lang")
    assert outcome.code == 0
    assert ServedLanguageModel("lang").model.dtype.itemsize == 2
    outcome = run("export-language-model", "nano", "lang")
    assert outcome.code == 1
    assert "dynfocus: lang is there and not empty; choose another" in outcome.err


def test_a_server_that_fails_is_one_line_and_before_any_work(
    run, models, clip, stand_in, monkeypatch
):
    monkeypatch.setenv("SOME_KEY", KEY)
    stand_in.key = "another"
    call = ("--backend", "vllm", "--url", stand_in.url, "--api-key-env", "SOME_KEY")
    for command in (("ask", clip, "What?"), ("chat", clip)):
        outcome = run(*command, *call, "-m", "other")
        assert (outcome.code, outcome.out) == (1, "")
        (line,) = outcome.err_lines
        assert "refused with HTTP 401: Incorrect API key provided: [key]" in line
        assert "SOME_KEY" in line
        assert KEY not in line
    assert models == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--backend", "vllm"), "--backend vllm needs --url"),
        (("--url", "http://h"), "--url means nothing without --backend"),
        (("--timeout", 5), "--timeout means nothing without --backend"),
        (("--backend", "vllm", "--url", "nowhere"), "must begin with http://"),
        (
            ("--backend", "vllm", "--url", "http://h", "--layout", "sheets"),
            "--layout",
        ),
        (
            ("--backend", "vllm", "--url", "http://h", "--api-key-env", "NOT_SET"),
            "the environment variable NOT_SET is not set",
        ),
        (("--backend", "other", "--url", "http://h"), "'other' is not"),
    ],
)
def test_a_wrong_combination_is_a_wrong_call(run, models, clip, arguments, expected):
    outcome = run("ask", clip, "What?", *arguments)
    assert outcome.code == 2
    (line,) = outcome.err_lines
    assert expected in line
    assert models == []
