"""Options under letters: told apart from the question, and answered by the likeliest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynfocus.models import VideoModel
from dynfocus.models.choices import OneOf, split_options
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.loading import load_parts
from dynfocus.world import make_scene, render
from dynfocus.world.wide.wordings import _LISTS

FRAMES = np.random.default_rng(3).integers(0, 255, (4, 48, 64, 3), np.uint8)


@pytest.mark.parametrize("style", _LISTS)
@pytest.mark.parametrize("gap", [" ", "\n"])
@pytest.mark.parametrize(
    "texts", [["red", "blue"], ["it does not appear", "B", "A", "from 00:04 to 00:07"]]
)
def test_every_list_is_told_apart(style, gap, texts):
    lines = [style.format("ABCD"[place], text) for place, text in enumerate(texts)]
    listed = split_options(gap.join(["Which of them?", *lines]))
    assert listed.question == "Which of them?"
    assert listed.letters == dict(zip(texts, "ABCD", strict=False))


@pytest.mark.parametrize(
    ("text", "question", "letters"),
    [
        ("Is B: the A. Dumas book here? A. yes B. no", None, ["yes", "no"]),
        ("Which?\nA. a dog\nB. a cat\nAnswer with the letter.", "Which?", None),
        ("Which is on the object marked A. or B? A) red B) blue", None, None),
    ],
)
def test_only_the_list_is_taken_off(text, question, letters):
    listed = split_options(text)
    assert len(listed.letters) == 2
    assert "Answer" not in "".join(listed.letters)
    if question:
        assert listed.question == question
    if letters:
        assert list(listed.letters) == letters


@pytest.mark.parametrize(
    "text",
    [
        "What is red?",
        "A. red B. blue",
        "Which? A. red",
        "Which? A. red B. red",
        "x A. ",
    ],
)
def test_what_lists_no_two_options_stays_whole(text):
    assert split_options(text) is None


@pytest.fixture
def nano():
    return load_parts("nano", device="cpu")


@pytest.fixture
def openly(nano):
    """Give a model that was taught open questions alone, as far as it knows."""
    model, processor = nano
    processor.asks_openly = True
    return VideoModel(FeatureBackbone(model, processor, "other"))


def test_an_option_is_answered_with_its_letter(openly):
    model, told = openly, []
    words = {"small": "A", "it does not appear": "B", "large": "C"}
    lines = " ".join(f"{letter}. {text}" for text, letter in words.items())
    answer = model.ask(FRAMES, f"Which size? {lines}", on_text=told.append)
    assert answer.text in words.values()
    assert told == [answer.text]
    assert 0 < answer.confidence <= 1
    assert answer.question == f"Which size? {lines}"
    short = model.ask(FRAMES, "Which size?")
    assert answer.prompt_tokens == short.prompt_tokens  # asked without the options
    assert answer.tokens == short.tokens
    model.processor.asks_openly = False
    whole = model.ask(FRAMES, f"Which size? {lines}", max_new_tokens=1)
    assert whole.prompt_tokens > short.prompt_tokens


def test_the_likelier_option_is_said(openly):
    video = make_scene(5, 20, "test")
    frames = np.stack(list(render(video, range(20))))
    seen = next(iter(video.cast))
    question = f"What letter is on the {seen.name}?"
    free = openly.ask(frames, question).text
    others = [letter for letter in "KLMN" if letter != free][:2]
    for place in range(3):
        texts = [*others[:place], free, *others[place:]]
        lines = [f"{'ABC'[n]}) {text}" for n, text in enumerate(texts)]
        assert openly.ask(frames, "\n".join([question, *lines])).text == "ABC"[place]


def test_answers_are_walked_token_by_token(nano):
    _, processor = nano
    words = processor.tokenizer
    texts = ["from 1 to 2", "from 1 to 3", "Red"]
    choice = OneOf(words, texts)
    end = words.eos_token_id
    for text, said in (("from 1 to 3", "from 1 to 3"), ("Red", "red")):
        ids: list[int] = []
        wanted = [*words.encode(f" {said}", add_special_tokens=False), end]
        for token in wanted:
            scores = torch.zeros(1, len(words))
            left = choice(torch.tensor([ids], dtype=torch.long), scores)
            assert torch.isfinite(left[0, token])
            assert 1 <= int(torch.isfinite(left).sum()) <= 3
            ids.append(token)
        assert choice.find(ids) == text


def test_it_is_kept_with_the_processor(openly, tmp_path):
    openly.model.save_pretrained(tmp_path)
    openly.processor.save_pretrained(tmp_path)
    assert load_parts(tmp_path, device="cpu")[1].asks_openly
