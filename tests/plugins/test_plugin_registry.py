"""Families are found by model_type; what does not fit is refused in a sentence."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_hosts import BUILDERS, build_tokenizer

from dynfocus.plugins import families, plug
from fake_package import install


def test_every_family_of_the_package_is_there():
    assert sorted(families()) == sorted(BUILDERS)
    for family in families().values():
        assert family.__doc__


def test_an_unknown_model_type_names_the_known_ones(hosts):
    host = hosts("llava_onevision")
    model = SimpleNamespace(config=SimpleNamespace(model_type="blip_9"))
    with pytest.raises(
        ValueError, match="'blip_9' are not supported; .*internvl, .*add"
    ):
        plug(model, host.processor)
    with pytest.raises(ValueError, match="type None are not supported"):
        plug(object(), host.processor)


def test_a_processor_of_another_model_is_refused(hosts):
    ours, theirs = hosts("llava_onevision"), hosts("llava_next_video")
    numbers = {"size": {"height": 32, "width": 32}}
    with pytest.raises(ValueError, match="frames of 32 x 32 pixels, .* reads 28 x 28"):
        plug(ours.model, replace(ours.processor, numbers=numbers))
    numbers = {"crop_size": {"height": 28, "width": 28}}
    with pytest.raises(ValueError, match="frames of 28 x 28 pixels, .* reads 32 x 32"):
        plug(theirs.model, replace(theirs.processor, numbers=numbers))
    qwen = hosts("qwen2_5_vl")
    with pytest.raises(ValueError, match="patch_size 14, the model 4; load both"):
        plug(qwen.model, replace(qwen.processor, numbers={}))
    with pytest.raises(
        ValueError, match="no tokenizer with a video or image processor"
    ):
        plug(ours.model, object())


def test_a_tokenizer_of_another_model_is_refused(hosts):
    host = hosts("llava_onevision")
    larger = build_tokenizer()
    larger.add_tokens(["more"])
    with pytest.raises(
        ValueError, match=r"processor has \d+ tokens, the model only \d+"
    ):
        plug(host.model, replace(host.processor, tokenizer=larger))

    class Words:
        def __len__(self) -> int:
            return 5

    smaller = Words()
    with pytest.raises(ValueError, match="for a video is not one of the 5 of the proc"):
        plug(host.model, replace(host.processor, tokenizer=smaller))


def test_a_prompt_without_a_template_or_a_video_is_refused(hosts):
    host = hosts("llava_onevision")
    bare = plug(host.model, replace(host.processor, chat_template=None))
    frames = np.zeros((2, 28, 28, 3), np.uint8)
    with pytest.raises(ValueError, match="no chat template"):
        bare.ask(frames, "what ?")
    silent = plug(host.model, replace(host.processor, chat_template="no video"))
    with pytest.raises(ValueError, match="name 1 video, as <video>, but names 0;"):
        silent.ask(frames, "what ?")


def test_other_packages_bring_families_through_an_entry_point(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="brings_a_family",
        source=(
            "from dynfocus.plugins.families.llava import LlavaOnevision\n"
            "class Mine(LlavaOnevision):\n"
            "    model_types = ('mine',)\n"
        ),
        entry_points="[dynfocus.families]\nany = brings_a_family:Mine\n",
    )
    assert families()["mine"].__name__ == "Mine"


def test_an_entry_point_that_is_no_family_is_refused(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="brings_no_family",
        source="",
        entry_points="[dynfocus.families]\nodd = collections:OrderedDict\n",
    )
    with pytest.raises(ValueError, match="odd in dynfocus.families is no subclass"):
        families()
