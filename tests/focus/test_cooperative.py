import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dynfocus.focus import (
    CooperativeEncoding,
    FocusBudget,
    FocusNetwork,
    FocusSettings,
    SpatialPrototypes,
    VideoTokens,
)

DIM, TEXT_DIM, HIDDEN, NUM_PATCHES = 6, 5, 7, 16
SMALL: dict[str, Any] = {
    "num_event_tokens": 4,
    "num_spatial_prototypes": (5, 2),
    "num_spatial_neighbors": (3, 2),
}


class Network:
    """The modules of the network one after the other, at a small size."""

    def __init__(self, preset: str = "paper", **changes: Any) -> None:
        torch.manual_seed(0)
        self.settings = getattr(FocusSettings, preset)(**{**SMALL, **changes})
        network = FocusNetwork(self.settings, DIM, TEXT_DIM, HIDDEN).eval()
        self.events = network.event_prototypes
        self.spatial = network.spatial_prototypes
        self.encoding = network.cooperative_encoding
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)

    def __call__(
        self, patches: Tensor, lengths: list[int], text: Tensor, **extra: Any
    ) -> list[VideoTokens]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        self.pooled = self.padded(self.events.pool(patches), mask)
        self.grid = self.padded(self.spatial(patches), mask)
        found = self.events.estimate(self.pooled, mask)
        counts = [self.settings.num_cones_for(length) for length in lengths]
        counts = extra.pop("num_cones", counts)
        self.selection = self.events.select(found, self.events.score(found), counts)
        return self.encoding(self.grid, mask, self.selection, text, **extra)

    @staticmethod
    def padded(rows: Tensor, mask: Tensor) -> Tensor:
        full = rows.new_full((*mask.shape, *rows.shape[1:]), 9.0)
        full[mask] = rows
        return full


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loop_mean(tokens: Tensor) -> Tensor:
    return sum(tokens[1:], start=tokens[0]) / len(tokens)


def loop_video(
    network: Network, entry: int, length: int, text: Tensor
) -> tuple[Tensor, list[int]]:
    """Follow Eq. 10-13 literally for one video, with the paper's settings."""
    encoding = network.encoding
    slots = {int(f): k for k, f in enumerate(network.selection.frames[entry])}
    tokens, lengths = [], []
    for t in range(length):
        grid = network.grid[entry, t]
        attended = []
        for q in text:
            query = encoding.query_projector(q)
            logits = torch.stack([query @ encoding.key_projector(g) for g in grid])
            weights = (logits / math.sqrt(DIM)).exp()
            weights = weights / weights.sum()
            attended.append(sum(w * g for w, g in zip(weights, grid, strict=True)))
        context = encoding.context_projector(loop_mean(torch.stack(attended)))
        content = encoding.multi_modal_projector(loop_mean(grid))
        frame = []
        if t in slots:
            event = network.selection.events[entry, slots[t]]
            frame += [encoding.multi_modal_projector(x) for x in (*event, *grid)]
        frame += [context, content]
        tokens += frame
        lengths.append(len(frame))
    return torch.stack(tokens), lengths


