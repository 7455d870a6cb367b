"""The arithmetic of connectors of the field, by hand and by their specifications."""

from __future__ import annotations

import math

import pytest
import torch
from connector_parts import make_video, near, video_of
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures
from dynfocus.methods import ConnectorSizes, build_connector
from dynfocus.methods.connectors.blocks import Resampler, pool_grid, rotate, sinusoids
from dynfocus.methods.connectors.keyframe_ratio import choose_keyframes, frame_novelty
from dynfocus.methods.connectors.longvu import cut_tails, keep_changes, prune_frames
from dynfocus.methods.connectors.tdc import find_starts

SMALL = {"dim": 8, "text_dim": 8, "hidden_size": 8}
TOKENS = {
    ("pllava", 576): {1: 2304, 16: 2304, 256: 2304},
    ("videogpt_plus", 576): {1: 208, 16: 3328, 64: 3328},
    ("apollo", 256): {16: 128, 64: 512, 256: 2048},
    ("mavors", 256): {16: 64, 64: 256, 256: 1024},
    ("salova", 256): {3: 3 * 256 + 3, 64: 5 * 256 + 16},
    ("langdc", 576): {16: 832 + 4 * 64},
    ("longvu", 576): {16: 2304, 300: 8176},
    ("tdc", 576): {25: 25 * 145, 26: 25 * 145 + 17, 33: 26 * 145 + 7 * 17},
    ("keyframe_ratio", 256): {1: 64, 2: 128, 3: 144},
    ("context_bank", 256): {64: 256},
}


def sizes(num_patches=16, **changes):
    return ConnectorSizes(num_patches=num_patches, **{**SMALL, **changes})


def build(name, num_patches=16, seed=0, **options):
    torch.manual_seed(seed)
    return build_connector(name, sizes(num_patches), options).eval()


def still(num_frames, seed=0):
    frame = make_video(1, seed=seed).spatial
    return video_of(frame.repeat(num_frames, 1, 1))


@torch.no_grad()
def connect(connector, video, text=None):
    text = torch.zeros(1, 2, 8) if text is None else text
    (found,) = connector([video], text, torch.ones(text.shape[:2], dtype=torch.bool))
    return found


@pytest.mark.parametrize(("case", "counts"), TOKENS.items())
def test_tokens_are_those_of_the_specification(case, counts):
    connector = build(*case)
    assert {frames: connector.num_tokens(frames) for frames in counts} == counts


def test_a_grid_is_pooled_over_cells_that_may_overlap():
    grid = torch.arange(9.0).view(1, 9, 1)
    # cells of three rows in two: 0 and 1, then 1 and 2
    assert pool_grid(grid, 2)[0, :, 0].tolist() == [2.0, 3.0, 5.0, 6.0]
    with pytest.raises(ValueError, match="must be a square number, got 8"):
        pool_grid(torch.zeros(1, 8, 1), 2)


def test_waves_and_turns_are_sines_and_cosines():
    waves = sinusoids(torch.tensor([3.0]), 5)[0]
    wanted = [math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03), 0]
    near(waves, torch.tensor(wanted))
    turned = rotate(torch.tensor([[1.0, 0.0]]), torch.tensor([2]))[0]
    near(turned, torch.tensor([math.cos(2), math.sin(2)]))


def test_a_resampler_reads_by_its_formula():
    torch.manual_seed(0)
    reads, tokens = Resampler(4, 2, 1, 1), torch.randn(1, 3, 4)
    attend, found = reads.attention[0], reads.queries.clone()
    for row in range(2):
        query = attend.query_projector(attend.query_norm(reads.queries[row]))
        keys = attend.key_projector(attend.key_norm(tokens[0]))
        values = attend.value_projector(attend.key_norm(tokens[0]))
        weights = torch.stack([query @ key / 2 for key in keys]).softmax(0)
        mean = sum(w * v for w, v in zip(weights, values, strict=True))
        found[row] = found[row] + attend.output_projector(mean)
    near(reads(tokens)[0], found + reads.perceptrons[0](found))


