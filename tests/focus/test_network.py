"""The whole network: several videos and questions, with and without what is ours."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from dynfocus.focus import (
    FocusBudget,
    FocusNetwork,
    FocusSettings,
    QuestionSettings,
    VideoFeatures,
)

DIM, TEXT_DIM, HIDDEN, NUM_PATCHES = 6, 5, 7, 16
SMALL: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_prototypes": 5,
    "num_spatial_prototypes": (5, 2),
    "num_spatial_neighbors": (3, 2),
}
OURS = QuestionSettings(
    use_question_scores=True,
    use_ratings=True,
    use_visit_counts=True,
    use_best_frames=True,
    use_clock=True,
    max_read_frames=9,
)


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(preset: str = "paper", **changes: Any) -> FocusNetwork:
    torch.manual_seed(0)
    settings = getattr(FocusSettings, preset)(**{**SMALL, **changes})
    network = FocusNetwork(settings, DIM, TEXT_DIM, HIDDEN).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def encode(network: FocusNetwork, num_frames: int, seed: int = 1) -> VideoFeatures:
    patches = draw(num_frames, NUM_PATCHES, DIM, seed=seed)
    return VideoFeatures.join([network.encode(patches)], range(num_frames))


CASES = [("paper", None), ("official", None), ("paper", OURS), ("official", OURS)]


@torch.no_grad()
@pytest.mark.parametrize(("preset", "question"), CASES)
def test_videos_and_questions_together_are_what_they_are_alone(preset, question):
    network = build(preset, question=question)
    videos = [encode(network, n, seed=n) for n in (14, 1, 7)]
    owners, text = [2, 0, 0, 1], draw(4, 4, TEXT_DIM)
    mask = torch.arange(4) < torch.tensor([[4], [1], [3], [4]])
    together = network(videos, text, mask, owners=owners)
    for row, owner in enumerate(owners):
        own = text[row : row + 1, : int(mask[row].sum())]
        (alone,) = network([videos[owner]], own)
        torch.testing.assert_close(together[row].embeds, alone.embeds)
        for name in ("frame_indices", "pts_seconds", "is_cone", "lengths"):
            assert torch.equal(getattr(together[row], name), getattr(alone, name))
        assert len(alone.embeds) == network.num_tokens(videos[owner].num_frames)
        assert alone.pts_seconds.tolist() == alone.frame_indices.tolist()


@torch.no_grad()
@pytest.mark.parametrize(("preset", "question"), CASES)
def test_a_plan_is_met_exactly(preset, question):
    network = build(preset, question=question)
    video, text = encode(network, 14), draw(1, 4, TEXT_DIM)
    (whole,) = network([video], text)
    for tokens in (13, 20, 33, 50, 1000):
        budget = FocusBudget(settings=network.settings, max_video_tokens=tokens)
        plan = budget.plan(14)
        (block,) = network([video], text, plans=[plan])
        assert len(block.embeds) == plan.num_tokens <= tokens
        assert len(block.lengths) == plan.num_frames
        assert int(block.is_cone.sum()) == plan.num_cones
        if tokens == 1000:
            assert torch.equal(block.embeds, whole.embeds)


@torch.no_grad()
def test_events_that_are_known_are_not_estimated_again(monkeypatch):
    network = build(question=OURS)
    video, text = encode(network, 14), draw(2, 4, TEXT_DIM)
    wanted = network([video], text, owners=[0, 0])
    known = network.add_events(video)
    assert network.add_events(known) is known
    monkeypatch.setattr(network.event_prototypes, "estimate", None)
    compact = replace(known, pooled=None)
    for same in (known, compact):
        for got, block in zip(
            network([same], text, owners=[0, 0]), wanted, strict=True
        ):
            assert torch.equal(got.embeds, block.embeds)


@torch.no_grad()
@torch.no_grad()
@pytest.mark.parametrize("question", [None, OURS])
@pytest.mark.parametrize("most", [None, 6])
def test_cones_are_of_the_frames_that_events_were_found_among(question, most):
    network = build(question=question)
    video = encode(network, 20)
    among = torch.zeros(20, dtype=torch.bool)
    among[[3, 4, 5, 11, 12, 13, 14]] = True
    known = network.add_events(video, among=among)
    alone = network.add_events(video.take(among.nonzero()[:, 0]))
    events, expected = known.prototypes, alone.prototypes
    torch.testing.assert_close(events.features, expected.features)
    assert (events.assignment[0] >= 0).tolist() == among.tolist()
    assert events.assignment[0, among].tolist() == expected.assignment[0].tolist()
    budget = replace(network.budget(), most_cones=5)
    plan = budget.plan(20)
    if most is not None:
        plan = plan._replace(num_frames=most)
    (tokens,) = network([known], draw(1, 4, TEXT_DIM), plans=[plan])
    cones = tokens.frame_indices[tokens.is_cone]
    assert len(cones) == 5
    assert among[cones].all()
    assert len(tokens.embeds) == 5 * (4 + 7) + 2 * len(tokens.lengths)
    assert (tokens.scores[~among[tokens.frame_indices]] == 0).all()


def test_patches_are_encoded_where_nothing_was_made_of_them():
    network, text = build(question=OURS), draw(1, 4, TEXT_DIM)
    raw = VideoFeatures(
        spatial=draw(14, NUM_PATCHES, DIM), pts_seconds=torch.arange(14)
    )
    (made,), (known,) = network([raw], text), network([encode(network, 14)], text)
    assert torch.equal(made.embeds, known.embeds)


@torch.no_grad()
def test_padded_text_has_no_influence():
    network = build(question=OURS)
    video, text = encode(network, 14), draw(1, 2, TEXT_DIM)
    padded = torch.cat([text, torch.full((1, 3, TEXT_DIM), torch.nan)], dim=1)
    (plain,) = network([video], text)
    (masked,) = network([video], padded, torch.tensor([[1, 1, 0, 0, 0]]))
    torch.testing.assert_close(plain.embeds, masked.embeds)
    assert torch.equal(plain.frame_indices, masked.frame_indices)


@torch.no_grad()
def test_each_frame_can_bring_its_own_text():
    network, text = build("official"), draw(2, 4, TEXT_DIM)
    videos = [encode(network, 9), encode(network, 4)]

    def repeat(shown):
        assert [video.num_frames for video in shown] == [9, 4]
        return text[:, None].expand(-1, 9, -1, -1)

    shared = network(videos, text)
    framed = network(videos, None, frame_text=repeat)
    for one, other in zip(shared, framed, strict=True):
        torch.testing.assert_close(one.embeds, other.embeds)


def test_gradients_reach_every_parameter():
    for preset in ("paper", "official"):
        network = build(preset, question=replace(OURS, max_read_frames=None)).train()
        (video,) = network([encode(network, 9)], draw(1, 3, TEXT_DIM))
        (video.embeds * torch.randn_like(video.embeds)).sum().backward()
        silent = ("key_projector.bias", "out_conv.4.bias", "layers.4.bias")
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            if not name.endswith(silent):  # shifts that softmax and min-max cancel
                assert parameter.grad.any(), name


def test_no_question_has_a_say_in_the_paper():
    network = build()
    video = encode(network, 14)
    cones = [network([video], draw(1, 3, TEXT_DIM, seed=s))[0].is_cone for s in (1, 2)]
    assert torch.equal(*cones)


def test_the_paper_needs_nothing_of_what_is_ours():
    code = """
