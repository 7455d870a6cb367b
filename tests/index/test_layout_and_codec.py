"""Sizes that are told before a video is read, and what compact storage loses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dynfocus.focus import EventBatch, FocusSettings, VideoFeatures
from dynfocus.focus.spatial import SpatialPrototypes
from dynfocus.index import (
    EntryFacts,
    EntryKey,
    IndexLayout,
    IndexStore,
    Sampling,
    pack_features,
    unpack_features,
)

HOUR = 3600
FULL_WIDTH = 1408


def encode(layout: IndexLayout, num_frames: int, num_patches: int = 49, seed: int = 0):
    """Make the features that a model of this layout would give random patches."""
    settings, generator = layout.settings, torch.Generator().manual_seed(seed)
    patches = torch.randn(num_frames, num_patches, layout.dim, generator=generator)
    patches[..., 0] *= 50  # vision towers have such channels
    L = settings.num_prototypes_for(num_frames)
    P, N = settings.num_event_tokens, layout.num_patch_tokens
    return VideoFeatures(
        pooled=patches[:, :P].to(layout.dtype),
        spatial=SpatialPrototypes(**settings.spatial_arguments)(
            patches.to(layout.dtype)
        ).detach(),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64),
        patches=patches[:, :N].to(layout.dtype) if N else None,
        prototypes=EventBatch(
            features=patches[None, :L, :P].to(layout.dtype),
            frames=torch.arange(L)[None],
            mask=torch.ones(1, L, dtype=torch.bool),
            assignment=torch.arange(num_frames)[None] % L,
        ),
    )


def written_bytes(folder, layout, features) -> int:
    """Write an entry and give the size of its file."""
    store = IndexStore(folder)
    key = EntryKey(
        content="c", model="m", sampling=Sampling(fps=1.0), layout=layout.name
    )
    num_frames = features.num_frames
    facts = EntryFacts(
        num_frames=num_frames,
        source="clip.mp4",
        duration=1.0,
        picture_size=(8, 8),
        model_name="m",
    )
    tensors = pack_features(features, layout)
    slots = torch.zeros(num_frames, 3072, dtype=torch.uint8)
    path = store.write(key, facts, tensors | {"pictures": slots})
    assert store.open(key, layout) is not None
    return path.stat().st_size


NANO = FocusSettings(
    num_event_tokens=4,
    num_prototypes=32,
    num_spatial_prototypes=(4, 2),
    num_spatial_neighbors=(4, 2),
    num_temporal_neighbors=3,
)
LAYOUTS = {
    "nano": IndexLayout(settings=NANO, dim=160),
    "nano with patches": IndexLayout(settings=NANO, dim=160, num_patch_tokens=26),
    "full width": IndexLayout(settings=FocusSettings.paper(), dim=FULL_WIDTH),
    "full width, half precision": IndexLayout(
        settings=FocusSettings.paper(), dim=FULL_WIDTH, dtype=torch.bfloat16
    ),
    "published code": IndexLayout(settings=FocusSettings.official(), dim=96),
}


@pytest.mark.parametrize("storage", ["exact", "compact"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_size_is_the_one_that_was_told(tmp_path, name, storage):
    (layout,) = LAYOUTS[name].offered(storage)
    size = written_bytes(tmp_path, layout, encode(layout, 40))
    assert 0 < size - layout.num_bytes(40) <= 8192


def test_sizes_grow_by_the_same_for_every_frame():
    for model in LAYOUTS.values():
        for layout in (*model.offered(), replace(model, storage="patches")):
            sizes = [layout.num_bytes(t) for t in (100, 101, 3600, 3601)]
            assert sizes[1] - sizes[0] == sizes[3] - sizes[2]


def test_an_hour_takes_at_most_100_megabytes_by_default():
    for dtype in (torch.float32, torch.bfloat16):
        full = IndexLayout(settings=FocusSettings.paper(), dim=FULL_WIDTH, dtype=dtype)
        best, other = full.offered()
        assert (best.storage, other.storage) == ("compact", "exact")
        assert best.num_bytes(HOUR) <= 100e6
    best, other = LAYOUTS["nano"].offered()
    assert (best.storage, other.storage) == ("exact", "compact")
    assert best.num_bytes(HOUR) <= 100e6


def test_the_choice_of_storage_depends_on_no_precision():
    single = IndexLayout(settings=NANO, dim=400)
    half = IndexLayout(settings=NANO, dim=400, dtype=torch.float16)
    assert half.num_bytes(HOUR) <= 100e6
    assert single.num_bytes(HOUR) <= 100e6
    wider = IndexLayout(settings=NANO, dim=700, dtype=torch.float16)
    assert wider.num_bytes(HOUR) <= 100e6
    assert wider.offered()[0].storage == "compact"


@pytest.mark.parametrize("name", LAYOUTS)
def test_exact_storage_keeps_every_bit(name):
    layout = LAYOUTS[name]
    features = encode(layout, 30)
    again = unpack_features(pack_features(features, layout), layout)
    for part in ("pooled", "spatial", "pts_seconds", "patches"):
        before, after = getattr(features, part), getattr(again, part)
        assert (before is None and after is None) or torch.equal(before, after)
    assert torch.equal(again.prototypes.features, features.prototypes.features)


def test_compact_storage_loses_no_more_than_it_says():
    layout = IndexLayout(storage="compact", settings=FocusSettings.paper(), dim=64)
    features = encode(layout, 70)
    tensors = pack_features(features, layout)
    again = unpack_features(tensors, layout)
    assert again.pooled is None
    assert torch.equal(again.pts_seconds, features.pts_seconds)
    assert torch.equal(again.prototypes.features, features.prototypes.features)
    scales, channels = tensors["spatial_scales"], tensors["spatial_channels"]
    bound = 0.5 * scales[..., None] * channels  # [T, 16, D]
    error = (again.spatial - features.spatial).abs()
    assert (error[:, :16] <= bound * 1.001 + 1e-6).all()
    assert (error[:, 16:] <= bound.amax(1, keepdim=True) * 1.001 + 1e-5).all()
    usual = features.spatial[..., 1:].abs().mean()  # beside the large channel
    assert error[..., 1:].mean() < 0.01 * usual


@pytest.mark.parametrize("clustering", ["dpc", "kmeans", "weighted_kmeans"])
@pytest.mark.parametrize("merge", ["uniform", "importance", "exponential"])
def test_further_layers_are_rebuilt_for_every_clustering(clustering, merge):
    settings = FocusSettings(
        num_event_tokens=4,
        num_spatial_prototypes=(8, 4, 2),
        num_spatial_neighbors=(3, 2, 2),
        spatial_clustering=clustering,
        spatial_merge=merge,
    )
    layout = IndexLayout(storage="compact", settings=settings, dim=16)
    features = encode(layout, 9)
    tensors = pack_features(features, layout)
    again = unpack_features(tensors, layout)
    assert again.spatial.shape == (9, 14, 16)
    scale = tensors["spatial_scales"].max() * tensors["spatial_channels"]
    assert ((again.spatial - features.spatial).abs() <= 0.51 * scale + 1e-5).all()


def test_frames_of_a_compact_index_cannot_be_thinned():
    (layout,) = LAYOUTS["nano"].offered("compact")
    again = unpack_features(pack_features(encode(layout, 9), layout), layout)
    with pytest.raises(ValueError, match="2 of 9 frames cannot be taken: .* compact"):
        again.take(torch.tensor([0, 4]))


def test_numbers_that_are_not_finite_are_not_hidden():
    (layout,) = LAYOUTS["nano"].offered("compact")
    features = encode(layout, 9)
    features.spatial[3, 0, 5] = math.nan
    with pytest.raises(ValueError, match="not finite.*dtype bfloat16"):
        pack_features(features, layout)


def test_an_unknown_storage_is_refused():
    with pytest.raises(ValueError, match="must be 'exact' or 'compact', got 'small'"):
        LAYOUTS["nano"].offered("small")


def test_patches_alone_need_no_settings():
    layout = IndexLayout(
        storage="patches", dim=8, num_patch_tokens=16, dtype=torch.float16
    )
    assert set(layout.tensors(5)) == {"pts_seconds", "pictures", "patches"}
    assert layout.tensors(5)["patches"] == (torch.float16, (5, 16, 8))
    bare = replace(layout, has_pictures=False)
    assert set(bare.tensors(5)) == {"pts_seconds", "patches"}


def test_layouts_have_names_of_their_own():
    every = [each for model in LAYOUTS.values() for each in model.offered()]
    every += [replace(layout, has_pictures=False) for layout in every]
    assert len({layout.name for layout in every}) == len(every)
    assert LAYOUTS["nano"].name.startswith("exact-")
