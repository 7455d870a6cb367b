"""BOLT and AKS: small examples by hand, literal loops, budgets that are used."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynfocus.methods import choose_aks, choose_bolt

RULES = pytest.mark.parametrize("rule", [choose_bolt, choose_aks])


def random_scores(seed: int, num_frames: int) -> np.ndarray:
    """Draw scores in which some frames stand out."""
    generator = np.random.default_rng(seed)
    return generator.normal(0.2, 0.03, num_frames) + 0.3 * (
        generator.random(num_frames) < 0.1
    )


@pytest.mark.parametrize(
    ("scores", "num_keep", "power", "wanted"),
    [
        # F = 0 .1 .3 .6 1; u = 1/3 1/2 2/3 hit 3, 3 and 4; 2 is the best of the others
        ([0, 1, 2, 3, 4], 3, 1.0, [2, 3, 4]),
        # F = .5 .5 .5 .5 1; u = 1/4 5/12 7/12 3/4 hit 0 and 4; 1 and 2 come first
        ([7, 5, 5, 5, 7], 4, 3.0, [0, 1, 2, 4]),
        # F = 1/9 3/9 6/9 7/9 9/9; u = 1/5 .35 .5 .65 .8 hit 1, 2, 2, 2 and 4
        ([1, 2, 3, 1, 2, 0], 5, 1.0, [0, 1, 2, 3, 4]),
        # one middle, 1/2: F = 0 .2 1
        ([0.1, 0.2, 0.5], 1, 1.0, [2]),
        # two middles, 1/4 and 3/4: F = 0 .4 .6 1
        ([0, 2, 1, 2], 2, 1.0, [1, 3]),
        # equal scores weigh the same: F = 1/8 2/8 ..; u = .25 .42 .58 .75
        ([0.3] * 8, 4, 3.0, [1, 3, 4, 5]),
    ],
)
def test_bolt_by_hand(scores, num_keep, power, wanted):
    chosen = choose_bolt(np.array(scores, float), num_keep, power=power)
    assert chosen.tolist() == wanted


@pytest.mark.parametrize(
    ("scores", "num_keep", "wanted"),
    [
        # K = 2 splits once; the best of each half
        ([0.1, 0.9, 0.2, 0.3, 0.0, 0.1, 0.4, 0.2], 2, [1, 6]),
        # K = 3 splits once: one frame a half, the third is the best of the others
        ([0.1, 0.9, 0.8, 0.3, 0.0, 0.1, 0.4, 0.2], 3, [1, 2, 6]),
        # mean of the top 2 is 1, of all .1: clear peaks, so never split
        ([0.0] * 5 + [1.0, 1.0] + [0.0] * 13, 2, [5, 6]),
        # K = 1 cannot be split
        ([0.1, 0.2, 0.9, 0.3], 1, [2]),
        # equal scores: the first frame of each quarter
        ([0.5] * 8, 4, [0, 2, 4, 6]),
    ],
)
def test_aks_by_hand(scores, num_keep, wanted):
    assert choose_aks(np.array(scores), num_keep).tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_bolt_is_its_formula(seed):
    scores, num_keep = random_scores(seed, 400), 12
    low, high = min(scores), max(scores)
    weights = [((score - low) / (high - low)) ** 3 for score in scores]
    wanted = set()
    for i in range(num_keep):
        probe = 1 / num_keep + i * (1 - 2 / num_keep) / (num_keep - 1)
        reached, frame = 0.0, -1
        while reached < probe:
            frame += 1
            reached += weights[frame] / sum(weights)
        wanted.add(frame)
    rest = sorted(set(range(400)) - wanted, key=lambda frame: -scores[frame])
    wanted |= set(rest[: num_keep - len(wanted)])
    assert choose_bolt(scores, num_keep).tolist() == sorted(wanted)


def literal_aks(scores, num_keep, gap, depth):
    """Split and judge by recursion, one segment a call, before the rest is handed out."""

    def judge(frames, level):
        best = sorted(frames, key=lambda frame: (-scores[frame], frame))
        top = [scores[frame] for frame in best[:num_keep]]
        mean = sum(scores[frame] for frame in frames) / len(frames)
        if sum(top) / len(top) - mean > gap or level == depth:
            return best[: math.floor(num_keep / 2**level)]
        middle = len(frames) // 2
        return judge(frames[:middle], level + 1) + judge(frames[middle:], level + 1)

    return judge(list(range(len(scores))), 0)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("num_keep", "gap"), [(8, 0.8), (13, 0.35), (64, 0.35)])
def test_aks_is_its_rule(seed, num_keep, gap):
    scores = random_scores(seed, 300)
    scaled = (scores - min(scores)) / (max(scores) - min(scores))
    depth = min(5, math.floor(math.log2(num_keep)))
    judged = literal_aks(scaled.tolist(), num_keep, gap, depth)
    rest = sorted(set(range(300)) - set(judged), key=lambda frame: -scores[frame])
    wanted = sorted(judged + rest[: num_keep - len(judged)])
    assert choose_aks(scores, num_keep, gap=gap).tolist() == wanted


@RULES
@pytest.mark.parametrize("num_keep", [1, 2, 3, 7, 8, 16, 40, 59, 60, 90])
@pytest.mark.parametrize("scale", [1.0, 1e-4, -30.0])
def test_the_budget_is_used_with_different_frames_in_time_order(rule, num_keep, scale):
    for seed in range(5):
        scores = scale * random_scores(seed, 60) + 4
        chosen = rule(scores, num_keep).tolist()
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(60, num_keep)
        assert set(chosen) <= set(range(60))


@RULES
def test_scale_and_origin_of_the_scores_make_no_difference(rule):
    scores = np.round(random_scores(0, 100) * 64) / 64
    wanted = rule(scores, 10).tolist()
    assert rule(4 * scores - 2, 10).tolist() == wanted
    assert rule(scores.astype(np.float32), 10).tolist() == wanted


@RULES
def test_no_frames_give_none(rule):
    assert rule(np.array([]), 3).tolist() == []
    assert rule(np.array([0.5]), 1).tolist() == [0]


def test_bolt_stays_everywhere_and_aks_in_every_part():
    scores = np.full(100, 0.5)
    scores[40:45] = 1.0
    scores[90] = 0.0
    near = [
        int(((chosen >= 40) & (chosen < 45)).sum())
        for chosen in (choose_bolt(scores, 10, power=p) for p in (1.0, 3.0, 9.0))
    ]
    assert near == [1, 3, 5]
    aks = choose_aks(scores, 8)
    assert [int(((aks >= s) & (aks < s + 25)).sum()) for s in (0, 25, 50, 75)] == [
        2
    ] * 4
    best = choose_aks(scores, 5, gap=-1.0)
    assert best.tolist() == [40, 41, 42, 43, 44]
    never = choose_aks(scores, 5, gap=-1.0, deviation=1.0)
    assert never.tolist() != best.tolist()
    assert choose_aks(scores, 5, depth=0).tolist() == best.tolist()


@RULES
@pytest.mark.parametrize(
    ("scores", "num_keep", "message"),
    [
        ([[0.1, 0.2]], 1, r"shape \[T\], one a frame, got \[1, 2\]"),
        ([0.1, math.nan, 0.3], 1, "must be finite, got nan for frame 1"),
        ([0.1, math.inf], 1, "must be finite, got inf for frame 1"),
        ([0.1, 0.2], 0, "num_keep must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(rule, scores, num_keep, message):
    with pytest.raises(ValueError, match=message):
        rule(np.array(scores), num_keep)


def test_settings_without_sense_are_refused():
    with pytest.raises(ValueError, match="power must be above 0, got -1; 1 leaves"):
        choose_bolt(np.array([0.1, 0.2]), 1, power=-1)
    with pytest.raises(ValueError, match="depth must be 0 or more, got -2"):
        choose_aks(np.array([0.1, 0.2]), 1, depth=-2)
