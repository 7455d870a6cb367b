import numpy as np
import pytest

from dynfocus.backends import frame_request
from dynfocus.errors import UnrelatedWordsWarning
from dynfocus.methods import load_scorer, select_frames
from dynfocus.methods.text_scorer import TextScorer
from dynfocus.words import TimedText
from spoken_clip import SAID, write_spoken_clip
from word_scorer import WordScorer

TEXTS = [
    TimedText(start=float(start), end=float(end), text=text, source="subtitle")
    for start, end, text in SAID
]


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write_spoken_clip(tmp_path_factory.mktemp("talks"))


def scorer(pictures=None):
    return TextScorer(pictures, read=lambda video: TEXTS)


def test_the_frame_where_it_is_said_is_chosen_first(talk):
    chosen = select_frames(talk, "How are aphids removed?", 3, scorer=scorer())
    first = min(chosen.frames, key=lambda frame: frame.rank)
    assert 5 <= first.time < 8
    assert (chosen.scorer, len(chosen.words)) == ("text", 1)


def test_words_and_pictures_are_joined_by_their_ranks(talk):
    both = scorer(WordScorer())
    assert both.name == "text+words"
    chosen = select_frames(talk, "aphids, red", 4, scorer=both, rule="ranked")
    assert any(5 <= frame.time < 8 for frame in chosen.frames)


def test_a_question_whose_words_are_nowhere_falls_back_to_events(talk):
    with pytest.warns(UnrelatedWordsWarning, match=r"talk\.mp4 is about the question"):
        chosen = select_frames(talk, "quantum", 3, scorer=scorer(), rule="ranked")
    assert (chosen.rule, chosen.scorer) == ("events", None)
    even = select_frames(talk, "quantum", 3)
    assert [one.time for one in chosen.frames] == [one.time for one in even.frames]
    with pytest.warns(UnrelatedWordsWarning, match="words decides"):
        chosen = select_frames(talk, "quantum", 3, scorer=scorer(WordScorer()))
    assert chosen.scorer == "words"


def test_frames_without_a_file_have_no_words():
    with pytest.raises(ValueError, match="frames without a video have no words"):
        scorer().encode_frames(np.zeros((1, 8, 8, 3), np.uint8))


def test_the_scorer_is_known_by_its_name():
    assert load_scorer("text").name == "text"


def test_words_stand_in_a_request_in_the_place_of_frames(talk):
    chosen = select_frames(talk, "How are aphids removed?", 24, scorer=scorer())
    made = frame_request(chosen, "m", layout="images", word_share=0.9)
    parts = made.body["messages"][0]["content"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    assert texts[-1] == "How are aphids removed?"
    assert "00:05 subtitle: Aphids are washed away" in texts[-2]
    assert made.word_tokens > 0
    without = frame_request(chosen, "m", layout="images", word_share=0.0)
    assert without.word_tokens == 0
    assert without.num_pictures == 24
    assert made.num_pictures < 24
