"""Connectors that remember: their arithmetic by hand and by their specifications."""

from __future__ import annotations

import math

import pytest
import torch
from connector_parts import build, connect, make_video, near, video_of
from torch.nn import functional as F

from dynfocus.methods.connectors.merging import (
    Memory,
    compare_neighbours,
    shrink,
    shrink_to,
)
from dynfocus.methods.connectors.moviechat import spread_positions
from dynfocus.methods.connectors.video_streaming import streaming_mask

TOKENS = {
    ("moviechat", ()): {1: 32, 16: 32, 256: 32},
    ("moviechat", (("read", "memory"),)): {8: 32, 9: 48, 1024: 4096, 5000: 4096},
    ("ma_lmm", ()): {1: 32, 16: 32, 256: 32},
    ("flash_vstream", ()): {1: 64, 16: 511, 64: 681, 256: 681},
    ("videoscan", ()): {16: 16, 64: 64, 256: 64},
    ("video_streaming", ()): {16: 64, 64: 256, 256: 256},
}


def remember(*rows):
    """Hold rows of one place and one token as a memory."""
    tokens = torch.tensor(rows, dtype=torch.float32)[:, None, None]
    return Memory.of(tokens, torch.arange(len(rows)))


@pytest.mark.parametrize(("case", "counts"), TOKENS.items())
def test_tokens_are_those_of_the_specification(case, counts):
    name, options = case
    connector = build(name, 256, **dict(options))
    assert {frames: connector.num_tokens(frames) for frames in counts} == counts


def test_likeness_of_blocks_is_that_of_all_their_tokens():
    blocks = torch.randn(2, 1, 3, 4)
    dots = [one @ other for one in blocks[0, 0] for other in blocks[1, 0]]
    near(compare_neighbours(blocks, "dot")[0, 0], torch.stack(dots).mean())
    pairs = zip(blocks[0, 0], blocks[1, 0], strict=True)
    cosines = [F.cosine_similarity(one, other, dim=0) for one, other in pairs]
    near(compare_neighbours(blocks, "cosine")[0, 0], torch.stack(cosines).mean())
    whole = F.cosine_similarity(blocks[0].flatten(), blocks[1].flatten(), dim=0)
    near(compare_neighbours(blocks, "flat")[0, 0], whole)


@pytest.mark.parametrize(
    ("rule", "tokens", "sizes", "seconds"),
    [
        # dots 2, 6, 30: the last pair; then 2 and 2 * 6.5: the last pair again
        ("plain", [1.0, 4.25], [1.0, 3.0], [0.0, 1.75]),
        ("weighted", [1.0, 5.0], [1.0, 3.0], [0.0, 2.0]),
        ("later", [1.0, 10.0], [1.0, 1.0], [0.0, 3.0]),
    ],
)
def test_neighbours_that_are_most_alike_become_one(rule, tokens, sizes, seconds):
    left = shrink_to(remember([1], [2], [3], [10]), 2, "dot", rule)
    near(left.tokens.flatten(), torch.tensor(tokens))
    near(left.sizes.flatten(), torch.tensor(sizes))
    near(left.seconds.flatten(), torch.tensor(seconds, dtype=torch.float64))


def test_of_pairs_that_are_as_alike_the_first_becomes_one():
    left = shrink(remember([1, 0], [1, 0], [0, 1], [0, 1]))
    assert left.sizes.flatten().tolist() == [2, 1, 1]


def test_each_place_of_a_bank_merges_by_itself():
    """What LAVIS calls memory_bank_compress, place by place."""
    torch.manual_seed(0)
    bank = Memory(
        torch.randn(5, 7, 1, 3), torch.randint(1, 4, (5, 7)).float(), torch.zeros(5, 7)
    )
    left = shrink(bank)
    for place in range(7):
        rows, sizes = list(bank.tokens[:, place, 0]), bank.sizes[:, place].tolist()
        cosines = [
            F.cosine_similarity(one, other, dim=0)
            for one, other in zip(rows, rows[1:], strict=False)
        ]
        at = int(torch.stack(cosines).argmax())
        total = sizes[at] + sizes[at + 1]
        rows[at] = (sizes[at] * rows[at] + sizes[at + 1] * rows[at + 1]) / total
        del rows[at + 1]
        near(left.tokens[:, place, 0], torch.stack(rows))
        assert float(left.sizes[:, place].sum()) == sum(sizes)


def test_moviechat_leaves_two_blocks_of_a_fragment_in_order_of_time():
    frames = torch.tensor([1.0, 2, 3, 10, 5, 5, 5, 5, 7]).view(9, 1, 1)
    connector = build("moviechat", 1, 1, fragment_frames=4, read="memory")
    memory = connector.remember(video_of(frames))
    assert memory.tokens.flatten().tolist() == [1.0, 4.25, 5.0, 5.0, 7.0]
    assert memory.sizes.flatten().tolist() == [1.0, 3.0, 3.0, 1.0, 1.0]
    assert memory.seconds.flatten().tolist() == [0.0, 1.75, 5.25, 7.0, 8.0]
    found = connect(connector, video_of(frames))
    near(found.embeds, connector.projector(memory.tokens.flatten()[:, None]).detach())
    assert found.pts_seconds.tolist() == [0.0, 1.75, 5.25, 7.0, 8.0]


