import pytest

from dynfocus.words.tracks import Line, TextTracks

HERE, BELOW, TOP = (0.1, 0.5, 0.6, 0.55), (0.1, 0.7, 0.6, 0.75), (0.1, 0.1, 0.6, 0.15)


def follow(*pictures):
    """Follow lines of one picture a second; give texts with start and end."""
    tracks = TextTracks()
    texts = []
    for seconds, lines in enumerate(pictures):
        shown = [Line(text, confidence, box) for text, confidence, box in lines]
        texts += tracks.update(float(seconds), shown)
    texts += tracks.close(float(len(pictures)))
    return [(one.text, one.start, one.end) for one in texts]


def test_text_that_stays_is_one_text():
    shown = [("Gate B22", 0.9, HERE)]
    assert follow(shown, shown, [], [], [], []) == [("Gate B22", 0.0, 2.0)]


def test_text_that_is_missed_for_a_moment_goes_on():
    shown = [("Gate B22", 0.9, HERE)]
    assert follow(shown, [], [], shown) == [("Gate B22", 0.0, 4.0)]


def test_text_that_scrolls_is_one_text():
    pictures = [[("first line", 0.9, box)] for box in (BELOW, HERE, TOP)]
    assert follow(*pictures) == [("first line", 0.0, 3.0)]


def test_of_two_readings_the_surer_one_is_kept():
    assert follow(
        [("Departrues", 0.7, HERE)],
        [("Departures", 0.95, HERE)],
        [("Departuros", 0.6, HERE)],
    ) == [("Departures", 0.0, 3.0)]


def test_other_digits_are_another_text():
    found = follow([("Room 12:01", 0.9, HERE)], [("Room 12:02", 0.9, HERE)])
    assert {text for text, _, _ in found} == {"Room 12:01", "Room 12:02"}


def test_text_that_is_typed_is_one_text():
    typed = [[(text, 0.9, HERE)] for text in ("import", "import num", "import numpy")]
    assert follow(*typed) == [("import numpy", 0.0, 3.0)]


def test_ticker_is_one_text():
    whole = "BREAKING: the mayor of Springfield resigns after a vote of the council"
    windows = [[(whole[n : n + 30], 0.9, HERE)] for n in range(0, 41, 8)]
    windows[-1] = [(whole[40:70], 0.9, HERE)]
    assert [text for text, _, _ in follow(*windows)] == [whole]


def test_same_words_in_two_places_are_two_texts():
    shown = [("Exit", 0.9, TOP), ("Exit", 0.9, BELOW)]
    assert follow(shown, shown) == [("Exit", 0.0, 2.0)] * 2


def test_following_goes_on_from_a_state():
    tracks = TextTracks()
    tracks.update(0.0, [Line("Gate B22", 0.9, HERE)])
    later = TextTracks()
    later.resume(tracks.state())
    later.update(1.0, [Line("Gate B22", 0.8, HERE)])
    (text,) = later.close(2.0)
    assert (text.start, text.end, text.confidence) == (0.0, 2.0, pytest.approx(0.9))
