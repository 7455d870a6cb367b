"""Samples and batches: where videos stand, what is cut, what fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dynfocus.cli import main
from dynfocus.errors import TooManyFailuresError
from dynfocus.focus import FocusBudget
from dynfocus.models.conversation import build_conversation
from dynfocus.models.prompts import VICUNA_SYSTEM
from dynfocus.training import run_recipe
from dynfocus.training.dataset import Collator, ConversationDataset, Layout
from dynfocus.training.encoded_videos import EncodedVideos, FrameReader
from dynfocus.training.failures import BatchFacts
from dynfocus.training.labels import IGNORED, marked_turns
from dynfocus.video import VideoWriter

VIDEO = "focusworld:train/3?seconds=9"


def talk(*asked, **medium):
    turns = []
    for number, text in enumerate(asked):
        turns.append({"from": "human", "value": text})
        turns.append({"from": "gpt", "value": f"answer {number}"})
    return {"id": "a", "conversations": turns, **medium}


@pytest.fixture
def make_data(make_tiny):
    """Build a dataset that reads files, and its model."""

    def make(samples, **layout):
        model, processor = make_tiny()
        reader = FrameReader(processor=processor)
        data = ConversationDataset(
            samples, reader, processor, counter(model), Layout(**layout)
        )
        return model, data

    return make


def counter(model):
    return FocusBudget(settings=model.settings).num_tokens


def words(data, encoded):
    text = data.tokenizer.decode(encoded["input_ids"])
    while "<video><video>" in text:
        text = text.replace("<video><video>", "<video>")
    return text


@pytest.mark.parametrize("mark", ["<image>", "<video>"])
@pytest.mark.parametrize(
    "text", ["{}\nWhat is it?", "What is it?\n{}", "What {}is it?"]
)
def test_the_video_stands_before_the_words_of_its_turn(make_data, mark, text):
    sample = talk(text.format(mark), "And then?", video=VIDEO)
    _, data = make_data([sample])
    expected = (
        "<s>USER: <video>\nWhat is it? ASSISTANT: answer 0</s>"
        "USER: And then? ASSISTANT: answer 1</s>"
    )
    assert words(data, data[0]) == expected
    num_tokens = int((data[0]["input_ids"] == data.processor.video_token_id).sum())
    assert num_tokens == data.count_tokens(9)


def test_the_video_stands_in_the_turn_that_has_its_mark(make_data):
    sample = talk("Hello.", "What is it?\n<image>", video=VIDEO)
    _, data = make_data([sample])
    assert marked_turns(sample) == [1]
    assert "USER: Hello. ASSISTANT: answer 0</s>USER: <video>\nWhat" in words(
        data, data[0]
    )
    assert [data.tokenizer.decode(q) for q in data[0]["questions"]] == [
        "<s>What is it?"
    ]


def test_vicuna_speaks_after_its_system_sentence(make_data):
    _, data = make_data([talk("What?\n<image>", video=VIDEO)], template="vicuna_v1")
    expected = f"<s>{VICUNA_SYSTEM} USER: <video>\nWhat? ASSISTANT: answer 0</s>"
    assert words(data, data[0]) == expected
    labelled = data[0]["labels"][data[0]["labels"] != IGNORED]
    assert data.tokenizer.decode(labelled) == " answer 0</s>"


def test_every_turn_shows_the_video_with_its_own_question(make_data):
    asked = ["Hello.", "One?\n<image>", "Two?", "Three?", "Four?", "<image>\nFive?"]
    samples = [talk(*asked, video=VIDEO) for _ in range(8)]
    _, data = make_data(samples, blocks="every_turn", template="vicuna_v1")
    seen = set()
    for number in range(len(samples)):
        text = words(data, data[number])
        turns = [part.split(" ASSISTANT:")[0] for part in text.split("USER: ")[1:]]
        assert turns[0] == "Hello."
        assert turns[1] == "<video>\nOne?"
        assert turns[5] == "<video>\nFive?"
        for turn, own in zip(turns[2:5], ("Two?", "Three?", "Four?"), strict=True):
            assert turn in (f"<video>\n{own}", f"{own}\n<video>")
            seen.add(turn.startswith("<video>"))
        questions = [data.tokenizer.decode(q) for q in data[number]["questions"]]
        own = ["One?", "Two?", "Three?", "Four?", "Five?"]
        assert questions == [f"<s>{question}" for question in own]
        assert words(data, data[number]) == text  # the same every time
    assert seen == {True, False}


OTHER = "focusworld:train/4?seconds=6"


def test_several_videos_stand_behind_their_numbers_where_they_are_marked(make_data):
    both = [VIDEO, OTHER]
    samples = [
        talk("<video>\n<video>\nWhich?", "And then?", video=both),
        talk("<video>\nOne?", "<video>\nTwo?", video=both),
        talk("Which?", "And then?", video=both),
    ]
    _, data = make_data(samples, blocks="every_turn")
    front = "<s>USER: Video 1: <video>\nVideo 2: <video>\nWhich? ASSISTANT: "
    for number in (0, 2):
        assert words(data, data[number]).startswith(front)
        assert data[number]["owners"] == [0, 1]
    apart = words(data, data[1])
    assert "USER: Video 1: <video>\nOne?" in apart
    assert "USER: Video 2: <video>\nTwo?" in apart
    num_tokens = int((data[1]["input_ids"] == data.processor.video_token_id).sum())
    assert num_tokens == data.count_tokens(9) + data.count_tokens(6)
    lengths = data.lengths()
    assert lengths[0] == lengths[2] + len("<video>\n<video>\n") // 4


def test_a_question_about_several_videos_is_asked_as_it_was_trained(make_data):
    sample = talk("<video>\n<video>\nWhich is it?", video=[VIDEO, OTHER])
    _, data = make_data([sample])
    processor = data.processor
    turns = build_conversation((), "Which is it?")
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    counts = [data.count_tokens(9), data.count_tokens(6)]
    asked = processor.prompt_ids(text, "Which is it?", counts)[0]
    assert data[0]["input_ids"][: len(asked)].tolist() == asked.tolist()


@torch.no_grad()
def test_several_videos_of_a_sample_teach_what_each_block_shows(make_data):
    samples = [
        talk("<video>\n<video>\nWhich?", video=[VIDEO, OTHER]),
        talk("<video>\nOne?", "Two?", video=OTHER),
    ]
    model, data = make_data(samples, blocks="every_turn")
    batch = Collator(data)([data[0], data[1]])
    assert batch.pop("facts").num_frames == 9 + 6 + 6
    assert batch["block_videos"].tolist() == [0, 1, 2, 2]
    together = model(**batch).logits
    alone = Collator(data)([data[0]])
    alone.pop("facts")
    assert "block_videos" not in alone
    logits = model(**alone).logits[0]
    torch.testing.assert_close(together[0, : len(logits)], logits, rtol=1e-4, atol=1e-4)


def test_the_system_of_a_sample_takes_the_place_of_the_usual_one(make_data):
    sample = talk("<image>\nWhat?", video=VIDEO, system="Be brief.")
    for template in ("roles", "vicuna_v1"):
        _, data = make_data([sample], template=template)
        assert words(data, data[0]).startswith("<s>Be brief. USER: <video>\nWhat?")


@torch.no_grad()
def test_several_blocks_and_frames_from_files_go_through_the_model(make_data):
    samples = [
        talk("<image>\nOne?", "Two, longer?", video=VIDEO),
        talk("Only words."),
        talk("<image>\nThree?", image="focusworld:train/4?seconds=60&at=12"),
    ]
    model, data = make_data(samples, blocks="every_turn")
    batch = Collator(data)([data[i] for i in range(3)])
    facts = batch.pop("facts")
    assert batch["block_videos"].tolist() == [0, 0, 1]
    assert batch["video_num_frames"].tolist() == [9, 1]
    assert facts == BatchFacts(
        num_tokens=int(sum(len(data[i]["input_ids"]) for i in range(3))), num_frames=10
    )
    together = model(**batch).logits
    for number in range(3):
        alone = Collator(data)([data[number]])
        alone.pop("facts")
        logits = model(**alone).logits[0]
        torch.testing.assert_close(
            together[number, : len(logits)], logits, rtol=1e-4, atol=1e-4
        )


@torch.no_grad()
def test_frames_from_files_give_what_the_cache_gives(make_data, tmp_path):
    samples = [talk("<image>\nOne?", video=VIDEO)]
    model, data = make_data(samples)
    cache = EncodedVideos(tmp_path, model, data.processor)
    cache.fill(samples)
    cached = ConversationDataset(
        samples, cache, data.processor, counter(model), Layout()
    )
    losses = []
    for source in (data, cached):
        batch = Collator(source)([source[0]])
        batch.pop("facts")
        losses.append(model(**batch).loss)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-3)
    assert data.lengths() == cached.lengths()


@torch.no_grad()
def test_a_blank_video_keeps_every_module_in_a_batch_of_text(make_data):
    model, data = make_data([talk("Only words.")])
    blanks = (None, data.media.blank())
    batches = [Collator(data, blank)([data[0]]) for blank in blanks]
    assert "pixel_values_videos" not in batches[0]
    assert batches[1]["video_num_frames"].tolist() == [1]
    assert len(batches[1]["input_ids"]) == 2
    assert (batches[1]["labels"][1] == IGNORED).all()
    losses = []
    for batch in batches:
        assert batch.pop("facts").num_frames == 0
        losses.append(model(**batch).loss)
    torch.testing.assert_close(losses[0], losses[1])


def test_long_texts_and_questions_are_cut_and_counted(make_data, caplog):
    long = "What is it that the small red cross does? " * 6
    samples = [talk(f"<image>\n{long}", "And then?", video=VIDEO), talk("Short.")]
    _, whole = make_data(samples)
    limit = 0
    front = int((whole[0]["labels"] != IGNORED).nonzero()[0, 0])
    room = whole.count_tokens(9)
    limit = front - room + 3  # the mark and two tokens of the answer
    _, data = make_data(samples, max_text_tokens=limit, max_question_tokens=8)
    encoded = data[0]
    assert encoded["input_ids"].tolist() == whole[0]["input_ids"][: front + 2].tolist()
    question = whole[0]["questions"][0]
    assert encoded["questions"][0].tolist() == [
        int(question[0]),
        *question[-7:].tolist(),
    ]
    facts = Collator(data)([encoded, data[1]])["facts"]
    assert facts.num_cut == 1
    assert caplog.text.count("sample a is cut: ") == 1
    _, short = make_data(samples, max_text_tokens=5)
    assert "no answer begins within" in short[0]["failure"].reason


def test_samples_that_fail_are_named_and_left_out(make_data, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    good, bad = talk("Words."), talk("<image>\nOne?", video=str(tmp_path / "bad.mp4"))
    gone = {**talk("<image>\nOne?", image=str(tmp_path / "no.png")), "id": "gone"}
    _, data = make_data([good, bad, gone])
    collator = Collator(data)
    batch = collator([data[0], data[1], data[2]])
    assert len(batch["input_ids"]) == 1
    failures = batch["facts"].failures
    assert [f.sample for f in failures] == ["a", "gone"]
    assert failures[0].medium == str(tmp_path / "bad.mp4")
    assert "not a video" in failures[0].reason
    empty = collator([data[1]])
    assert (empty["labels"] == IGNORED).all()
    assert empty["facts"].num_tokens == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"template": "llama"},
            "template must be one of 'plain_guided', 'roles' or 'vicuna_v1', got",
        ),
        ({"blocks": "all"}, "blocks must be one of 'first' or 'every_turn', got"),
        (
            {"max_text_tokens": 1},
            "max_text_tokens must be above 1, got 1",
        ),
        ({"max_question_tokens": "9"}, "max_question_tokens must be a whole number"),
    ],
)
def test_wrong_layouts_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Layout(**settings)


@pytest.fixture
def files(tmp_path):
    """Write a video, a picture, a broken video and samples about them."""
    with VideoWriter(tmp_path / "clip.mp4", fps=4, size=(64, 64)) as writer:
        for number in range(12):
            writer.write(np.full((64, 64, 3), 20 * number, np.uint8))
    Image.new("RGB", (50, 40), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.mp4").write_text("no video")
    samples = [
        {**talk("<image>\nOne?", "Two?", video="clip.mp4"), "id": "clip"},
        {**talk("<image>\nWhich colour?", image="red.png"), "id": "red"},
        {**talk("Only words."), "id": "words"},
        {**talk("<image>\nOne?", video="bad.mp4"), "id": "bad"},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, samples)))
    return path


@pytest.fixture
def recipe(files, parts, tiny_settings, write_recipe):
    return write_recipe(
        task="stage2",
        start=dict(parts),
        model=tiny_settings,
        data={"sources": [{"json": str(files)}], "max_failures": 1},
        schedule={"num_steps": 3, "group_by_length": False},
    )


def test_a_run_skips_what_fails_and_says_so(recipe, tmp_path, caplog):
    output = run_recipe(recipe)
    assert "sample bad is skipped" in caplog.text
    (line,) = (output / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["sample"] == "bad"
    assert json.loads(line)["medium"] == str(tmp_path / "bad.mp4")
    state = json.loads((output / "trainer_state.json").read_text())
    assert all(entry["loss"] > 0 for entry in state["log_history"][:3])


def test_samples_that_are_malformed_are_counted_before_the_first_step(
    recipe, files, caplog
):
    lines = files.read_text().splitlines()
    files.write_text("\n".join([lines[0], "{oops", lines[2]]))
    output = run_recipe(recipe, ["schedule.num_steps=1"])
    (line,) = (output / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["sample"] == f"{files}, line 2"
    assert "line 2 is skipped" in caplog.text
    with pytest.raises(TooManyFailuresError, match="1 sample failed, data.max_failu"):
        run_recipe(recipe, ["data.max_failures=0"], resume=False)


@pytest.mark.parametrize("cached", [False, True])
def test_what_neighbours_write_is_checked_and_trained_on(
    recipe, files, tmp_path, cached
):
    (tmp_path / "other.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes())
    answer = {"role": "assistant", "content": "The second."}
    shown = [{"type": "video", "video": f"{name}.mp4"} for name in ("clip", "other")]
    asked = {"role": "user", "content": [*shown, {"type": "text", "text": "Which?"}]}
    system = {"role": "system", "content": "Be brief."}
    samples = [
        {"id": "parts", "messages": [system, asked, answer]},
        {**talk("One?"), "id": "listed", "video": ["clip.mp4", "other.mp4"]},
        {**talk("<image>\nOne?"), "id": "pictures", "image": ["red.png"]},
        {**talk("One?"), "id": "broken", "video": ["clip.mp4", "bad.mp4"]},
    ]
    files.write_text("\n".join(map(json.dumps, samples)))
    clean = tmp_path / "clean.jsonl"
    main(["data", "check", str(files), "--out", str(clean)])
    cache = [f"data.cache={tmp_path / 'cache'}"] if cached else []
    changes = [f"data.sources=[{{json: {clean}}}]", "schedule.group_by_length=true"]
    output = run_recipe(recipe, [*changes, *cache, "data.max_failures=0"])
    assert not (output / "failures.jsonl").exists()
    state = json.loads((output / "trainer_state.json").read_text())
    assert all(entry["loss"] > 0 for entry in state["log_history"][:3])


def test_the_command_skips_half_a_character(recipe, files, capsys):
    lines = files.read_text().splitlines()
    files.write_text("\n".join([lines[0], lines[2].replace("Only", "\\ud83d")]))
    code = main(["train", str(recipe), "--set", "schedule.num_steps=1"])
    out = Path(capsys.readouterr().out.splitlines()[-1])
    assert code == 0
    (line,) = (out / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["sample"] == "words"
    assert "holds half a character" in json.loads(line)["reason"]


def test_too_many_failures_stop_a_run(recipe):
    with pytest.raises(TooManyFailuresError, match="1 sample failed, data.max_failu"):
        run_recipe(recipe, ["data.max_failures=0"])


def test_a_step_whose_samples_all_fail_changes_no_weight(recipe, tmp_path, files):
    files.write_text(files.read_text().splitlines()[3])
    output = run_recipe(recipe, ["schedule.num_steps=1"])
    state = json.loads((output / "trainer_state.json").read_text())
    assert state["log_history"][0]["loss"] == 0
    assert state["log_history"][0]["grad_norm"] == 0


def test_what_a_cache_cannot_encode_is_skipped_too(recipe, tmp_path, caplog):
    output = run_recipe(
        recipe, [f"data.cache={tmp_path / 'c'}", "schedule.group_by_length=true"]
    )
    assert "bad.mp4 cannot be encoded: " in caplog.text
    (line,) = (output / "failures.jsonl").read_text().splitlines()
    assert "could not be encoded; 'dynfocus data check' says why" in line


def test_workers_decode_what_one_process_decodes(make_data, files, load):
    samples = load([{"json": str(files)}])
    _, data = make_data(samples, blocks="every_turn")
    collator = Collator(data)
    loader = DataLoader(data, batch_size=2, num_workers=2, collate_fn=collator)
    for number, batch in enumerate(loader):
        own = collator([data[2 * number], data[2 * number + 1]])
        assert batch["facts"] == own["facts"]
        for name, value in own.items():
            if name != "facts":
                assert torch.equal(batch[name], value), name