def test_pllava_averages_projected_patches_over_times_and_places():
    connector, video = build("pllava", num_steps=2), make_video(3)
    found = connect(connector, video)
    projected = connector.projector(video.spatial).detach().unflatten(1, (4, 4))
    # steps 0 and 1 of three frames are frames 0 and 1, and 1 and 2
    for step, frames in enumerate(([0, 1], [1, 2])):
        for row in range(2):
            for column in range(2):
                cell = projected[frames, 2 * row : 2 * row + 2][
                    :, :, 2 * column : 2 * column + 2
                ]
                own = found.embeds[4 * step + 2 * row + column]
                near(own, cell.mean((0, 1, 2)))
    assert found.pts_seconds.tolist() == [0.5] * 4 + [1.5] * 4
    few = connect(build("pllava", num_steps=4), make_video(2))
    assert few.pts_seconds.tolist() == [0.0] * 8 + [1.0] * 8


def test_videogpt_plus_shows_all_image_tokens_and_then_all_video_tokens():
    connector, video = build("videogpt_plus", 36), make_video(5, 36)
    found = connect(connector, video)
    image = pool_grid(connector.projector(video.spatial).detach(), 3)
    moving = pool_grid(connector.video_projector(video.spatial).detach(), 2)
    near(found.embeds[: 5 * 9], image.flatten(0, 1))
    near(found.embeds[5 * 9 :], moving.flatten(0, 1))  # nothing is mixed at the start
    assert found.frame_indices.tolist() == [*range(5), *range(5)]
    torch.nn.init.ones_(connector.mixer.gates)
    changed = make_video(5, 36)
    changed.spatial[1] *= -1
    moved = (
        connect(connector, changed).embeds - connect(connector, video).embeds
    ).norm(dim=1)
    moved = moved[5 * 9 :].view(5, 4).amax(1) > 1e-6
    assert moved.tolist() == [True] * 4 + [False]  # the fifth is of another chunk


def test_apollo_reads_each_clip_by_itself():
    connector, video = build("apollo", clip_tokens=3), make_video(10)
    found = connect(connector, video)
    for clip, (first, last) in enumerate(((0, 4), (4, 8), (8, 10))):
        own = VideoFeatures(
            spatial=video.spatial[first:last], pts_seconds=video.pts_seconds[first:last]
        )
        near(found.embeds[3 * clip : 3 * clip + 3], connect(connector, own).embeds)
    assert found.pts_seconds[::3].tolist() == [1.5, 5.5, 8.5]


def test_a_bank_is_read_by_cosines_over_a_temperature():
    connector, video = build("context_bank", temperature=0.5), make_video(3)
    with torch.no_grad():
        bank = connector.bank(video)
        waves = sinusoids(video.pts_seconds / 60, 8)
        near(bank, video.spatial.mean(1) + connector.time_projector(waves))
        token = video.spatial[1].unflatten(0, (4, 4))[2:, :2].mean((0, 1))
        query = F.normalize(connector.query_projector(token), dim=0)
        logits, values = [], []
        for entry in bank:
            key = F.normalize(connector.key_projector(entry), dim=0)
            logits.append(float(query @ key) / 0.5)
            values.append(F.normalize(connector.value_projector(entry), dim=0))
        total = sum(math.exp(logit) for logit in logits)
        found = sum(
            math.exp(g) / total * v for g, v in zip(logits, values, strict=True)
        )
        wanted = connector.projector(token + connector.output_projector(found))
    near(connect(connector, video).embeds[4 + 2], wanted)


def test_a_bank_has_no_more_frames_than_allowed():
    assert len(build("context_bank", max_bank=5).bank(make_video(40))) == 5


def test_keyframes_are_maxima_and_one_in_every_long_stretch():
    # mean 0.1, deviation 0.2: above 0.2 stand 2 and 5; 5 has a higher neighbour, 6
    novelty = torch.tensor([0, 0, 0.5, 0, 0, 0.3, 0.4, 0, 0, 0, 0, 0])
    assert choose_keyframes(novelty, 0.5, 16).nonzero()[:, 0].tolist() == [0, 2, 6]
    assert choose_keyframes(novelty, 0.5, 3).nonzero()[:, 0].tolist() == [0, 2, 6, 10]
    long = choose_keyframes(torch.zeros(40), 0.5, 16)
    assert long.nonzero()[:, 0].tolist() == [0, 17, 34]


def test_novelty_is_one_less_the_mean_cosine_to_the_frame_before():
    patches = torch.tensor(
        [[[1.0, 0], [0, 1]], [[0, 2.0], [0, 3]], [[0, 1], [-1.0, 0]]]
    )
    near(frame_novelty(patches), torch.tensor([0, 0.5, 0.5]))


