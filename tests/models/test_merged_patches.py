"""Maps of spatial prototypes: the frames that were asked about, and what they merged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.focus import FocusSettings, SpatialPrototypes
from dynfocus.models.dynfocus.merged_patches import assign_patches
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.video_model import VideoModel
from dynfocus.video import SampledFrames, VideoReader

QUESTION = "what is on the red square ?"
SIDE, SIZES = 4, (4, 2)


def ask(focused: VideoModel, video):
    return focused.ask(video, QUESTION, max_new_tokens=1)


def test_the_best_cones_are_mapped_in_time_order(focused, clip):
    answer = ask(focused, clip)
    cones = [frame for frame in answer.frames if frame.kind == "cone"]
    best = sorted(cones, key=lambda frame: -frame.score)[:2]
    maps = focused.map_prototypes(clip, answer, num_frames=2)
    assert [m.time for m in maps] == sorted(frame.time for frame in best)
    reader = VideoReader(clip)
    for found in maps:
        assert found.picture.shape == (*reader.size, 3)
        assert [layer.shape for layer in found.layers] == [(SIDE, SIDE)] * len(SIZES)
        assert set(found.layers[0].flat) == {0, 1, 2, 3}
        assert set(found.layers[1].flat) == {4, 5}
        assert found.attention.shape == (sum(SIZES),)
        assert found.attention.sum() == pytest.approx(1)


def test_the_frames_read_again_are_those_that_were_encoded(focused, clip, monkeypatch):
    index = focused.index(clip)
    answer = ask(focused, index)
    seen = []
    attention = focused.model.focus_network.cooperative_encoding.attention

    def spy(spatial, *arguments):
        seen.append(spatial)
        return attention(spatial, *arguments)

    monkeypatch.setattr(
        focused.model.focus_network.cooperative_encoding, "attention", spy
    )
    for video in (index, clip, str(clip)):
        maps = focused.map_prototypes(video, answer)
        assert len(maps) == 3
        times = index.features.pts_seconds.tolist()
        rows = [times.index(found.time) for found in maps]
        torch.testing.assert_close(seen[-1][0], index.features.spatial[rows])


def test_attention_is_what_the_rods_are_made_of(focused, clip):
    index = focused.index(clip)
    answer = ask(focused, index)
    (found,) = focused.map_prototypes(clip, answer, num_frames=1)
    row = index.features.pts_seconds.tolist().index(found.time)
    spatial = index.features.spatial[row]
    ids = focused.processor.tokenizer(QUESTION, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        text = focused.model.encode_question(ids, torch.ones_like(ids))
        wanted = focused.model.focus_network.cooperative_encoding.attend(
            spatial[None, None], text, None
        )
    weights = torch.from_numpy(found.attention).float()
    torch.testing.assert_close(weights @ spatial, wanted[0, 0])


def test_a_model_whose_frames_answer_the_question_is_mapped(
    make_model, make_processor, clip
):
    model = make_model(text_side="frame_queries")
    focused = VideoModel(FeatureBackbone(model, make_processor(), "tiny"))
    maps = focused.map_prototypes(clip, ask(focused, clip))
    assert len(maps) == 3
    assert all(found.attention.sum() == pytest.approx(1) for found in maps)


def test_frames_without_a_file_are_given_again(focused, make_frames):
    frames = SampledFrames(make_frames(5), np.arange(5) / 2)
    answer = ask(focused, frames)
    (found,) = focused.map_prototypes(frames, answer, num_frames=1)
    assert np.array_equal(found.picture, frames.frames[round(2 * found.time)])
    for video in (focused.index(frames), focused.index(frames).features):
        with pytest.raises(ValueError, match="without a file; give the frames"):
            focused.map_prototypes(video, answer)


def test_no_frame_at_all_is_refused(focused, clip):
    with pytest.raises(ValueError, match="num_frames must be .* got 0"):
        focused.map_prototypes(clip, ask(focused, clip), num_frames=0)


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("clustering", ["dpc", "kmeans"])
@pytest.mark.parametrize("sizes", [(9,), (5, 2), (6, 4, 3)])
def test_assignments_name_the_tokens_that_hold_each_patch(
    preset: str, clustering: str, sizes: tuple[int, ...]
) -> None:
    """A token has a gradient at the patches that it merged and at no other."""
    settings = getattr(FocusSettings, preset)(
        num_spatial_prototypes=sizes,
        num_spatial_neighbors=(3,) * len(sizes),
        spatial_clustering=clustering,
        spatial_merge="uniform",
    )
    module = SpatialPrototypes(**settings.spatial_arguments)
    if module.gate is not None:  # else every token depends on every patch
        torch.nn.init.zeros_(module.gate.weight)
    patches = torch.randn(3, 9, 6).requires_grad_()
    assignments = assign_patches(module, patches)
    assert assignments.shape == (3, len(sizes), 9)
    tokens = module(patches)
    for row in range(sum(sizes)):
        (gradient,) = torch.autograd.grad(
            tokens[:, row].sum(), patches, retain_graph=True
        )
        merged = (assignments == row).any(1)  # [F, N]
        assert torch.equal(gradient.abs().sum(2) > 0, merged)
        assert merged.any(1).all()


def test_the_mean_of_the_assigned_patches_is_the_token() -> None:
    settings = FocusSettings(
        num_spatial_prototypes=(5, 2),
        num_spatial_neighbors=(3, 2),
        spatial_merge="uniform",
    )
    patches = torch.randn(2, 9, 6)
    module = SpatialPrototypes(**settings.spatial_arguments)
    first = assign_patches(module, patches)[:, 0]
    tokens = module(patches)
    for frame in range(2):
        for row in range(5):
            members = patches[frame][first[frame] == row]
            torch.testing.assert_close(tokens[frame, row], members.mean(0))
