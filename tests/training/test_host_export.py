"""A trained connector of the usual kind becomes a model that transformers knows."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForImageTextToText

import dynfocus
from dynfocus.conversion.exporting import save_host
from dynfocus.models.conversation import Turn
from dynfocus.models.loading import load_parts
from dynfocus.plugins import HostProcessor, plug
from dynfocus.plugins.host_prompts import lay_out
from dynfocus.training import run_recipe
from dynfocus.training.stages import HOST, MODEL
from dynfocus.world.conversations import WorldAddress, render_address

ADDRESS = WorldAddress(split="validation", seed=3, seconds=6.0)
QUESTION = "What letter is on the red square?"


@pytest.fixture
def start(make_tiny, tmp_path):
    model, processor = make_tiny()
    processor.question_first = True
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def output(start, write_recipe, tmp_path):
    path = write_recipe(
        task="stage2",
        start={"model": str(start)},
        model={"connector": "llava_onevision"},
        data={
            "cache": str(tmp_path / "patches"),
            "sources": [
                {"world_videos": {"num_videos": 2, "seconds": [5, 8]}},
            ],
        },
    )
    return run_recipe(path)


@pytest.fixture
def plugged(output):
    folder = output / HOST
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = HostProcessor.from_pretrained(folder)
    return plug(model, processor, method="none", max_video_tokens=10_000)


def test_the_folder_is_a_llava_onevision(output):
    fields = json.loads((output / HOST / "config.json").read_text())
    assert fields["architectures"] == ["LlavaOnevisionForConditionalGeneration"]
    assert fields["vision_config"]["model_type"] == "siglip_vision_model"
    assert fields["text_config"]["model_type"] == "llama"


def test_it_reads_the_tokens_and_writes_the_answers_of_training(output, plugged):
    model = dynfocus.load(output / MODEL, device="cpu", index_folder=False)
    video = render_address(ADDRESS, 1.0)
    own_answer = model.ask(video, QUESTION, max_new_tokens=24)
    raw = model.index(video).features
    (read,) = model.model.focus_network([raw], torch.zeros(1, 1, 16))
    index = plugged.index(video, fps=1.0)
    encoded = index.features
    own = torch.cat([encoded.tokens.flatten(0, 1), encoded.tail])
    # the class token, which SigLIP has not, moves features a little
    assert torch.nn.functional.cosine_similarity(own, read.embeds).min() > 0.97
    assert plugged.ask([index], QUESTION, max_new_tokens=24).text == own_answer.text


def test_its_chat_template_writes_the_prompt_of_training(start, plugged):
    processor = load_parts(start, device="cpu")[1]
    index = plugged.index(render_address(ADDRESS, 1.0), fps=1.0).features
    tokenizer = processor.tokenizer

    def words(text):
        return tokenizer.encode(text, add_special_tokens=False)

    expected = [
        tokenizer.bos_token_id,
        *words("USER: "),
        *processor.lead_in(QUESTION),
        *[processor.video_token_id] * index.num_tokens,
        *words(f"\n{QUESTION} ASSISTANT:"),
    ]
    assert lay_out(plugged.backbone.family, [index], QUESTION)[0].tolist() == expected


def test_later_turns_are_written_after_the_first(plugged):
    index = plugged.index(render_address(ADDRESS, 1.0), fps=1.0).features
    turns = [Turn("Does a red square appear?", "yes")]
    ids = lay_out(plugged.backbone.family, [index], QUESTION, turns)[0]
    text = plugged.processor.tokenizer.decode(ids)
    assert "\nDoes a red square appear? ASSISTANT: yes</s>USER: What" in text
    assert text.endswith(f"USER: {QUESTION} ASSISTANT:")


def test_another_connector_is_refused(start, tmp_path):
    model, processor = load_parts(start, device="cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="only connector 'llava_onevision'"):
        save_host(model, processor, tmp_path / "host")
