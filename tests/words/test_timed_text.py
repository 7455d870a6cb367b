import pytest

from dynfocus.words import TimedText


def test_text_knows_when_and_where_it_stands():
    text = TimedText(
        start=1.0,
        end=2.5,
        text="Gate B22",
        source="screen",
        box=(0.1, 0.2, 0.5, 0.3),
        confidence=0.9,
    )
    assert (text.end - text.start, text.box) == (1.5, (0.1, 0.2, 0.5, 0.3))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"end": 0.5}, "got 1 to 0.5 s"),
        ({"start": -1.0}, "got -1 to 2 s"),
        ({"end": float("inf")}, "got 1 to inf s"),
        ({"text": " \n"}, "empty text"),
        ({"source": "radio"}, "source must be one of"),
        ({"box": (0.5, 0.0, 0.2, 1.0)}, "box must be left, top"),
        ({"confidence": 1.5}, "from 0 to 1, got 1.5"),
    ],
)
def test_impossible_text_is_refused(changed, said):
    fields = {"start": 1.0, "end": 2.0, "text": "a", "source": "subtitle"}
    with pytest.raises(ValueError, match=said):
        TimedText(**(fields | changed))