def test_key_frames_have_the_fine_grid_and_others_the_coarse_one():
    connector, video = build("keyframe_ratio"), still(6)
    video.spatial[3:] = make_video(1, seed=1).spatial
    found = connect(connector, video)
    assert found.lengths.tolist() == [4, 1, 1, 4, 1, 1]
    assert found.is_cone.tolist() == [True, False, False, True, False, False]
    with torch.no_grad():
        near(found.embeds[4], connector.projector(video.spatial[1].mean(0)))
        fine = connector.projector(pool_grid(video.spatial[3:4], 2)[0])
    near(found.embeds[6:10], fine)


def test_a_fresh_mavors_is_the_mean_of_chunks():
    connector, video = build("mavors", chunk_frames=4), make_video(6)
    found = connect(connector, video)
    padded = torch.cat([video.spatial, video.spatial[[5, 5]]])
    with torch.no_grad():
        means = pool_grid(padded.unflatten(0, (2, 4)).mean(1), 2)
        near(found.embeds, connector.projector(means).flatten(0, 1))
    assert found.pts_seconds[::4].tolist() == [1.5, 4.5]


def test_a_chunk_of_equal_frames_is_its_frame():
    one = connect(build("mavors"), still(16)).embeds
    near(one, connect(build("mavors"), still(1)).embeds)


def test_chunks_see_earlier_ones_alone():
    connector = build("mavors", chunk_frames=2)
    for layer in connector.layers:
        torch.nn.init.ones_(layer.gates)
    video, changed = make_video(6), make_video(6)
    changed.spatial[2:4] *= -1
    before, after = (connect(connector, v).embeds for v in (video, changed))
    moved = (before - after).norm(dim=1).view(3, 4).amax(1) > 1e-6
    assert moved.tolist() == [False, True, True]


def test_salova_shows_the_segments_that_fit_in_full_and_all_in_a_token():
    connector = build("salova", max_segments=4, segment_tokens=3, num_routed=2)
    video, text = make_video(8), torch.randn(1, 2, 8)
    found = connect(connector, video, text)
    with torch.no_grad():
        query = connector.query_projector(text[0].mean(0))
        pooled = pool_grid(video.spatial, 2) + connector.place_embedding.weight
        fits, local, whole = [], [], []
        for segment in range(4):
            own = slice(2 * segment, 2 * segment + 2)
            place = torch.tensor([0.25, 0.75]).view(2, 1, 1)
            shown = pooled[own] + connector.frame_projector(place)
            read = connector.resampler(shown.flatten(0, 1)[None])[0]
            token = read[0] + video.spatial[own].mean((0, 1))
            key = connector.key_projector(token)
            fits.append(float(query @ key / query.norm() / key.norm()))
            local.append(read[1:])
            whole.append(token)
        best = sorted(sorted(range(4), key=lambda s: -fits[s])[:2])
        shown = [2 / (1 + math.exp(-fits[s])) * local[s] for s in best]
        wanted = connector.projector(torch.cat([*shown, torch.stack(whole)]))
    near(found.embeds, wanted)
    middles = [2 * s + 0.5 for s in best for _ in range(3)]
    assert found.pts_seconds.tolist() == [*middles, 0.5, 2.5, 4.5, 6.5]


def test_a_static_window_of_longvu_keeps_its_middle_frame():
    assert prune_frames(still(32).spatial, 0.83).tolist() == [8, 24]
    scenes = torch.cat([still(8).spatial, still(8, seed=1).spatial])
    # of two halves as unlike as noise each frame is alike to half of the window
    assert prune_frames(scenes, 0.83).tolist() == list(range(16))
    many = make_video(900).spatial
    assert len(prune_frames(many, 0.83)) == 400


def test_longvu_drops_what_stays_as_in_the_first_frame_of_a_chunk():
    assert int(keep_changes(still(8).spatial, 0.8).sum()) == 16
    tokens = still(9).spatial
    tokens[5, 2] *= -1
    kept = keep_changes(tokens, 0.8)
    assert kept.nonzero()[16:].tolist()[0] == [5, 2]
    assert kept[8].all()  # the first of the next chunk
    assert int(kept.sum()) == 16 + 1 + 16


def test_tails_of_chunks_are_cut_alike():
    keeps = torch.tensor([1, 1, 1, 1, 0, 1, 1, 1, 1, 1]).bool()
    chunks = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    # 9 stay, 6 may: 2 of each chunk go, then none of 5
    assert cut_tails(keeps, chunks, 6).long().tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 0, 0]
    assert cut_tails(keeps, chunks, 9).equal(keeps)
    assert int(cut_tails(keeps, chunks, 5).sum()) == 5


