"""Words of a video beside its frames in the prompt of a plugged host."""

from __future__ import annotations

import json

import pytest
from tiny_hosts import save_host

import dynfocus
from dynfocus.cli import main
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


@pytest.mark.parametrize("model", ["host", "words"])
def test_rows_in_bulk_know_the_words_of_their_videos(
    hosts, talk, tmp_path, capsys, model
):
    if model == "host":
        model = str(save_host(hosts("llava_onevision"), tmp_path / "host"))
    other = tmp_path / "other.srt"
    other.write_text("1\n00:00:12,000 --> 00:00:14,000\nAphids fear ladybirds.\n")
    row = {"video": str(talk), "question": QUESTION, "max_video_tokens": 200}
    rows = [row | {"id": "beside"}, row | {"id": "named", "subtitles": str(other)}]
    rows.append(row | {"id": "lost", "subtitles": [str(tmp_path / "no.srt")]})
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "a.jsonl"
    call = ["batch", str(tmp_path / "q.jsonl"), "--out", str(out), "-m", model]
    call += ["--no-read", "--max-new-tokens", "2"]
    if model != "words":
        call += ["--scorer", "text"]
    assert main(call) == 1
    told = {one["id"]: one for one in map(json.loads, out.read_text().splitlines())}
    capsys.readouterr()
    assert "no.srt" in told["lost"]["error"]
    if model == "words":
        assert [told[name]["best_time"] for name in ("beside", "named")] == [5, 12]
        assert "Aphids fear ladybirds" in told["named"]["answer"]
    else:
        assert told["beside"]["word_tokens"] > told["named"]["word_tokens"] > 0
