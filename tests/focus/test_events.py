from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import (
    EventBatch,
    EventPrototypes,
    EventSelection,
    FocusSettings,
    dpc_knn,
    hard_topk,
    merge_clusters,
)
from dynfocus.focus.events import ScoreNetwork

DIM, NUM_EVENT_TOKENS = 6, 4


def build(preset: str = "paper", **changes: Any) -> EventPrototypes:
    torch.manual_seed(0)
    arguments = getattr(FocusSettings, preset)().event_arguments
    arguments |= {"num_event_tokens": NUM_EVENT_TOKENS, **changes}
    module = EventPrototypes(DIM, **arguments)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def batch(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths), NUM_EVENT_TOKENS, DIM)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randn(shape, generator=generator), mask


def keep(
    module: EventPrototypes, found: EventBatch, ratio: float = 0.8, **extra: Any
) -> EventSelection:
    settings = FocusSettings(selection_ratio=ratio)
    counts = [settings.num_cones_for(count) for count in found.mask.sum(1).tolist()]
    context = extra.pop("context", None)
    return module.select(found, module.score(found, context), counts, **extra)


def select(module: EventPrototypes, lengths: list[int], **extra: Any) -> EventSelection:
    return keep(module, module.estimate(*batch(lengths)), **extra)


def test_the_score_network_has_three_layers() -> None:
    network = ScoreNetwork(8)
    sizes = [
        layer.weight.shape for layer in network.layers if isinstance(layer, nn.Linear)
    ]
    assert sizes == [(8, 16), (4, 8), (1, 4)]


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
    pooled, mask = batch([40])
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
    module = build(num_prototypes=9, clustering=clustering)
    pooled, mask = batch([9, 4])
    pooled[0, 3] = pooled[0, 1]
    prototypes = module.estimate(pooled, mask)
    assert prototypes.frames.tolist() == [list(range(9)), [0, 1, 2, 3] + [-1] * 5]
    assert torch.equal(prototypes.features[mask], pooled[mask])
    assert not prototypes.features[~mask].any()
    assert torch.equal(prototypes.mask, mask)


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("num_context", [0, 3])
def test_a_batch_equals_its_videos(preset: str, num_context: int) -> None:
    lengths = [30, 1, 12, 7]
    module = build(preset, num_prototypes=10, num_context=num_context)
    pooled, mask = batch(lengths)
    pooled[~mask] = 99
    found = module.estimate(pooled, mask)
    context = torch.randn(4, 10, num_context) if num_context else None
    selection = keep(module, found, context=context)
    for entry, length in enumerate(lengths):
        own = slice(entry, entry + 1)
        alone = module.estimate(pooled[own, :length], mask[own, :length])
        count = alone.frames.shape[1]
        single = keep(
            module, alone, context=None if context is None else context[own, :count]
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
    pooled, mask = batch([20])
    found = module.estimate(pooled.double(), mask)
    raw = []
    for tokens in found.features[0]:
        norms = [float(token.norm()) for token in tokens]
        largest = tokens[norms.index(max(norms))]
        summary = torch.cat([largest, tokens.mean(0)])
        raw.append(module.score_network.layers(summary).item())  # type: ignore[operator]
    scores = module.score(found)
    torch.testing.assert_close(scores, torch.tensor([raw], dtype=torch.float64))
    wanted = [(value - min(raw)) / (max(raw) - min(raw)) for value in raw]
    scaled = module.select(found, scores, [3]).scores
    torch.testing.assert_close(scaled, torch.tensor([wanted], dtype=torch.float64))


def test_channel_maximum_is_average_then_maximum() -> None:
    module = build("official", num_prototypes=4)
    found = module.estimate(*batch([9]))
    seen: list[Tensor] = []
    module.score_network.in_conv.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, arguments: seen.append(arguments[0])
    )
    module.score(found)
    tokens = found.features
    wanted = torch.cat([tokens.mean(2), tokens.max(2).values], dim=2)
    torch.testing.assert_close(seen[0], wanted)


def test_constant_scores_are_zero_and_keep_the_first() -> None:
    module = build(num_prototypes=5)
    torch.nn.init.zeros_(module.get_parameter("score_network.layers.4.weight"))
    selection = select(module, [20], ratio=0.4)
    assert not selection.scores.any()
    assert torch.equal(selection.frames, module.estimate(*batch([20])).frames[:, :2])


