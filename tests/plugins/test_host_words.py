"""Words of a video beside its frames in the prompt of a plugged host."""

from __future__ import annotations

import pytest

import dynfocus
from dynfocus.errors import UnrelatedWordsWarning
from dynfocus.methods.text_scorer import TextScorer
from dynfocus.words import TimedText
from spoken_clip import SAID, write_spoken_clip

TEXTS = [
    TimedText(start=float(start), end=float(end), text=text, source="subtitle")
    for start, end, text in SAID
]
QUESTION = "How are aphids removed?"


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write_spoken_clip(tmp_path_factory.mktemp("talks"))


def ask(hosts, talk, question=QUESTION, *, budget=200, **options):
    host = hosts("llava_onevision")
    scorer = TextScorer(read=lambda video: TEXTS)
    focused = dynfocus.plug(
        host.model, host.processor, max_video_tokens=budget, scorer=scorer
    )
    return focused.ask(talk, question, max_new_tokens=2, **options)


def test_words_share_the_budget_with_frames(hosts, talk):
    answer = ask(hosts, talk, word_share=0.5)
    assert 0 < answer.word_tokens <= 100
    assert answer.tokens + answer.word_tokens <= 200
    assert answer.words[0].text.startswith("Aphids are washed away")
    assert (answer.words[0].time, answer.words[0].video) == (5, 0)
    assert answer.best_time == pytest.approx(5.5, abs=2.5)


def test_without_a_share_frames_have_it_all(hosts, talk):
    answer = ask(hosts, talk, word_share=0.0)
    assert (answer.word_tokens, answer.words) == (0, [])
    assert ask(hosts, talk, budget=40).word_tokens <= 10


def test_words_stand_before_the_question(hosts, talk):
    host = hosts("llava_onevision")
    scorer = TextScorer(read=lambda video: TEXTS)
    focused = dynfocus.plug(
        host.model, host.processor, max_video_tokens=300, scorer=scorer
    )
    options = dynfocus.models.AskOptions(word_share=0.5)
    turn = focused.prepare(focused.index(talk), QUESTION, options)
    assert turn.question == QUESTION
    assert turn.word_tokens > 0
    without = focused.prepare(
        focused.index(talk), QUESTION, options.replace(word_share=0.0)
    )
    more = turn.input_ids.shape[1] - without.input_ids.shape[1]
    visible = int(turn.is_visual.sum() - without.is_visual.sum())
    assert more - visible == pytest.approx(turn.word_tokens, abs=2)


def test_words_that_are_nowhere_leave_the_prompt_as_it_was(hosts, talk):
    with pytest.warns(UnrelatedWordsWarning):
        answer = ask(hosts, talk, "quantum chromodynamics")
    assert (answer.word_tokens, answer.words) == (0, [])
    with pytest.warns(UnrelatedWordsWarning):
        again = ask(hosts, talk, "quantum chromodynamics", method="ranked")
    assert again.tokens > 0
