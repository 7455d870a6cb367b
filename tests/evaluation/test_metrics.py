"""Judging, intervals over videos, paired differences and constant answers."""

from itertools import product

import numpy as np
import pytest

from dynfocus.evaluation.metrics import (
    FIRST_SEALED_SEED,
    MIN_VIDEOS,
    Estimate,
    accuracy,
    answer_constantly,
    draw_fresh_seeds,
    interval_iou,
    is_right,
    is_same_answer,
    paired_difference,
    score_together,
    sign_test,
)
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


def test_the_truth_itself_is_always_right():
    for question in make_questions(make_scene(5, 240.0)):
        assert is_right(question, question.answer), question
        assert question.kind in KINDS


def answers(rights, kind="needle", seed=0):
    """Make records: one list of rights a video."""
    return [
        {"video": video, "kind": kind, "right": right, "training_seed": seed}
        for video, group in enumerate(rights)
        for right in group
    ]


def test_an_interval_is_that_of_drawing_whole_videos_anew():
    rng = np.random.default_rng(1)
    rights = [list(rng.random(4) < rng.random()) for _ in range(30)]
    found = accuracy(answers(rights))
    shares = np.array([np.mean(group) for group in rights])
    rng = np.random.default_rng(2)
    means = [100 * rng.choice(shares, 30).mean() for _ in range(4000)]
    assert found.value == pytest.approx(100 * shares.mean())
    low, high = np.percentile(means, (2.5, 97.5))
    assert found.low == pytest.approx(low, abs=1.5)
    assert found.high == pytest.approx(high, abs=1.5)
    assert accuracy(answers(rights)) == found  # seeded


def test_questions_about_one_video_are_not_independent():
    one_each = answers([[video % 2] for video in range(40)])
    together = answers([[video % 2] * 4 for video in range(10)])
    apart = accuracy(one_each)
    clustered = accuracy(together)
    assert apart.value == clustered.value == 50
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)


def test_the_mean_over_kinds_counts_each_kind_once():
    records = answers([[1, 1, 1]] * 12) + answers([[0]] * 12, "count")
    assert accuracy(records).value == 75
    assert accuracy(records, over_kinds=True).value == 50


def test_training_seeds_widen_the_interval():
    rights = [[video % 2] * 2 for video in range(20)]
    one = accuracy(answers(rights))
    good = answers([[1, 1]] * 20, seed=1)
    both = accuracy(answers(rights) + good)
    assert both.high - both.low > one.high - one.low


def test_all_right_has_the_interval_of_as_many_trials_as_videos():
    found = accuracy(answers([[1, 1]] * 40))
    assert (found.value, found.high) == (100, 100)
    assert found.low == pytest.approx(91.24, abs=0.01)  # Wilson, 40 of 40
    assert accuracy(answers([[0]] * 40)).high == pytest.approx(8.76, abs=0.01)


