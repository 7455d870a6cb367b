"""How well frames fit the question: every number of it, followed literally."""

import math

import pytest
import torch

from dynfocus.focus import (
    CooperativeEncoding,
    FocusSettings,
    QuestionSettings,
    RelevanceEncoding,
)
from dynfocus.focus.relevance import number_visits

DIM, TEXT_DIM, HIDDEN = 6, 5, 7


@pytest.fixture
def encoding() -> RelevanceEncoding:
    torch.manual_seed(0)
    encoding = RelevanceEncoding(DIM, TEXT_DIM, HIDDEN)
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return encoding


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def literal_rating(
    encoding: RelevanceEncoding, frame: torch.Tensor, text: torch.Tensor
) -> float:
    """Follow the equations of the docstring for one frame ``[M, D]``, a loop at a time."""
    projected = [encoding.question_projector(token) for token in text]
    words = []
    for row in encoding.word_weights.weight:
        shares = [math.exp(float(row @ token)) for token in text]
        parts = [s / sum(shares) * p for s, p in zip(shares, projected, strict=True)]
        words.append(torch.stack(parts).sum(0))
    ratings = []
    for prototype in frame:
        key = encoding.key_projector(prototype)
        inputs = torch.cat([*(key * word for word in words), key])
        hidden = torch.nn.functional.gelu(encoding.combine(inputs))
        ratings.append(float(encoding.decide(hidden)))
    return max(ratings)


def test_the_rating_is_the_best_match_of_a_prototype_with_the_words(encoding):
    spatial, text = draw(2, 3, 4, DIM), draw(2, 5, TEXT_DIM, seed=2)
    ratings = encoding.rate(spatial, text, None).detach()
    assert ratings.shape == (2, 3)
    for video in range(2):
        for frame in range(3):
            expected = literal_rating(encoding, spatial[video, frame], text[video])
            assert float(ratings[video, frame]) == pytest.approx(expected, abs=1e-4)


def test_words_that_are_padding_are_not_heard(encoding):
    spatial, text = draw(1, 3, 4, DIM), draw(1, 5, TEXT_DIM, seed=2)
    mask = torch.tensor([[True, True, True, False, False]])
    changed = text.clone()
    changed[0, 3:] = torch.nan
    heard = encoding.rate(spatial, changed, mask)
    torch.testing.assert_close(heard, encoding.rate(spatial, text[:, :3], None))


def test_a_question_of_each_frame_counts_for_that_frame(encoding):
    spatial, text = draw(1, 3, 4, DIM), draw(1, 3, 5, TEXT_DIM, seed=2)
    together = encoding.rate(spatial, text, None)
    for frame in range(3):
        alone = encoding.rate(spatial[:, frame : frame + 1], text[:, frame], None)
        torch.testing.assert_close(together[:, frame], alone[:, 0])


def test_marks_say_how_well_it_fits_and_where_that_begins_and_ends(encoding):
    rated = torch.tensor([[-9.0, 9.0, 9.0, -9.0, 0.0, 5.0]])
    mask = torch.tensor([[True, True, True, True, True, False]])
    marks = encoding(rated, mask)[0]
    low, high = torch.tensor([-9.0, 9.0]).sigmoid().tolist()
    fits = [low, high, high, low, 0.5, 0.0]
    around = [0.0, *fits, 0.0]
    fit, comes, goes = encoding.marks.weight
    for frame, value in enumerate(fits[:5]):
        expected = (
            value * fit
            + max(0.0, value - around[frame]) * comes
            + max(0.0, value - around[frame + 2]) * goes
        )
        torch.testing.assert_close(marks[frame], expected)
    assert not marks[5].any()


def literal_visits(fits: list[float]) -> list[int]:
    """Count visits as the docstring says, a frame at a time."""
    is_there, number, numbers = False, 0, []
    for value in fits:
        if is_there and value < 0.1:
            is_there = False
        elif not is_there and value >= 0.9:
            is_there, number = True, number + 1
        numbers.append(number)
    return numbers


def test_a_visit_begins_when_it_is_clear_and_ends_when_that_is_clear():
    wavering = [0.0, 0.5, 0.95, 0.5, 0.95, 0.05, 0.8, 0.0, 0.9, 0.1, 0.9, 0.09]
    assert number_visits(torch.tensor([wavering])).tolist() == [
        [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    ]


@pytest.mark.parametrize("seed", range(20))
def test_visits_are_numbered_as_a_loop_numbers_them(seed):
    fits = torch.rand(3, 40, generator=torch.Generator().manual_seed(seed))
    fits = (2 * fits - 0.5).clamp(0, 1)
    expected = [literal_visits(row.tolist()) for row in fits]
    assert number_visits(fits).tolist() == expected


def test_marks_say_how_often_it_has_come_so_far():
    torch.manual_seed(0)
    plain = RelevanceEncoding(DIM, TEXT_DIM, HIDDEN)
    counting = RelevanceEncoding(DIM, TEXT_DIM, HIDDEN, counts_visits=True)
    counting.load_state_dict(plain.state_dict(), strict=False)
    rated = torch.tensor([[9.0, -9.0] * 12])
    mask = torch.ones(1, 24, dtype=torch.bool)
    mask[0, 22:] = False
    added = (counting(rated, mask) - plain(rated, mask))[0]
    for frame in range(22):
        row = counting.visits.weight[min(9, frame // 2 + 1)]
        torch.testing.assert_close(added[frame], row)
    assert not added[22:].any()


def test_drawn_marks_are_as_loud_as_asked_for():
    encoding = RelevanceEncoding(DIM, TEXT_DIM, 400, counts_visits=True)
    encoding.draw_marks(0.3)
    for table in (encoding.marks, encoding.visits):
        assert float(table.weight.detach().std()) == pytest.approx(0.3, rel=0.1)


def test_without_words_nothing_breaks(encoding):
    spatial = draw(1, 2, 4, DIM)
    none = torch.zeros(1, 3, dtype=torch.bool)
    assert encoding.rate(spatial, draw(1, 3, TEXT_DIM), none).isfinite().all()


def test_only_where_it_is_asked_for_has_a_network_relevance():
    parts = dict(CooperativeEncoding(FocusSettings(), 6, 5, 7).named_parameters())
    assert not [name for name in parts if name.startswith("relevance_encoding")]
    settings = FocusSettings(question=QuestionSettings(use_ratings=True))
    more = dict(CooperativeEncoding(settings, 6, 5, 7).named_parameters())
    assert {n.split(".")[0] for n in set(more) - set(parts)} == {"relevance_encoding"}
