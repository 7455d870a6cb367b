"""Where samples come from, and what is said of samples that are malformed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dynfocus.training.nano.language import log_conversation
from dynfocus.training.sources import load_samples, world_addresses
from dynfocus.world import make_questions
from dynfocus.world.conversations import parse_address

TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This"}]


@pytest.fixture
def write(tmp_path):
    def write(raw: object, name: str = "data.json") -> str:
        path = tmp_path / name
        path.write_text(raw if isinstance(raw, str) else json.dumps(raw), "utf-8")
        return str(path)

    return write


def test_files_are_found_beside_the_data(write, tmp_path):
    (tmp_path / "clip a.mp4").touch()
    (tmp_path / "ü.png").touch()
    raw = [
        {"id": "a", "video": "clip a.mp4", "conversations": TURNS},
        {"id": "b", "image": "ü.png", "conversations": TURNS},
        {"id": "c", "conversations": TURNS},
    ]
    samples = load_samples([{"json": write(raw)}])
    assert samples[0] == {**raw[0], "video": str(tmp_path / "clip a.mp4")}
    assert samples[1] == {**raw[1], "image": str(tmp_path / "ü.png")}
    assert samples[2] == raw[2]


def test_files_are_found_under_a_root(write, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").touch()
    source = {
        "json": write([{"video": "a.mp4", "conversations": TURNS}]),
        "root": str(tmp_path / "media"),
    }
    (sample,) = load_samples([source])
    assert sample["video"] == str(tmp_path / "media" / "a.mp4")


def test_one_sample_a_line_is_read_too(write):
    lines = "".join(
        json.dumps({"id": i, "conversations": TURNS}) + "\n\n" for i in range(3)
    )
    samples = load_samples([{"json": write(lines, "data.jsonl")}])
    assert [sample["id"] for sample in samples] == [0, 1, 2]


def test_addresses_in_a_file_stay_addresses(write):
    address = "focusworld:train/3?seconds=20"
    raw = [{"video": address, "conversations": TURNS}]
    assert load_samples([{"json": write(raw)}])[0]["video"] == address


BAD = [
    ("text", "sample [?]: 'conversations' must be a list of turns"),
    ({"id": "x"}, "sample x: 'conversations' must be a list of turns"),
    ({"conversations": "a"}, "sample [?]: 'conversations' must be a list"),
    (
        {"id": "x", "conversations": []},
        r"sample x: turns must alternate human, gpt, human, gpt, got \[\]",
    ),
    ({"conversations": TURNS[:1]}, r"must alternate .* got \['human'\]"),
    ({"conversations": TURNS[::-1]}, r"must alternate .* got \['gpt', 'human'\]"),
    ({"conversations": ["a", "b"]}, r"must alternate .* got \[None, None\]"),
    (
        {"conversations": [TURNS[0], {"from": "gpt", "value": 3}]},
        "every turn needs a text under 'value'",
    ),
    (
        {"conversations": TURNS, "video": "a.mp4", "image": "a.png"},
        "has both a video and an image; give one",
    ),
    ({"conversations": TURNS, "video": 3}, "'video' must be a file name"),
    ({"conversations": TURNS, "image": None}, "'image' must be a file name"),
    (
        {"conversations": TURNS, "video": "focusworld:train"},
        "is not a FocusWorld address",
    ),
]


@pytest.mark.parametrize(("sample", "message"), BAD)
def test_malformed_samples_are_refused(write, sample, message):
    good = {"id": "good", "conversations": TURNS}
    with pytest.raises(ValueError, match=message):
        load_samples([{"json": write([good, sample])}])


def test_media_that_are_missing_are_named(write):
    raw = [{"id": "x", "video": "no.mp4", "conversations": TURNS}]
    with pytest.raises(FileNotFoundError, match=r"sample x: .*no\.mp4 does not exist"):
        load_samples([{"json": write(raw)}])


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("{", "a.json", "is not valid JSON: "),
        ("{}\n{", "a.jsonl", "is not valid JSON: "),
        ("{}", "a.json", "must be a list of samples"),
        ("3", "a.json", "must be a list of samples"),
    ],
)
def test_files_that_hold_no_samples_are_refused(write, text, name, message):
    with pytest.raises(ValueError, match=message):
        load_samples([{"json": write(text, name)}])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="make some with 'dynfocus world make'"):
        load_samples([{"json": str(tmp_path / "no.json")}])


VIDEOS = {"num_videos": 2, "seconds": [8, 20]}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no sample found; name at least one source"),
        ([{"world_logs": {"num_logs": 0}}], "no sample found"),
        (
            [{"csv": "a"}],
            "each must have one of json, world_videos, world_pictures, world_logs, "
            r"got \{'csv': 'a'\}",
        ),
        (["json"], "each must have one of .* got 'json'"),
        ([3], "each must have one of .* got 3"),
        (
            [{"world_logs": {"num_logs": 1}, "world_videos": VIDEOS}],
            "each must have one of",
        ),
        (
            [{"world_videos": {"num_videos": 2}}],
            "world_videos needs the settings num_videos, seconds, got",
        ),
        ([{"world_pictures": 5}], "world_pictures needs the settings num_pictures"),
        ([{"world_logs": {}}], "world_logs needs the settings num_logs"),
        (
            [{"world_videos": {**VIDEOS, "turns": 3}}],
            "world_videos has no setting 'turns'; known are kinds, max_per_kind",
        ),
        (
            [{"world_logs": {"num_logs": 1, "sed": 3}}],
            "world_logs has no setting 'sed'; known are num_logs, seed",
        ),
        (
            [{"world_videos": {**VIDEOS, "kinds": ["captions"]}}],
            "world_videos has no kind 'captions'; known are needle",
        ),
        (
            [{"world_videos": {**VIDEOS, "split": "dev"}}],
            "split must be one of train, validation, test, got 'dev'",
        ),
    ],
)
def test_wrong_sources_are_refused(sources, message):
    with pytest.raises(ValueError, match=message):
        load_samples(sources)


def test_lengths_are_log_uniform_between_their_bounds():
    addresses = world_addresses(300, [8, 128], 5, "train")
    assert addresses == world_addresses(300, [8, 128], 5, "train")
    lengths = np.array([a.seconds for a in addresses])
    assert [a.seed for a in addresses] == list(range(5, 305))
    assert lengths.min() >= 8
    assert lengths.max() <= 128
    assert (lengths < 32).mean() == pytest.approx(0.5, abs=0.1)


def test_world_videos_ask_what_they_are_told_to():
    source = {"world_videos": {**VIDEOS, "kinds": ["caption"], "seed": 9}}
    samples = load_samples([source])
    assert len(samples) == 2
    for number, sample in enumerate(samples):
        address = parse_address(sample["video"])
        assert (address.split, address.seed) == ("train", 9 + number)
        assert 8 <= address.seconds <= 20
    whole = load_samples([{"world_videos": {**VIDEOS, "turns_per_sample": 1}}])
    addresses = world_addresses(2, [8, 20], 0, "train")
    assert len(whole) == sum(len(make_questions(a.scene())) for a in addresses)


def test_pictures_come_in_the_number_asked_for():
    samples = load_samples([{"world_pictures": {"num_pictures": 7}}])
    assert len({sample["image"] for sample in samples}) == 7
    for sample in samples:
        address = parse_address(sample["image"])
        assert address.split == "train"
        assert 0 <= address.at < 60


def test_logs_are_text_alone():
    samples = load_samples([{"world_logs": {"num_logs": 2, "seed": 4}}])
    assert [set(sample) for sample in samples] == [{"id", "conversations"}] * 2
    texts = [turn["value"] for turn in samples[1]["conversations"]]
    assert texts == [text for turn in log_conversation(5, 32, 4) for text in turn]


def test_sources_follow_each_other(write):
    sources = [
        {"world_logs": {"num_logs": 1}},
        {"json": write([{"id": "a", "conversations": TURNS}])},
        {"world_pictures": {"num_pictures": 1}},
    ]
    samples = load_samples(sources)
    assert [Path(s["id"]).name[:4] for s in samples][1] == "a"
    assert "image" in samples[2]
