"""The model: forward, generation, batches, saving."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    TextIteratorStreamer,
)

from dynfocus.focus import FocusSettings, QuestionSettings
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration, VideoInputs
from dynfocus.models.video_language_model import CACHE_NAME, CACHE_NAMES

PRESETS = {
    "paper": FocusSettings.paper(num_prototypes=4, num_noise_samples=20),
    "official": FocusSettings.official(num_prototypes=4, num_noise_samples=20),
    "question": FocusSettings.paper(
        num_event_tokens=4,
        num_prototypes=4,
        num_noise_samples=20,
        question=QuestionSettings(
            use_question_scores=True,
            use_clock=True,
            use_ratings=True,
            use_best_frames=True,
        ),
    ),
}
LLAMA_TIED = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def question_text(words: str) -> str:
    return f"USER: <video>\n{words} ASSISTANT:"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("text_side", ["text", "frame_queries"])
def test_video_tokens_fill_the_placeholders_exactly(
    make_model, make_processor, make_frames, prompt, preset, text_side
):
    settings = PRESETS[preset]
    model = make_model(settings, text_side=text_side)
    processor = make_processor(settings)
    for num_frames in (1, 2, 7):
        inputs = processor(text=prompt, videos=make_frames(num_frames))
        output = model(**inputs, labels=inputs["input_ids"])
        (tokens,) = output.video_tokens
        num_placeholders = int((inputs["input_ids"] == processor.video_token_id).sum())
        assert len(tokens.embeds) == num_placeholders
        assert num_placeholders == processor.num_video_tokens(num_frames)
        assert torch.isfinite(output.loss)


@pytest.mark.parametrize("text_side", ["text", "frame_queries"])
def test_the_question_changes_the_video_tokens(
    make_model, make_processor, make_frames, text_side
):
    model, processor = make_model(text_side=text_side), make_processor()
    frames = make_frames(4)
    embeds = []
    for words in ("what is red ?", "where is the circle ?"):
        inputs = processor(text=question_text(words), videos=frames)
        embeds.append(model(**inputs).video_tokens[0].embeds)
    assert embeds[0].shape == embeds[1].shape
    assert not torch.allclose(embeds[0], embeds[1])


def test_generation_with_cache_equals_argmax_without(
    make_model, make_processor, make_frames, prompt
):
    model, processor = make_model(), make_processor()
    inputs = processor(text=prompt, videos=make_frames(6))
    length = inputs["input_ids"].shape[1]
    arguments = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    cached = model.generate(**inputs, **arguments)[0, length:]
    uncached = model.generate(**inputs, **arguments, use_cache=False)[0, length:]
    with torch.no_grad():
        embeds, _ = model.embed_prompt(inputs["input_ids"], VideoInputs.of(inputs))
        expected = []
        for _ in range(6):
            logits = model(inputs_embeds=embeds).logits[0, -1]
            logits[processor.video_token_id] = -torch.inf
            expected.append(int(logits.argmax()))
            word = model.get_input_embeddings()(torch.tensor([[expected[-1]]]))
            embeds = torch.cat([embeds, word], dim=1)
    assert cached.tolist() == expected
    assert uncached.tolist() == expected


@pytest.mark.parametrize("name", CACHE_NAMES)
def test_the_cache_is_taken_by_its_name_of_now_and_of_before(
    make_model, make_processor, make_frames, prompt, name
):
    model, processor = make_model(), make_processor()
    inputs = processor(text=prompt, videos=make_frames(4))
    with torch.no_grad():
        first = model(**inputs, use_cache=True)
        word = torch.tensor([[5]])
        embeds, _ = model.embed_prompt(inputs["input_ids"], VideoInputs.of(inputs))
        added = torch.cat([embeds, model.get_input_embeddings()(word)], dim=1)
        whole = model(inputs_embeds=added).logits[0, -1]
        step = model(input_ids=word, **{name: first[CACHE_NAME]}).logits[0, -1]
    torch.testing.assert_close(step, whole, atol=1e-4, rtol=1e-4)


def test_the_vision_tower_runs_once_for_a_generation(
    make_model, make_processor, make_frames, prompt
):
    model, processor = make_model(), make_processor()
    calls = []
    model.vision_tower.embeddings.register_forward_hook(lambda *_: calls.append(1))
    inputs = processor(text=prompt, videos=make_frames(3))
    model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert len(calls) == 1


def test_a_second_question_leaves_the_vision_tower_alone(
    make_model, make_processor, make_frames
):
    model, processor = make_model(), make_processor()
    frames = make_frames(8)
    pixels = processor.pixel_values(frames)
    features = model.encode_video(pixels, torch.arange(8.0), window=3)
    first = processor(text=question_text("what is red ?"), videos=frames)
    expected = model(**first).logits
    model.vision_tower.requires_grad_(False)
    model.vision_tower.forward = None
    model.vision_tower.encoder.forward = None
    for videos in (features, [features], [[features]]):
        inputs = processor(text=question_text("what is red ?"), videos=videos)
        assert "pixel_values_videos" not in inputs
        torch.testing.assert_close(model(**inputs).logits, expected)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("text_side", ["text", "frame_queries"])
def test_a_batch_equals_its_single_runs(
    make_model, make_processor, make_frames, side, text_side
):
    model, processor = make_model(text_side=text_side), make_processor()
    videos = [make_frames(count, seed=count) for count in (2, 9, 1)]
    texts = [
        question_text("what is on the red square in this video ?"),
        question_text("where ?"),
        question_text("which letter is blue ?"),
    ]
    batch = processor(text=texts, videos=videos, padding_side=side)
    logits = model(**batch).logits
    for row, (text, video) in enumerate(zip(texts, videos, strict=True)):
        alone = model(**processor(text=text, videos=video)).logits[0]
        real = logits[row][batch["attention_mask"][row].bool()]
        torch.testing.assert_close(real, alone, atol=2e-4, rtol=2e-4)


def test_batched_generation_equals_single_generation(
    make_model, make_processor, make_frames
):
    model, processor = make_model(), make_processor()
    videos = [make_frames(count, seed=count) for count in (2, 9)]
    texts = [question_text("what is red ?"), question_text("where ?")]
    arguments = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    batch = model.generate(**processor(text=texts, videos=videos), **arguments)
    for row, (text, video) in enumerate(zip(texts, videos, strict=True)):
        alone = model.generate(**processor(text=text, videos=video), **arguments)
        assert batch[row, -5:].tolist() == alone[0, -5:].tolist()


def test_beams_and_several_samples_follow_their_prompts(
    make_model, make_processor, make_frames
):
    model, processor = make_model(), make_processor()
    videos = [make_frames(count, seed=count) for count in (2, 9)]
    texts = [question_text("what is red ?"), "USER: where ? ASSISTANT:"]
    batch = processor(text=texts, videos=videos[:1], max_video_tokens=40)
    beams = model.generate(**batch, max_new_tokens=3, num_beams=2, do_sample=False)
    assert beams.shape[0] == 2
    texts[1] = question_text("where ?")
    batch = processor(text=texts, videos=videos)
    arguments = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    single = model.generate(**batch, **arguments)
    model.generation_config.num_return_sequences = 1
    inputs_ids, expanded = model._expand_inputs_for_generation(
        expand_size=2, **dict(batch)
    )
    logits = model(input_ids=inputs_ids, **expanded).logits
    torch.testing.assert_close(logits[0], logits[1])
    torch.testing.assert_close(logits[2], logits[3])
    assert logits[0, -1].argmax() == single[0, -3]
    assert logits[2, -1].argmax() == single[1, -3]


def test_several_turns_over_one_video_encode_it_once(
    make_model, make_processor, make_frames
):
    model, processor = make_model(), make_processor()
    frames = make_frames(5)
    text = (
        "USER: <video>\nwhat is red ? ASSISTANT: one</s>"
        "USER: <video>\nwhere is the circle ? ASSISTANT:"
    )
    inputs = processor(text=text, videos=[frames, frames])
    assert inputs["video_num_frames"].tolist() == [5]
    assert inputs["block_videos"].tolist() == [0, 0]
    output = model(**inputs)
    assert len(output.video_tokens) == 2
    twice = processor(text=text, videos=[frames, frames.copy()])
    assert twice["video_num_frames"].tolist() == [5, 5]
    torch.testing.assert_close(model(**twice).logits, output.logits)


def test_several_videos_and_images_in_one_prompt(
    make_model, make_processor, make_frames
):
    model, processor = make_model(), make_processor()
    text = "USER: <image><video><video>\nwhat is red ? ASSISTANT:"
    inputs = processor(
        text=text,
        images=make_frames(1)[0],
        videos=[make_frames(3, seed=1), make_frames(6, seed=2)],
    )
    assert inputs["video_num_frames"].tolist() == [1, 3, 6]
    tokens = model(**inputs).video_tokens
    assert [len(block.lengths) for block in tokens] == [1, 3, 6]
    lone = processor(
        text="USER: <image>\nwhat is red ? ASSISTANT:", images=make_frames(1)[0]
    )
    torch.testing.assert_close(
        model(**lone).video_tokens[0].embeds, tokens[0].embeds, atol=1e-4, rtol=1e-4
    )


def test_text_alone_needs_no_video(make_model, make_processor):
    model, processor = make_model(), make_processor()
    inputs = processor(text="USER: what is red ? ASSISTANT:")
    assert set(inputs) == {"input_ids", "attention_mask"}
    output = model(**inputs)
    assert output.video_tokens is None
    plain = model.language_model(**inputs).logits
    torch.testing.assert_close(output.logits, plain)
    assert model.generate(**inputs, max_new_tokens=2).shape[0] == 1


def test_streaming_gives_the_generated_text(
    make_model, make_processor, make_frames, prompt
):
    model, processor = make_model(), make_processor()
    inputs = processor(text=prompt, videos=make_frames(3))
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True)
    arguments = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    output = model.generate(**inputs, **arguments, streamer=streamer)
    words = processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
    assert "".join(streamer) == words


def test_a_budget_limits_the_cones(make_model, make_processor, make_frames, prompt):
    model, processor = make_model(), make_processor()
    inputs = processor(text=prompt, videos=make_frames(9), max_video_tokens=40)
    (tokens,) = model(**inputs).video_tokens
    assert len(tokens.embeds) <= 40
    assert int(tokens.is_cone.sum()) == 2
    assert len(tokens.lengths) == 9


@pytest.mark.parametrize("text_side", ["text", "frame_queries"])
def test_long_videos_are_read_from_a_limited_number_of_frames(
    make_model, make_processor, make_frames, prompt, text_side
):
    focus = PRESETS["question"].changed({"question": {"max_read_frames": 6}})
    model, processor = make_model(focus, text_side=text_side), make_processor(focus)
    lengths = set()
    for num_frames in (7, 15, 40):
        frames = make_frames(num_frames)
        inputs = processor(text=prompt, videos=frames)
        (tokens,) = model(**inputs).video_tokens
        lengths.add(len(tokens.embeds))
        assert len(tokens.embeds) == processor.num_video_tokens(num_frames)
        numbers = tokens.frame_indices.tolist()
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 6
        times = inputs["video_pts_seconds"][numbers]
        assert torch.equal(tokens.pts_seconds, times.double())
        features = model.encode_video(
            inputs["pixel_values_videos"], inputs["video_pts_seconds"]
        )
        centers = set(features.prototypes.frames[0].tolist())
        assert centers <= set(numbers)
        again = processor(text=prompt, videos=[features])
        assert torch.equal(model(**again).logits, model(**inputs).logits)
    assert lengths == {processor.num_video_tokens(6)}


@pytest.mark.parametrize("text_side", ["text", "frame_queries"])
def test_saving_and_loading_keeps_the_logits(
    make_model, make_processor, make_frames, prompt, tmp_path, text_side
):
    settings = PRESETS["question"]
    tied = dict(LLAMA_TIED, vocab_size=len(make_processor().tokenizer))
    model = make_model(settings, text_side=text_side, text_config=tied)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    inputs = make_processor(settings)(text=prompt, videos=make_frames(5))
    expected = model(**inputs).logits
    model.save_pretrained(tmp_path)
    for loader in (
        DynFocusForConditionalGeneration,
        AutoModelForImageTextToText,
        AutoModelForMultimodalLM,
    ):
        again, info = loader.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(info.values())
        assert again.settings == settings
        weight = again.get_input_embeddings().weight
        assert again.get_output_embeddings().weight is weight
        torch.testing.assert_close(again(**inputs).logits, expected)


def test_training_reaches_every_part_that_it_should(
    make_model, make_processor, make_frames, prompt
):
    # scores that lie far apart for the noise have no gradient, rightly
    focus = replace(make_model().settings, noise_sigma=1.0)
    model, processor = make_model(focus).train(), make_processor(focus)
    features = model.encode_video(
        processor.pixel_values(make_frames(8)), torch.arange(8.0)
    )
    inputs = processor(text=prompt, videos=features)
    newer = hasattr(model, "activation_checkpointing_enable")
    name = "activation" if newer else "gradient"  # renamed in transformers 5
    getattr(model, f"{name}_checkpointing_enable")()
    loss = model(**inputs, labels=inputs["input_ids"]).loss
    loss.backward()
    for part in (
        model.focus_network.event_prototypes.score_network,
        model.focus_network.cooperative_encoding.multi_modal_projector,
        model.focus_network.cooperative_encoding.key_projector,
        model.language_model,
        model.text_encoder.embeddings,
    ):
        grads = [parameter.grad for parameter in part.parameters()]
        assert any(grad is not None and grad.abs().sum() > 0 for grad in grads)
    assert all(p.grad is None for p in model.vision_tower.parameters())


def test_fresh_weights_have_the_usual_spread(make_model):
    vision = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"intermediate_size": 64, "image_size": 28, "patch_size": 7}
    model = make_model(vision_config=vision, text_side="frame_queries")
    for weight in (
        model.vision_tower.encoder.layers[0].mlp.fc1.weight,
        model.focus_network.cooperative_encoding.multi_modal_projector[0].weight,
        model.query_tokens,
    ):
        assert (
            0.08 < float(weight.detach().std()) < 0.12
        )  # the fixture enlarges 0.02 five times


def test_new_words_resize_both_ends_of_the_language_model(make_model):
    model = make_model()
    size = model.config.text_config.vocab_size
    model.resize_token_embeddings(size + 3, mean_resizing=False)
    assert model.get_input_embeddings().num_embeddings == size + 3
    assert model.get_output_embeddings().out_features == size + 3
    assert model.config.text_config.vocab_size == size + 3


@pytest.mark.parametrize("model_type", ["clip_vision_model", "siglip_vision_model"])
def test_other_vision_towers(
    make_model, make_processor, make_frames, prompt, model_type
):
    vision = {
        "model_type": model_type,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
    }
    model, processor = make_model(vision_config=vision), make_processor()
    inputs = processor(text=prompt, videos=make_frames(3))
    assert torch.isfinite(model(**inputs).logits).all()
    pooled, spatial, _ = model.encode_frames(inputs["pixel_values_videos"])
    assert pooled.shape == (3, 4, 32)
    assert spatial.shape == (3, 6, 32)


def test_content_features_come_from_before_the_final_norm(make_model):
    model = make_model(text_side="frame_queries")
    pixels = torch.randn(2, 3, 28, 28)
    pooled, _, patches = model.encode_frames(pixels)
    outputs = model.vision_tower(pixels, output_hidden_states=True)
    content = outputs.hidden_states[-1][:, 1:]
    torch.testing.assert_close(
        pooled, model.focus_network.event_prototypes.pool(content)
    )
    torch.testing.assert_close(patches, outputs.last_hidden_state)


def test_a_qwen2_language_model(make_model, make_processor, make_frames, prompt):
    text = {
        "model_type": "qwen2",
        "vocab_size": len(make_processor().tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    model, processor = make_model(text_config=text), make_processor()
    inputs = processor(text=prompt, videos=make_frames(3))
    output = model.generate(
        **inputs, max_new_tokens=3, do_sample=False, eos_token_id=None
    )
    assert output.shape[1] == inputs["input_ids"].shape[1] + 3


def test_bfloat16_runs(make_model, make_processor, make_frames, prompt):
    model, processor = make_model().to(torch.bfloat16), make_processor()
    inputs = processor(text=prompt, videos=make_frames(6))
    assert torch.isfinite(model(**inputs).logits).all()


def test_wrong_inputs_are_refused(make_model, make_processor, make_frames, prompt):
    model, processor = make_model(), make_processor()
    inputs = dict(processor(text=prompt, videos=make_frames(4)))
    features = model.encode_video(inputs["pixel_values_videos"], torch.arange(4.0))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(attention_mask=inputs["attention_mask"])
    marks = torch.full((1, 63), processor.video_token_id)
    with pytest.raises(ValueError, match="hold 63 video placeholders, but their 1"):
        model(**inputs | {"input_ids": marks, "attention_mask": None})
    with pytest.raises(ValueError, match="cannot be given together"):
        model(**inputs, video_features=[features])
    with pytest.raises(ValueError, match="needs video_num_frames"):
        model(**inputs | {"video_num_frames": None})
    with pytest.raises(ValueError, match="must add up to the 4 frames"):
        model(**inputs | {"video_num_frames": torch.tensor([3])})
    with pytest.raises(ValueError, match="needs qformer_input_ids"):
        model(**inputs | {"qformer_input_ids": None})
    with pytest.raises(ValueError, match="must name videos from 0 to 0"):
        model(**inputs | {"block_videos": torch.tensor([1])})
    with pytest.raises(ValueError, match="one entry a question"):
        model(**inputs | {"block_videos": torch.tensor([0, 0])})
    long = {"qformer_input_ids": torch.ones(1, 65, dtype=torch.long)}
    with pytest.raises(ValueError, match="a question has 65 tokens"):
        model(**inputs | long | {"qformer_attention_mask": None})
    bare = processor(text=prompt, videos=features)
    with pytest.raises(ValueError, match="the video features hold none"):
        make_model(text_side="frame_queries")(**bare)
    with pytest.raises(ValueError, match="at least one frame"):
        model.encode_video(torch.zeros(0, 3, 28, 28), [])


def test_placeholders_out_of_place_are_refused(
    make_model, make_processor, make_frames, prompt
):
    model, processor = make_model(), make_processor()
    inputs = processor(text=prompt, videos=make_frames(2))
    ids = inputs["input_ids"]
    marks = (ids[0] == processor.video_token_id).nonzero()[:, 0]
    ids[0, marks[3]], ids[0, -1] = ids[0, -1].clone(), ids[0, marks[3]].clone()
    with pytest.raises(ValueError, match="do not come in stretches"):
        model(**inputs)


def test_each_question_reads_the_frames_that_fit_it(
    make_model, make_processor, make_frames, prompt
):
    focus = PRESETS["question"].changed({"question": {"max_read_frames": 8}})
    model, processor = make_model(focus), make_processor(focus)
    network = model.focus_network.question_head.rating
    changes = {0: (10, 15), 1: (30, 33)}
    asked = []

    def rate(spatial, text, text_mask):
        fits = torch.full(spatial.shape[:2], -9.0)
        if spatial.shape[1] == 40:  # before thinning
            start, stop = changes[len(asked)]
            fits[:, start:stop] = 9.0
            asked.append(text)
        return fits

    network.rate = rate
    texts = [question_text("Which letter?"), question_text("What colour?")]
    frames = make_frames(40)
    inputs = processor(text=texts, videos=[frames, frames], padding=True)
    first, second = model(**inputs).video_tokens
    assert {9, 10} <= set(first.frame_indices.tolist())
    assert {29, 30} <= set(second.frame_indices.tolist()) or {32, 33} <= set(
        second.frame_indices.tolist()
    )
    assert len(first.embeds) == len(second.embeds) == processor.num_video_tokens(40)
    assert len(asked) == 2


def test_a_budget_is_spent_on_the_frames_that_fit_the_question(
    make_model, make_processor, make_frames, prompt
):
    focus = PRESETS["question"]
    model, processor = make_model(focus), make_processor(focus)
    inputs = processor(text=prompt, videos=make_frames(40))
    features = model.encode_video(
        inputs["pixel_values_videos"], inputs["video_pts_seconds"]
    )

    def rate(spatial, text, text_mask):
        fits = torch.full(spatial.shape[:2], -9.0)
        if spatial.shape[1] == 40:  # before thinning
            fits[:, 21:24] = 9.0
        return fits

    model.focus_network.question_head.rating.rate = rate
    budget = 60
    tight = processor(text=prompt, videos=[features], max_video_tokens=budget)
    (tokens,) = model(**tight).video_tokens
    read = tokens.frame_indices.tolist()
    assert len(read) == int(tight["video_plans"][0, 0]) < 40
    assert {20, 21, 23, 24} <= set(read)
    placeholders = tight["input_ids"] == processor.video_token_id
    assert len(tokens.embeds) == int(placeholders.sum()) <= budget
    both = processor(
        text=[prompt, prompt],
        videos=[features, features],
        max_video_tokens=budget,
        padding=True,
    )
    assert [len(t.embeds) for t in model(**both).video_tokens] == [
        len(tokens.embeds)
    ] * 2
    beams = model.generate(**tight, num_beams=2, max_new_tokens=2, do_sample=False)
    assert beams.shape[0] == 1


@pytest.mark.parametrize("plans", [[[3, 1, 13], [3, 1, 13]], [[5, 1, 17]], [[0, 0, 0]]])
def test_plans_of_other_videos_are_refused(
    make_model, make_processor, make_frames, prompt, plans
):
    focus = PRESETS["question"]
    inputs = make_processor(focus)(text=prompt, videos=make_frames(4))
    inputs["video_plans"] = torch.tensor(plans)
    with pytest.raises(ValueError, match=r"one row a video, for at most its \[4\] fra"):
        make_model(focus)(**inputs)
