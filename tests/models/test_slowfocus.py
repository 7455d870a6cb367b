"""SlowFocus from a folder to an answer: one frequency, two frequencies, the context."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

import dynfocus
from dynfocus.cli.console import scorer_of
from dynfocus.defaults import OWN_TYPES, model_type
from dynfocus.errors import FewerFramesWarning
from dynfocus.focus import SlowFocusSettings
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.loading import KINDS
from dynfocus.models.options import AskOptions
from dynfocus.models.slowfocus import SlowFocusConfig, SlowFocusForConditionalGeneration
from dynfocus.models.video_model import VideoModel
from dynfocus.models.visual_inputs import VideoInputs

QUESTION = "what is on the red square ?"
GREEDY = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}


@pytest.fixture
def folder(make_slow_model, make_slow_processor, tmp_path):
    make_slow_model().save_pretrained(tmp_path / "slow")
    make_slow_processor().save_pretrained(tmp_path / "slow")
    return tmp_path / "slow"


@pytest.fixture
def slow(make_slow_model, make_slow_processor):
    backbone = FeatureBackbone(make_slow_model(), make_slow_processor(), "slow")
    return VideoModel(backbone)


def test_a_folder_answers_in_one_pass_of_the_low_frequency(folder, clip):
    model = dynfocus.load(folder, device="cpu")
    answer = model.ask(clip, QUESTION)
    assert [frame.kind for frame in answer.frames] == ["low"] * 6
    assert [frame.tokens for frame in answer.frames] == [5] * 6
    assert answer.tokens == 30
    assert answer.best_time is None
    again = model.ask(clip, QUESTION)  # from the index on disk
    assert model.index(clip).is_from_disk
    assert again.text == answer.text
    assert model.chat(clip).ask(QUESTION).text == answer.text


def test_the_lines_that_are_shown_run(folder, clip, monkeypatch, capsys):
    monkeypatch.chdir(clip.parent)
    folder.rename(clip.parent / "my-slowfocus")
    page = Path(__file__).parents[2] / "docs" / "slowfocus.md"
    text = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[0]
    assert "my-slowfocus" in text
    exec(compile(text.replace("61.", "2."), "docs/slowfocus.md", "exec"), {})
    assert "(2.25, 'high')" in capsys.readouterr().out


def test_given_moments_are_read_beside_the_low_frequency_and_mixed(folder, clip):
    model = dynfocus.load(folder, device="cpu")
    frames = model.processor.read_frequencies(clip, [2.25, 2.0, 2.5])
    answer = model.ask(frames, QUESTION)
    kinds = [(frame.time, frame.kind) for frame in answer.frames]
    assert kinds == [
        *[(0.0, "low"), (1.0, "low"), (2.0, "high")],
        *[(2.25, "high"), (2.5, "high"), (3.0, "low"), (4.0, "low"), (5.0, "low")],
    ]
    assert answer.tokens == 40
    assert model.processor.read_frequencies(clip, []).is_high is None
    with pytest.raises(ValueError, match="times"):
        model.processor.read_frequencies(clip, [7.5])


def test_the_model_reads_both_frequencies_that_the_processor_gives(slow, clip, prompt):
    model, processor = slow.model, slow.processor
    inputs = processor(text=prompt, videos=processor.read_frequencies(clip, [2.25]))
    assert inputs["video_is_high"].tolist() == [False] * 3 + [True] + [False] * 3
    assert inputs["video_durations"].tolist() == [6.0]
    with torch.no_grad():
        output = model(**inputs, labels=inputs["input_ids"])
        (tokens,) = output.video_tokens
    assert torch.isfinite(output.loss)
    encoded = slow.index(processor.read_frequencies(clip, [2.25]))
    expected = slow.prepare(encoded, QUESTION, AskOptions()).block
    torch.testing.assert_close(tokens.embeds, expected)
    assert tokens.is_cone.tolist() == inputs["video_is_high"].tolist()


def test_videos_of_one_and_of_two_frequencies_share_a_batch(slow, clip, make_frames):
    model, processor = slow.model, slow.processor
    texts = [f"USER: <video>\n{words} ASSISTANT:" for words in (QUESTION, "where ?")]
    videos = [processor.read_frequencies(clip, [2.25, 2.5]), make_frames(3)]
    batch = processor(text=texts, videos=videos)
    assert batch["video_durations"].tolist() == [6, 0]
    with torch.no_grad():
        together = model.generate(**batch, **GREEDY)[:, -5:]
        for row, (text, video) in enumerate(zip(texts, videos, strict=True)):
            inputs = processor(text=text, videos=video)
            alone = model.generate(**inputs, **GREEDY)[0, -5:]
            assert together[row].tolist() == alone.tolist()


def test_a_fresh_gate_changes_no_logit(make_slow_model, make_slow_processor, clip):
    processor = make_slow_processor()
    settings = {"grid_size": 2, "num_positions": 50, "mixing": "off"}
    plain = make_slow_model(slow=settings)
    text = f"USER: <video>\n{QUESTION} ASSISTANT:"
    inputs = processor(text=text, videos=processor.read_frequencies(clip, [2.25, 2.5]))
    logits = []
    for gate in (0.0, 1.0):
        mixed = make_slow_model(gate=gate, seed=1)
        mixed.load_state_dict(plain.state_dict(), strict=False)
        with torch.no_grad():
            logits.append(mixed(**inputs).logits)
    with torch.no_grad():
        expected = plain(**inputs).logits
    assert torch.equal(logits[0], expected)
    assert not torch.allclose(logits[1], expected)
    fresh = SlowFocusForConditionalGeneration(make_slow_model().config)
    assert not fresh.focus_network.mixing.gates.any()


def test_the_auto_classes_give_the_same_logits(folder, clip, prompt):
    config = AutoConfig.from_pretrained(folder)
    assert isinstance(config, SlowFocusConfig)
    assert config.focus_settings == SlowFocusSettings(grid_size=2, num_positions=50)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    loaded = dynfocus.load(folder, device="cpu")
    inputs = processor(text=prompt, videos=processor.read_frequencies(clip, [2.25]))
    with torch.no_grad():
        torch.testing.assert_close(
            model(**inputs).logits, loaded.model(**inputs).logits
        )


def test_generation_with_cache_equals_argmax_without(slow, clip, prompt):
    model, processor = slow.model, slow.processor
    inputs = processor(text=prompt, videos=processor.read_frequencies(clip, [2.25]))
    with torch.no_grad():
        cached = model.generate(**inputs, **GREEDY)[0, -5:].tolist()
        embeds, _ = model.embed_prompt(inputs["input_ids"], VideoInputs.of(inputs))
        expected = []
        for _ in range(5):
            logits = model(inputs_embeds=embeds).logits[0, -1]
            logits[processor.video_token_id] = -torch.inf
            expected.append(int(logits.argmax()))
            word = model.get_input_embeddings()(torch.tensor([[expected[-1]]]))
            embeds = torch.cat([embeds, word], dim=1)
    assert cached == expected


def test_the_question_changes_the_context_tokens_alone(slow, clip):
    video = slow.index(clip)
    blocks = [
        slow.prepare(video, words, AskOptions()).block.view(6, 5, -1)
        for words in ("what is red ?", "where is the circle ?")
    ]
    assert torch.equal(blocks[0][:, 1:], blocks[1][:, 1:])
    assert not torch.allclose(blocks[0][:, 0], blocks[1][:, 0])


def test_frames_beyond_the_context_are_left_out_and_the_user_is_told(slow, make_frames):
    frames = make_frames(200)  # 1000 tokens, of which 512 can be read
    with pytest.warns(
        FewerFramesWarning, match=r"reads 512 tokens.* of the 200 frames"
    ):
        answer = slow.ask(frames, QUESTION)
    assert 80 <= len(answer.frames) < 512 / 5
    times = np.diff([frame.time for frame in answer.frames])
    assert set(times) <= {1.0, 2.0, 3.0}  # evenly
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(slow.ask(frames, QUESTION, max_video_tokens=200).frames) == 40
        assert len(slow.ask(frames, QUESTION, max_frames=20).frames) == 20


def test_what_does_not_fit_is_refused(slow, make_slow_processor, folder, clip):
    with pytest.raises(ValueError, match="more than the 512"):
        slow.ask(clip, QUESTION, max_new_tokens=505)
    with pytest.raises(ValueError, match="max_video_tokens must be at least 5"):
        slow.ask(clip, QUESTION, max_video_tokens=4)
    with pytest.raises(ValueError, match="method must be one of .*slowfocus"):
        slow.ask(clip, QUESTION, method="dynfocus")
    with pytest.raises(ValueError, match="no spatial prototypes"):
        slow.require("maps")
    with pytest.raises(ValueError, match="slowfocus model, which has no scores of"):
        slow.require("scores")
    make_slow_processor(slow={"grid_size": 4}).save_pretrained(folder)
    with pytest.raises(ValueError, match="differ in their focus settings"):
        dynfocus.load(folder, device="cpu")


@pytest.mark.parametrize("tower", ["clip_vision_model", "siglip_vision_model"])
@pytest.mark.parametrize("language", ["llama", "qwen2"])
def test_any_tower_and_any_language_model(
    make_slow_model, make_slow_processor, make_frames, prompt, tower, language
):
    model = make_slow_model(tower=tower, language=language)
    inputs = make_slow_processor()(text=prompt, videos=make_frames(3))
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[0] == 1


def test_it_is_a_model_of_the_projects_own(folder, monkeypatch, tmp_path):
    assert set(OWN_TYPES) == set(KINDS)
    assert model_type(folder) in OWN_TYPES
    monkeypatch.setattr("dynfocus.defaults.find_downloaded", lambda name: tmp_path)
    assert scorer_of(str(folder), None) is None
    assert scorer_of("somebody/else", None) == str(tmp_path)
