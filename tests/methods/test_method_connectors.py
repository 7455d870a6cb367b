"""Every connector: how many tokens, which times, and the arithmetic of each."""

import math

import pytest
import torch

from dynfocus.evaluation.experiments.ablations import EXPERIMENTS
from dynfocus.focus import CountedBudget
from dynfocus.methods import (
    CONNECTORS,
    ConnectorSizes,
    VideoPatches,
    build_connector,
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
    "chat_univi": ("chat_univi", {"frames_per_event": 4}),
    "llama_vid": ("llama_vid", {}),
    "llava_onevision": ("llava_onevision", {}),
    "uniform_patches": ("uniform_patches", {"budget_of": FOCUS}),
    "video_chatgpt": ("video_chatgpt", {"max_frames": 10}),
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


def make_video(num_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VideoPatches(
        patches=torch.randn(num_frames, 16, 8, generator=generator),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64) * 2,
    )


def build(name, seed=0):
    torch.manual_seed(seed)
    connector, options = CASES[name]
    return build_connector(connector, SIZES, options).eval()


def connect(connector, *videos):
    torch.manual_seed(1)
    text = torch.randn(len(videos), 5, SIZES.text_dim)
    mask = torch.ones(len(videos), 5, dtype=torch.bool)
    mask[0, 3:] = False
    prepared = [connector.prepare(video) for video in videos]
    with torch.no_grad():
        return connector(prepared, text, mask)


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_as_many_as_the_number_of_frames_says(name):
    connector = build(name)
    videos = [make_video(count, seed=count) for count in (2, 3, 7, 12, 19)]
    for video, connected in zip(videos, connect(connector, *videos), strict=True):
        count = connector.num_tokens(video.num_frames)
        assert connected.embeds.shape == (count, SIZES.hidden_size)
        assert connected.pts_seconds.shape == (count,)
        known = connected.pts_seconds[~connected.pts_seconds.isnan()]
        assert bool((known >= 0).all())
        assert bool((known <= video.pts_seconds[-1]).all())


@pytest.mark.parametrize("name", CASES)
def test_a_batch_gives_what_each_video_gives_alone(name):
    connector = build(name)
    videos = [make_video(9, seed=1), make_video(5, seed=2)]
    text = torch.randn(2, 4, SIZES.text_dim)
    mask = torch.ones(2, 4, dtype=torch.bool)
    with torch.no_grad():
        prepared = [connector.prepare(video) for video in videos]
        both = connector(prepared, text, mask)
        for row in (0, 1):
            own = connector([prepared[row]], text[row, None], mask[row, None])[0]
            assert torch.allclose(own.embeds, both[row].embeds, atol=1e-6)
            assert torch.equal(own.fine_frames, both[row].fine_frames)


@pytest.mark.parametrize("name", CASES)
def test_a_budget_of_tokens_is_kept_by_reading_fewer_frames(name):
    connector = build(name)
    video = make_video(40)
    whole = connector.num_tokens(40)
    budget = max(whole // 2, connector.num_tokens(1))
    plan = CountedBudget(max_video_tokens=budget, count=connector.num_tokens)
    count = plan.plan(40).num_frames
    prepared = connector.prepare(video, count)
    text = torch.randn(1, 5, SIZES.text_dim)
    with torch.no_grad():
        (connected,) = connector([prepared], text, torch.ones(1, 5, dtype=torch.bool))
    assert len(connected.embeds) == connector.num_tokens(count) <= budget
    if name in ("dynfocus", "question", "rated", "llama_vid", "uniform_patches"):
        times = set(connected.pts_seconds.tolist())
        assert max(times) > 60  # frames of the whole video, not of its beginning
        assert times <= set(video.pts_seconds.tolist())
        assert set(video.pts_seconds[connected.fine_frames].tolist()) <= times


def test_cones_of_patches_of_a_thinned_video_are_those_of_their_frames():
    connector = build("patches")
    video = make_video(30)
    prepared = connector.prepare(video, 12)
    text = torch.randn(1, 5, SIZES.text_dim)
    with torch.no_grad():
        (connected,) = connector([prepared], text, torch.ones(1, 5, dtype=torch.bool))
        for frame in connected.fine_frames.tolist():
            own = connected.embeds[connected.pts_seconds == 2.0 * frame]
            projected = connector.network.cooperative_encoding.multi_modal_projector(
                video.patches[frame]
            )
            assert torch.allclose(own[:16], projected, atol=1e-6)


def test_every_arm_of_every_experiment_can_be_built():
    sizes = ConnectorSizes(num_patches=64, dim=12, text_dim=6, hidden_size=10)
    for experiment in EXPERIMENTS.values():
        for one in experiment.variants:
            connector = build_connector(one.connector, sizes, one.options)
            assert connector.num_tokens(40) > 0


def test_uniform_frames_are_evenly_spaced_and_keep_all_patches():
    connector = build("uniform_patches")
    video = make_video(20)
    # 3 Cones of 4 + 6 + 2 tokens and 17 Rods of 2 pay for 4 frames of 16 patches
    assert connector.num_tokens(20) == 4 * 16
    prepared = connector.prepare(video)
    assert prepared.fine_frames.tolist() == [2, 7, 12, 17]
    assert torch.equal(prepared.tokens[16:32], video.patches[7])
    assert prepared.pts_seconds[16:32].unique().tolist() == [14.0]


def test_uniform_patches_never_exceed_the_budget_but_for_a_single_frame():
    connector = build("uniform_patches")
    dynamic = build("dynfocus")
    for count in range(1, 60):
        tokens = connector.num_tokens(count)
        assert tokens == 16 or tokens <= dynamic.num_tokens(count)


def test_video_chatgpt_pools_over_patches_and_over_frames():
    video = make_video(6)
    prepared = build("video_chatgpt").prepare(video)
    for frame in range(6):
        mean = sum(video.patches[frame, n] for n in range(16)) / 16
        assert torch.allclose(prepared.tokens[frame], mean, atol=1e-6)
    for patch in range(16):
        mean = sum(video.patches[t, patch] for t in range(6)) / 6
        assert torch.allclose(prepared.tokens[6 + patch], mean, atol=1e-6)
    assert prepared.pts_seconds[:6].tolist() == video.pts_seconds.tolist()
    assert bool(prepared.pts_seconds[6:].isnan().all())


def test_video_chatgpt_takes_at_most_so_many_frames():
    connector = build("video_chatgpt")
    assert connector.num_tokens(500) == 10 + 16
    assert len(connector.prepare(make_video(35)).tokens) == 26


def test_llama_vid_follows_its_equation():
    connector = build("llama_vid")
    video = make_video(3)
    torch.manual_seed(5)
    text = torch.randn(1, 4, SIZES.text_dim)
    mask = torch.tensor([[True, True, True, False]])
    with torch.no_grad():
        (connected,) = connector([video], text, mask)
        for frame in range(3):
            patches = video.patches[frame]
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
    video = VideoPatches(
        patches=patches, pts_seconds=torch.arange(8, dtype=torch.float64)
    )
    connector = build("chat_univi")
    prepared = connector.prepare(video)
    per_event = 4 + 2 + 1
    assert len(prepared.tokens) == 2 * per_event
    for event in (0, 1):
        tokens = prepared.tokens[event * per_event : (event + 1) * per_event]
        assert torch.allclose(tokens, scenes[event, 0].expand_as(tokens), atol=0.5)
        times = prepared.pts_seconds[event * per_event : (event + 1) * per_event]
        assert bool(((times >= 4 * event) & (times < 4 * event + 4)).all())


def test_chat_univi_last_level_of_one_event_is_the_mean_where_all_merge():
    connector = build("chat_univi")
    video = make_video(3)
    prepared = connector.prepare(video)
    means = video.patches.mean(1)
    last = prepared.tokens[6]  # the only token of the coarsest level
    assert last.shape == means[0].shape
    assert bool(last.isfinite().all())


def test_kept_frames_hold_their_cone_and_stand_in_time_order():
    connector = build("dynfocus")
    video = make_video(12)
    (connected,) = connect(connector, video)
    seconds = connected.pts_seconds.tolist()
    assert seconds == sorted(seconds)
    assert len(connected.fine_frames) == 3
    for frame in range(12):
        count = seconds.count(2.0 * frame)
        assert count == (12 if frame in connected.fine_frames.tolist() else 2)


def test_rated_frames_stand_for_their_events_and_their_tokens_are_marked():
    connector = build("rated").eval()
    network = connector.network.question_head.rating
    ratings = torch.linspace(-3, 3, 11)[torch.randperm(11)]
    network.rate = lambda *_: ratings[None]
    video = [connector.prepare(make_video(11))]
    text, mask = torch.randn(1, 5, 6), torch.ones(1, 5, dtype=torch.bool)
    (marked,) = connector(video, text, mask)
    assert int(ratings.argmax()) in marked.fine_frames.tolist()
    marks = network(ratings[None], torch.ones(1, 11, dtype=torch.bool))[0]
    torch.nn.init.zeros_(network.marks.weight)
    (plain,) = connector(video, text, mask)
    frames = (marked.pts_seconds / 2).long()
    torch.testing.assert_close(marked.embeds, plain.embeds + marks[frames])


def test_without_cones_kept_frames_are_left_out():
    connector = build("no cones")
    (connected,) = connect(connector, make_video(12))
    kept = (2.0 * connected.fine_frames).tolist()
    assert len(kept) == 3
    assert not set(kept) & set(connected.pts_seconds.tolist())


def test_cones_of_patches_hold_the_projected_patches():
    connector = build("patches")
    video = make_video(12)
    (connected,) = connect(connector, video)
    frame = int(connected.fine_frames[1])
    own = connected.embeds[connected.pts_seconds == 2.0 * frame]
    with torch.no_grad():
        projected = connector.network.cooperative_encoding.multi_modal_projector(
            video.patches[frame]
        )
    assert torch.allclose(own[:16], projected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nobody", {}, "connector must be one of chat_univi, dynfocus"),
        ("llama_vid", {"depth": 2}, "'llama_vid' has no option 'depth'; accepted are"),
        ("dynfocus", {"cone": "ice"}, "cone must be one of compact, .*'ice'"),
        ("dynfocus", {"cone": "none", "rods": False}, "leaves no tokens"),
        (
            "dynfocus",
            {"focus": {"question": {"use_clock": True}}},
            "must be off in a conn",
        ),
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
    with pytest.raises(ValueError, match="one of chat_univi, .*linear.*, got 'none'"):
        build_connector("none", SIZES)
