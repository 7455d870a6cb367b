"""Letters in replies: ours, and the official rules restated as vectors."""

from __future__ import annotations

import pytest

from dynfocus.evaluation.benchmarks import letters

FOUR = ("1", "2", "3", "Red")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("", None),
        ("A", "A"),
        ("A.", "A"),
        ("(A)", "A"),
        (" b ", "B"),
        ("b) blue", "B"),
        ("**C**", "C"),
        ("B. Red", "B"),
        ("B: Red", "B"),
        ("The answer is a", "A"),
        ("the answer is a cat", None),
        ("A man is shown, so the answer is B", "B"),
        ("A man is shown.", None),
        ("Based on the video, the answer is D.", "D"),
        ("Best option: C", "C"),
        ("The correct option is B, not A.", "B"),
        ("A or B", None),
        ("(A) or (B)", None),
        ("A, B", None),
        ("答案是C", "C"),
        ("정답은 B입니다", "B"),
        ("Antwort: B", "B"),
        ("La respuesta correcta es la C.", "C"),
        ("La réponse est D", "D"),
        ("three", "C"),
        ("Red", "D"),
        ("red.", "D"),
        (r"so \boxed{D}", "D"),
        ("<think>It may be A or B.</think>C", "C"),
        ("E", None),  # there are four
        ("I cannot say.", None),
        ("Best Option: (D", "D"),
    ],
)
def test_the_strict_reading(reply, expected):
    assert letters.read_strictly(reply, FOUR) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Best option: C", "B"),  # the lead-in is fused with its neighbour
        ("Best answer: C", "B"),
        ("The best option is C", "C"),
        ("Based on the video, the answer is D.", "B"),
        ("The answer is D", "D"),
        ("The correct answer is (C).", "C"),
        ("d", None),
        ("none of them can be told from what is shown in this video", None),
    ],
)
def test_video_mme_takes_the_first_capital(reply, expected):
    assert letters.read_as_video_mme(reply, FOUR) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("A", "A"),
        ("A) x", "A"),
        ("(A) x", "A"),
        ("A.", "A."),
        (" A", " A"),
        ("The answer is A", "The answer is A"),
        ("", None),
    ],
)
def test_mlvu_takes_what_stands_before_a_bracket(reply, expected):
    assert letters.read_as_mlvu(reply, FOUR) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("(B) x", "B"),
        ("B. x", "B"),
        ("The answer is (C) y", "C"),
        ("Answer: D", "A"),
        ("b", "b"),
        ("", None),
    ],
)
def test_lvbench_takes_the_first_character(reply, expected):
    assert letters.read_as_lvbench(reply, FOUR) == expected


@pytest.mark.parametrize(
    ("reply", "key", "expected"),
    [
        ("", "C", True),  # an empty reply is a part of everything
        ("(", "C", True),
        ("(C) three", "C", True),
        ("C", "C", True),
        ("C.", "C", True),
        ("A cat sits there", "A", True),
        ("A cat sits there", "C", False),
        ("The answer is C", "C", False),
    ],
)
def test_mvbench_looks_for_a_part(reply, key, expected):
    assert letters.is_mvbench_hit(reply, key, FOUR) is expected


@pytest.mark.parametrize(
    ("reply", "ego", "next_one"),
    [
        ("A", "A", "A"),
        ("(B)", "B", "B"),
        ("(A) or (B)", "A", "B"),  # the first, the last
        ("A or B", "A", "B"),
        ("C. Red", "C", "C"),
        ("it is the thing that is red of course", "D", "D"),
        ("red", None, None),  # options are looked for in longer replies alone
        ("", None, None),
    ],
)
def test_egoschema_takes_the_first_and_next_qa_the_last(reply, ego, next_one):
    assert letters.read_as_egoschema(reply, FOUR) == ego
    assert letters.read_as_next_qa(reply, FOUR) == next_one


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("A man is shown, so the answer is B", "A"),
        ("The answer is B.", "B"),
        ("The correct answer is (C).", "C"),
        ("I think (B), but maybe (D)", "D"),
        ("정답은 B입니다", "B"),
        ("D", "D"),
        ("no idea", None),
        ("   ", None),
    ],
)
def test_lmms_eval_ranks_forms(reply, expected):
    assert letters.read_as_lmms_eval(reply, FOUR) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I looked twice.\nC", "C"),
        ("**B**", "B"),
        ("Final Answer: H", "H"),
        ("The answer is A. No, the answer is b", "B"),
        ("It is **C.** I am sure of it", "C"),
        ("everything is red there", "D"),
        ("1 or 2", None),
    ],
)
def test_video_mme_v2(reply, expected):
    assert letters.read_as_video_mme_v2(reply, FOUR + ("5", "6", "7", "8")) == expected


def test_longvideobench_knows_its_lead_ins():
    assert letters.read_as_longvideobench("Best option: C", FOUR) == "C"
    assert letters.read_as_longvideobench("The best option is E", FOUR) == "E"