def test_moviechat_may_count_what_blocks_merge_and_compare_them_otherwise():
    frames = torch.tensor([1.0, 2, 3, 10]).view(4, 1, 1)
    weighted = build("moviechat", 1, 1, weighted=True).remember(video_of(frames))
    near(weighted.tokens.flatten(), torch.tensor([1.0, 5.0]))
    turned = torch.tensor([[1.0, 0], [9, 1], [0, 2], [0, 1]])[:, None]
    cosine = build("moviechat", 1, 2, similarity="cosine", fragment_blocks=3)
    blocks = cosine.remember(video_of(turned)).tokens[:, 0, 0]
    assert blocks.tolist() == [[1.0, 0.0], [9.0, 1.0], [0.0, 1.5]]


def test_moviechat_spreads_sixteen_positions_over_all_blocks():
    positions = torch.randn(16, 3)
    spread = spread_positions(positions, 200)
    for i, j in ((0, 0), (0, 5), (3, 0), (12, 7)):
        u = (positions - 0.01 * positions[0]) / 0.99
        near(spread[16 * i + j], 0.01 * u[i] + 0.99 * u[j])
    assert spread.shape == (200, 3)


def test_moviechat_reads_its_memory_with_queries_that_know_the_order():
    connector, video = build("moviechat"), make_video(20)
    memory = connector.remember(video).tokens[:, 0]
    placed = memory + spread_positions(connector.positions, 6)[:, None]
    found = connector.reader(placed.flatten(0, 1)[None])[0]
    near(connect(connector, video).embeds, connector.projector(found).detach())


def test_ma_lmm_counts_every_frame_at_every_place():
    connector, video = build("ma_lmm", memory_frames=4, read="memory"), make_video(11)
    bank = connector.remember(video)
    assert bank.tokens.shape == (4, 16, 1, 8)
    assert bank.sizes.sum(0).tolist() == [11.0] * 16
    still = connector.remember(video_of(video.spatial[:1].repeat(11, 1, 1)))
    near(still.tokens, video.spatial[:1, :, None].expand(4, -1, -1, -1))


def test_ma_lmm_reads_a_frame_with_its_banks():
    connector, video = build("ma_lmm", memory_frames=2, depth=1), make_video(3)
    waves = torch.tensor(
        [
            [f(t * 10.0**-i) for f in (math.sin, math.cos) for i in range(4)]
            for t in range(3)
        ]
    )
    frames = video.spatial + waves[:, None]
    layer, queries = connector.layers[0], connector.queries[None]
    # the third frame sees the two before it, and what the queries were at both
    past = torch.cat([queries, queries], dim=1)
    found = layer(queries, past, frames.flatten(0, 1)[None])[0]
    near(connect(connector, video).embeds, connector.projector(found).detach())


def test_ma_lmm_learns_from_its_last_frame_alone():
    connector = build("ma_lmm").train()
    patches = torch.randn(4, 16, 8, requires_grad=True)
    text, mask = torch.zeros(1, 1, 6), torch.ones(1, 1, dtype=torch.bool)
    (found,) = connector([video_of(patches)], text, mask)
    found.embeds.sum().backward()
    assert connector.queries.grad.abs().sum() > 0
    assert patches.grad[-1].abs().sum() > 0
    assert patches.grad[:-1].abs().sum() == 0


def test_flash_vstream_abstracts_frames_by_its_formula():
    connector = build("flash_vstream", num_entries=2, num_key_frames=1)
    means, times = torch.randn(5, 8), torch.arange(5.0).double()
    memory, wanted_times = means[:2], times[:2]
    for block in ([2, 3], [4]):
        query = connector.memory_projector(memory)
        key = connector.frame_projector(means[block])
        weights = 0.2 * (query @ key.T / math.sqrt(32)).softmax(1)
        memory = memory * (1 - weights.sum(1, keepdim=True)) + weights @ means[block]
        share = weights.detach().double()
        wanted_times = 0.8 * wanted_times + share @ times[block]
    found, seconds = connector.abstract(means, times)
    near(found, memory)
    near(seconds, wanted_times)


