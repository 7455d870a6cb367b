"""Every connector: how many tokens, which times, and the arithmetic of each."""

import math

import pytest
import torch

from dynfocus.evaluation.experiments.ablations import EXPERIMENTS
from dynfocus.evaluation.experiments.running import SLOWFOCUS
from dynfocus.focus import FocusSettings, VideoFeatures
from dynfocus.methods import (
    CONNECTORS,
    ConnectorSizes,
    build_connector,
    build_network,
)
from fake_package import install

SIZES = ConnectorSizes(num_patches=16, dim=8, text_dim=6, hidden_size=10)
FOCUS = {
    "num_event_tokens": 4,
    "num_prototypes": 6,
    "selection_ratio": 0.5,
    "num_temporal_neighbors": 3,
    "num_spatial_prototypes": [4, 2],
    "num_spatial_neighbors": [3, 2],
    "num_noise_samples": 10,
}
OFFICIAL = {
    "temporal_clustering": "kmeans",
    "score_network": "global",
    "spatial_gate": True,
    "cones_with_rods": False,
    "rods_order": "content_first",
}
RATED = {
    "question": {
        "use_question_scores": True,
        "use_ratings": True,
        "use_best_frames": True,
    },
}
CASES = {
    "apollo": ("apollo", {"clip_tokens": 3}),
    "b_vllm": ("b_vllm", {"num_mixtures": 4, "mixture_tokens": 3}),
    "chat_univi": ("chat_univi", {"frames_per_event": 4}),
    "context_bank": ("context_bank", {"max_bank": 5}),
    "keyframe_ratio": ("keyframe_ratio", {}),
    "langdc": ("langdc", {"max_told": 5}),
    "longvu": ("longvu", {"max_tokens": 30}),
    "mavors": ("mavors", {"chunk_frames": 4}),
    "pllava": ("pllava", {"num_steps": 4}),
    "salova": ("salova", {"max_segments": 6, "segment_tokens": 3}),
    "tdc": ("tdc", {"num_queries": 2, "num_segments": 3}),
    "videogpt_plus": ("videogpt_plus", {}),
    "llama_vid": ("llama_vid", {}),
    "llava_onevision": ("llava_onevision", {}),
    "uniform_patches": ("uniform_patches", {"budget_of": FOCUS}),
    "video_chatgpt": ("video_chatgpt", {"max_frames": 10}),
    "flash_vstream": ("flash_vstream", {"num_entries": 6, "num_key_frames": 2}),
    "ma_lmm": ("ma_lmm", {"memory_frames": 3, "max_frames": 8}),
    "ma_lmm bank": ("ma_lmm", {"memory_frames": 5, "read": "memory"}),
    "moviechat": ("moviechat", {"num_queries": 5}),
    "moviechat blocks": ("moviechat", {"fragment_frames": 4, "read": "memory"}),
    "pvc": ("pvc", {}),
    "quicksviewer": ("quicksviewer", {"frames_per_cube": 3, "cube_tokens": 4}),
    "storm": ("storm", {"temporal_pool": 2, "spatial_pool": 2}),
    "video_streaming": (
        "video_streaming",
        {"clip_frames": 4, "num_clips": 2, "frame_summaries": 2, "depth": 2},
    ),
    "videoscan": ("videoscan", {"max_carriers": 9}),
    "dynfocus": ("dynfocus", {"focus": FOCUS}),
    "question": (
        "dynfocus",
        {"focus": FOCUS | {"question": {"use_question_scores": True}}},
    ),
    "rated": ("dynfocus", {"focus": FOCUS | RATED}),
    "official": ("dynfocus", {"focus": FOCUS | OFFICIAL}),
    "no rods": ("dynfocus", {"focus": FOCUS, "rods": False}),
    "attention": ("dynfocus", {"focus": FOCUS, "cone": "cross_attention"}),
    "patches": ("dynfocus", {"focus": FOCUS, "cone": "patches"}),
    "rods alone": ("dynfocus", {"focus": FOCUS, "cone": "rods"}),
    "no cones": ("dynfocus", {"focus": FOCUS, "cone": "none"}),
}
OWN_TIMES = (
    *("apollo", "b_vllm", "chat_univi", "flash_vstream", "langdc", "ma_lmm bank"),
    *("mavors", "moviechat blocks", "pllava", "quicksviewer", "salova", "storm"),
    "video_streaming",
)
"""Some of their tokens have the mean time of several frames."""


