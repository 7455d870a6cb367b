"""What the methods keep: events, merged Cones, two-token Rods, whole frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.focus import HostBudget, dpc_knn
from dynfocus.methods.looking import look_at, look_for
from dynfocus.methods.selectors.training_free import (
    QuestionLook,
    _ranks_within,
    rank_steps,
)
from dynfocus.plugins import METHODS, HostVideo


def make_video(num_steps: int = 12, seed: int = 0, **changes) -> HostVideo:
    torch.manual_seed(seed)
    scenes = torch.randn(-(-num_steps // 4), 17, 8).repeat_interleave(4, 0)[:num_steps]
    fields = {
        "tokens": scenes + 0.1 * torch.randn(num_steps, 17, 8),
        "layers": None,
        "tail": torch.zeros(0, 8),
        "grid": (4, 4),
        "num_front": 1,
        "steps": torch.arange(num_steps),
        "frame_seconds": torch.arange(float(num_steps))[:, None].double(),
        "duration": float(num_steps),
    }
    return HostVideo(**(fields | changes))


def budget_of(total: int, **changes) -> HostBudget:
    return HostBudget(max_video_tokens=total, tokens_per_step=17, **changes)


def keep(video: HostVideo, budget: HostBudget, look=None):
    return METHODS["dynfocus"].select(video, budget, look)


def test_best_events_become_cones_and_all_others_rods():
    video, budget = make_video(), budget_of(24 + 2 * 6, cone_tokens=8)
    kept = keep(video, budget)
    counts = [len(step.places) for step in kept]
    assert sorted(counts, reverse=True) == budget.share(12)
    assert [step.kind for step in kept] == ["cone" if n > 2 else "rod" for n in counts]
    _, order = rank_steps(video, budget, None)
    assert {i for i, n in enumerate(counts) if n == 8} == set(order[:2].tolist())
    assert sorted(order.tolist()) == list(range(12))
    scores = [step.score for step in kept]
    assert max(scores) == 1
    assert min(scores) >= 0


def test_each_scene_has_a_step_among_the_first():
    _, order = rank_steps(make_video(), budget_of(30), None)
    assert sorted(step // 4 for step in order[:3].tolist()) == [0, 1, 2]


def test_rods_are_the_mean_and_the_mean_by_importance():
    video, budget = make_video(), budget_of(24)
    kept = keep(video, budget)
    step = next(i for i, one in enumerate(kept) if one.kind == "rod")
    tokens = video.tokens[step]
    points = tokens - tokens.mean(0)
    points = points / points.square().mean().sqrt()
    importance = dpc_knn(points[None], 1, 5).score[0]
    weighted = (importance[:, None] * tokens).sum(0) / importance.sum()
    wanted = {11: tokens.mean(0), int(importance.argmax()): weighted}
    rod = kept[step].mix(tokens)
    assert kept[step].places.tolist() == sorted(wanted)
    for place, row in zip(kept[step].places.tolist(), rod, strict=True):
        torch.testing.assert_close(row, wanted[place])


def test_cones_merge_clusters_at_their_centres():
    video = make_video()
    cone = next(one for one in keep(video, budget_of(40)) if one.kind == "cone")
    assert cone.places.tolist() == sorted(set(cone.places.tolist()))
    assert cone.weights.shape == (len(cone.places), 17)
    torch.testing.assert_close(cone.weights.sum(1), torch.ones(len(cone.places)))
    assert ((cone.weights > 0).sum(0) <= 1).all()
    assert (cone.weights.argmax(1) >= 0).all()
    own = cone.weights[torch.arange(len(cone.places)), cone.places]
    assert (own > 0).all()


def test_whole_cones_are_the_tokens_themselves():
    video = make_video()
    budget = budget_of(2 * 11 + 17, cone_tokens="whole")
    kept = keep(video, budget)
    (step,) = (i for i, one in enumerate(kept) if one.kind == "cone")
    assert kept[step].weights is None
    assert torch.equal(kept[step].mix(video.tokens[step]), video.tokens[step])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_the_scale_of_the_features_changes_nothing(scale):
    video = make_video()
    wanted = [one.places.tolist() for one in keep(video, budget_of(50))]
    video = make_video(tokens=video.tokens * scale)
    assert [one.places.tolist() for one in keep(video, budget_of(50))] == wanted


def test_a_still_video_and_a_single_step_work():
    still = make_video(tokens=torch.ones(12, 17, 8))
    assert sum(len(one.places) for one in keep(still, budget_of(31))) == 31
    single = make_video(1)
    assert [len(one.places) for one in keep(single, budget_of(5))] == [5]


def test_what_is_added_after_the_first_layers_is_merged_alike():
    video = make_video()
    kept = keep(video, budget_of(40))
    layers = torch.stack([video.tokens, 2 * video.tokens], dim=2)
    for step in range(12):
        mixed = kept[step].mix(layers[step])
        torch.testing.assert_close(mixed[:, 0], kept[step].mix(video.tokens[step]))
        torch.testing.assert_close(mixed[:, 1], 2 * mixed[:, 0])


def test_a_question_moves_cones_and_attention(scorer):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5, :10, 20:] = (255, 0, 0)  # red in the upper right, once
    looks = look_at(scorer, frames, 1)
    assert looks.shape == (12, 10, 3)
    video = make_video(looks=looks)
    look = look_for(scorer, video, "where is red ?")
    assert look.relevance.argmax() == 5
    assert look.relevance.max() == 1
    assert (look.relevance > 0).all()
    torch.testing.assert_close(look.attention.sum(1), torch.ones(12))
    assert (look.attention[:, 0] == 0).all()  # the token before the grid
    assert look.attention[5].argmax() == 1 + 3
    kept = keep(video, budget_of(2 * 11 + 8, cone_tokens=8), look)
    assert [i for i, one in enumerate(kept) if one.kind == "cone"] == [5]
    kept = keep(video, budget_of(48), look)
    rod = METHODS["dynfocus"].select(video, budget_of(24), look)[5]
    torch.testing.assert_close(
        rod.mix(video.tokens[5])[list(rod.places).index(4)],
        look.attention[5] @ video.tokens[5],
    )


def test_a_moment_that_fits_may_have_several_cones():
    video = make_video()
    relevance = torch.full((12,), 0.01)
    relevance[:3] = torch.tensor([0.9, 1.0, 0.8])
    look = QuestionLook(
        similarity=relevance,
        relevance=relevance,
        attention=torch.full((12, 17), 1 / 17),
    )
    scores, order = rank_steps(video, budget_of(24 + 4 * 6, cone_tokens=8), look)
    _, plain = rank_steps(video, budget_of(24 + 4 * 6, cone_tokens=8), None)
    assert plain[:4].tolist() != order[:4].tolist()
    assert order[:3].sort().values.tolist() == [0, 1, 2]
    assert scores[order].tolist() == sorted(scores.tolist(), reverse=True)
    assert (scores.min(), scores.max()) == (0, 1)


def test_steps_of_an_event_are_ranked_by_their_worth():
    event = torch.tensor([1, 0, 1, 1, 0, 2])
    worth = torch.tensor([0.5, 0.1, 0.9, 0.5, 0.7, 0.3])
    assert _ranks_within(event, worth).tolist() == [2, 2, 1, 3, 1, 1]


def test_pairs_of_frames_are_looked_at_together(scorer):
    frames = np.zeros((3, 30, 30, 3), np.uint8)
    frames[0, ..., 0] = frames[1, ..., 1] = frames[2, ..., 2] = 255
    looks = look_at(scorer, frames, 2)
    assert looks.shape == (2, 10, 3)
    assert looks[0, 0, 0] == pytest.approx(float(looks[0, 0, 1]), abs=1e-3)


def test_a_video_that_no_scorer_saw_is_refused(scorer):
    with pytest.raises(ValueError, match="encoded without a scorer; index it anew"):
        look_for(scorer, make_video(), "red ?")


def test_of_an_index_the_best_step_of_each_stretch_is_kept(scorer):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5] = frames[8] = (255, 0, 0)
    video = make_video(looks=look_at(scorer, frames, 1))
    look = look_for(scorer, video, "where is red ?")
    method, budget = METHODS["dynfocus"], budget_of(16)
    assert method.num_steps(12, budget) == 4
    assert method.choose_steps(look, budget).tolist() == [0, 5, 8, 9]
    assert method.choose_steps(look, budget_of(12 * 17)).tolist() == list(range(12))


@pytest.mark.parametrize("name", ["aks", "bolt"])
def test_rules_choose_whole_steps_by_similarity_among_all(scorer, name):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5] = frames[9] = (255, 0, 0)
    video = make_video(looks=look_at(scorer, frames, 1))
    look = look_for(scorer, video, "where is red ?")
    torch.testing.assert_close(
        look.similarity, video.looks[:, 0] @ torch.tensor([1.0, 0.0, 0.0])
    )
    method = METHODS[name]
    assert method.num_steps(12, budget_of(60)) == 12
    assert method.choose_steps(look, budget_of(2 * 17 + 5)).tolist() == [5, 9]
    rows = method.choose_steps(look, budget_of(60))
    assert len(rows) == 3
    assert {5, 9} < set(rows.tolist())
    assert method.choose_steps(look, budget_of(12 * 17)).tolist() == list(range(12))
    taken = look.take(rows)
    assert taken.relevance.tolist() == look.relevance[rows].tolist()
    assert taken.attention.shape == (3, 17)
    with pytest.raises(ValueError, match="at least 17, the tokens of one whole frame"):
        method.num_steps(12, budget_of(16))


def test_uniform_keeps_as_many_whole_steps_as_fit():
    method = METHODS["uniform"]
    assert method.num_steps(12, budget_of(60)) == 3
    assert method.num_steps(2, budget_of(60)) == 2
    with pytest.raises(ValueError, match=r"at least 17, .* got 16; .*'dynfocus'"):
        method.num_steps(12, budget_of(16))
    video = make_video(3)
    kept = method.select(video, budget_of(60), None)
    assert all(
        torch.equal(k.mix(t), t) for k, t in zip(kept, video.tokens, strict=True)
    )
