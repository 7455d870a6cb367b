"""Written logs of scenes, the tokenizer that reads them, and the task's job."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from dynfocus.training import load_recipe
from dynfocus.training.conversation import encode_conversation
from dynfocus.training.nano.language import (
    FRAME_MARK,
    SPECIAL_TOKENS,
    LogDataset,
    frame_log,
    log_conversation,
    make_language_job,
    train_tokenizer,
)
from dynfocus.world import make_scene
from dynfocus.world.render import placed_objects
from dynfocus.world.vocabulary import ANOMALIES, BASE_PIXELS, ROOMS


def test_a_log_says_what_is_in_view():
    num_named = 0
    for seed in range(8):
        scene = make_scene(seed, 60.0, "train")
        times = np.arange(0.0, 60.0, 1.5) + 0.01
        marks = frame_log(scene, times).split(FRAME_MARK)
        assert marks[0] == ""
        assert len(marks) == len(times) + 1
        room = ""
        for seconds, said in zip(times.tolist(), marks[1:], strict=True):
            now = next(r.name for r in scene.rooms if r.start <= seconds < r.end)
            assert (f" the {now}" in said) == (now != room)
            assert all(f" the {other}" not in said for other in set(ROOMS) - {now})
            room = now
            seen = {
                f" {p.thing.size} {p.thing.name} {p.thing.letter}"
                for p in placed_objects(scene, seconds)
                if 0 <= p.x <= BASE_PIXELS
            }
            strange = {
                f" {a.name}" for a in scene.anomalies if a.start <= seconds < a.end
            }
            rest = said.removeprefix(f" the {now}")
            for part in seen | strange:
                assert rest.count(part) == 1
                rest = rest.replace(part, "")
            assert rest == ""
            assert not any(name in rest for name in ANOMALIES)
            num_named += len(seen)
    assert num_named > 50


def test_log_conversations_repeat_and_have_the_log_first():
    turns = log_conversation(5, 20, 4)
    assert turns == log_conversation(5, 20, 4)
    assert turns != log_conversation(6, 20, 4)
    assert 1 <= len(turns) <= 4
    assert turns[0][0].count(FRAME_MARK) <= 20
    assert turns[0][0].startswith(f"{FRAME_MARK} the ")
    assert not any(FRAME_MARK in question for question, _ in turns[1:])


def test_logs_come_from_training_scenes_of_the_same_seed():
    drawn = log_conversation(5, 500, 50)
    asked = " ".join(question for question, _ in drawn)
    assert "When does" not in asked
    assert "Which way" not in asked
    letters = [(q, a) for q, a in drawn if "What letter is on the" in q]
    assert letters
    for question, letter in letters:
        name = question.split("What letter is on the ")[1].removesuffix("?")
        assert f" {name} {letter}" in drawn[0][0]


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
    data = LogDataset(tokenizer, 2, 10, max_frames=12, num_questions=3)
    assert len(data) == 10
    expected = encode_conversation(tokenizer, log_conversation(20_000_004, 12, 3))
    for name in ("input_ids", "labels"):
        assert torch.equal(data[4][name], expected[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"frames": 3}},
            r"max_frames, num_questions, packed_tokens only, got \['frames'\]",
        ),
        ({"model": {"hidden_size": 3}}, r"got \['hidden_size'\]"),
        ({"start": {"model": "a"}}, r"got \{'model': 'a'\}"),
    ],
)
def test_settings_of_other_tasks_are_refused(write_recipe, changes, message):
    recipe = load_recipe(write_recipe(task="language", **changes))
    with pytest.raises(ValueError, match=f"task language takes.*{message}"):
        make_language_job(recipe)


def test_questions_are_kept_for_every_scene():
    lengths = defaultdict(int)
    for seed in range(40):
        lengths[len(log_conversation(seed, 10, 8))] += 1
    assert lengths[8] > 20


def test_packed_logs_teach_what_padded_logs_teach(write_recipe):
    losses = []
    for name, data in (("padded", {}), ("packed", {"packed_tokens": 1000})):
        small = {"max_frames": 12, "num_questions": 3, **data}
        recipe = load_recipe(write_recipe(f"{name}.yaml", task="language", data=small))
        torch.manual_seed(0)
        job = make_language_job(recipe)
        batch = job.collator([job.dataset[number] for number in range(4)])
        losses.append(job.model(**batch).loss.item())
    assert batch["position_ids"].shape[0] < 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
