"""Where the user stands: a model with any connector is saved, loaded, indexed and asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import dynfocus
from dynfocus.focus import FocusSettings, QuestionSettings
from dynfocus.methods.connectors import CONNECTORS, frame_tokens
from dynfocus.models.dynfocus import DynFocusConfig
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.video_model import VideoModel

QUESTION = "what is on the red square ?"
CASES = {
    "apollo": {"clip_tokens": 3},
    "context_bank": {"max_bank": 4},
    "keyframe_ratio": {},
    "langdc": {"max_told": 4},
    "longvu": {"max_tokens": 12},
    "mavors": {"chunk_frames": 4},
    "pllava": {"num_steps": 4},
    "salova": {"max_segments": 4, "segment_tokens": 3, "num_routed": 2},
    "tdc": {"num_queries": 2, "num_segments": 2},
    "videogpt_plus": {"max_frames": 4},
    "b_vllm": {"num_mixtures": 4, "mixture_tokens": 2},
    "flash_vstream": {"num_entries": 3, "num_key_frames": 1},
    "ma_lmm": {"memory_frames": 2, "num_queries": 3},
    "moviechat": {"fragment_frames": 4, "num_queries": 3},
    "pvc": {},
    "quicksviewer": {"frames_per_cube": 2, "cube_tokens": 3},
    "storm": {"temporal_pool": 2},
    "video_streaming": {"clip_frames": 4, "frame_summaries": 1, "num_clips": 1},
    "videoscan": {"max_carriers": 4},
    "chat_univi": {"frames_per_event": 4},
    "dynfocus": {"cone": "patches"},
    "llama_vid": {},
    "llava_onevision": {},
    "uniform_patches": {},
    "video_chatgpt": {"max_frames": 4},
}


@pytest.fixture
def build(make_model, make_processor):
    def make(connector):
        settings = FocusSettings(
            num_event_tokens=4,
            num_prototypes=4,
            num_spatial_prototypes=(4, 2),
            num_spatial_neighbors=(3, 2),
            question=QuestionSettings(use_clock=True),
        )
        options = CASES[connector]
        model = make_model(settings, connector=connector, connector_options=options)
        facts = model.config.connector_facts
        return model, make_processor(settings, connector=facts)

    return make


def test_every_connector_is_asked():
    assert CASES.keys() == CONNECTORS.keys()


@pytest.mark.parametrize("connector", CASES)
def test_it_is_saved_loaded_indexed_and_asked(
    build, connector, clip, tmp_path, monkeypatch
):
    model, processor = build(connector)
    expected = VideoModel(FeatureBackbone(model, processor, "tiny")).ask(
        clip, QUESTION, max_new_tokens=4
    )
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    folder = tmp_path / "index"
    loaded = dynfocus.load(tmp_path / "saved", device="cpu", index_folder=folder)
    index = loaded.index(clip)
    assert not index.is_from_disk
    again = loaded.index(clip)
    assert again.is_from_disk
    monkeypatch.setattr(loaded.model, "encode_frames", None)
    for video in (clip, index, again, index.features):
        answer = loaded.ask(video, QUESTION, max_new_tokens=4)
        assert answer.text == expected.text
        assert answer.frames == expected.frames
    network = loaded.model.focus_network
    most = network.num_tokens(6)
    assert expected.tokens == most or (
        network.budget().varies and expected.tokens < most
    )
    assert sum(frame.tokens for frame in expected.frames) == expected.tokens
    numbers = [frame.index for frame in expected.frames]
    assert numbers == sorted(set(numbers))
    assert [frame.time for frame in expected.frames] == [float(n) for n in numbers]


@pytest.mark.parametrize("connector", CASES)
def test_a_budget_and_a_conversation_work_as_with_any_other(build, connector, clip):
    model, processor = build(connector)
    asked = VideoModel(FeatureBackbone(model, processor, "tiny"))
    index = asked.index(clip)
    whole = asked.ask(index, QUESTION, max_new_tokens=2)
    loose = asked.ask(index, QUESTION, max_new_tokens=2, max_video_tokens=10_000)
    assert loose.frames == whole.frames
    least = model.focus_network.num_tokens(1)
    tight = asked.ask(index, QUESTION, max_new_tokens=2, max_video_tokens=least)
    assert tight.tokens <= least
    session = asked.chat(index)
    session.ask(QUESTION, max_new_tokens=2)
    assert session.ask("where ?", max_new_tokens=2).tokens == whole.tokens
    with pytest.raises(ValueError, match="max_video_tokens must be at least"):
        asked.ask(index, QUESTION, max_video_tokens=least - 1)
    with pytest.raises(ValueError, match="has no spatial prototypes to show"):
        asked.map_prototypes(clip, whole)


def test_the_model_reads_a_batch_as_transformers_does(build, make_frames, prompt):
    model, processor = build("llama_vid")
    inputs = processor(text=[prompt] * 2, videos=[make_frames(5), make_frames(3, 1)])
    with torch.no_grad():
        output = model(**inputs)
        tokens = model.generate(**inputs, max_new_tokens=3, num_beams=2)
    assert [len(block.embeds) for block in output.video_tokens] == [10, 6]
    assert len(tokens) == 2


def test_wrong_connectors_are_refused(make_model):
    with pytest.raises(ValueError, match="connector must be one of apollo"):
        make_model(connector="nobody")
    with pytest.raises(ValueError, match="needs text_side 'text'"):
        DynFocusConfig(connector="llama_vid", text_side="frame_queries")


def test_a_processor_of_another_connector_is_refused(build, make_processor, tmp_path):
    model, processor = build("llama_vid")
    model.save_pretrained(tmp_path)
    make_processor(processor.settings).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match="differ in their focus settings or their conn"
    ):
        dynfocus.load(tmp_path, device="cpu")


class Thrifty(nn.Module):
    """Keep the frames whose first patch is brighter than the one before; say all."""

    varies = True

    def __init__(self, sizes):
        super().__init__()
        self.projector = nn.Linear(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames):
        return 2 * num_frames

    def forward(self, videos, text, text_mask):
        made = []
        for video in videos:
            first = video.spatial[:, 0].sum(1)
            keep = [0, *(i for i in range(1, len(first)) if first[i] > first[i - 1])]
            tokens = self.projector(video.spatial[keep, :1])
            whole = frame_tokens(video.take(torch.tensor(keep)), tokens, fine=False)
            made.append(replace(whole, frame_indices=torch.tensor(keep)))
        return made


@pytest.fixture
def thrifty(build, monkeypatch):
    monkeypatch.setitem(CONNECTORS, "thrifty", lambda sizes, _: Thrifty(sizes))
    monkeypatch.setitem(CASES, "thrifty", {})
    return build("thrifty")


def test_room_that_a_video_does_not_fill_is_not_read(thrifty, make_frames, prompt):
    model, processor = thrifty
    videos = [make_frames(6), make_frames(4, 1)]
    with torch.no_grad():
        inputs = processor(text=[prompt] * 2, videos=videos)
        output = model(**inputs)
        lengths = [len(block.embeds) for block in output.video_tokens]
        assert lengths[0] < 12
        assert lengths[1] < 8
        rows = model.generate(**inputs, max_new_tokens=3, num_beams=2)
        for row, length in enumerate(lengths):  # as if only what is there stood there
            alone = processor(text=prompt, videos=videos[row])
            ids = alone["input_ids"]
            spare = (ids == processor.video_token_id).nonzero()[length:, 1]
            kept = torch.ones_like(ids[0], dtype=torch.bool)
            kept[spare] = False
            embeds = model.place(ids[:, kept], [output.video_tokens[row]])
            short = model(inputs_embeds=embeds)
            torch.testing.assert_close(
                output.logits[row, -1], short.logits[0, -1], rtol=1e-4, atol=1e-5
            )
            words = model.generate(inputs_embeds=embeds, max_new_tokens=3, num_beams=2)
            assert rows[row, -words.shape[1] :].tolist() == words[0].tolist()
    assert rows.shape[1] == inputs["input_ids"].shape[1] + 3


def test_an_answer_counts_the_tokens_that_were_read(thrifty, clip):
    model, processor = thrifty
    answer = VideoModel(FeatureBackbone(model, processor, "tiny")).ask(
        clip, QUESTION, max_new_tokens=2
    )
    told = sum(frame.tokens for frame in answer.frames)
    assert answer.tokens == told < model.focus_network.num_tokens(6)


@pytest.mark.parametrize(
    ("varies", "count", "message"),
    [
        (False, 40, "made .* tokens of 6 frames, and its num_tokens says 40; correct"),
        (True, 0, "its num_tokens says 0 at most; correct one of the two"),
    ],
)
def test_a_connector_keeps_to_its_count(thrifty, clip, varies, count, message):
    model, processor = thrifty
    model.focus_network.varies = varies
    model.focus_network.connector.num_tokens = lambda num_frames: count
    with pytest.raises(ValueError, match=message):
        VideoModel(FeatureBackbone(model, processor, "tiny")).ask(clip, QUESTION)