def test_video_tokens_equal_the_literal_equations() -> None:
    lengths = [9, 4]
    network = Network(num_prototypes=5, selection_ratio=0.6)
    for module in (network.events, network.spatial, network.encoding):
        module.double()
    text = draw(2, 3, TEXT_DIM, seed=2).double()
    videos = network(draw(13, NUM_PATCHES, DIM).double(), lengths, text)
    for entry, video in enumerate(videos):
        wanted, sizes = loop_video(network, entry, lengths[entry], text[entry])
        torch.testing.assert_close(video.embeds, wanted)
        assert video.lengths.tolist() == sizes


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_tokens_are_counted_for_every_length(preset: str) -> None:
    lengths = list(range(1, 201))
    network = Network(preset, num_spatial_prototypes=(16, 6), num_event_tokens=16)
    settings = network.settings
    num_frames = torch.tensor(lengths)
    mask = torch.arange(200) < num_frames[:, None]
    spatial = network.spatial(draw(200, 25, DIM)).detach()
    pooled = network.events.pool(draw(200, 16, DIM))
    for part in torch.split(torch.arange(200), 50):
        found = network.events.estimate(pooled.expand(50, -1, -1, -1), mask[part])
        counts = [settings.num_cones_for(int(n)) for n in num_frames[part]]
        selection = network.events.select(found, network.events.score(found), counts)
        videos = network.encoding(
            spatial.expand(50, -1, -1, -1), mask[part], selection, draw(50, 2, TEXT_DIM)
        )
        for length, video in zip(num_frames[part].tolist(), videos, strict=True):
            kept = settings.num_cones_for(length)
            rods = 2 * (length if preset == "paper" else length - kept)
            wanted = 40 if length == 1 else 38 * kept + rods
            assert video.embeds.shape == (wanted, HIDDEN)
            assert FocusBudget(settings=settings).num_tokens(length) == wanted
            assert int(video.is_cone.sum()) == kept


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_spans_cover_the_tokens_in_time_order(preset: str) -> None:
    lengths = [12, 1, 7]
    network = Network(preset, num_prototypes=6)
    times = torch.arange(12).expand(3, -1) * 0.5
    videos = network(
        draw(20, NUM_PATCHES, DIM), lengths, draw(3, 2, TEXT_DIM), pts_seconds=times
    )
    for entry, video in enumerate(videos):
        position = 0
        for index, span in enumerate(video.spans):
            assert (span.frame, span.time, span.start) == (index, index / 2, position)
            is_cone = bool(network.selection.cone_mask[entry, index])
            assert span.kind == ("cone" if is_cone else "rod")
            position += span.length
        assert position == video.embeds.shape[0]
        wanted = network.selection.frame_scores[entry, : lengths[entry]]
        assert torch.equal(video.scores, wanted)


def test_official_frames_are_cones_or_content_before_context() -> None:
    network = Network("official", num_prototypes=4)
    text = draw(1, 3, TEXT_DIM)
    (video,) = network(draw(9, NUM_PATCHES, DIM), [9], text)
    encoding = network.encoding
    context = encoding.context_projector(encoding.attend(network.grid, text, None))
    content = encoding.multi_modal_projector(network.grid.mean(2))
    slot = 0
    for span in video.spans:
        tokens = video.embeds[span.start : span.start + span.length]
        grid = network.grid[0, span.frame]
        if span.kind == "rod":
            wanted = torch.stack([content[0, span.frame], context[0, span.frame]])
        else:
            cone = torch.cat([network.selection.events[0, slot], grid])
            wanted = encoding.multi_modal_projector(cone)
            slot += 1
        torch.testing.assert_close(tokens, wanted)
    assert slot == 2


def test_an_official_image_has_its_rods_first() -> None:
    network = Network("official")
    text = draw(1, 3, TEXT_DIM)
    (video,) = network(draw(1, NUM_PATCHES, DIM), [1], text)
    grid = network.grid[0, 0]
    cone = torch.cat([network.selection.events[0, 0], grid])
    projector = network.encoding.multi_modal_projector
    torch.testing.assert_close(video.embeds[0], projector(grid.mean(0)))
    torch.testing.assert_close(video.embeds[2:], projector(cone))


def test_cones_of_every_frame_leave_no_rods() -> None:
    network = Network(cones_with_rods=False, selection_ratio=1.0)
    (video,) = network(draw(3, NUM_PATCHES, DIM), [3], draw(1, 2, TEXT_DIM))
    assert video.lengths.tolist() == [11, 11, 11]
    assert FocusBudget(settings=network.settings).num_tokens(3) == 33


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_a_batch_equals_its_videos(preset: str) -> None:
    lengths = [11, 1, 6]
    network = Network(preset, num_prototypes=5)
    patches, text = draw(18, NUM_PATCHES, DIM), draw(3, 4, TEXT_DIM)
    text_mask = torch.arange(4) < torch.tensor([[4], [1], [3]])
    videos = network(patches, lengths, text, text_mask=text_mask)
    for entry, part in enumerate(torch.split(patches, lengths)):
        own = text[entry : entry + 1, : int(text_mask[entry].sum())]
        (alone,) = network(part, [lengths[entry]], own)
        torch.testing.assert_close(videos[entry].embeds, alone.embeds)
        assert torch.equal(videos[entry].is_cone, alone.is_cone)


