"""Token ids of conversations: as the processor writes them, labelled on the answers."""

from __future__ import annotations

import pytest
import torch

from dynfocus.focus import VideoFeatures
from dynfocus.models.dynfocus import VideoInputs
from dynfocus.training.dataset import conversation_turns
from dynfocus.training.labels import (
    IGNORED,
    encode_caption,
    encode_conversation,
    pad_samples,
)

TURNS = [
    ("How many times does the red square appear?", "3"),
    ("When does it appear?", "from 00:12 to 00:19"),
    ("Ünïcode, and\ntwo lines?", "the green star, then ♞."),
]


def labelled_texts(tokenizer, labels):
    """Decode each run of labels."""
    runs = [[]]
    for label in labels.tolist():
        runs[-1].append(label) if label != IGNORED else runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("num_turns", [1, 2, 3])
def test_text_is_encoded_as_the_processor_writes_it(make_tiny, num_turns):
    _, processor = make_tiny()
    messages = []
    for question, answer in TURNS[:num_turns]:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    expected = processor.apply_chat_template(messages, tokenize=True, return_dict=True)[
        "input_ids"
    ][0]
    encoded = encode_conversation(processor.tokenizer, TURNS[:num_turns])
    assert encoded["input_ids"].tolist() == expected.tolist()


@pytest.mark.parametrize("num_frames", [1, 3, 9])
def test_video_is_encoded_as_the_processor_writes_it(make_tiny, num_frames):
    model, processor = make_tiny()
    features = VideoFeatures(
        pooled=torch.randn(num_frames, 4, 24),
        spatial=torch.randn(num_frames, 6, 24),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64),
    )
    messages = [
        {
            "role": "user",
            "content": [{"type": "video"}, {"type": "text", "text": TURNS[0][0]}],
        },
        {"role": "assistant", "content": TURNS[0][1]},
        {"role": "user", "content": TURNS[1][0]},
        {"role": "assistant", "content": TURNS[1][1]},
    ]
    prompt = processor.apply_chat_template(messages)
    inputs = processor(text=prompt, videos=[features])
    room = "<video>" * processor.num_video_tokens(num_frames)
    turns = [(f"{room}\n{TURNS[0][0]}", TURNS[0][1]), TURNS[1]]
    encoded = encode_conversation(processor.tokenizer, turns)
    assert encoded["input_ids"].tolist() == inputs["input_ids"][0].tolist()
    shown = encoded["input_ids"] == processor.video_token_id
    _, (tokens,) = model.embed_prompt(inputs["input_ids"], VideoInputs.of(inputs))
    assert int(shown.sum()) == len(tokens.embeds)
    question = processor.tokenizer(TURNS[0][0])["input_ids"]
    assert inputs["qformer_input_ids"][0].tolist() == question


def test_the_prompt_of_a_question_is_how_its_training_sample_begins(make_tiny):
    _, processor = make_tiny()
    messages = [{"role": "user", "content": TURNS[0][0]}]
    prompt = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, add_generation_prompt=True
    )["input_ids"][0].tolist()
    encoded = encode_conversation(processor.tokenizer, TURNS[:1])
    assert encoded["input_ids"][: len(prompt)].tolist() == prompt
    assert encoded["labels"][len(prompt) - 1] == IGNORED
    assert encoded["labels"][len(prompt)] != IGNORED


def test_labels_cover_the_answers_and_their_ends_only(tokenizer):
    encoded = encode_conversation(tokenizer, TURNS)
    labels, ids = encoded["labels"], encoded["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    said = labels != IGNORED
    assert torch.equal(labels[said], ids[said])
    texts = labelled_texts(tokenizer, labels)
    assert texts == [f" {answer}</s>" for _, answer in TURNS]
    assert int((labels == tokenizer.eos_token_id).sum()) == len(TURNS)


def test_a_caption_follows_its_video_without_roles(tokenizer):
    encoded = encode_caption(tokenizer, "<video>" * 5, "In the hall: a star.")
    text = tokenizer.decode(encoded["input_ids"])
    assert text == "<s>" + "<video>" * 5 + "In the hall: a star.\n"
    assert labelled_texts(tokenizer, encoded["labels"]) == ["In the hall: a star.\n"]
    assert encoded["labels"][:6].tolist() == [IGNORED] * 6


def test_samples_are_padded_on_the_right(tokenizer):
    samples = [encode_conversation(tokenizer, TURNS[:n]) for n in (1, 3)]
    batch = pad_samples(samples, 0)
    lengths = [len(s["input_ids"]) for s in samples]
    assert batch["input_ids"].shape == (2, max(lengths))
    for row, sample in enumerate(samples):
        length = lengths[row]
        assert torch.equal(batch["input_ids"][row, :length], sample["input_ids"])
        assert torch.equal(batch["labels"][row, :length], sample["labels"])
        assert (batch["input_ids"][row, length:] == 0).all()
        assert (batch["labels"][row, length:] == IGNORED).all()


def test_placeholders_and_spaces_leave_the_turns():
    sample = {
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it? "},
            {"from": "gpt", "value": " a star\n"},
            {"from": "human", "value": "Where?\n<video>"},
            {"from": "gpt", "value": "there"},
        ]
    }
    assert conversation_turns(sample) == [
        ("What is it?", "a star"),
        ("Where?", "there"),
    ]
