"""The processor: layout of the prompt, questions, frames, saving, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from dynfocus.focus import FocusBudget, FocusSettings
from dynfocus.index import VideoIndex
from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.video import SampledFrames

QUESTION = "what is on the red square ?"


def conversation(video: object) -> list[dict[str, object]]:
    text = {"type": "text", "text": QUESTION}
    return [{"role": "user", "content": [text, {"type": "video", "video": video}]}]


def test_the_template_moves_the_video_to_the_front_of_its_turn(make_processor):
    messages = [
        {"role": "system", "content": "be brief ."},
        *conversation("a.mp4"),
        {"role": "assistant", "content": [{"type": "text", "text": "blue"}]},
        {"role": "user", "content": "and where <video> ?"},
    ]
    processor = make_processor()
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text == (
        f"be brief . USER: <video>\n{QUESTION} ASSISTANT: blue</s>"
        "USER: <video>\nand where  ? ASSISTANT:"
    )
    with pytest.raises(Exception, match="role must be system, user or assistant"):
        processor.apply_chat_template([{"role": "tool", "content": "x"}])


def test_a_conversation_becomes_model_inputs(make_processor, make_frames, clip):
    processor = make_processor()
    for video, num_frames in ((str(clip), 6), (make_frames(5), 5)):
        inputs = processor.apply_chat_template(
            conversation(video),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        assert inputs["video_num_frames"].tolist() == [num_frames]
        assert inputs["pixel_values_videos"].shape == (num_frames, 3, 28, 28)
        num_marks = int((inputs["input_ids"] == processor.video_token_id).sum())
        assert num_marks == FocusBudget(settings=processor.settings).num_tokens(
            num_frames
        )
        asked = processor.tokenizer.decode(inputs["qformer_input_ids"][0])
        assert asked == QUESTION


def test_a_batch_of_conversations(make_processor, make_frames):
    processor = make_processor()
    batch = [conversation(make_frames(3)), conversation(make_frames(7))]
    inputs = processor.apply_chat_template(
        batch, tokenize=True, return_dict=True, add_generation_prompt=True
    )
    assert inputs["input_ids"].shape[0] == 2
    assert inputs["video_num_frames"].tolist() == [3, 7]
    assert inputs["attention_mask"][0, 0] == 0
    assert inputs["attention_mask"][1].all()


def test_assistant_tokens_are_marked_for_training(make_processor, make_frames):
    processor = make_processor()
    messages = [
        *conversation(make_frames(4)),
        {"role": "assistant", "content": [{"type": "text", "text": "blue circle"}]},
    ]
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    mask = torch.as_tensor(inputs["assistant_masks"])[0].bool()
    words = processor.tokenizer.decode(inputs["input_ids"][0][mask])
    assert words == "blue circle </s>"


def test_each_block_gets_the_question_of_its_turn(make_processor, make_frames):
    processor = make_processor()
    text = (
        "USER: <video>\nwhat is red ? ASSISTANT: one</s>"
        "USER: where is the circle ?\n<image> ASSISTANT:"
    )
    inputs = processor(text=text, videos=make_frames(2), images=make_frames(1)[0])
    questions = processor.tokenizer.batch_decode(
        inputs["qformer_input_ids"], skip_special_tokens=True
    )
    assert questions == ["what is red ?", "where is the circle ?"]
    plain = processor(
        text="<video>the red square .", videos=make_frames(2), questions="describe"
    )
    assert processor.tokenizer.batch_decode(plain["qformer_input_ids"]) == ["describe"]
    whole = processor(text="<video>the red square .", videos=make_frames(2))
    assert processor.tokenizer.batch_decode(whole["qformer_input_ids"]) == [
        "the red square ."
    ]


def test_the_question_of_a_block_may_stand_before_it_too(make_processor, make_frames):
    messages = [
        *conversation(make_frames(4)),
        {"role": "assistant", "content": [{"type": "text", "text": "blue circle"}]},
        {"role": "user", "content": "where is it ?"},
    ]
    rows = []
    for question_first in (False, True):
        processor = make_processor(question_first=question_first)
        inputs = processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        row = inputs["input_ids"][0]
        rows.append(row.tolist())
        mask = torch.as_tensor(inputs["assistant_masks"])[0].bool()
        assert processor.tokenizer.decode(row[mask]) == "blue circle </s>"
    plain, led = rows
    lead = processor.lead_in(QUESTION)
    assert processor.tokenizer.decode(lead).strip() == QUESTION
    at = plain.index(processor.video_token_id)
    assert led == plain[:at] + lead + plain[at:]


def test_every_kind_of_video_gives_the_same_frames(make_processor, make_frames, prompt):
    processor = make_processor()
    frames = make_frames(3)
    kinds = [
        frames,
        torch.from_numpy(frames),
        list(frames),
        [Image.fromarray(frame) for frame in frames],
        SampledFrames(frames, np.array([0.0, 0.5, 1.0])),
        [frames],
        [[list(frames)]],
    ]
    expected = processor.pixel_values(frames)
    for kind in kinds:
        inputs = processor(text=prompt, videos=kind, fps=2.0)
        torch.testing.assert_close(inputs["pixel_values_videos"], expected)
        assert inputs["video_pts_seconds"].tolist() == [0.0, 0.5, 1.0]


def test_images_from_files(make_processor, make_frames, tmp_path):
    frame = make_frames(1)[0]
    Image.fromarray(frame).save(tmp_path / "a.png")
    text = "USER: <image>\nwhat is red ? ASSISTANT:"
    processor = make_processor()
    expected = processor.pixel_values(frame[None])
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(frame)):
        inputs = processor(text=text, images=image)
        torch.testing.assert_close(inputs["pixel_values_videos"], expected)


def test_pixels_are_resized_and_normalised(make_processor):
    processor = make_processor(image_mean=(0.5, 0.5, 0.5), image_std=(0.25, 0.5, 1.0))
    frames = np.full((2, 40, 90, 3), 255, dtype=np.uint8)
    pixels = processor.pixel_values(frames)
    assert pixels.shape == (2, 3, 28, 28)
    torch.testing.assert_close(pixels[0, :, 5, 5], torch.tensor([2.0, 1.0, 0.5]))


def test_files_are_sampled_at_the_rate_asked_for(make_processor, clip, prompt):
    processor = make_processor(max_frames=4)
    inputs = processor(text=prompt, videos=clip)
    assert len(inputs["video_pts_seconds"]) == 4
    inputs = processor(text=prompt, videos=clip, fps=2.0, max_frames=100)
    assert len(inputs["video_pts_seconds"]) == 12
    np.testing.assert_allclose(inputs["video_pts_seconds"], np.arange(12) / 2)


@pytest.mark.parametrize("preset", [FocusSettings.paper(), FocusSettings.official()])
def test_a_budget_is_never_exceeded(make_processor, make_frames, prompt, preset):
    processor = make_processor(preset)
    for budget in (40, 41, 60, 100, 333):
        inputs = processor(text=prompt, videos=make_frames(30), max_video_tokens=budget)
        num_marks = int((inputs["input_ids"] == processor.video_token_id).sum())
        assert num_marks <= budget
        num_frames, cap, num_tokens = inputs["video_plans"][0].tolist()
        assert num_frames <= int(inputs["video_num_frames"][0]) == 30
        assert num_tokens == num_marks
        assert num_marks == FocusBudget(settings=preset).num_tokens(num_frames, cap)


def test_two_blocks_share_the_budget(make_processor, make_frames):
    text = "USER: <video><video>\nwhat is red ? ASSISTANT:"
    processor = make_processor()
    videos = [make_frames(20), make_frames(9)]
    inputs = processor(text=text, videos=videos, max_video_tokens=60)
    assert int((inputs["input_ids"] == processor.video_token_id).sum()) <= 60


def test_encoded_videos_take_the_place_of_frames(
    make_model, make_processor, make_frames, prompt
):
    model, processor = make_model(), make_processor()
    features = model.encode_video(
        processor.pixel_values(make_frames(9)), torch.arange(9.0)
    )
    index = VideoIndex(features=features, source=None, duration=9.0, fps=1.0)
    whole = processor(text=prompt, videos=index)
    assert whole["video_features"] == [features]
    fewer = processor(text=prompt, videos=features, max_frames=3)
    assert fewer["video_features"][0].pts_seconds.tolist() == [1.0, 4.0, 7.0]
    text = "USER: <video><video>\nwhat is red ? ASSISTANT:"
    with pytest.raises(ValueError, match="cannot be mixed in one call"):
        processor(text=text, videos=[features, make_frames(2)])


def test_saving_and_loading_keeps_everything(
    make_processor, make_frames, prompt, tmp_path
):
    settings = FocusSettings.official(num_prototypes=7)
    processor = make_processor(
        settings, fps=0.5, max_frames=9, image_std=(1, 1, 1), question_first=True
    )
    processor.save_pretrained(tmp_path)
    for loader in (DynFocusProcessor, AutoProcessor):
        again = loader.from_pretrained(tmp_path)
        assert isinstance(again, DynFocusProcessor)
        assert again.settings == settings
        assert (again.fps, again.max_frames, again.frame_size) == (0.5, 9, 28)
        assert again.chat_template == processor.chat_template
        assert again.question_first
        expected = processor(text=prompt, videos=make_frames(3))
        inputs = again(text=prompt, videos=make_frames(3))
        assert set(inputs) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(inputs[name], value)


def test_questions_may_have_a_tokenizer_of_their_own(
    make_processor, make_frames, prompt, tokenizer, tmp_path
):
    tokenizer.add_tokens(["what is"])
    processor = make_processor()
    processor.set_qformer_tokenizer(tokenizer)
    expected = processor(text=prompt, videos=make_frames(2))["qformer_input_ids"]
    assert expected.max() == tokenizer.convert_tokens_to_ids("what is")
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    inputs = again(text=prompt, videos=make_frames(2))
    assert inputs["qformer_input_ids"].tolist() == expected.tolist()
    assert len(again.tokenizer) == len(tokenizer) - 1
    bare = make_processor(use_question_vocabulary=True)
    with pytest.raises(ValueError, match="call set_qformer_tokenizer first"):
        bare(text=prompt, videos=make_frames(2))


def test_a_tokenizer_without_the_placeholder_is_refused(tokenizer):
    class Bare:
        def get_vocab(self) -> dict[str, int]:
            return {}

    with pytest.raises(ValueError, match="the tokenizer does not know <video>; add it"):
        DynFocusProcessor(Bare())


ONE = "USER: <video>\nwhat is red ? ASSISTANT:"
FRAMES = np.zeros((2, 28, 28, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ONE}, "hold 1 <video> placeholders but 0 videos are given"),
        ({"text": "what ?", "videos": FRAMES}, "hold 0 <video> placeholders but 1"),
        ({"text": ONE, "videos": [FRAMES] * 2}, "hold 1 <video> .* but 2 videos"),
        (
            {"text": [ONE, ONE], "videos": [[FRAMES, FRAMES], []]},
            "prompt 0 holds 1 <video> placeholders but 2 videos",
        ),
        ({"text": [ONE, ONE], "videos": [[[FRAMES]]]}, "must be 2 lists, one a prompt"),
        (
            {"text": "USER: <video> ASSISTANT:", "videos": FRAMES},
            "question .* is empty",
        ),
        ({"text": "<video>", "videos": FRAMES}, "the question of prompt 0 is empty"),
        ({"text": ONE, "videos": FRAMES, "questions": [" "]}, "a question is empty"),
        ({"text": ONE, "videos": FRAMES, "questions": ["a", "b"]}, "2 questions are"),
        (
            {"text": "<video> USER: what ? ASSISTANT:", "videos": FRAMES},
            "stands outside every human turn",
        ),
        (
            {"text": ONE, "videos": FRAMES, "max_video_tokens": 11},
            "max_video_tokens must be at least 12",
        ),
        ({"text": ONE, "videos": FRAMES.astype(np.float32)}, "must be uint8 of shape"),
        ({"text": ONE, "videos": FRAMES[:0]}, "at least one frame, got none"),
        ({"text": ONE, "videos": 3}, "videos must be a video, a list of them"),
        ({"text": ONE, "videos": [FRAMES[..., 0, 0]]}, "ndarray of shape .* is not a"),
        (
            {"text": ONE, "videos": [FRAMES[0], FRAMES[0, :9]]},
            "frames of a video must have one size",
        ),
        (
            {"text": ONE, "videos": SampledFrames(FRAMES, np.zeros(3))},
            "one entry a frame",
        ),
        ({"text": ONE, "videos": "no/such/file.mp4"}, "file.mp4"),
        ({"text": None}, "text must be a prompt"),
        ({"text": ONE, "videos": FRAMES, "audio": 1}, "audio is not supported"),
        ({"text": ONE, "videos": FRAMES, "return_tensors": "np"}, "must be 'pt'"),
        ({"text": ONE, "videos": FRAMES, "padding_side": "up"}, "'left' or 'right'"),
    ],
)
def test_wrong_calls_are_refused_in_one_sentence(make_processor, arguments, message):
    with pytest.raises((ValueError, OSError), match=message):
        make_processor()(**arguments)


@pytest.mark.slow
def test_everything_works_without_torchvision(
    tmp_path: Path, make_model, make_processor
):
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    program = f"""
import sys
sys.modules["torchvision"] = None
import numpy as np
import dynfocus
model = dynfocus.load({str(tmp_path)!r})
answer = model.ask(np.zeros((3, 40, 40, 3), np.uint8), "what is red ?", max_new_tokens=2)
print(answer.tokens, len(answer.frames))
from transformers import AutoProcessor
print(type(AutoProcessor.from_pretrained({str(tmp_path)!r})).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["36", "3", "DynFocusProcessor"]
