"""Where the user stands: a model with a tower method is saved, loaded, indexed, asked."""

from __future__ import annotations

import pytest
import torch

import dynfocus
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.fingerprint import ModelFingerprint
from dynfocus.models.video_model import VideoModel

QUESTION = "what is on the red square ?"
CASES = {
    "grt": ("dynfocus", {}),
    "prompt_switch": ("uniform_patches", {"num_prompts": 4}),
    "residual_vit": ("dynfocus", {}),
    "tempme": ("longvu", {"joins": [2]}),
    "video_panda": ("uniform_patches", {}),
}
PATCHES = {"video_panda": 1 + 2 * 3}


@pytest.fixture
def build(make_model, make_processor):
    def make(method, connector=None):
        own, options = CASES[method]
        model = make_model(
            connector=connector or own, tower_method=method, tower_options=options
        )
        return model, make_processor(connector=model.config.connector_facts)

    return make


@pytest.mark.parametrize("method", CASES)
def test_it_is_saved_loaded_indexed_and_asked(build, method, clip, tmp_path):
    model, processor = build(method)
    asked = VideoModel(FeatureBackbone(model, processor, "tiny"))
    expected = asked.ask(clip, QUESTION, max_new_tokens=4)
    assert model.config.num_patches == PATCHES.get(method, 16)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    folder = tmp_path / "index"
    loaded = dynfocus.load(tmp_path / "saved", device="cpu", index_folder=folder)
    for _ in range(2):
        index = loaded.index(clip)
        answer = loaded.ask(index, QUESTION, max_new_tokens=4)
        assert answer.text == expected.text
        assert answer.frames == expected.frames
    assert index.is_from_disk


def test_what_another_method_encoded_is_not_taken_from_the_index(build, make_model):
    names = set()
    for method, options in (("grt", {}), ("grt", {"refresh": 4}), (None, {})):
        model = make_model(tower_method=method, tower_options=options)
        names.add(ModelFingerprint(model, build("grt")[1])())
    assert len(names) == 3


@pytest.mark.parametrize("method", CASES)
def test_videos_of_a_batch_do_not_see_each_other(build, method, make_frames, prompt):
    model, processor = build(method)
    videos = [make_frames(5), make_frames(3, 1)]
    with torch.no_grad():
        both = model(**processor(text=[prompt] * 2, videos=videos)).video_tokens
        for video, tokens in zip(videos, both, strict=True):
            alone = model(**processor(text=prompt, videos=[video])).video_tokens[0]
            torch.testing.assert_close(tokens.embeds, alone.embeds)


def test_what_cannot_be_is_refused(build, make_model, clip):
    with pytest.raises(ValueError, match="tower_method must be one of grt"):
        make_model(tower_method="nobody")
    with pytest.raises(ValueError, match="needs text_side 'text', got 'frame_queries'"):
        DynFocusConfig(tower_method="grt", text_side="frame_queries")
    with pytest.raises(ValueError, match="num_patches must be a square number, got 7"):
        build("video_panda", connector="pllava")
    model, processor = build("grt")
    asked = VideoModel(FeatureBackbone(model, processor, "tiny"))
    answer = asked.ask(clip, QUESTION, max_new_tokens=2)
    with pytest.raises(ValueError, match="tower method 'grt' reads frames together"):
        asked.map_prototypes(clip, answer)


def test_a_plain_tower_needs_no_square_frames_but_a_method_does():
    vision = {
        "model_type": "clip_vision_model",
        "image_size": 28,
        "patch_size": [7, 14],
    }
    assert DynFocusConfig(vision_config=vision).num_patches == 8
    with pytest.raises(ValueError, match="needs square frames and patches"):
        DynFocusConfig(vision_config=vision, tower_method="grt").num_patches  # noqa: B018
