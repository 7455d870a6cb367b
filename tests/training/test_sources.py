"""Where samples come from, and what is said of samples that are malformed."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dynfocus.training.samples import media_of
from dynfocus.training.sources import Source, load_samples, world_addresses
from dynfocus.world import make_questions
from dynfocus.world.conversations import log_conversation, parse_address

TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This"}]


@pytest.fixture
def write(tmp_path):
    def write(raw: object, name: str = "data.json") -> str:
        path = tmp_path / name
        path.write_text(raw if isinstance(raw, str) else json.dumps(raw), "utf-8")
        return str(path)

    return write


def test_files_are_found_beside_the_data(load, write, tmp_path):
    (tmp_path / "clip a.mp4").touch()
    (tmp_path / "ü.png").touch()
    raw = [
        {"id": "a", "video": "clip a.mp4", "conversations": TURNS},
        {"id": "b", "image": "ü.png", "conversations": TURNS},
        {"id": "c", "conversations": TURNS},
    ]
    samples = load([{"json": write(raw)}])
    assert samples[0] == {**raw[0], "video": str(tmp_path / "clip a.mp4")}
    assert samples[1] == {**raw[1], "image": str(tmp_path / "ü.png")}
    assert samples[2] == raw[2]


def test_files_are_found_under_a_root(load, write, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").touch()
    source = {
        "json": write([{"video": "a.mp4", "conversations": TURNS}]),
        "root": str(tmp_path / "media"),
    }
    (sample,) = load([source])
    assert sample["video"] == str(tmp_path / "media" / "a.mp4")


def test_one_sample_a_line_is_read_too(load, write):
    lines = "".join(
        json.dumps({"id": i, "conversations": TURNS}) + "\n\n" for i in range(3)
    )
    samples = load([{"json": write(lines, "data.jsonl")}])
    assert [sample["id"] for sample in samples] == [0, 1, 2]


def test_addresses_in_a_file_stay_addresses(load, write):
    address = "focusworld:train/3?seconds=20"
    raw = [{"video": address, "conversations": TURNS}]
    assert load([{"json": write(raw)}])[0]["video"] == address


BAD = [
    ("text", "'conversations' must be a list of turns"),
    ({"id": "x"}, "'conversations' must be a list of turns"),
    ({"conversations": "a"}, "'conversations' must be a list"),
    (
        {"id": "x", "conversations": []},
        r"turns must alternate human, gpt, human, gpt, got \[\]",
    ),
    ({"conversations": TURNS[:1]}, r"must alternate .* got \['human'\]"),
    ({"conversations": TURNS[::-1]}, r"must alternate .* got \['gpt', 'human'\]"),
    ({"conversations": ["a", "b"]}, r"must alternate .* got \[None, None\]"),
    (
        {"conversations": [TURNS[0], {"from": "gpt", "value": 3}]},
        "'value' of turn 2 must be a text that is not empty, got 3",
    ),
    (
        {"conversations": [TURNS[0], {"from": "gpt", "value": "half \ud83d"}]},
        "'value' of turn 2 holds half a character",
    ),
    (
        {"conversations": TURNS, "video": "a.mp4", "image": "a.png"},
        "has both a video and an image; give one",
    ),
    (
        {"conversations": TURNS, "video": 3},
        "'video' must be a text that is not empty, got 3",
    ),
    (
        {"conversations": TURNS, "image": ""},
        "'image' must be a text that is not empty, got ''",
    ),
    (
        {"conversations": TURNS, "video": "half \ud83d.mp4"},
        "'video' holds half a character",
    ),
    (
        {"conversations": TURNS, "video": "focusworld:train"},
        "is not a FocusWorld address",
    ),
]


@pytest.mark.parametrize(("sample", "message"), BAD)
def test_malformed_samples_are_left_out_and_named(write, sample, message):
    good = {"id": "good", "conversations": TURNS}
    path = write([good, sample])
    (kept,), (failure,) = load_samples((Source(json=path),))
    assert kept["id"] == "good"
    named = isinstance(sample, dict) and "id" in sample
    assert failure.sample == (sample["id"] if named else f"{path}, entry 2")
    assert re.search(message, failure.reason)


def test_lines_that_are_no_json_are_left_out_and_named(write, tmp_path):
    good = json.dumps({"id": "good", "conversations": TURNS}).encode()
    lines = [codecs.BOM_UTF8 + good, b"", b"{oops", '{"id": "é"}'.encode("latin-1")]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join(lines))
    (kept,), failures = load_samples((Source(json=str(path)),))
    assert kept["id"] == "good"
    assert [f.sample for f in failures] == [f"{path}, line 3", f"{path}, line 4"]
    assert failures[0].reason.startswith("not valid JSON: ")
    assert failures[1].reason == "not UTF-8 (byte 0xe9); save the file as UTF-8"


def test_null_stands_for_no_medium(write, tmp_path):
    """Tables that are exported write a column of every kind."""
    (tmp_path / "a.png").touch()
    raw = [
        {"image": "a.png", "video": None, "conversations": TURNS},
        {"image": None, "video": None, "conversations": TURNS},
    ]
    (shown, words), failures = load_samples((Source(json=write(raw)),))
    assert failures == []
    assert media_of(shown) == [("image", str(tmp_path / "a.png"))]
    assert media_of(words) == []


def test_media_that_are_missing_are_named(write):
    raw = [{"id": "x", "video": "no.mp4", "conversations": TURNS}]
    samples, (failure,) = load_samples((Source(json=write(raw)),))
    assert samples == []
    assert (failure.sample, failure.medium) == ("x", "no.mp4")
    assert re.search(r"no\.mp4 does not exist", failure.reason)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("{", "a.json", "is not valid JSON: "),
        ("{}", "a.json", "must be a list of samples"),
        ("3", "a.json", "must be a list of samples"),
    ],
)
def test_files_that_hold_no_samples_are_refused(write, text, name, message):
    with pytest.raises(ValueError, match=message):
        load_samples((Source(json=write(text, name)),))


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('[\n"ü"]'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json: line 2 is not UTF-8 .byte 0xfc.;"):
        load_samples((Source(json=str(path)),))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="make some with 'dynfocus world make'"):
        load_samples((Source(json=str(tmp_path / "no.json")),))


VIDEOS = {"num_videos": 2, "seconds": [8, 20]}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no sample found; name at least one source"),
        (
            [{"world_logs": {"num_logs": 0}}],
            "sources.0.world_logs.num_logs must be at least 1, got 0",
        ),
        ([{"csv": "a"}], "there is no 'sources.0.csv'; accepted are json, root, world"),
        (["json"], "sources.0 must be a mapping, got 'json'"),
        ([{}], "each must have one of json, world_videos, world_pictures, world_logs"),
        (
            [{"json": "a", "world_videos": VIDEOS}],
            "each must have one of json, world_v",
        ),
        ([{"root": "a", "world_videos": VIDEOS}], "root belongs to json; leave it out"),
        (
            [{"world_videos": {"num_videos": 2}}],
            "world_videos.seconds is missing; accepted are num_videos, seconds",
        ),
        ([{"world_pictures": 5}], "world_pictures must be a mapping, got 5"),
        (
            [{"world_videos": {**VIDEOS, "turns": 3}}],
            "no 'sources.0.world_videos.turns'; accepted are num_videos, seconds",
        ),
        (
            [{"world_videos": {**VIDEOS, "kinds": {"captions": 1}}}],
            "world_videos has no kind 'captions'; known are needle",
        ),
        (
            [{"world_videos": {**VIDEOS, "split": "dev"}}],
            "split must be one of 'train', 'validation' or 'test', got 'dev'",
        ),
    ],
)
def test_wrong_sources_are_refused(load, sources, message):
    with pytest.raises(ValueError, match=message):
        load(sources)


def test_lengths_are_log_uniform_between_their_bounds():
    addresses = world_addresses(300, [8, 128], 5, "train")
    assert addresses == world_addresses(300, [8, 128], 5, "train")
    lengths = np.array([a.seconds for a in addresses])
    assert [a.seed for a in addresses] == list(range(5, 305))
    assert lengths.min() >= 8
    assert lengths.max() <= 128
    assert (lengths < 32).mean() == pytest.approx(0.5, abs=0.1)


def test_world_videos_ask_what_they_are_told_to(load):
    source = {"world_videos": {**VIDEOS, "kinds": {"caption": 1}, "seed": 9}}
    samples = load([source])
    assert len(samples) == 2
    for number, sample in enumerate(samples):
        address = parse_address(sample["video"])
        assert (address.split, address.seed) == ("train", 9 + number)
        assert 8 <= address.seconds <= 20
    whole = load([{"world_videos": {**VIDEOS, "turns_per_sample": 1}}])
    addresses = world_addresses(2, [8, 20], 0, "train")
    assert len(whole) == sum(len(make_questions(a.scene())) for a in addresses)


def test_pictures_come_in_the_number_asked_for(load):
    samples = load([{"world_pictures": {"num_pictures": 7}}])
    assert len({sample["image"] for sample in samples}) == 7
    for sample in samples:
        address = parse_address(sample["image"])
        assert address.split == "train"
        assert 0 <= address.at < 60


def test_logs_are_text_alone(load):
    samples = load([{"world_logs": {"num_logs": 2, "seed": 4}}])
    assert [set(sample) for sample in samples] == [{"id", "conversations"}] * 2
    texts = [turn["value"] for turn in samples[1]["conversations"]]
    assert texts == [text for turn in log_conversation(5, 32, 4) for text in turn]


def test_sources_follow_each_other(load, write):
    sources = [
        {"world_logs": {"num_logs": 1}},
        {"json": write([{"id": "a", "conversations": TURNS}])},
        {"world_pictures": {"num_pictures": 1}},
    ]
    samples = load(sources)
    assert [Path(s["id"]).name[:4] for s in samples][1] == "a"
    assert "image" in samples[2]
