"""Pruners: their formulas, literally, and numbers that are met exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynfocus.focus import HostBudget
from dynfocus.methods import SELECTORS, Selector, spend
from dynfocus.methods.pruners import (
    Pruned,
    PrunerInput,
    keep_evs,
    keep_vidcom2,
    prune_cdpruner,
    prune_fastvid,
)
from dynfocus.methods.pruners.fastvid import cut_segments, share_segment
from dynfocus.methods.pruners.vidcom2 import apportion, similarities

SHAPE = (6, 5, 8)


def tokens(seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    drift = 0.5 * torch.randn(SHAPE, generator=draw).cumsum(0)
    return torch.randn(1, *SHAPE[1:], generator=draw) + drift


@pytest.mark.parametrize("count", [5, 6, 13, 29, 30])
def test_evs_is_its_formula(count):
    given, worth = tokens(), {}
    for step in range(6):
        for place in range(5):
            now, before = given[step, place], given[step - 1, place]
            cosine = float(now @ before / now.norm() / before.norm())
            worth[step, place] = 1 - cosine if step else math.inf
    wanted = sorted(worth, key=lambda one: (-worth[one], one))[:count]
    mask = keep_evs(given, count)
    assert sorted(map(tuple, mask.nonzero().tolist())) == sorted(wanted)
    assert mask[0].all()  # the first step stays whole
    halves = torch.ones(SHAPE)
    assert keep_evs(halves, 8).sum(1).tolist() == [5, 3, 0, 0, 0, 0]  # the earlier


def literal_vidcom2(given, count):
    flat = given.reshape(30, 8)
    calm = sorted(range(8), key=lambda c: float(flat[:, c].var(unbiased=False)))[:4]
    points = torch.nn.functional.normalize(given[..., calm], dim=2)
    video, shares, orders = points.reshape(30, 4).mean(0), [], []

    def kernel(x, y):
        squared = float((x - y).square().sum())
        return sum(math.exp(-squared / (2 * 2.0**power)) for power in range(-3, 2))

    unlike = []
    for frame in points:
        own = [kernel(x, video) for x in frame]
        both = [a + kernel(x, frame.mean(0)) for a, x in zip(own, frame, strict=True)]
        unlike.append(-sum(own) / 5)
        orders.append(sorted(range(5), key=lambda place: both[place]))
    weights = [math.exp((one - max(unlike)) / 0.01) for one in unlike]
    chances = [one / sum(weights) for one in weights]
    for one in chances:
        shares.append(5 * min(1.0, count / 30 * (1 + one - sum(chances) / 6)))
    return shares, orders


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [6, 11, 20])
def test_vidcom2_is_its_formula(seed, count):
    given = tokens(seed)
    shares, orders = literal_vidcom2(given, count)
    mask = keep_vidcom2(given, count)
    assert int(mask.sum()) == count
    for row, share, order in zip(mask, shares, orders, strict=True):
        kept = row.nonzero()[:, 0].tolist()
        assert abs(len(kept) - share) <= 1
        assert kept == sorted(order[: len(kept)])


def test_numbers_of_tokens_add_up():
    wanted = torch.tensor([1.2, 2.7, 0.1, 4.0])
    assert apportion(wanted, 8, 4).tolist() == [1, 2, 1, 4]
    assert apportion(wanted, 3, 4).sum() == 3
    assert apportion(wanted, 16, 4).tolist() == [4, 4, 4, 4]
    assert apportion(torch.tensor([9.0, 0.0]), 5, 4).tolist() == [4, 1]


def test_equal_frames_share_evenly_and_no_t_by_t_tensor_is_needed():
    still = tokens()[:1].expand(400, 5, 8)
    counts = keep_vidcom2(still, 800).sum(1)
    assert counts.tolist() == [2] * 400
    video, frame = similarities(still)
    assert video.shape == frame.shape == (400, 5)


def similarity_of(seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(SHAPE[:2], generator=draw)


def literal_cdpruner(given, relevance, counts):
    """Try every token of a step, one by one, by the determinant itself."""
    low, high = float(relevance.min()), float(relevance.max())
    kept = []
    for points, similar, count in zip(given, relevance, counts, strict=True):
        unit = points.double().numpy()
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        rate = (similar.double().numpy() - low + 1e-6) / (high - low)
        matrix = rate[:, None] * (unit @ unit.T) * rate[None]
        chosen: list[int] = []
        for _ in range(count):
            rest = [place for place in range(len(unit)) if place not in chosen]
            worth = []
            for place in rest:
                both = np.ix_([*chosen, place], [*chosen, place])
                worth.append(np.linalg.slogdet(matrix[both])[1])
            chosen.append(rest[int(np.argmax(worth))])
        kept.append(sorted(chosen))
    return kept


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("count", "counts"),
    [(3, [0, 1, 0, 1, 0, 1]), (12, [2] * 6), (20, [3, 3, 4, 3, 3, 4])],
)
def test_cdpruner_is_its_formula(seed, count, counts):
    given, relevance = tokens(seed), similarity_of(seed)
    pruned = prune_cdpruner(PrunerInput(tokens=given, relevance=relevance), count)
    kept = [row.nonzero()[:, 0].tolist() for row in pruned.mask]
    assert kept == literal_cdpruner(given, relevance, counts)
    assert pruned.merge is None


def test_cdpruner_weighs_relevance_against_difference():
    # cosines: 0 and 1 are the same, 3 lies between 0 and 2, 4 is opposed to 2
    points = torch.tensor([[2.0, 0], [1, 0], [0, 1], [1, 1], [0, -3]])[None]

    def keep(similar, count):
        relevance = None if similar is None else torch.tensor([similar])
        given = PrunerInput(tokens=points, relevance=relevance)
        return prune_cdpruner(given, count).mask[0].nonzero()[:, 0].tolist()

    assert keep(None, 2) == [0, 2]
    assert keep([0.3] * 5, 2) == [0, 2]  # all alike: difference alone
    # r = 0.8, 1, 0, 0.6, 0.4: after 1, token 3 adds 0.6^2 / 2 = 0.18, token 4 0.4^2
    assert keep([0.4, 0.5, 0.0, 0.3, 0.2], 1) == [1]
    assert keep([0.4, 0.5, 0.0, 0.3, 0.2], 2) == [1, 3]
    # r = 0.8, 1, 0, 0.4, 0.6: token 3 adds 0.08, token 4 0.36
    assert keep([0.4, 0.5, 0.0, 0.2, 0.3], 2) == [1, 4]
    # the plane is full, what is left goes by relevance
    assert keep([0.4, 0.5, 0.0, 0.2, 0.3], 4) == [0, 1, 3, 4]
    # a token before the grid is not rated: it counts as the least
    assert keep([-torch.inf, 0.5, 0.4, 0.3, 0.2], 3) == [1, 2, 3]


def test_cdpruner_takes_steps_by_windows(monkeypatch):
    given = PrunerInput(tokens=tokens(), relevance=similarity_of())
    whole = prune_cdpruner(given, 17).mask
    monkeypatch.setattr("dynfocus.methods.pruners.cdpruner._STEPS_AT_ONCE", 4)
    assert torch.equal(prune_cdpruner(given, 17).mask, whole)


def scenes_of(seed: int = 0) -> torch.Tensor:
    """Give 24 steps of 24 tokens: long scenes, a still one, and a few single steps."""
    draw = torch.Generator().manual_seed(seed)
    lengths = [7, 1, 5, 1, 1, 9]
    places = torch.randn(24, 6, generator=draw)
    parts = []
    for length in lengths:
        scene = places + 2 * torch.randn(1, 6, generator=draw)
        parts.append(scene + 0.3 * torch.randn(length, 24, 6, generator=draw))
    return torch.cat(parts)


def cosine(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def literal_peaks(points, places, count):
    """Give the places of the largest density times distance to what is denser."""
    away = {
        (a, b): math.dist(points[a], points[b]) / math.sqrt(6)
        for a in places
        for b in places
    }
    density, score = {}, {}
    for a in places:
        nearest = sorted(away[a, b] for b in places)[:4]
        density[a] = math.exp(-sum(one**2 for one in nearest) / len(nearest))
    for a in places:
        denser = [away[a, b] for b in places if density[b] > density[a]]
        score[a] = density[a] * (min(denser) if denser else max(away.values()))
    return sorted(sorted(places, key=lambda a: -score[a])[:count])


def literal_fastvid(given, per_step):
    """Go through segments, steps and tokens one by one, as the published code does."""
    values = given.double().numpy()
    means = values.mean(1)
    near = [cosine(*pair) for pair in zip(means, means[1:], strict=False)]
    least = sorted(range(len(near)), key=near.__getitem__)[:7]
    cuts = sorted({*least, *(t for t, one in enumerate(near) if one < 0.84)})
    edges = [0, *(cut + 1 for cut in cuts), len(values)]
    kept, merged = set(), values.copy()
    for start, end in zip(edges, edges[1:], strict=False):
        total = per_step * (end - start)
        num_context = int(0.4 * total)
        rest, salient = total - num_context, set()
        for at, step in enumerate(range(start, end)):
            own = rest // (end - start) + (at < rest % (end - start))
            logits = values[step] @ means[step]
            salient |= {(step, n) for n in np.argsort(-logits, kind="stable")[:own]}
        anchors = list(range(end - 1, start - 1, -4))
        kept |= salient
        for at, step in enumerate(anchors):
            count = num_context // len(anchors) + (at < num_context % len(anchors))
            left = [n for n in range(24) if (step, n) not in salient]
            context = literal_peaks(values[step], left, count)
            joined = {place: [] for place in context}
            for other in range(start, end):
                for n in range(24):
                    is_own = other == step and n in context
                    if (other, n) in salient or is_own or not context:
                        continue
                    token = values[other, n]
                    fits = [cosine(token, values[step, c]) for c in context]
                    joined[context[int(np.argmax(fits))]].append(token)
            for place, tokens in joined.items():
                own = max(1 / (len(tokens) + 1), 0.6)
                mean = sum(tokens) / max(1, len(tokens))
                merged[step, place] = own * values[step, place] + (1 - own) * mean
            kept |= {(step, place) for place in context}
    return kept, merged


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("per_step", [1, 2, 5])
def test_fastvid_is_its_rule(seed, per_step, monkeypatch):
    monkeypatch.setattr("dynfocus.methods.pruners.fastvid._STEPS_AT_ONCE", 3)
    given = scenes_of(seed).double()  # no near ties
    kept, merged = literal_fastvid(given, per_step)
    pruned = prune_fastvid(PrunerInput(tokens=given), per_step * 24)
    assert {tuple(one) for one in pruned.mask.nonzero().tolist()} == kept
    wanted = torch.from_numpy(merged)
    torch.testing.assert_close(pruned.merge(given), wanted, atol=1e-5, rtol=1e-5)
    assert not torch.equal(wanted, given)
    layers = torch.stack([given, -2 * given], dim=2)  # what a host adds, [S, N, E, H]
    torch.testing.assert_close(
        pruned.merge(layers),
        torch.stack([wanted, -2 * wanted], dim=2),
        atol=1e-5,
        rtol=1e-5,
    )


def test_fastvid_cuts_at_the_least_and_below_a_threshold():
    def cuts(degrees):
        turned = torch.tensor(degrees).cumsum(0) * math.pi / 180
        means = torch.stack([turned.cos(), turned.sin()], dim=1)
        return [one.start for one in cut_segments(means)[1:]]

    # cos 32.9 degrees = 0.84
    assert cuts([0.0, 30, 40, 30, 35, 30, 30, 34, 33, 36, 33, 34, 33.5]) == [
        *(2, 4, 7, 8, 9, 10, 11, 12),
    ]
    quiet = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert cuts(quiet) == [3, 4, 5, 6, 7, 8, 9]  # seven of the least
    assert cuts([0.0, 1, 2]) == [1, 2]
    assert cuts([0.0]) == []


def test_fastvid_shares_a_segment_within_the_room_of_its_anchors():
    # 20 tokens: 8 context tokens of steps 5 and 1, 12 salient ones
    salient, context = share_segment(20, 6, 10)
    assert salient.tolist() == [2] * 6
    assert context.tolist() == [0, 4, 0, 0, 0, 4]
    # 47: 18 and 29; an anchor has room for 5 beside 5, or for 6 beside 4
    salient, context = share_segment(47, 6, 10)
    assert context.tolist() == [0, 5, 0, 0, 0, 6]
    assert salient.tolist() == [7, 5, 7, 7, 6, 4]
    salient, context = share_segment(60, 6, 10)
    assert (salient + context).tolist() == [10] * 6


class Steps:
    """The least that `spend` reads."""

    def __init__(self, given: torch.Tensor, times: torch.Tensor) -> None:
        self.tokens, self.pts_seconds = given, times
        self.grid, self.num_front = (1, 5), 0

    def take(self, rows: torch.Tensor) -> Steps:
        return Steps(self.tokens[rows], self.pts_seconds[rows])

    def merged(self, merge) -> Steps:
        return Steps(merge(self.tokens), self.pts_seconds)


@pytest.mark.parametrize("name", ["cdpruner", "evs", "fastvid", "vidcom2"])
@pytest.mark.parametrize("total", [6, 17, 31, 99])
def test_a_budget_is_spent_to_the_token(name, total):
    video = Steps(tokens(), torch.arange(6.0))
    budget = HostBudget(max_video_tokens=total, tokens_per_step=5, num_tail=1)
    seen, kept = spend(SELECTORS[name], budget, video, None)
    assert sum(len(step.places) for step in kept) == min(30, total - 1)
    assert len(seen.tokens) == len(kept)
    if total > 30:
        assert all(len(step.places) == 5 for step in kept)
    for step, own in zip(kept, seen.tokens, strict=True):
        torch.testing.assert_close(step.mix(own), own[step.places])


def test_a_pruner_that_keeps_another_number_is_named():
    video = Steps(tokens(), torch.arange(6.0))
    budget = HostBudget(max_video_tokens=11, tokens_per_step=5)
    wrong = Selector(
        choose=SELECTORS["none"].choose,
        rest="pruned",
        keep=lambda given, count: Pruned(
            mask=torch.ones(given.tokens.shape[:2], dtype=torch.bool)
        ),
    )
    with pytest.raises(
        ValueError, match="must keep 11 of the tokens, got 30 in a mask"
    ):
        spend(wrong, budget, video, None)
