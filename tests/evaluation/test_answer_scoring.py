import pytest

from dynfocus.evaluation.metrics import chance, interval_iou, is_right, is_same_answer
from dynfocus.world import KINDS, WorldQuestion, make_questions, make_scene


@pytest.mark.parametrize(
    ("text", "truth", "same"),
    [
        ("R", "r", True),
        (" the  hall.", "The hall", True),
        ("2", "3", False),
        ("the hall", "hall", False),
    ],
)
def test_answers_are_compared_without_case_spaces_and_final_stop(text, truth, same):
    assert is_same_answer(text, truth) is same


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        ((0.0, 4.0), (2.0, 6.0), 2 / 6),
        ((0.0, 4.0), (0.0, 4.0), 1.0),
        ((0.0, 1.0), (2.0, 3.0), 0.0),
        ((5.0, 5.0), (5.0, 5.0), 0.0),
        ((6.0, 2.0), (2.0, 6.0), 0.0),
    ],
)
def test_intervals_overlap(one, other, iou):
    assert interval_iou(one, other) == pytest.approx(iou)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("from 00:10 to 00:20", True),
        ("from 00:12 to 00:20.", True),
        ("from 00:16 to 00:20", False),
        ("from 00:20 to 00:10", False),
        ("at 00:10", False),
        ("", False),
    ],
)
def test_a_time_interval_needs_half_the_overlap(text, right):
    asked = WorldQuestion(
        kind="when",
        question="When?",
        answer="from 00:10 to 00:20",
        evidence=((10.0, 20.0),),
    )
    assert is_right(asked, text) is right


def test_the_truth_itself_is_always_right_and_better_than_chance():
    for question in make_questions(make_scene(5, 240.0)):
        assert is_right(question, question.answer), question
        assert 0 <= chance(question) <= 0.5
        assert question.kind in KINDS