def make_video(num_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VideoFeatures(
        spatial=torch.randn(num_frames, 16, 8, generator=generator),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64) * 2,
    )


def build(name, seed=0, *, clock=False):
    torch.manual_seed(seed)
    connector, options = CASES[name]
    options = dict(options)
    settings = FocusSettings.from_dict(options.pop("focus", {}))
    settings = settings.changed({"question": {"use_clock": clock}})
    return build_network(connector, SIZES, settings, options).eval()


def connect(network, *videos, **changes):
    torch.manual_seed(1)
    text = torch.randn(len(videos), 5, SIZES.text_dim)
    mask = torch.ones(len(videos), 5, dtype=torch.bool)
    mask[0, 3:] = False
    with torch.no_grad():
        return network(videos, text, mask, **changes)


def token_times(video):
    return video.pts_seconds[video.frame_of_token]


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_as_many_as_the_number_of_frames_says(name):
    network = build(name)
    videos = [make_video(count, seed=count) for count in (2, 3, 7, 12, 19)]
    for video, tokens in zip(videos, connect(network, *videos), strict=True):
        said = network.num_tokens(video.num_frames)
        count = len(tokens.embeds)
        assert count == said or (network.budget().varies and 0 < count < said)
        assert tokens.embeds.shape == (count, SIZES.hidden_size)
        assert int(tokens.lengths.sum()) == count
        assert network.budget().plan(video.num_frames).num_tokens == said
        times = token_times(tokens)
        known = times[~times.isnan()]
        assert bool((known >= 0).all())
        assert bool((known <= video.pts_seconds[-1]).all())
        assert bool((tokens.frame_indices < video.num_frames).all())


@pytest.mark.parametrize("name", CASES)
def test_a_batch_gives_what_each_video_gives_alone(name):
    network = build(name, clock=True)
    videos = [make_video(9, seed=1), make_video(5, seed=2)]
    text = torch.randn(3, 4, SIZES.text_dim)
    owners = [1, 0, 1]
    with torch.no_grad():
        together = network(videos, text, owners=owners)
        for row, owner in enumerate(owners):
            own = network([videos[owner]], text[row, None])[0]
            assert torch.allclose(own.embeds, together[row].embeds, atol=1e-6)
            assert torch.equal(own.is_cone, together[row].is_cone)
            assert torch.equal(own.frame_indices, together[row].frame_indices)


