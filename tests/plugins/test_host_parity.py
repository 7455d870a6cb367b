"""Prompts and pixels are those of transformers' own processors, where these can run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_hosts import BUILDERS

from dynfocus.plugins import plug
from dynfocus.plugins.host_pixels import cut_patches, to_pixels
from dynfocus.plugins.host_prompts import lay_out

pytest.importorskip("torchvision", reason="transformers' video processors need it")

QUESTION = "what is on the red square ?"
CLASSES = {
    "internvl": (
        "InternVLProcessor",
        "GotOcr2ImageProcessor",
        "InternVLVideoProcessor",
    ),
    "llava_next_video": (
        "LlavaNextVideoProcessor",
        "LlavaNextImageProcessor",
        "LlavaNextVideoVideoProcessor",
    ),
    "llava_onevision": (
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessor",
        "LlavaOnevisionVideoProcessor",
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLProcessor",
        "Qwen2VLImageProcessor",
        "Qwen2VLVideoProcessor",
    ),
    "qwen3_vl": ("Qwen3VLProcessor", "Qwen2VLImageProcessor", "Qwen3VLVideoProcessor"),
    "smolvlm": ("SmolVLMProcessor", "SmolVLMImageProcessor", "SmolVLMVideoProcessor"),
    "video_llava": (
        "VideoLlavaProcessor",
        "VideoLlavaImageProcessor",
        "VideoLlavaVideoProcessor",
    ),
}
OWN: dict[str, dict[str, Any]] = {
    "internvl": {"image_seq_length": 16},
    "llava_next_video": {"patch_size": 4, "vision_feature_select_strategy": "default"},
    "llava_onevision": {
        "num_image_tokens": 49,
        "vision_feature_select_strategy": "full",
    },
    "smolvlm": {"image_seq_len": 16},
    "video_llava": {"patch_size": 7},
}


def build_processor(host: Any, name: str) -> Any:
    whole, image, video = (getattr(transformers, kind) for kind in CLASSES[name])
    numbers = dict(host.processor.numbers)
    return whole(
        image_processor=image(),
        tokenizer=host.processor.tokenizer,
        video_processor=video(**numbers),
        chat_template=host.processor.chat_template,
        **OWN.get(name, {}),
    )


@pytest.mark.parametrize("name", sorted(BUILDERS))
@pytest.mark.parametrize("count", [5, 6])
def test_prompt_and_pixels_are_the_processors(hosts, make_frames, name, count):
    host = hosts(name)
    processor = build_processor(host, name)
    focused = plug(host.model, processor, method="none")
    frames = make_frames(count)
    metadata = [{"fps": 1.0, "duration": float(count), "total_num_frames": count}]
    metadata[0]["frames_indices"] = list(range(count))
    video = focused.index(frames).features
    turn = {"role": "user", "content": [{"type": "video"}]}
    turn["content"].append({"type": "text", "text": QUESTION})
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    wanted = processor(
        text=[text],
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        video_metadata=metadata,
        do_sample_frames=False,
        return_tensors="pt",
    )
    assert torch.equal(
        lay_out(focused.backbone.family, [video], QUESTION), wanted["input_ids"]
    )
    plan = focused.backbone.family.plan_frames(frames.shape[1:3], count)
    pixels = to_pixels(frames, plan.pixels)
    if name.startswith("qwen"):
        pixels, grid = cut_patches(pixels, focused.processor.numbers)
        assert torch.equal(grid, wanted["video_grid_thw"])
    key = "pixel_values" if name in ("internvl", "smolvlm") else "pixel_values_videos"
    torch.testing.assert_close(pixels, wanted[key].view_as(pixels))
    file_based = plug(host.model, host.processor, method="none")
    if name != "smolvlm":  # whose processor replaces the template
        ids = lay_out(file_based.backbone.family, [video], QUESTION)
        assert torch.equal(ids, wanted["input_ids"])


@pytest.mark.parametrize("own", [(40, 56), (720, 1280), (31, 200), (13, 9)])
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_sizes_of_true_hosts_are_the_processors(hosts, name, own):
    host = hosts(name)
    video_processor = getattr(transformers, CLASSES[name][2])()
    family = type(focused_family(host))
    numbers = dict(family.numbers)
    frames = np.random.default_rng(0).integers(0, 256, (4, *own, 3), dtype=np.uint8)
    wanted = video_processor(
        [torch.from_numpy(frames).permute(0, 3, 1, 2)],
        do_sample_frames=False,
        return_tensors="pt",
        **({} if name.startswith("qwen") else numbers),
    )
    bare = family(host.model, replace(host.processor, numbers={}))
    plan = bare.plan_frames(own, 4)
    pixels = to_pixels(frames, plan.pixels)
    if name.startswith("qwen"):
        pixels, grid = cut_patches(pixels, bare.processor.numbers)
        assert torch.equal(grid, wanted["video_grid_thw"])
    key = "pixel_values" if name == "smolvlm" else "pixel_values_videos"
    torch.testing.assert_close(pixels, wanted[key].view_as(pixels))


def focused_family(host: Any) -> Any:
    return plug(host.model, host.processor).backbone.family