def test_padded_text_has_no_influence() -> None:
    network = Network()
    patches, text = draw(6, NUM_PATCHES, DIM), draw(1, 2, TEXT_DIM)
    padded = torch.cat([text, torch.full((1, 3, TEXT_DIM), torch.nan)], dim=1)
    text_mask = torch.tensor([[1, 1, 0, 0, 0]])
    (plain,) = network(patches, [6], text)
    (masked,) = network(patches, [6], padded, text_mask=text_mask)
    torch.testing.assert_close(plain.embeds, masked.embeds)


def test_text_of_each_frame_equals_shared_text_when_it_repeats() -> None:
    network = Network()
    patches, text = draw(6, NUM_PATCHES, DIM), draw(1, 4, TEXT_DIM)
    (shared,) = network(patches, [6], text)
    (framed,) = network(patches, [6], text[:, None].expand(-1, 6, -1, -1))
    torch.testing.assert_close(shared.embeds, framed.embeds)


def test_other_numbers_of_cones_match_the_count() -> None:
    network = Network()
    text = draw(2, 2, TEXT_DIM)
    videos = network(draw(14, NUM_PATCHES, DIM), [9, 5], text, num_cones=[2, 1])
    sizes = [video.embeds.shape[0] for video in videos]
    counts = zip([9, 5], [2, 1], strict=True)
    assert sizes == [
        FocusBudget(settings=network.settings).num_tokens(t, k) for t, k in counts
    ]


def test_inference_is_deterministic() -> None:
    runs = []
    for _ in range(2):
        network = Network()
        runs.append(network(draw(20, NUM_PATCHES, DIM), [20], draw(1, 2, TEXT_DIM))[0])
    assert torch.equal(runs[0].embeds, runs[1].embeds)


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_gradients_reach_every_parameter(preset: str) -> None:
    network = Network(preset, num_prototypes=5)
    network.events.train()
    times = torch.arange(9)[None] * 700.0
    text = draw(1, 3, TEXT_DIM)
    (video,) = network(draw(9, NUM_PATCHES, DIM), [9], text, pts_seconds=times)
    (video.embeds * torch.randn_like(video.embeds)).sum().backward()  # type: ignore[no-untyped-call]
    silent = ("key_projector.bias", "out_conv.4.bias", "layers.4.bias")
    for module in (network.events, network.spatial, network.encoding):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            if not name.endswith(silent):  # shifts that softmax and min-max cancel
                assert parameter.grad.any(), name


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        module = CooperativeEncoding(1408, 768, 4096)
    parts = (
        module.multi_modal_projector,
        module.key_projector,
        module.context_projector,
    )
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert round(count / 1e6, 2) == 30.31
    assert [name for name, _ in SpatialPrototypes().named_parameters()] == []


@pytest.mark.parametrize("per_frame", [False, True])
def test_attention_equals_the_literal_loop(per_frame: bool) -> None:
    network = Network()
    encoding = network.encoding
    grid = draw(1, 2, 7, DIM)
    text = draw(1, 2, 3, TEXT_DIM) if per_frame else draw(1, 3, TEXT_DIM)
    mask = None if per_frame else torch.tensor([[True, True, False]])
    attention = encoding.attention(grid, text, mask)
    for frame in range(2):
        words = text[0, frame] if per_frame else text[0, :2]
        wanted = torch.zeros(7)
        for word in words:
            query = encoding.query_projector(word)
            keys = [encoding.key_projector(one) for one in grid[0, frame]]
            logits = torch.stack([query @ key / math.sqrt(DIM) for key in keys])
            wanted += logits.softmax(0) / len(words)
        torch.testing.assert_close(attention[0, frame], wanted)
    torch.testing.assert_close(attention.sum(2), torch.ones(1, 2))


def test_unknown_times_are_not_a_number() -> None:
    (video,) = Network()(draw(2, NUM_PATCHES, DIM), [2], draw(1, 2, TEXT_DIM))
    assert video.pts_seconds.isnan().all()
