"""Answers of what was read, without a model."""

from __future__ import annotations

import numpy as np
import pytest

import dynfocus
from dynfocus.models.words_model import NO_MODEL_ASKED, load_words_model
from dynfocus.report import write_report
from dynfocus.words import TimedText
from spoken_clip import SAID, write_spoken_clip

TEXTS = [
    TimedText(start=float(start), end=float(end), text=text, source="subtitle")
    for start, end, text in SAID
]


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write_spoken_clip(tmp_path_factory.mktemp("talks"))


@pytest.fixture
def model():
    return load_words_model(lambda video, progress: TEXTS)


def test_the_sentences_found_are_the_answer(model, talk):
    pieces = []
    answer = model.ask(talk, "Who signs form LX-220?", on_text=pieces.append)
    assert answer.text.splitlines() == [
        f"{NO_MODEL_ASKED} Read in the video:",
        f"00:10 {SAID[2][2]}",
    ]
    assert pieces == [answer.text]
    assert (answer.tokens, answer.word_tokens, answer.best_time) == (0, 0, 10)
    best = max(answer.frames, key=lambda frame: frame.score)
    assert (best.time, best.kind) == (10, "cone")


def test_what_was_not_read_is_not_invented(model, talk):
    answer = model.ask(talk, "What is quantum chromodynamics?")
    assert answer.text.startswith(f"{NO_MODEL_ASKED} Nothing that is written or said")
    assert (answer.words, answer.best_time) == ([], None)
    silent = load_words_model(lambda video, progress: [])
    assert "Nothing" in silent.ask(talk, "Who?").text


def test_an_excerpt_and_several_videos(model, talk):
    assert "Nothing" in model.ask(talk, "LX-220", end=8).text
    both = model.ask([talk, talk], "LX-220")
    assert both.text.count("Video ") == 2
    assert [word.video for word in both.words] == [0, 1]


def test_a_conversation_goes_on(model, talk):
    session = model.chat(talk)
    assert "Aphids" in session.ask("aphids").text
    assert "dividend" in session.ask("And the dividend?").text


def test_what_cannot_be_is_one_sentence(model, talk):
    with pytest.raises(ValueError, match="method must be one of words, got"):
        model.ask(talk, "What?", method="uniform")
    with pytest.raises(ValueError, match="words are read in files, not in frames"):
        model.ask(np.zeros((2, 8, 8, 3), np.uint8), "What?")
    assert dynfocus.load("words").name == "words"


def test_the_report_has_a_track_of_words(model, talk, tmp_path):
    answers = [model.ask(talk, "aphids"), model.ask(talk, "quantum")]
    page = tmp_path / "report.html"
    write_report(page, model.index(talk), answers, title="Talk")
    text = page.read_text(encoding="utf-8")
    assert text.count('class="word"') == 2
    assert "00:05.0 to 00:08.0: Aphids are washed away" in text
    assert "What was read in the video" in text