def test_fewer_videos_than_needed_have_no_interval():
    few = answers([[1], [0]] * (MIN_VIDEOS // 2 - 1))
    assert accuracy(few) == Estimate(50)
    assert paired_difference(few, few) == Estimate(0)
    assert str(accuracy(few)) == "50.0"
    assert accuracy(few).verdict == "undecided"


def test_a_paired_difference_knows_that_videos_are_the_same():
    rng = np.random.default_rng(3)
    hard = [rng.random() for _ in range(40)]
    ours = answers([[h < 0.6] * 3 for h in hard])
    theirs = answers([[h < 0.6, h < 0.6, h < 0.4] for h in hard])
    gap = paired_difference(ours, theirs)
    assert gap.value > 0
    assert gap.verdict == "better"
    assert paired_difference(theirs, ours).verdict == "worse"
    assert paired_difference(ours, ours).verdict == "undecided"
    one, other = accuracy(ours), accuracy(theirs)
    assert gap.high - gap.low < one.high - one.low  # pairing helps
    assert other.high > one.low
    assert gap.as_difference().startswith(f"+{gap.value:.1f} (+")
    assert gap.as_difference().endswith("): better")


def test_systems_that_were_not_asked_the_same_are_not_compared():
    with pytest.raises(ValueError, match="same questions"):
        paired_difference(answers([[1, 1]] * 12), answers([[1]] * 12))
    with pytest.raises(ValueError, match="one system only"):
        paired_difference(answers([[1]] * 12), answers([[1]] * 13))


def test_the_best_constant_answer_is_the_one_that_is_right_most():
    records = [
        {"kind": "count", "truth": truth, "question": "How many?", "video": 0}
        for truth in ("1", "2", "2", "3")
    ]
    records += [
        {"kind": "attribute", "truth": truth, "question": "?", "video": 0}
        for truth in ("small", "red", "red", "large", "large")
    ]
    found = answer_constantly(records)
    assert [r["answer"] for r in found[:4]] == ["2"] * 4
    assert [r["right"] for r in found[:4]] == [False, True, True, False]
    assert [r["answer"] for r in found[4:]] == ["large", "red", "red", "large", "large"]


def test_the_best_constant_answer_to_order_is_a_place():
    records = [
        {
            "kind": "order",
            "truth": truth,
            "question": "Which appears first, the red star or the blue ring?",
            "video": 0,
        }
        for truth in ("the blue ring", "the red star", "the blue ring")
    ]
    assert [r["right"] for r in answer_constantly(records)] == [True, False, True]


def test_a_constant_interval_counts_by_its_overlap():
    truths = ["from 00:10 to 00:20", "from 00:12 to 00:22", "from 01:00 to 01:02"]
    records = [
        {"kind": "when", "truth": truth, "question": "When?", "video": 0}
        for truth in truths
    ]
    assert [r["right"] for r in answer_constantly(records)] == [True, True, False]


@pytest.mark.parametrize(
    ("wins", "losses", "ties"), [(0, 0, 5), (6, 0, 1), (5, 2, 3), (3, 3, 0), (1, 8, 2)]
)
def test_the_sign_test_is_that_of_all_outcomes_of_fair_coins(wins, losses, ties):
    ours = answers([[1, 1]] * wins + [[0, 1]] * losses + [[1, 0]] * ties)
    theirs = answers([[0, 1]] * wins + [[1, 1]] * losses + [[0, 1]] * ties)
    num = wins + losses
    gap = abs(wins - losses)
    outcomes = [abs(2 * sum(coins) - num) for coins in product((0, 1), repeat=num)]
    assert sign_test(ours, theirs) == pytest.approx(
        np.mean([outcome >= gap for outcome in outcomes])
    )
    assert sign_test(ours, theirs) == sign_test(theirs, ours)


def test_the_sign_test_and_the_bootstrap_refuse_chance_alike():
    rng = np.random.default_rng(7)
    both = [list(rng.integers(0, 2, (40, 2))) for _ in range(100)]
    systems = [[answers([[x[i]] for x in run]) for i in (0, 1)] for run in both]
    chance = sum(sign_test(*pair) < 0.05 for pair in systems)
    decided = sum(paired_difference(*pair).verdict != "undecided" for pair in systems)
    assert chance <= 10
    assert decided <= 12


def test_a_group_is_right_only_if_all_of_it_is():
    records = [
        {"video": video, "kind": "needle", "right": right, "group": f"{video}/{number}"}
        for video in range(12)
        for number in range(2)
        for right in (True, True, True, number == 0)
    ]
    alone = {"video": 0, "kind": "topic", "right": False, "group": ""}
    found = score_together([*records, alone])
    assert [record["right"] for record in found] == [True, False] * 12
    assert accuracy(found).value == 50
    assert accuracy(found).low is not None
    chance = np.random.default_rng(8).random((3000, 4)) < 0.5
    guessed = score_together(
        [
            {"video": g, "kind": "", "right": bool(right), "group": f"g{g}"}
            for g, group in enumerate(chance)
            for right in group
        ]
    )
    assert accuracy(guessed).value == pytest.approx(100 / 2**4, abs=1.5)


def test_pairs_are_groups_of_two_and_a_group_that_lacks_one_is_refused():
    records = answers([[1, 0], [1, 1]])
    pairs = [{**record, "pair_id": f"p{record['video']}"} for record in records]
    assert [r["right"] for r in score_together(pairs, "pair_id", 2)] == [False, True]
    with pytest.raises(ValueError, match="'p1' has 1 of 2 questions"):
        score_together(pairs[:-1], "pair_id", 2)


def test_fresh_seeds_are_recorded_and_never_drawn_twice(tmp_path, monkeypatch):
    record = tmp_path / "sealed.jsonl"
    drawn = iter([50, 20, 59, 60])
    monkeypatch.setattr("secrets.randbelow", lambda below: next(drawn))
    one = draw_fresh_seeds(record, 10, "release 1")
    other = draw_fresh_seeds(record, 31, "release 2")  # 20 + 31 meets 50
    assert one == range(FIRST_SEALED_SEED + 50, FIRST_SEALED_SEED + 60)
    assert other == range(FIRST_SEALED_SEED + 60, FIRST_SEALED_SEED + 91)
    lines = record.read_text().splitlines()
    assert len(lines) == 2
    assert '"purpose": "release 2"' in lines[1]


def test_a_record_of_seeds_that_cannot_be_read_is_refused(tmp_path):
    record = tmp_path / "sealed.jsonl"
    record.write_text('{"first": 3}\n')
    with pytest.raises(ValueError, match="seeds could be drawn twice"):
        draw_fresh_seeds(record, 1, "x")
    with pytest.raises(ValueError, match="num_seeds must be 1 or more, got 0"):
        draw_fresh_seeds(record, 0, "x")