@pytest.mark.parametrize(
    ("num_frames", "fine", "count"),
    [(20, 20, 80), (25, 25, 100), (40, 20, 100), (99, 0, 99)],
)
def test_longvu_mixes_as_many_resolutions_as_fit(num_frames, fine, count):
    connector = build("longvu", max_tokens=100)  # 4 and 1 tokens of a frame
    assert connector.num_fine(num_frames, 100) == fine
    found = connect(connector, make_video(num_frames))
    assert int(found.is_cone.sum()) == fine
    assert len(found.embeds) == count


def test_longvu_makes_frames_fine_whose_tokens_fit_the_question():
    connector, video = build("longvu", max_tokens=13), make_video(7)
    text = torch.randn(1, 2, 8)
    found = connect(connector, video, text)
    with torch.no_grad():
        question = connector.text_projector(text[0].mean(0))
        fine = connector.projector(pool_grid(video.spatial, 2))
        coarse = fine.unflatten(1, (2, 2)).mean((1, 2))  # the bilinear middle of four
    scores = coarse @ question
    assert found.is_cone.nonzero()[:, 0].tolist() == sorted(scores.topk(2).indices)
    near(found.scores, scores)


def test_longvu_refuses_a_budget_of_less_than_a_frame():
    with pytest.raises(ValueError, match="at least 4, the tokens of one frame, got 3"):
        build("longvu", max_tokens=3)


def test_tdc_cuts_at_the_least_alike_and_chunks_by_eight():
    assert find_starts(make_video(25).spatial, 25).all()
    assert int(find_starts(make_video(26).spatial, 25).sum()) == 25
    parts = [make_video(23), still(17, seed=1), still(20, seed=2)]
    starts = find_starts(torch.cat([part.spatial for part in parts]), 25)
    # 23 cuts before frames 1 to 23 and one before 40
    assert starts.nonzero()[:, 0].tolist() == [*range(24), 31, 39, 40, 48, 56]


def test_tdc_adds_tokens_of_one_length_to_the_first_frame_of_a_chunk():
    connector, video = build("tdc", num_queries=2), make_video(30)
    found = connect(connector, video)
    is_start = found.is_cone
    assert found.lengths.tolist() == [5 if start else 3 for start in is_start]
    with torch.no_grad():
        whole = connector.projector(pool_grid(video.spatial, 2))
    frame = int((~is_start).nonzero()[0])
    first = int(is_start[:frame].nonzero()[-1])
    start = int(found.starts[frame])
    added = found.embeds[start : start + 2]
    near(added.norm(dim=1), torch.ones(2))
    near(found.embeds[start + 2], connector.separator.detach())
    at = int(found.starts[first])
    near(found.embeds[at : at + 4], whole[first])
    text = torch.zeros(2, 8)
    with torch.no_grad():
        alone = connector.add(whole[first][None], whole[frame][None], text)
    near(added, alone[0])


def test_tdc_cuts_what_is_too_much():
    connector = build("tdc", num_queries=2, max_tokens=60)
    found = connect(connector, make_video(40))
    assert 0 < len(found.embeds) <= 60 == connector.num_tokens(40)


def test_langdc_tells_until_it_wants_to_end():
    connector, video = build("langdc", max_told=6), make_video(6)
    torch.nn.init.zeros_(connector.stop.weight)
    for bias, length in ((1.0, 1), (-1.0, 6)):
        torch.nn.init.constant_(connector.stop.bias, bias)
        found = connect(connector, video)
        assert len(found.embeds) == 6 * 2 + 2 * length
        with torch.no_grad():
            state = connector.start[None]
            seen = torch.cat([video.spatial[:4].flatten(0, 1), state])
            state = state + connector.attention(state[None], seen[None])[0]
            state = state + connector.perceptron(state)
            near(found.embeds[12], connector.told_projector(state)[0])
    assert found.frame_indices.tolist() == [*range(6), *[1] * 6, *[4] * 6]


def test_where_langdc_ends_is_learned():
    connector = build("langdc", max_told=3)
    torch.nn.init.constant_(connector.stop.bias, -1.0)
    (found,) = connector([make_video(2)], torch.zeros(1, 1, 8), torch.ones(1, 1).bool())
    found.embeds.square().sum().backward()
    assert float(connector.stop.bias.grad.abs()) > 0
