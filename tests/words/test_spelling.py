import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.words.spelling import edit_distance, rate_spelling, spelling_codes

WORDS = st.text("abcde", min_size=4, max_size=9)


def plain_distance(a, b):
    """Count errors by the definition, letter by letter."""
    table = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if not i or not j:
                table[i, j] = i + j
                continue
            costs = [
                table[i - 1, j] + 1,
                table[i, j - 1] + 1,
                table[i - 1, j - 1] + (a[i - 1] != b[j - 1]),
            ]
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                costs.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(costs)
    return table[len(a), len(b)]


@given(WORDS, WORDS)
def test_errors_are_counted_as_by_definition(first, second):
    assert edit_distance(first, second, 20) == plain_distance(first, second)


@given(WORDS, WORDS)
def test_two_spellings_one_error_apart_share_a_code(first, second):
    if plain_distance(first, second) <= 1:
        assert spelling_codes(first) & spelling_codes(second)


@pytest.mark.parametrize("wrong", ["umbrelas", "umbrelals", "unbrellas", "umbrella"])
def test_one_error_is_alike(wrong):
    assert 0.5 < rate_spelling("umbrellas", wrong) < 1


def test_other_words_and_numbers_are_not_alike():
    assert rate_spelling("north", "south") == 0
    assert not spelling_codes("00419")
    assert not spelling_codes("cat")
