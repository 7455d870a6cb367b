from __future__ import annotations

import pytest

from dynfocus.models import AskOptions
from dynfocus.models.generation import StopTexts


@pytest.mark.parametrize(
    ("pieces", "texts", "wanted", "is_found"),
    [
        (["one ", "two. ", "three"], ["."], "one two", True),
        (["one ", "two"], ["."], "one two", False),
        (["a", "b", "c", "d"], ["bcd"], "a", True),
        (["a", "b", "c", "x"], ["bcd"], "abcx", False),
        (["ab", "ab", "c"], ["abc"], "ab", True),
        (["stop"], ["stop", "st"], "", True),
        (["x", "END", "y"], ["Q", "END"], "x", True),
    ],
)
def test_an_answer_ends_before_a_text_and_its_pieces_with_it(
    pieces, texts, wanted, is_found
):
    told = []
    stop = StopTexts(texts, told.append)
    for piece in pieces:
        stop.take(piece)
        assert wanted.startswith("".join(told))  # nothing is told that is taken back
    assert stop.end("".join(pieces)) == wanted == "".join(told)
    assert stop.is_found == is_found


def test_an_answer_without_listener_is_cut_as_well():
    stop = StopTexts(["."], None)
    stop.take("a. b")
    assert stop.end("a. b") == "a"


def test_a_text_that_ends_an_answer_has_characters():
    assert AskOptions(stop=("\n",)).stop == ("\n",)
    with pytest.raises(ValueError, match="stop"):
        AskOptions(stop=("",))
