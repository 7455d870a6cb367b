import math

import pytest

from dynfocus.words.query import parse_query


@pytest.mark.parametrize(
    ("text", "start", "end", "words"),
    [
        ("dividend after 10:00", 600, math.inf, ("dividend",)),
        ("before 1:02:03, who speaks?", 0, 3723, ("speaks",)),
        ("prices between 1:00 and 2:30", 60, 150, ("prices",)),
        ("goals from 1:00 to 2:30", 60, 150, ("goals",)),
        ("the price in the first 5 minutes", 0, 300, ("price",)),
        ("the price in the first minute", 0, 60, ("price",)),
        ("red card at 71:15", 4260, 4290, ("red", "card")),
        ("after half an hour, taxes", 1800, math.inf, ("taxes",)),
        ("after minute 3 the bees", 180, math.inf, ("bees",)),
        ("10:00 opening hours", 0, math.inf, ("10", "00", "opening", "hours")),
    ],
)
def test_times_are_taken_out_of_the_words(text, start, end, words):
    query = parse_query(text)
    assert (query.start, query.end, query.words) == (start, end, words)


def test_the_end_of_a_video_is_counted_from_there():
    query = parse_query("who is thanked in the last two minutes")
    assert query.last == 120
    assert query.is_timed


def test_phrases_stand_in_quotes():
    query = parse_query('who said "ring of fire"?')
    assert query.phrases == (("ring", "of", "fir"),)


@pytest.mark.parametrize("text", ["", "  ", "after 10:00 before 5:00"])
def test_a_query_of_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"is empty|exclude each other"):
        parse_query(text)
