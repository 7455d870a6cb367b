"""The tokenizer that reads written logs, and the samples and the recipe of the task."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, Lfm2ForCausalLM

from dynfocus.training import load_recipe
from dynfocus.training.labels import IGNORED, encode_conversation, pad_samples
from dynfocus.training.nano.language import (
    SPECIAL_TOKENS,
    LanguageData,
    LanguageShape,
    LogDataset,
    LogReader,
    default_language_config,
    train_tokenizer,
)
from dynfocus.world.conversations import log_conversation


def test_the_tokenizer_reads_any_text(tokenizer):
    for text in ("the red circle", "Ünïcode ♞ 日本", "a\n\tb  c", "12:34 & {}"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text


def test_digits_and_special_tokens_stand_alone(tokenizer):
    for token in (*SPECIAL_TOKENS, "0", "7"):
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    assert tokenizer.tokenize("from 01:25")[-5:] == ["0", "1", ":", "2", "5"]
    assert [tokenizer.convert_tokens_to_ids(t) for t in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id == 1
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)


def test_the_words_of_the_world_are_short(tokenizer):
    text = "How many times does the red square appear?"
    assert len(tokenizer.tokenize(text)) <= 10


def test_training_a_tokenizer_repeats():
    assert train_tokenizer(5, 300).get_vocab() == train_tokenizer(5, 300).get_vocab()


def test_a_tokenizer_survives_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "USER: <video><video>\nWhat? ASSISTANT: yes</s>"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.get_vocab() == tokenizer.get_vocab()


def test_log_samples_are_conversations(tokenizer):
    data = LogDataset(tokenizer, 2, 10, LanguageData(max_frames=12, num_questions=3))
    assert len(data) == 10
    expected = encode_conversation(tokenizer, log_conversation(20_000_004, 12, 3))
    for name in ("input_ids", "labels"):
        assert torch.equal(data[4][name], expected[name])


def test_lessons_begin_with_plain_words_and_short_logs(tokenizer):
    data = LanguageData(max_frames=16, num_questions=14, wide=True, easy_samples=20)
    lessons = LogDataset(tokenizer, 1, 100, data)
    texts = [tokenizer.decode(lessons[n]["input_ids"]) for n in range(80)]
    assert max(text.count("|") for text in texts[:20]) == 6
    assert max(text.count("|") for text in texts[60:]) > 12
    plain = ["Describe the video." in text for text in texts]
    assert sum(plain[:20]) > 4 * sum(plain[60:])
    assert texts[70] != tokenizer.decode(
        LogDataset(tokenizer, 2, 100, data)[70]["input_ids"]
    )


def test_answers_count_most_and_padding_not_at_all(tokenizer):
    torch.manual_seed(0)
    shape = LanguageShape(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    model = LogReader(Lfm2ForCausalLM(default_language_config(tokenizer, shape)).eval())
    data = LogDataset(tokenizer, 2, 10, LanguageData(max_frames=6, num_questions=3))
    pad = tokenizer.pad_token_id
    with torch.no_grad():
        alone = [model(**pad_samples([data[n]], pad_id=pad)) for n in range(2)]
    both = pad_samples([data[n] for n in range(2)], pad_id=pad)
    with torch.no_grad():
        together = model(**both)
    for name in ("answer_loss", "text_loss"):
        low, high = sorted(float(losses[name]) for losses in alone)
        assert low <= float(together[name]) <= high
    loss = together["answer_loss"] + 0.3 * together["text_loss"]
    assert torch.isclose(together["loss"], loss)
    answers = int((both["labels"] != IGNORED).sum())
    with torch.no_grad():
        halved = model(**both, num_items_in_batch=2 * answers)
    assert torch.isclose(halved["loss"], together["loss"] / 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"frames": 3}}, "no 'data.frames'; accepted are max_frames, num_q"),
        ({"model": {"width": 3}}, "no 'model.width'; accepted are vocab_size"),
        ({"start": {"model": "a"}}, "there is no 'start'; accepted are task"),
    ],
)
def test_settings_of_other_tasks_are_refused(write_recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write_recipe(task="language", **changes))