def test_kept_frames_are_the_best_in_time_order() -> None:
    module = build(num_prototypes=10)
    pooled, mask = batch([30, 25])
    prototypes = module.estimate(pooled, mask)
    selection = keep(module, prototypes)
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
    module = build(num_prototypes=10, sigma=1.0, gradient=gradient)
    lengths = [30, 12, 3, 12, 1]
    hard = select(module, lengths)
    module.train()
    soft = select(module, lengths, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hard.frames, soft.frames)
    assert torch.equal(hard.cone_mask, soft.cone_mask)
    assert not torch.allclose(hard.events, soft.events)
    assert not soft.events[~soft.mask].any()


def test_training_events_tend_to_the_hard_ones_with_little_noise() -> None:
    module = build(num_prototypes=10, sigma=1e-7)
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
    module = build(preset, num_prototypes=10).train()
    pooled, mask = batch([30, 12])
    pooled.requires_grad_()
    selection = keep(module, module.estimate(pooled, mask))
    (selection.events * torch.randn_like(selection.events)).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith(("out_conv.4.bias", "layers.4.bias")):
            assert parameter.grad.any(), name
    assert pooled.grad is not None
    assert not pooled.grad[~mask].any()


def test_inference_is_deterministic() -> None:
    module = build()
    first, second = select(module, [60, 31]), select(module, [60, 31])
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.frames, second.frames)


@pytest.mark.parametrize("training", [False, True])
def test_each_video_keeps_as_many_as_it_is_told(training: bool) -> None:
    module = build(num_prototypes=10).train(training)
    found = module.estimate(*batch([30, 12, 3]))
    selection = module.select(found, module.score(found), [2, 8, 1])
    assert selection.cone_mask.sum(1).tolist() == [2, 8, 1]


@pytest.mark.parametrize("training", [False, True])
def test_other_frames_can_stand_for_their_events(training: bool) -> None:
    module = build(num_prototypes=6, sigma=1e-4).train(training)
    found = module.estimate(*batch([14, 9, 4]))
    last = torch.stack(
        [(found.assignment == slot).long().cumsum(1).argmax(1) for slot in range(6)], 1
    ).where(found.mask, -1)
    assert not torch.equal(last, found.frames)
    plain = keep(module, found, ratio=0.5)
    moved = keep(module, found, ratio=0.5, frames=last)
    assert torch.equal(plain.scores, moved.scores)
    assert torch.equal(plain.frame_scores, moved.frame_scores)
    for video in range(3):
        pairs = zip(plain.frames[video], plain.events[video], strict=True)
        centers = {int(frame): event for frame, event in pairs if frame >= 0}
        wanted = {}
        for slot, center in enumerate(found.frames[video].tolist()):
            if center in centers:
                wanted[int(last[video, slot])] = centers[center]
        frames = moved.frames[video][moved.mask[video]].tolist()
        assert frames == sorted(wanted)
        assert moved.cone_mask[video].nonzero()[:, 0].tolist() == frames
        events = torch.stack([wanted[frame] for frame in frames])
        torch.testing.assert_close(
            moved.events[video][moved.mask[video]], events, atol=1e-3, rtol=1e-3
        )


def test_autocast_leaves_the_selection_in_place() -> None:
    module = build(num_prototypes=10).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        selection = select(module, [30, 12])
    assert selection.scores.dtype == torch.float32
    assert selection.events.dtype == torch.float32
    assert selection.cone_mask.sum(1).tolist() == [8, 8]


def test_values_are_gathered_at_the_centers() -> None:
    frames = torch.tensor([[1, 3], [0, -1]])
    prototypes = EventBatch(
        torch.zeros(2, 2, 1, 1), frames, frames >= 0, torch.zeros(2, 4)
    )
    values = torch.arange(8).view(2, 4)
    assert prototypes.at_centers(values).tolist() == [[1, 3], [4, 4]]
    one_hot = F.one_hot(values, 8)
    assert prototypes.at_centers(one_hot).shape == (2, 2, 8)
