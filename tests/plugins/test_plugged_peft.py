"""Hosts with adapters: what peft has wrapped is plugged with its adapters on."""

from __future__ import annotations

import peft
import pytest
import torch
from tiny_hosts import BUILDERS, build_host

import dynfocus

pytestmark = pytest.mark.filterwarnings(  # peft asks transformers by its former name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
QUESTION = "what is on the red square ?"


def answer(model, processor, frames):
    plugged = dynfocus.plug(model, processor, max_video_tokens=64)
    got = plugged.ask(frames, QUESTION, max_new_tokens=6)
    return got.text, got.frames


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_adapters_are_on(make_frames, name):
    host, frames = build_host(name), make_frames(6)
    bare = answer(host.model, host.processor, frames)
    targets = r".*(language_model|text_model).*\.(q_proj|v_proj|down_proj)"
    config = peft.LoraConfig(target_modules=targets, r=4, lora_alpha=64)
    wrapped = peft.get_peft_model(host.model, config)
    assert answer(wrapped, host.processor, frames) == bare  # they begin at nothing
    torch.manual_seed(0)
    with torch.no_grad():
        for key, weight in wrapped.named_parameters():
            if "lora_B" in key:
                weight.normal_()
    learned = answer(wrapped, host.processor, frames)
    merged = answer(wrapped.merge_and_unload(), host.processor, frames)
    assert learned == merged
    assert learned[0] != bare[0]


def test_an_adapter_of_the_prompt_is_refused():
    host = build_host("llava_onevision")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = peft.get_peft_model(host.model, config)
    with pytest.raises(ValueError, match="PROMPT_TUNING, which changes the prompt"):
        dynfocus.plug(wrapped, host.processor)
