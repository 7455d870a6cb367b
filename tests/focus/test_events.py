from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dynfocus.focus import (
    EventPrototypes,
    EventSelection,
    FocusSettings,
    QuestionSettings,
    TimePrototypes,
    dpc_knn,
    events,
    hard_topk,
    merge_clusters,
)

DIM, TEXT_DIM, NUM_EVENT_TOKENS = 6, 5, 4


ASKED = QuestionSettings(use_question_scores=True)


def build(preset: str = "paper", **changes: Any) -> EventPrototypes:
    torch.manual_seed(0)
    make = getattr(FocusSettings, preset)
    settings = make(**{"num_event_tokens": NUM_EVENT_TOKENS, **changes})
    module = EventPrototypes(settings, DIM, TEXT_DIM)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def batch(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths), NUM_EVENT_TOKENS, DIM)
    num_frames = torch.tensor(lengths)
    mask = torch.arange(max(lengths)) < num_frames[:, None]
    return torch.randn(shape, generator=generator), mask, num_frames


def select(module: EventPrototypes, lengths: list[int], **extra: Any) -> EventSelection:
    pooled, mask, num_frames = batch(lengths)
    return module(module.estimate(pooled, mask), num_frames=num_frames, **extra)


@pytest.mark.parametrize(("side", "target"), [(8, 4), (6, 2), (4, 4), (7, 3), (2, 3)])
def test_pooling_averages_the_cells_of_a_grid(side: int, target: int) -> None:
    module = build(num_event_tokens=target**2)
    patches = torch.randn(3, side * side, DIM)
    pooled = module.pool(patches)
    grid = patches.view(3, side, side, DIM)
    for row in range(target):
        for column in range(target):
            rows = slice(row * side // target, -(-(row + 1) * side // target))
            columns = slice(column * side // target, -(-(column + 1) * side // target))
            wanted = grid[:, rows, columns].flatten(1, 2).mean(1)
            torch.testing.assert_close(pooled[:, row * target + column], wanted)


def test_patches_off_a_square_are_refused() -> None:
    with pytest.raises(ValueError, match="must form a square grid, got 257 of them"):
        build().pool(torch.zeros(1, 257, DIM))


def test_prototypes_are_merged_clusters_in_time_order() -> None:
    module = build(num_prototypes=5)
    pooled, mask, _ = batch([40])
    prototypes = module.estimate(pooled, mask)
    clusters = dpc_knn(pooled.flatten(2), 5, 5)
    merged = merge_clusters(pooled.flatten(2), clusters)
    order = clusters.centers[0].argsort()
    assert prototypes.frames[0].tolist() == clusters.centers[0, order].tolist()
    torch.testing.assert_close(prototypes.features[0].flatten(1), merged[0, order])
    own = prototypes.assignment.gather(1, prototypes.frames)
    assert own.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("clustering", ["dpc", "kmeans"])
def test_few_frames_are_their_own_prototypes(clustering: str) -> None:
    module = build(num_prototypes=9, temporal_clustering=clustering)
    pooled, mask, _ = batch([9, 4])
    pooled[0, 3] = pooled[0, 1]
    prototypes = module.estimate(pooled, mask)
    assert prototypes.frames.tolist() == [list(range(9)), [0, 1, 2, 3] + [-1] * 5]
    assert torch.equal(prototypes.features[mask], pooled[mask])
    assert not prototypes.features[~mask].any()
    assert torch.equal(prototypes.mask, mask)


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("question", [None, ASKED])
def test_a_batch_equals_its_videos(
    preset: str, question: QuestionSettings | None
) -> None:
    lengths = [30, 1, 12, 7]
    module = build(preset, num_prototypes=10, question=question)
    pooled, mask, num_frames = batch(lengths)
    pooled[~mask] = 99
    text = torch.randn(4, 6, TEXT_DIM)
    text_mask = torch.arange(6) < torch.tensor([[6], [2], [3], [6]])
    spatial = torch.randn(4, 30, 3, DIM)
    prototypes = module.estimate(pooled, mask)
    selection = module(
        prototypes,
        num_frames=num_frames,
        spatial=prototypes.at_centers(spatial),
        text=text,
        text_mask=text_mask,
    )
    for entry, length in enumerate(lengths):
        own = slice(entry, entry + 1)
        alone = module.estimate(pooled[own, :length], mask[own, :length])
        single = module(
            alone,
            num_frames=num_frames[own],
            spatial=alone.at_centers(spatial[own, :length]),
            text=text[own, : int(text_mask[entry].sum())],
        )
        num_prototypes, num_cones = alone.frames.shape[1], single.frames.shape[1]
        for name, size in (
            ("scores", num_prototypes),
            ("frames", num_cones),
            ("events", num_cones),
            ("cone_mask", length),
            ("mask", num_cones),
            ("frame_scores", length),
        ):
            together = getattr(selection, name)[entry]
            padding = -1 if name == "frames" else 0
            assert (together[size:] == padding).all(), name
            torch.testing.assert_close(together[:size], getattr(single, name)[0])


def test_scores_equal_the_literal_equation() -> None:
    module = build(num_prototypes=6).double()
    pooled, mask, _ = batch([20])
    prototypes = module.estimate(pooled.double(), mask)
    raw = []
    for tokens in prototypes.features[0]:
        norms = [float(token.norm()) for token in tokens]
        largest = tokens[norms.index(max(norms))]
        summary = torch.cat([largest, tokens.mean(0)])
        raw.append(module.score_network.layers(summary).item())  # type: ignore[operator]
    wanted = [(value - min(raw)) / (max(raw) - min(raw)) for value in raw]
    scores = module.score(prototypes)
    torch.testing.assert_close(scores, torch.tensor([wanted], dtype=torch.float64))


def test_channel_maximum_is_average_then_maximum() -> None:
    tokens = torch.randn(1, 2, 3, DIM)
    pooled = events._pool_tokens(tokens, "channel_max")
    wanted = torch.cat([tokens.mean(2), tokens.max(2).values], dim=2)
    torch.testing.assert_close(pooled, wanted)


def test_constant_scores_are_zero_and_keep_the_first() -> None:
    module = build(num_prototypes=5, selection_ratio=0.4)
    torch.nn.init.zeros_(module.get_parameter("score_network.layers.4.weight"))
    selection = select(module, [20])
    assert not selection.scores.any()
    pooled, mask, _ = batch([20])
    assert torch.equal(selection.frames, module.estimate(pooled, mask).frames[:, :2])


def test_kept_frames_are_the_best_in_time_order() -> None:
    module = build(num_prototypes=10)
    pooled, mask, num_frames = batch([30, 25])
    prototypes = module.estimate(pooled, mask)
    selection = module(prototypes, num_frames=num_frames)
    slots = hard_topk(selection.scores, 8)
    assert torch.equal(selection.frames, prototypes.frames.gather(1, slots))
    assert (selection.frames.diff(dim=1) > 0).all()
    for entry in range(2):
        kept = prototypes.features[entry, slots[entry]]
        assert torch.equal(selection.events[entry], kept)
        cones = selection.cone_mask[entry].nonzero().squeeze(1)
        assert torch.equal(cones, selection.frames[entry])
        wanted = selection.scores[entry, prototypes.assignment[entry]][mask[entry]]
        assert torch.equal(selection.frame_scores[entry][mask[entry]], wanted)


@pytest.mark.parametrize("gradient", ["exact", "diagonal"])
def test_slot_k_carries_the_kth_frame_in_training_too(gradient: str) -> None:
    module = build(num_prototypes=10, noise_sigma=1.0, topk_gradient=gradient)
    lengths = [30, 12, 3, 12, 1]
    hard = select(module, lengths)
    module.train()
    soft = select(module, lengths, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hard.frames, soft.frames)
    assert torch.equal(hard.cone_mask, soft.cone_mask)
    assert not torch.allclose(hard.events, soft.events)
    assert not soft.events[~soft.mask].any()


def test_training_events_tend_to_the_hard_ones_with_little_noise() -> None:
    module = build(num_prototypes=10, noise_sigma=1e-7)
    hard = select(module, [30, 12, 3])
    soft = select(module.train(), [30, 12, 3])
    torch.testing.assert_close(hard.events, soft.events)


def test_training_noise_follows_the_generator() -> None:
    module = build(num_prototypes=10).train()
    runs = [
        select(module, [30, 9], generator=torch.Generator().manual_seed(seed)).events
        for seed in (3, 3, 4)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_gradients_reach_the_score_network_through_the_events(preset: str) -> None:
    module = build(preset, num_prototypes=10, question=ASKED).train()
    text = torch.randn(2, 3, TEXT_DIM)
    pooled, mask, num_frames = batch([30, 12])
    pooled.requires_grad_()
    prototypes = module.estimate(pooled, mask)
    selection = module(prototypes, num_frames=num_frames, text=text)
    (selection.events * torch.randn_like(selection.events)).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith(
            ("key_projector.bias", "out_conv.4.bias", "layers.4.bias")
        ):
            assert parameter.grad.any(), name
    assert pooled.grad is not None
    assert not pooled.grad[~mask].any()


def test_inference_is_deterministic() -> None:
    module = build()
    first, second = select(module, [60, 31]), select(module, [60, 31])
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.frames, second.frames)


def test_questions_change_scores_only_when_asked_to() -> None:
    questions = [torch.randn(1, 3, TEXT_DIM) for _ in range(2)]
    for question, equal in ((None, True), (ASKED, False)):
        module = build(num_prototypes=10, question=question)
        first, second = (select(module, [30], text=text).scores for text in questions)
        assert torch.equal(first, second) is equal


def test_padded_text_has_no_influence_on_scores() -> None:
    module = build(num_prototypes=10, question=ASKED)
    text = torch.randn(1, 3, TEXT_DIM)
    padded = torch.cat([text, torch.full((1, 2, TEXT_DIM), torch.inf)], dim=1)
    text_mask = torch.tensor([[1, 1, 1, 0, 0]])
    plain = select(module, [30], text=text)
    masked = select(module, [30], text=padded, text_mask=text_mask)
    torch.testing.assert_close(plain.scores, masked.scores)


@pytest.mark.parametrize("training", [False, True])
def test_limits_on_cones_hold(training: bool) -> None:
    module = build(num_prototypes=10).train(training)
    selection = select(module, [30, 12, 3], max_cones=torch.tensor([2, 100, 1]))
    assert selection.cone_mask.sum(1).tolist() == [2, 8, 1]
    with pytest.raises(ValueError, match="max_cones must be at least 1, got 0"):
        select(module, [30], max_cones=torch.tensor([0]))


def test_autocast_leaves_the_selection_in_place() -> None:
    module = build(num_prototypes=10).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        selection = select(module, [30, 12])
    assert selection.scores.dtype == torch.float32
    assert selection.events.dtype == torch.float32
    assert selection.cone_mask.sum(1).tolist() == [8, 8]


def test_values_are_gathered_at_the_centers() -> None:
    frames = torch.tensor([[1, 3], [0, -1]])
    prototypes = TimePrototypes(
        torch.zeros(2, 2, 1, 1), frames, frames >= 0, torch.zeros(2, 4)
    )
    values = torch.arange(8).view(2, 4)
    assert prototypes.at_centers(values).tolist() == [[1, 3], [4, 4]]
    one_hot = F.one_hot(values, 8)
    assert prototypes.at_centers(one_hot).shape == (2, 2, 8)


RELEVANT = {
    "question": QuestionSettings(use_ratings=True, use_best_frames=True),
    "num_prototypes": 6,
    "selection_ratio": 0.5,
}


@pytest.mark.parametrize("training", [False, True])
def test_the_frame_that_fits_the_question_best_stands_for_its_event(
    training: bool,
) -> None:
    module = build(**RELEVANT).train(training)
    module.settings = replace(module.settings, noise_sigma=1e-4)
    pooled, mask, num_frames = batch([14, 9, 4])
    prototypes = module.estimate(pooled, mask)
    ratings = 3 * torch.randn(mask.shape, generator=torch.Generator().manual_seed(3))
    ratings = ratings.masked_fill(~mask, 50.0)  # padding must not be chosen
    kept = module(prototypes, num_frames=num_frames, ratings=ratings)
    raw = module.rate(prototypes).detach()
    moved = 0
    for video, length in enumerate(num_frames.tolist()):
        events = []
        for slot in range(int(prototypes.mask[video].sum())):
            own = (prototypes.assignment[video] == slot).nonzero()[:, 0].tolist()
            assert max(own) < length
            frame = max(own, key=lambda t: float(ratings[video, t]))
            moved += frame != int(prototypes.frames[video, slot])
            score = float(raw[video, slot] + ratings[video, frame])
            events.append((score, frame, prototypes.features[video, slot]))
        best = sorted(events, key=lambda event: -event[0])
        best = best[: module.settings.num_cones_for(length)]
        best.sort(key=lambda event: event[1])
        frames = [frame for _, frame, _ in best]
        assert kept.frames[video][kept.mask[video]].tolist() == frames
        assert kept.cone_mask[video].nonzero()[:, 0].tolist() == frames
        torch.testing.assert_close(
            kept.events[video][kept.mask[video]],
            torch.stack([features for _, _, features in best]),
            atol=1e-3,
            rtol=1e-3,
        )
    assert moved


def test_frames_that_nobody_rated_cannot_stand_for_their_events() -> None:
    module = build(**RELEVANT)
    with pytest.raises(ValueError, match="ratings must be given"):
        select(module, [8])


def test_ratings_change_nothing_where_centres_stand_for_events() -> None:
    module = build(num_prototypes=6, selection_ratio=0.5)
    pooled, mask, num_frames = batch([14, 9])
    prototypes = module.estimate(pooled, mask)
    plain = module(prototypes, num_frames=num_frames)
    rated = module(prototypes, num_frames=num_frames, ratings=torch.randn(mask.shape))
    assert torch.equal(plain.frames, rated.frames)
    assert torch.equal(plain.scores, rated.scores)
