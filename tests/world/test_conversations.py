"""Addresses and conversations: what is named is drawn, what is said is true."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynfocus.models.prompts import IMAGE_MARK
from dynfocus.world import make_questions, make_scene, render
from dynfocus.world.conversations import (
    FRAME_MARK,
    PLACEHOLDER,
    WorldAddress,
    frame_log,
    log_conversation,
    parse_address,
    picture_sample,
    render_address,
    video_samples,
)
from dynfocus.world.render import placed_objects
from dynfocus.world.scene import SPLITS
from dynfocus.world.vocabulary import ANOMALIES, BASE_PIXELS, ROOMS

seconds = st.integers(5000, 9_999_999).map(lambda n: n / 1000)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPLITS), st.integers(0, 2**40), seconds, st.none() | seconds)
def test_addresses_round_trip(split, seed, length, at):
    address = WorldAddress(split=split, seed=seed, seconds=length, at=at)
    assert parse_address(str(address)) == address


def test_addresses_are_short():
    video = WorldAddress(split="train", seed=12, seconds=45.0)
    assert str(video) == "focusworld:train/12?seconds=45"
    picture = WorldAddress(split="train", seed=12, seconds=45.0, at=3.5)
    assert str(picture) == "focusworld:train/12?seconds=45&at=3.5"
    assert video.scene() == make_scene(12, 45.0, "train")


@pytest.mark.parametrize("text", ["", "clip.mp4", "/a/focusworld:train/1?seconds=9"])
def test_other_names_are_no_addresses(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "focusworld:",
        "focusworld:train",
        "focusworld:train/12",
        "focusworld:train/x?seconds=45",
        "focusworld:train/-1?seconds=45",
        "focusworld:dev/12?seconds=45",
        "focusworld:train/12/3?seconds=45",
        "focusworld:train/12?seconds=long",
        "focusworld:train/12?seconds=45&at=now",
    ],
)
def test_malformed_addresses_are_refused(text):
    with pytest.raises(ValueError, match="is not a FocusWorld address such as"):
        parse_address(text)


def test_a_video_address_draws_its_scene():
    address = WorldAddress(split="train", seed=3, seconds=10.0)
    sampled = render_address(address, fps=2.0)
    np.testing.assert_array_equal(sampled.times, np.arange(20) / 2)
    drawn = np.stack(list(render(address.scene(), sampled.times.tolist())))
    assert sampled.frames.shape == drawn.shape
    assert np.abs(sampled.frames.astype(int) - drawn).mean() < 15
    again = render_address(address, fps=2.0)
    np.testing.assert_array_equal(sampled.frames, again.frames)


def test_a_picture_address_draws_one_frame_at_time_zero():
    address = WorldAddress(split="train", seed=3, seconds=10.0, at=4.5)
    sampled = render_address(address)
    assert sampled.frames.shape == (1, 112, 112, 3)
    assert sampled.times.tolist() == [0.0]
    (drawn,) = render(address.scene(), [4.5])
    assert np.abs(sampled.frames[0].astype(int) - drawn).mean() < 15


def flatten(samples):
    turns = [turn for sample in samples for turn in sample["conversations"]]
    asked = [t["value"].removeprefix(f"{PLACEHOLDER}\n") for t in turns[::2]]
    return list(zip(asked, [t["value"] for t in turns[1::2]], strict=True))


def test_a_video_gives_all_its_questions_dealt_out():
    address = WorldAddress(split="train", seed=3, seconds=60.0)
    questions = make_questions(address.scene())
    samples = video_samples(address, turns_per_sample=4)
    assert len(samples) == -(-len(questions) // 4)
    expected = [(q.question, q.answer) for q in questions]
    assert sorted(flatten(samples)) == sorted(expected)
    assert flatten(samples) != expected
    ids = [sample["id"] for sample in samples]
    assert len(set(ids)) == len(ids)
    for sample in samples:
        assert sample["video"] == str(address)
        texts = [turn["value"] for turn in sample["conversations"]]
        assert texts[0].startswith(f"{PLACEHOLDER}\n")
        assert not any(PLACEHOLDER in text for text in texts[1:])
        roles = [turn["from"] for turn in sample["conversations"]]
        assert roles == ["human", "gpt"] * (len(roles) // 2)
        assert len(roles) <= 8
    assert samples == video_samples(address, turns_per_sample=4)


def test_questions_are_dealt_out_by_the_weight_of_their_kind():
    address = WorldAddress(split="train", seed=3, seconds=60.0)
    captions = video_samples(address, weights={"caption": 1.0})
    assert flatten(captions)[0][0] == "Describe the video."
    assert len(flatten(captions)) == 1
    once = flatten(video_samples(address))
    all_kinds = {question.kind: 2.0 for question in make_questions(address.scene())}
    samples = video_samples(address, weights=all_kinds)
    twice = flatten(samples)
    assert sorted(twice) == sorted(2 * once)
    assert twice[: len(once)] == once
    assert twice[len(once) :] != once
    assert len({sample["id"] for sample in samples}) == len(samples)
    assert video_samples(address, weights={}) == []


def test_a_broken_weight_deals_out_a_share_of_the_questions():
    addresses = [
        WorldAddress(split="train", seed=seed, seconds=60.0) for seed in range(60)
    ]
    num_asked = sum(
        question.kind == "attribute"
        for address in addresses
        for question in make_questions(address.scene())
    )
    dealt = sum(
        len(flatten(video_samples(address, weights={"attribute": 2.25})))
        for address in addresses
    )
    assert dealt / num_asked == pytest.approx(2.25, abs=0.1)


def test_a_picture_is_asked_about_what_it_shows():
    num_samples = 0
    for seed in range(60):
        address = WorldAddress(split="train", seed=seed, seconds=60.0, at=seed % 60)
        sample = picture_sample(address)
        placed = placed_objects(address.scene(), address.at)
        if sample is None:
            assert not any(10 <= p.x <= 102 for p in placed)
            continue
        num_samples += 1
        assert sample["image"] == str(address)
        assert len(sample["conversations"]) == 6
        for question, answer in flatten([sample]):
            things = [p.thing for p in placed]
            if question.startswith("What letter"):
                right = {t.letter for t in things if f" {t.name}?" in question}
            elif question.startswith("What colour"):
                right = {t.colour for t in things if f" {t.letter}?" in question}
            elif question.startswith("What shape"):
                right = {t.shape for t in things if f" {t.letter}?" in question}
            else:
                seen = any(f" {t.name} appear" in question for t in things)
                right = {"yes" if seen else "no"}
            assert right == {answer}
    assert num_samples > 20


def test_the_mark_of_a_video_is_the_one_that_prompts_know():
    assert PLACEHOLDER == IMAGE_MARK


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


def test_questions_are_kept_for_every_scene():
    lengths = defaultdict(int)
    for seed in range(40):
        lengths[len(log_conversation(seed, 10, 8))] += 1
    assert lengths[8] > 20