def test_flash_vstream_remembers_scenes_and_the_frames_nearest_to_them():
    scenes = torch.tensor([[0.0] * 8, [9.0] * 8, [-9.0] * 8])
    order = [0] * 9 + [1] * 4 + [2] * 2
    drift = 0.01 * torch.arange(15.0)[:, None, None]
    patches = scenes[order][:, None].repeat(1, 16, 1) + drift
    video = video_of(torch.cat([patches, torch.full((1, 16, 8), 4.0)]))
    connector = build("flash_vstream", num_entries=3, num_key_frames=2)
    entries, times, keys = connector.cluster(patches, video.pts_seconds[:-1])
    assert times.tolist() == [4.0, 10.5, 13.5]
    for entry, frames in zip(entries, ([0, 9], [9, 13], [13, 15]), strict=True):
        mean = patches[slice(*frames)].mean((0, 1))
        near(entry, mean.expand(4, -1))
    # the two largest, each by its middle frame; of two as near, the first
    assert keys.tolist() == [4, 10]
    options = {"num_entries": 3, "num_key_frames": 2, "retrieve": "official"}
    official = build("flash_vstream", **options)
    theirs = official.cluster(patches, video.pts_seconds[:-1])[2]
    assert int(theirs.max()) < 3  # numbers of clusters in place of those of frames
    found = connect(connector, video)
    counts = [3 * 1, 3 * 4, 2 * 16, 16]
    assert len(found.embeds) == sum(counts)
    _, long, key, last = torch.split(found.embeds, counts)
    near(long.detach(), connector.projector(entries.flatten(0, 1)).detach())
    near(key, connector.projector(patches[keys].flatten(0, 1)).detach())
    near(last, connector.projector(video.spatial[-1]).detach())
    assert found.pts_seconds[15:].tolist() == [4.0] * 16 + [10.0] * 16 + [15.0] * 16


def test_flash_vstream_of_a_still_video_is_its_frame():
    frame = torch.randn(1, 1, 8)
    found = connect(build("flash_vstream"), video_of(frame.expand(40, 16, -1).clone()))
    near(found.embeds, found.embeds[:1].expand_as(found.embeds))


def test_videoscan_carries_the_mean_of_projected_patches():
    connector, video = build("videoscan", max_carriers=5), make_video(4)
    found = connect(connector, video)
    for frame in range(4):
        tokens = torch.stack([connector.projector(p) for p in video.spatial[frame]])
        near(found.embeds[frame], tokens.mean(0).detach())


def test_videoscan_forgets_the_earlier_of_the_two_that_are_most_alike():
    turns = [0, 80, 85, 170, 172, 260]
    angles = torch.tensor(turns).deg2rad()
    carriers = torch.stack([angles.cos(), angles.sin()], dim=1)
    # 80 goes for 85 when 170 comes, 170 for 172 when that comes, and 0 at last
    assert build("videoscan", max_carriers=3).remembered(carriers[:4]).tolist() == [
        *(0, 2, 3),
    ]
    assert build("videoscan", max_carriers=3).remembered(carriers).tolist() == [2, 4, 5]
    video = make_video(12)
    found = connect(build("videoscan", max_carriers=3), video)
    assert found.pts_seconds.tolist() == found.frame_indices.tolist()
    assert 11 in found.frame_indices


def test_video_streaming_lets_frames_see_no_summary():
    mask = streaming_mask(2, 3, 7)
    for row in range(7):
        for seen in range(7):
            is_frame_of_memory = row in (2, 3, 4) and seen in (0, 1)
            assert bool(mask[row, seen]) == (seen <= row and not is_frame_of_memory)
    connector, clip = build("video_streaming", clip_frames=3), make_video(3).spatial
    with torch.no_grad():
        alone, first, _ = connector.encode_clip(clip, torch.zeros(0, 8))
        after, second, _ = connector.encode_clip(clip, torch.randn(12, 8))
    near(alone, after)
    assert not torch.allclose(first, second, atol=1e-3)


def test_video_streaming_reads_the_clips_that_fit_the_question_in_order():
    options = {"clip_frames": 2, "frame_summaries": 1, "num_clips": 2}
    connector, video = build("video_streaming", **options), make_video(9)
    text, mask = torch.randn(1, 3, 6), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        memories, indicators = connector.summarise(video.spatial)
        assert memories.shape == (5, 2, 8)
        (asked,) = connector.asker(memories[-1:], text, mask)[0]
        alike = F.cosine_similarity(indicators, asked[None], dim=1)
        best = sorted(alike.topk(2).indices.tolist())
        wanted = connector.projector(memories[best].flatten(0, 1))
    found = connect(connector, video, text)
    near(found.embeds, wanted)
    middles = [min(2 * clip + 0.5, 8.0) for clip in best]
    assert found.pts_seconds.tolist() == [m for m in middles for _ in range(2)]


def test_video_streaming_learns_which_clips_to_read():
    connector = build("video_streaming", clip_frames=2, num_clips=2).train()
    text, mask = torch.randn(1, 3, 6), torch.ones(1, 3, dtype=torch.bool)
    (found,) = connector([make_video(9)], text, mask)
    found.embeds.square().sum().backward()
    assert connector.asker.queries.grad.abs().sum() > 0
    assert connector.indicator.grad.abs().sum() > 0
