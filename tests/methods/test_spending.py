"""What the methods keep: events, merged Cones, two-token Rods, whole frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.focus import HostBudget, dpc_knn
from dynfocus.methods import (
    SELECTORS,
    KeptStep,
    Selection,
    Selector,
    SelectorInput,
    num_steps_read,
    spend,
)
from dynfocus.methods.selectors.cones_and_rods import _ranks_within, relevance
from dynfocus.methods.spending import (
    QuestionSimilarity,
    compare_regions,
    encode_regions,
)
from dynfocus.plugins import HostFeatures


def make_video(num_steps: int = 12, seed: int = 0, **changes) -> HostFeatures:
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
    return HostFeatures(**(fields | changes))


def budget_of(total: int, **changes) -> HostBudget:
    return HostBudget(max_video_tokens=total, tokens_per_step=17, **changes)


def keep(
    video: HostFeatures,
    budget: HostBudget,
    similarity: QuestionSimilarity | None = None,
) -> list[KeptStep]:
    seen, kept = spend(SELECTORS["dynfocus"], budget, video, similarity)
    assert seen is video  # no step is left out
    return kept


def compare(scorer, video: HostFeatures, question: str) -> QuestionSimilarity:
    return compare_regions(
        scorer, video.regions, question, grid=video.grid, num_front=video.num_front
    )


def similar(whole: torch.Tensor) -> QuestionSimilarity:
    return QuestionSimilarity(whole=whole, tokens=torch.zeros(len(whole), 17))


def test_best_events_become_cones_and_all_others_rods():
    video, budget = make_video(), budget_of(24 + 4 * 6, cone_tokens=8)
    kept = keep(video, budget)
    counts = [len(step.places) for step in kept]
    assert sorted(counts, reverse=True) == budget.share(12)
    assert [step.kind for step in kept] == ["cone" if n > 2 else "rod" for n in counts]
    scores = [step.score for step in kept]
    assert max(scores) == 1
    assert min(scores) >= 0


def test_each_scene_has_a_step_among_the_first():
    kept = keep(make_video(), budget_of(3 * 10 + 9 * 2, cone_tokens=10))
    cones = [step for step, one in enumerate(kept) if one.kind == "cone"]
    assert {step // 4 for step in cones} == {0, 1, 2}


def test_rods_are_the_mean_and_the_mean_by_importance():
    video, budget = make_video(), budget_of(48)
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
    cone = next(one for one in keep(video, budget_of(50)) if one.kind == "cone")
    assert cone.places.tolist() == sorted(set(cone.places.tolist()))
    assert cone.weights.shape == (len(cone.places), 17)
    torch.testing.assert_close(cone.weights.sum(1), torch.ones(len(cone.places)))
    assert ((cone.weights > 0).sum(0) <= 1).all()
    assert (cone.weights.argmax(1) >= 0).all()
    own = cone.weights[torch.arange(len(cone.places)), cone.places]
    assert (own > 0).all()


def test_whole_cones_are_the_tokens_themselves():
    video = make_video()
    budget = budget_of(2 * 9 + 3 * 17, cone_tokens="whole")
    kept = keep(video, budget)
    cones = [i for i, one in enumerate(kept) if one.kind == "cone"]
    assert len(cones) == 3
    step = cones[0]
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
    assert sum(len(one.places) for one in keep(still, budget_of(51))) == 51
    single = make_video(1)
    assert [len(one.places) for one in keep(single, budget_of(5))] == [5]


def test_what_is_added_after_the_first_layers_is_merged_alike():
    video = make_video()
    kept = keep(video, budget_of(50))
    layers = torch.stack([video.tokens, 2 * video.tokens], dim=2)
    for step in range(12):
        mixed = kept[step].mix(layers[step])
        torch.testing.assert_close(mixed[:, 0], kept[step].mix(video.tokens[step]))
        torch.testing.assert_close(mixed[:, 1], 2 * mixed[:, 0])


def test_a_question_moves_cones_and_attention(scorer):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5, :10, 20:] = (255, 0, 0)  # red in the upper right, once
    regions = encode_regions(scorer, frames, 1)
    assert regions.shape == (12, 10, 3)
    video = make_video(regions=regions)
    fits = compare(scorer, video, "where is red ?")
    weights = relevance(fits.whole.double().numpy())
    assert weights.argmax() == 5
    assert weights.max() == 1
    assert (weights > 0).all()
    torch.testing.assert_close(fits.attention.sum(1), torch.ones(12))
    assert (fits.attention[:, 0] == 0).all()  # the token before the grid
    assert fits.attention[5].argmax() == 1 + 3
    kept = keep(video, budget_of(48), fits)
    assert kept[5].kind == "cone"
    assert kept[5].score == 1
    step = next(i for i, one in enumerate(kept) if one.kind == "rod")
    peak = int(fits.attention[step].argmax())
    torch.testing.assert_close(
        kept[step].mix(video.tokens[step])[kept[step].places.tolist().index(peak)],
        fits.attention[step] @ video.tokens[step],
    )


def test_a_moment_that_fits_may_have_several_cones():
    video, budget = make_video(), budget_of(24 + 4 * 6, cone_tokens=8)
    whole = torch.full((12,), 0.1)
    whole[:3] = torch.tensor([0.29, 0.3, 0.28])
    cones = [
        [step for step, one in enumerate(kept) if one.kind == "cone"]
        for kept in (keep(video, budget), keep(video, budget, similar(whole)))
    ]
    assert cones[0] != cones[1]
    assert cones[1][:3] == [0, 1, 2]
    scores = [one.score for one in keep(video, budget, similar(whole))]
    assert (min(scores), max(scores)) == (0, 1)
    rest = set(range(12)) - set(cones[1])
    assert min(scores[i] for i in cones[1]) >= max(scores[i] for i in rest)


def test_steps_of_an_event_are_ranked_by_their_worth():
    event = np.array([1, 0, 1, 1, 0, 2])
    worth = np.array([0.5, 0.1, 0.9, 0.5, 0.7, 0.3])
    assert _ranks_within(event, worth).tolist() == [2, 2, 1, 3, 1, 1]


def test_pairs_of_frames_are_seen_together(scorer):
    frames = np.zeros((3, 30, 30, 3), np.uint8)
    frames[0, ..., 0] = frames[1, ..., 1] = frames[2, ..., 2] = 255
    regions = encode_regions(scorer, frames, 2)
    assert regions.shape == (2, 10, 3)
    assert regions[0, 0, 0] == pytest.approx(float(regions[0, 0, 1]), abs=1e-3)


def test_a_video_that_no_scorer_saw_is_refused(scorer):
    with pytest.raises(ValueError, match="encoded without a scorer; index it anew"):
        compare(scorer, make_video(), "red ?")


def test_of_an_index_the_best_step_of_each_stretch_is_kept(scorer):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5] = frames[8] = (255, 0, 0)
    video = make_video(regions=encode_regions(scorer, frames, 1))
    fits = compare(scorer, video, "where is red ?")
    selector = SELECTORS["dynfocus"]
    assert num_steps_read(selector, budget_of(16), 12) == 4
    kept, _ = spend(selector, budget_of(16), video, fits)
    assert kept.steps.tolist() == [0, 5, 8, 9]
    kept, _ = spend(selector, budget_of(12 * 17), video, fits)
    assert kept.steps.tolist() == list(range(12))


@pytest.mark.parametrize("name", ["aks", "bolt", "ranked"])
def test_rules_choose_whole_steps_by_similarity_among_all(scorer, name):
    frames = np.full((12, 30, 30, 3), 90, np.uint8)
    frames[5] = frames[9] = (255, 0, 0)
    video = make_video(regions=encode_regions(scorer, frames, 1))
    fits = compare(scorer, video, "where is red ?")
    torch.testing.assert_close(
        fits.whole, video.regions[:, 0] @ torch.tensor([1.0, 0.0, 0.0])
    )
    selector = SELECTORS[name]
    assert num_steps_read(selector, budget_of(60), 12) == 12
    kept, steps = spend(selector, budget_of(2 * 17 + 5), video, fits)
    assert kept.steps.tolist() == [5, 9]
    assert [one.score for one in steps] == [1, 1]
    kept, steps = spend(selector, budget_of(60), video, fits)
    assert len(steps) == 3
    assert {5, 9} < set(kept.steps.tolist())
    assert sorted(one.score for one in steps) == [0, 1, 1]
    kept, _ = spend(selector, budget_of(12 * 17), video, fits)
    assert kept.steps.tolist() == list(range(12))
    with pytest.raises(ValueError, match="at least 17, the tokens of one whole frame"):
        num_steps_read(selector, budget_of(16), 12)


def test_uniform_keeps_as_many_whole_steps_as_fit():
    selector = SELECTORS["uniform"]
    assert num_steps_read(selector, budget_of(60), 12) == 3
    assert num_steps_read(selector, budget_of(60), 2) == 2
    with pytest.raises(ValueError, match=r"at least 17, .* got 16; .*'dynfocus'"):
        num_steps_read(selector, budget_of(16), 12)
    video = make_video()
    kept, steps = spend(selector, budget_of(60), video, None)
    assert kept.steps.tolist() == [2, 6, 10]
    assert all(
        torch.equal(k.mix(t), t) for k, t in zip(steps, kept.tokens, strict=True)
    )


def test_a_smaller_scale_is_fewer_tokens():
    def choose(given: SelectorInput, num_keep: int) -> Selection:
        assert (given.num_frames, num_keep) == (12, 3)
        return Selection.of(np.array([7, 2, 4]), scale=np.array([1.0, 0.7, 0.2]))

    kept, steps = spend(Selector(choose=choose), budget_of(60), make_video(), None)
    assert kept.steps.tolist() == [2, 4, 7]
    assert [len(one.places) for one in steps] == [8, 2, 17]
    assert [one.kind for one in steps] == ["cone", "rod", "cone"]
