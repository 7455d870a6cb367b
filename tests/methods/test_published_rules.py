"""Published selectors: figures of their specification, and literal loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from dynfocus.methods import SELECTORS, SelectorInput
from dynfocus.methods.selectors.air import find_events, fit_two_normals
from dynfocus.methods.selectors.date import spaced_best
from dynfocus.methods.selectors.dcode import even_and_unlike
from dynfocus.methods.selectors.f2c import clip_around, cluster_times, find_anchors
from dynfocus.methods.selectors.focus import make_arms, upper_bound
from dynfocus.methods.selectors.mdp3 import best_sequence, kernel
from dynfocus.methods.selectors.mmr import greedy_mmr
from dynfocus.methods.selectors.qframe import draw_without_replacement, tiers
from dynfocus.methods.selectors.scenetilling import depths, scene_ends
from dynfocus.methods.selectors.tstar import draw_round, spread_confidence


def unit_vectors(count: int, width: int = 12, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def video(scores: np.ndarray, vectors: np.ndarray | None = None, fps: float = 1.0):
    asked: list[int] = []

    def compare(indices: np.ndarray) -> np.ndarray:
        asked.extend(indices.tolist())
        return scores[indices]

    if vectors is None:
        vectors = unit_vectors(len(scores))
    given = SelectorInput(
        times=np.arange(len(scores)) / fps,
        features=torch.from_numpy(vectors),
        compare=compare,
        describe=vectors.__getitem__,
        question="Which?",
    )
    return given, asked


def chosen_by(name: str, given: SelectorInput, num_keep: int) -> list[int]:
    return sorted(SELECTORS[name](given, num_keep).indices.tolist())


def cosines(seed: int, count: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.25, 0.03, count)


def test_qframe_spends_the_budget_on_three_sizes():
    assert tiers(128, 8) == (4, 8, 32)  # 4 + 8 / 4 + 32 / 16 = 8
    for num_frames, num_keep in itertools.product((9, 20, 44, 300), (1, 2, 3, 8)):
        high, middle, low = tiers(num_frames, num_keep)
        assert high + middle + low <= num_frames
        assert num_keep - 1 < high + middle / 4 + low / 16 <= num_keep
    chosen = SELECTORS["qframe"](video(cosines(0))[0], 8)
    counts = [int((chosen.scale == side).sum()) for side in (1.0, 0.5, 0.25)]
    assert counts == [4, 8, 32]


@pytest.mark.parametrize(("scale", "least", "most"), [(1, 0.2, 0.8), (100, 5.2, 6.0)])
def test_qframe_sees_the_question_at_the_scale_of_logits_alone(scale, least, most):
    found = []
    for seed in range(400):
        scores = cosines(seed)
        order = draw_without_replacement(
            scores * scale / 0.8, np.random.default_rng(seed + 1000)
        )
        found.append(len(set(order[:8]) & set(np.argsort(-scores)[:8])))
    assert least < np.mean(found) < most  # 0.5 is chance for 8 of 128


def literal_mdp3(vectors, worth, num_keep, size):
    """Try every way to share the frames among stretches, each filled greedily."""

    def value(frames):
        if not frames:
            return 0.0
        like = kernel(vectors[frames] @ vectors[frames].T) + 1e-6 * np.eye(len(frames))
        return math.log(np.linalg.det(like))

    stretches = [
        list(range(start, min(start + size, len(vectors))))
        for start in range(0, len(vectors), size)
    ]
    best = {0: (0.0, [])}
    for stretch in stretches:
        grown: dict = {}
        for count, (total, trace) in best.items():
            last, picks, gain = trace[-1:], [], 0.0
            for more in range(min(num_keep - count, len(stretch)) + 1):
                if more:
                    rest = [frame for frame in stretch if frame not in picks]
                    added = [
                        worth[f] + value(last + picks + [f]) - value(last + picks)
                        for f in rest
                    ]
                    gain += max(added)
                    picks = [*picks, rest[int(np.argmax(added))]]
                if count + more not in grown or total + gain > grown[count + more][0]:
                    grown[count + more] = (total + gain, sorted(trace + picks))
        best = grown
    return best[num_keep][1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [6, 30])
def test_mdp3_is_its_rule(seed, size):
    vectors = unit_vectors(20, seed=seed)
    worth = 10 * np.log(kernel(cosines(seed, 20)))
    wanted = literal_mdp3(vectors, worth, 5, size)
    assert best_sequence(vectors, worth, 5, stretch=size).tolist() == wanted


@pytest.mark.parametrize("size", [8, 40])
def test_mdp3_does_not_depend_on_the_scale_of_its_kernel(monkeypatch, size):
    vectors, scores = unit_vectors(32, seed=4), cosines(4, 32)
    mean = best_sequence(vectors, 10 * np.log(kernel(scores)), 8, stretch=size)
    monkeypatch.setattr(
        "dynfocus.methods.selectors.mdp3.kernel", lambda cosine: 5 * kernel(cosine)
    )
    summed = best_sequence(vectors, 10 * np.log(5 * kernel(scores)), 8, stretch=size)
    assert mean.tolist() == summed.tolist()
    assert len({int(frame) // 8 for frame in mean}) > 1


def literal_tass(times, order, num_keep):
    gap, accepted = 20.0, []
    while len(accepted) < num_keep:
        for frame in order:
            near = (abs(times[frame] - times[other]) < gap for other in accepted)
            if frame not in accepted and not any(near) and len(accepted) < num_keep:
                accepted.append(frame)
        gap /= 2
    return accepted


@pytest.mark.parametrize("seed", range(10))
def test_date_is_its_rule(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.random(80) * 100)
    order = rng.permutation(80)[:40]
    assert spaced_best(times, order, 9) == literal_tass(times, order.tolist(), 9)


def test_date_takes_what_is_above_the_mean_and_then_the_best_of_the_rest():
    scores = cosines(1, 60)
    above = set(np.flatnonzero(scores > scores.mean()).tolist())
    assert 20 < len(above) < 40  # about half: as published there are no more frames
    chosen = chosen_by("date", video(scores)[0], 50)
    assert len(chosen) == 50
    assert above < set(chosen)
    first = spaced_best(np.arange(60.0), np.argsort(-scores)[:20], 3)
    assert first[0] == scores.argmax()
    assert min(abs(a - b) for a, b in itertools.combinations(first, 2)) >= 10


def test_mmr_is_its_formula():
    fits, vectors = np.random.default_rng(2).random(15), unit_vectors(15, 4)
    wanted = [int(fits.argmax())]
    while len(wanted) < 6:
        worth = {}
        for frame in set(range(15)) - set(wanted):
            like = max((1 + vectors[frame] @ vectors[other]) / 2 for other in wanted)
            worth[frame] = 0.5 * fits[frame] - 0.5 * like
        wanted.append(max(worth, key=worth.get))
    assert greedy_mmr(fits, vectors, 6).tolist() == wanted


def test_ocsampler_scores_ten_even_frames_for_six():
    given, asked = video(cosines(3, 100))
    chosen = SELECTORS["ocsampler"](given, 6).indices.tolist()
    assert asked == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    scores = cosines(3, 100)
    assert chosen == sorted(asked, key=lambda frame: -scores[frame])[:6]


def test_dcode_is_its_rule():
    vectors = unit_vectors(36, 5)
    wanted = [int(x) for x in np.linspace(0, 35, int(18 * 0.85))]  # 15 of 18
    while len(wanted) < 18:
        means = {
            frame: np.mean([vectors[frame] @ vectors[other] for other in wanted])
            for frame in set(range(36)) - set(wanted)
        }
        wanted.append(min(means, key=means.get))
    assert even_and_unlike(vectors, 18).tolist() == sorted(wanted)


def test_free_video_llm_keeps_its_proportions():
    scores = cosines(5, 400)
    chosen = SELECTORS["free-video-llm"](video(scores)[0], 11)
    large = chosen.indices[chosen.scale == 1]
    assert len(large) == 7  # 8 of 11.1
    assert int((chosen.scale == 0.25).sum()) == 16 * 4
    assert set(np.linspace(0, 400, 5).astype(int)[:-1].tolist()) < set(large.tolist())
    others = set(large.tolist()) - {0, 100, 200, 300}
    assert others == set(np.argsort(-scores)[:3].tolist())


def test_ts_llava_has_the_tokens_of_six_frames_for_fifty():
    chosen = SELECTORS["ts-llava"](video(cosines(6, 50 * 7))[0], 6)
    assert len(chosen.indices) == 50
    area = np.sort(chosen.scale**2)
    np.testing.assert_allclose(area[:44] * 576, 57.6)  # every tenth token
    np.testing.assert_allclose(area[44:] * 576, 57.6 + 96)  # and a tile of six
    assert (chosen.scale**2).sum() * 576 == pytest.approx(2880 + 576)


def test_scenetilling_cuts_where_scenes_end():
    scenes = np.repeat(np.eye(4), 10, axis=0) + 1e-3 * unit_vectors(40, 4)
    vectors = scenes / np.linalg.norm(scenes, axis=1, keepdims=True)
    assert scene_ends(vectors).tolist() == [9, 19, 29, 39]
    still = np.ones((40, 4)) + 1e-3 * unit_vectors(40, 4)
    still /= np.linalg.norm(still, axis=1, keepdims=True)
    assert scene_ends(still).tolist() == [39]
    assert len(scene_ends(still, least_depth=0.0)) > 5  # as published
    chosen = chosen_by("scenetilling", video(cosines(0, 40), vectors)[0], 8)
    assert [frame // 10 for frame in chosen] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_depths_are_climbed_to_the_peaks():
    similar = np.random.default_rng(0).random(30)
    wanted = []
    for place, own in enumerate(similar):
        left = right = own
        for other in similar[:place][::-1]:
            if other < left:
                break
            left = other
        for other in similar[place + 1 :]:
            if other < right:
                break
            right = other
        wanted.append(left + right - 2 * own)
    np.testing.assert_allclose(depths(similar), wanted)


@pytest.mark.parametrize("length", range(1, 9))
def test_f2c_spends_the_same_area_on_every_clip(length):
    num_keep, num_anchors = 8, 4
    shrunk = np.clip(np.sqrt(num_anchors * length / num_keep), 1, 2)
    if 1 < shrunk < 2:
        assert length / shrunk**2 == pytest.approx(num_keep / num_anchors)
    chosen = SELECTORS["f2c"](video(cosines(length, 60))[0], 8)
    assert 7 < (chosen.scale**2).sum() <= 8 + 1e-9
    assert ((chosen.scale >= 0.5) & (chosen.scale <= 1)).all()


def test_f2c_anchors_are_the_tops_of_basins_and_the_best_of_clusters():
    scores = np.array([0.1, 0.5, 0.2, 0.9, 0.3, 0.2, 0.6, 0.1])
    assert find_anchors(scores, 8).tolist() == [1, 3, 6]
    assert find_anchors(scores, 2).tolist() in ([3, 6], [1, 3])
    label = cluster_times(np.array([0.0, 1, 2, 50, 51, 99]), 3)
    assert label.tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("anchor", [0, 7, 19])
def test_f2c_clips_are_as_long_as_their_formula_says(anchor):
    scores, vectors = np.random.default_rng(1).random(20), unit_vectors(20, 3)
    worth = {}
    for length in range(1, 9):  # 4 * 8 / 4
        start = min(max(anchor - (length - 1) // 2, 0), 20 - length)
        clip = range(start, start + length)
        pairs = [vectors[a] @ vectors[b] for a, b in itertools.combinations(clip, 2)]
        alike = np.mean(pairs) if pairs else 0.0
        worth[start, length] = (
            np.mean([scores[f] for f in clip]) - 0.5 * alike + 0.05 * length / 8
        )
    found = clip_around(anchor, scores, vectors, num_keep=8, num_anchors=4)
    assert worth[found] == pytest.approx(max(worth.values()))


def test_focus_finds_the_moment_and_scores_few_frames():
    scores = 0.2 + 0.02 * np.random.default_rng(0).random(3600)
    scores[1010:1030] = 0.5
    given, asked = video(scores)
    chosen = SELECTORS["focus"](given, 16)
    assert len(set(asked)) == len(asked) < 1800
    assert sum(1010 <= frame < 1030 for frame in chosen.indices) >= 3
    assert 1010 <= chosen.indices[0] < 1030


def test_focus_bounds_are_their_formula():
    scores = np.array([0.2, 0.6, 0.4])
    log = math.log(24)
    wanted = 0.4 + math.sqrt(2 * log * scores.var() / 3) + 3 * log / 3
    assert upper_bound(scores, 24) == pytest.approx(wanted)
    assert len(make_arms(np.arange(3600.0))) == 224
    assert len(make_arms(np.arange(40.0))) == 8
    assert len(make_arms(np.arange(3.0))) == 3


def test_air_events_stand_out_last_and_are_joined():
    rng = np.random.default_rng(0)
    scores = rng.normal(0.2, 0.005, 100)
    for start, end in ((10, 20), (21, 25), (60, 66), (80, 82)):
        scores[start:end] = 0.4
    means, deviations = fit_two_normals(scores)
    np.testing.assert_allclose(np.sort(means), [0.2, 0.4], atol=0.01)
    assert deviations.max() < 0.02
    events = find_events(scores, np.arange(100.0))
    found = [(int(event[0]), int(event[-1])) for event in events]
    assert found == [(10, 24), (60, 65)]  # 80 to 82 is too short
    chosen = chosen_by("air", video(scores)[0], 7)
    assert sum(frame < 25 for frame in chosen) == 5  # 15 frames of 21


def test_tstar_search_spreads_to_the_neighbours_and_scores_at_most_half():
    scores = 0.2 + 0.01 * np.random.default_rng(0).random(600)
    scores[300:340] = 0.5
    given, asked = video(scores)
    chosen = SELECTORS["tstar-search"](given, 8)
    assert len(set(asked)) == len(asked) == 300
    assert sum(295 <= frame < 345 for frame in chosen.indices) >= 2
    raw = np.full(20, np.nan)
    raw[[2, 10]] = [0.1, 0.9]
    confidence = spread_confidence(raw, [10], np.arange(20.0))
    assert confidence[[10, 11, 14, 15, 16]].tolist() == [1, 1 / 2, 1 / 5, 1 / 6, 1e-6]
    assert confidence[2] == 1e-6


def test_tstar_draws_where_good_frames_were_found_and_nothing_twice():
    confidence, is_new = np.full(100, 1e-6), np.ones(100, bool)
    confidence[40:50], is_new[[5, 45, 95]] = 1.0, False
    drawn = draw_round(confidence, is_new, 10, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == 10
    assert not {5, 45, 95} & set(drawn.tolist())
    assert all(6 <= frame <= 94 for frame in drawn)  # the quarter nearest to the best