@pytest.mark.parametrize("name", CASES)
def test_a_budget_of_tokens_is_kept_by_reading_fewer_frames(name):
    network = build(name)
    video = make_video(40)
    whole = network.num_tokens(40)
    budget = max(whole // 2, network.num_tokens(1))
    plan = network.budget(budget).plan(40)
    (tokens,) = connect(network, video, plans=[plan])
    assert len(tokens.embeds) <= plan.num_tokens <= budget
    assert network.budget().varies or len(tokens.embeds) == plan.num_tokens
    if name in ("dynfocus", "question", "rated", "llama_vid", "uniform_patches"):
        frames = tokens.frame_indices.tolist()
        assert max(frames) > 30  # frames of the whole video, not of its beginning
        assert tokens.pts_seconds.tolist() == [2.0 * frame for frame in frames]
    with pytest.raises(ValueError, match="max_video_tokens must be at least"):
        network.budget(network.num_tokens(1) - 1)


@pytest.mark.parametrize("name", CASES)
def test_half_precision_gives_tokens_in_half_precision(name):
    network, video = build(name, clock=True).bfloat16(), make_video(7)
    text = torch.randn(1, 3, SIZES.text_dim).bfloat16()
    with torch.no_grad():
        (tokens,) = network([video.to(dtype=torch.bfloat16)], text)
    assert tokens.embeds.dtype == torch.bfloat16
    assert bool(tokens.embeds.isfinite().all())


@pytest.mark.parametrize("name", CASES)
def test_a_budget_that_does_not_bind_changes_nothing(name):
    network, video = build(name), make_video(12)
    (whole,) = connect(network, video)
    (loose,) = connect(network, video, plans=[network.budget(100_000).plan(12)])
    assert torch.equal(whole.embeds, loose.embeds)


@pytest.mark.parametrize("name", CASES)
def test_frames_of_a_thinned_video_keep_their_numbers(name):
    network, video = build(name), make_video(40).at(torch.arange(1, 40, 2))
    (tokens,) = connect(network, video)
    known = ~tokens.pts_seconds.isnan()
    if name not in (*OWN_TIMES, "video_chatgpt"):
        seconds = tokens.pts_seconds[known]
        assert seconds.tolist() == (2.0 * tokens.frame_indices[known]).tolist()
    assert set(tokens.frame_indices.tolist()) <= set(range(1, 40, 2))


@pytest.mark.parametrize("name", CASES)
def test_a_clock_says_the_time_of_each_token_that_has_one(name):
    plain, timed = build(name), build(name, clock=True)
    timed.load_state_dict(plain.state_dict(), strict=False)
    (before,), (after,) = connect(plain, make_video(9)), connect(timed, make_video(9))
    times = token_times(before)
    clock = timed.question_head.clock(times.nan_to_num(0)).detach()
    wanted = before.embeds + clock * (~times.isnan())[:, None]
    torch.testing.assert_close(after.embeds, wanted.float())


def test_cones_of_patches_of_a_thinned_video_are_those_of_their_frames():
    network, video = build("patches"), make_video(30)
    plan = network.budget(network.num_tokens(12)).plan(30)
    (tokens,) = connect(network, video, plans=[plan])
    assert len(tokens.lengths) == 12
    for span in tokens.spans:
        if span.kind == "cone":
            own = tokens.embeds[span.start : span.start + 16]
            with torch.no_grad():
                encoding = network.network.cooperative_encoding
                wanted = encoding.multi_modal_projector(video.spatial[span.frame])
            assert torch.allclose(own, wanted, atol=1e-6)


def test_every_arm_of_every_experiment_can_be_built():
    sizes = ConnectorSizes(num_patches=64, dim=12, text_dim=6, hidden_size=10)
    for experiment in EXPERIMENTS.values():
        for one in experiment.variants:
            if one.connector == SLOWFOCUS:  # no connector, but a model of its own
                continue
            options = {k: v for k, v in one.options.items() if k != "scores"}
            connector = build_connector(one.connector, sizes, options)
            assert connector.num_tokens(40) > 0


def compress(name, video):
    return build(name).connector.compress(video)


def test_uniform_frames_are_evenly_spaced_and_keep_all_patches():
    video = make_video(20)
    # 3 Cones of 4 + 6 + 2 tokens and 17 Rods of 2 pay for 4 frames of 16 patches
    assert build("uniform_patches").num_tokens(20) == 4 * 16
    tokens = compress("uniform_patches", video)
    assert tokens.frame_indices.tolist() == [2, 7, 12, 17]
    assert bool(tokens.is_cone.all())
    assert torch.equal(tokens.embeds[16:32], video.spatial[7])
    assert token_times(tokens)[16:32].unique().tolist() == [14.0]


def test_uniform_patches_never_exceed_the_budget_but_for_a_single_frame():
    connector = build("uniform_patches")
    dynamic = build("dynfocus")
    for count in range(1, 60):
        tokens = connector.num_tokens(count)
        assert tokens == 16 or tokens <= dynamic.num_tokens(count)


def test_video_chatgpt_pools_over_patches_and_over_frames():
    video = make_video(6)
    tokens = compress("video_chatgpt", video)
    for frame in range(6):
        mean = sum(video.spatial[frame, n] for n in range(16)) / 16
        assert torch.allclose(tokens.embeds[frame], mean, atol=1e-6)
    for patch in range(16):
        mean = sum(video.spatial[t, patch] for t in range(6)) / 6
        assert torch.allclose(tokens.embeds[6 + patch], mean, atol=1e-6)
    assert tokens.pts_seconds[:6].tolist() == video.pts_seconds.tolist()
    assert bool(tokens.pts_seconds[6:].isnan().all())


def test_video_chatgpt_takes_at_most_so_many_frames():
    assert build("video_chatgpt").num_tokens(500) == 10 + 16
    assert len(compress("video_chatgpt", make_video(35)).embeds) == 26


def test_llama_vid_follows_its_equation():
    connector = build("llama_vid").connector
    video = make_video(3)
    torch.manual_seed(5)
    text = torch.randn(1, 4, SIZES.text_dim)
    mask = torch.tensor([[True, True, True, False]])
    with torch.no_grad():
        (connected,) = connector([video], text, mask)
        for frame in range(3):
            patches = video.spatial[frame]
            found = torch.zeros(8)
            for word in range(3):
                query = connector.query_projector(text[0, word])
                logits = torch.stack(
                    [query @ connector.key_projector(p) / math.sqrt(8) for p in patches]
                )
                found += (logits.softmax(0)[:, None] * patches).sum(0) / 3
            context = connector.context_projector(found)
            content = connector.projector(patches.mean(0))
            assert torch.allclose(connected.embeds[2 * frame], context, atol=1e-5)
            assert torch.allclose(connected.embeds[2 * frame + 1], content, atol=1e-5)


def test_chat_univi_separates_two_scenes_and_puts_the_earlier_first():
    scenes = torch.randn(2, 1, 1, 8) * 5
    noise = torch.randn(8, 16, 8) * 0.1
    patches = scenes[[0] * 4 + [1] * 4].squeeze(2) + noise
    times = torch.arange(8, dtype=torch.float64)
    made = compress("chat_univi", VideoFeatures(spatial=patches, pts_seconds=times))
    per_event = 4 + 2 + 1
    assert len(made.embeds) == 2 * per_event
    for event in (0, 1):
        own = slice(event * per_event, (event + 1) * per_event)
        tokens, times = made.embeds[own], made.pts_seconds[own]
        assert torch.allclose(tokens, scenes[event, 0].expand_as(tokens), atol=0.5)
        assert bool(((times >= 4 * event) & (times < 4 * event + 4)).all())
        frames = made.frame_indices[own]
        assert bool(((frames >= 4 * event) & (frames < 4 * event + 4)).all())


def test_chat_univi_last_level_of_one_event_is_one_token():
    last = compress("chat_univi", make_video(3)).embeds[6]
    assert last.shape == (8,)
    assert bool(last.isfinite().all())


def test_kept_frames_hold_their_cone_and_stand_in_time_order():
    (tokens,) = connect(build("dynfocus"), make_video(12))
    assert tokens.frame_indices.tolist() == list(range(12))
    assert int(tokens.is_cone.sum()) == 3
    assert tokens.lengths.tolist() == [12 if cone else 2 for cone in tokens.is_cone]


def test_variants_that_differ_in_nothing_give_the_tokens_of_the_network():
    plain = build("rated")
    variant = build_network("dynfocus", SIZES, plain.settings, {"cone": "compact"})
    variant.network.load_state_dict(plain.state_dict())
    for one, other in zip(
        connect(plain, make_video(12), make_video(5)),
        connect(variant.eval(), make_video(12), make_video(5)),
        strict=True,
    ):
        assert torch.equal(one.embeds, other.embeds)
        assert torch.equal(one.lengths, other.lengths)


def test_without_cones_kept_frames_are_left_out():
    (tokens,) = connect(build("no cones"), make_video(12))
    assert int(tokens.is_cone.sum()) == 3
    assert not tokens.lengths[tokens.is_cone].any()
    assert bool((tokens.lengths[~tokens.is_cone] == 2).all())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nobody", {}, "connector must be one of apollo, .*chat_univi, "),
        ("llama_vid", {"depth": 2}, "'llama_vid' has no option 'depth'; accepted are"),
        ("storm", {"depth": 0}, "depth of connector 'storm' must be at least 1, got 0"),
        ("moviechat", {"similarity": "l2"}, "similarity must be one of dot, cosine, f"),
        ("moviechat", {"fragment_blocks": 9}, "from 1 to the 8 frames of a fragment"),
        ("ma_lmm", {"read": "all"}, "read must be one of queries, memory, got 'all'"),
        ("flash_vstream", {"num_key_frames": 30}, "from 1 to num_entries .25., got 30"),
        ("dynfocus", {"cone": "ice"}, "cone must be one of compact, .*'ice'"),
        ("dynfocus", {"cone": "none", "rods": False}, "leaves no tokens"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_connector(name, SIZES, options)


def test_chat_univi_needs_sixteen_patches():
    with pytest.raises(ValueError, match="at least 16 for three levels, got 9"):
        build_connector(
            "chat_univi",
            ConnectorSizes(num_patches=9, dim=8, text_dim=6, hidden_size=10),
        )


def test_connectors_are_listed_by_name():
    assert list(CONNECTORS) == sorted(CONNECTORS)


def test_another_package_adds_a_connector(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="adds_a_connector",
        source=(
            "from torch import nn\n"
            "def build(sizes, options):\n"
            "    return nn.Linear(sizes.dim, options['width'])\n"
        ),
        entry_points="[dynfocus.connectors]\nlinear = adds_a_connector:build\n",
    )
    built = build_connector("linear", SIZES, {"width": 3})
    assert built.weight.shape == (3, SIZES.dim)
    with pytest.raises(ValueError, match="one of apollo, .*linear.*, got 'none'"):
        build_connector("none", SIZES)
