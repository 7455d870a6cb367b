import numpy as np

from dynfocus.words.moments import make_passages
from dynfocus.words.query import parse_query
from dynfocus.words.ranking import QueryTerms, fuse_ranks, rate
from dynfocus.words.timed_text import TimedText


def text(start, end, words, source="screen"):
    return TimedText(start=start, end=end, text=words, source=source)


def test_lines_on_the_screen_together_are_a_passage():
    slide = [text(0, 9, "Price"), text(0, 9, "Five euros")]
    later = [text(9, 20, "Thank you")]
    said = [
        text(1, 3, "It costs five", "subtitle"),
        text(3, 5, "euros each.", "subtitle"),
        text(30, 32, "Bye.", "subtitle"),
    ]
    found = [one.text for one in make_passages([*later, *said, *slide])]
    assert found == [
        "Price\nFive euros",
        "It costs five\neuros each.",
        "Thank you",
        "Bye.",
    ]


def test_a_passage_without_the_phrase_does_not_fit():
    (passage,) = make_passages([text(0, 1, "fire of rings")])
    query = parse_query('"ring of fire"')
    terms = QueryTerms(variants={one: {one: 1.0} for one in query.terms}, weights={})
    assert rate(passage, query, terms) is None


def test_rare_terms_in_order_fit_best():
    query = parse_query("blue door handle")
    terms = QueryTerms(
        variants={"blu": {"blu": 1.0}, "door": {"door": 1.0}, "handl": {}},
        weights={"blu": 1.0, "door": 3.0, "handl": 4.0},
    )
    passages = make_passages(
        [text(0, 1, "blue sky"), text(1, 2, "door, blue"), text(2, 3, "blue door")]
    )
    fits = [rate(one, query, terms) for one in passages]
    scores = [fit.score for fit in fits]
    assert scores == sorted(scores)
    assert np.isclose(fits[0].words, 1 / 8)


def test_ranks_are_fused_by_their_reciprocals():
    fused = fuse_ranks([np.array([3.0, 2.0, 2.0]), np.array([0.1, 0.9, 0.5])])
    assert np.allclose(fused, [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 62 + 1 / 62])