import sys
sys.modules["dynfocus.focus.question"] = None  # as if the file were deleted
import torch
from dynfocus.focus import FocusNetwork, FocusSettings, VideoFeatures
network = FocusNetwork(FocusSettings.paper(), 8, 6, 10)
video = VideoFeatures.join([network.encode(torch.randn(30, 64, 8))], range(30))
(tokens,) = network([video], torch.randn(1, 4, 6))
assert tokens.embeds.shape == (network.num_tokens(30), 10) == (820, 10)
try:
    import dynfocus.focus.question
except ImportError:
    print("works")
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout == "works\n"


OTHERS: dict[str, Any] = {
    "num_event_tokens": 1,
    "temporal_clustering": "kmeans",
    "num_prototypes": 4,
    "selection_ratio": 0.5,
    "num_temporal_neighbors": 2,
    "event_merge": "uniform",
    "score_network": "global",
    "num_noise_samples": 3,
    "noise_sigma": 0.5,
    "topk_gradient": "diagonal",
    "spatial_clustering": "kmeans",
    "num_spatial_prototypes": (5, 3),
    "num_spatial_neighbors": (2, 2),
    "spatial_merge": "uniform",
    "spatial_gate": True,
    "cones_with_rods": False,
    "rods_order": "content_first",
    "question": OURS,
}
"""Another value for every field of the settings."""


@torch.no_grad()
def test_the_fields_that_decide_what_is_encoded_are_known():
    assert set(OTHERS) == {field.name for field in fields(FocusSettings)}

    def known(settings: FocusSettings) -> list[torch.Tensor]:
        network = FocusNetwork(settings, DIM, TEXT_DIM, HIDDEN)
        if network.spatial_prototypes.gate is not None:
            torch.nn.init.ones_(network.spatial_prototypes.gate.weight)
        video = network.add_events(encode(network, 14))
        events = video.prototypes
        found = (events.features, events.frames, events.assignment)
        return [video.pooled, video.spatial, *found]

    base = FocusSettings(**SMALL)
    whole = known(base)
    for name, value in OTHERS.items():
        other = replace(base, **{name: value})
        changed = known(other)
        is_same = all(
            a.shape == b.shape and torch.equal(a, b)
            for a, b in zip(whole, changed, strict=True)
        )
        assert is_same == (other.encoding_fields() == base.encoding_fields()), name
