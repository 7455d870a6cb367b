"""Nano knows FocusWorld alone: every command says so, once, of every other video."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynfocus.models.unknown_world import UNKNOWN_WORLD
from dynfocus.world import make_video

SHORT = ("--max-new-tokens", 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("world") / "w.mp4", 6, 3, size=112).path


def told(outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [line for line in outcome.err_lines if UNKNOWN_WORLD in line]


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "VIDEO", "What?", "How?", "-m", "nano", *SHORT),
        ("ask", "VIDEO", "What?", "-m", "nano", "--no-index", "--json", *SHORT),
        ("chat", "VIDEO", "-m", "nano", *SHORT),
        ("timeline", "VIDEO", "What?", "How?"),
        ("frames", "VIDEO", "What?", "--budget", 2, "--scorer", "nano"),
        ("index", "VIDEO"),
        ("watch", "VIDEO", "--ask", "What?", "--every", 2, *SHORT),
    ],
    ids=lambda words: " ".join(map(str, words[:1])),
)
def test_a_command_warns_once_of_another_world_alone(run, clip, world, words):
    def call(video):
        filled = [video if word == "VIDEO" else word for word in words]
        return told(run(*filled, stdin="What?\nHow?\n"))

    (line,) = call(clip)
    name = clip if words[0] not in ("watch", "frames") else "the video"
    assert line == f"dynfocus: warning: {name} {UNKNOWN_WORLD}"
    assert call(world) == []


def test_what_the_index_holds_is_recognised_too(run, clip):
    call = ("ask", clip, "What?", "-m", "nano", *SHORT)
    assert len(told(run(*call))) == 1
    again = run(*call, "--json")
    assert again.document["from_index"]
    assert len(told(again)) == 1


def test_a_batch_says_it_in_every_such_row_and_counts_them(run, clip, world):
    asked = [(clip, "What?"), (world, "What?"), (clip, "How?")]
    rows = [json.dumps({"video": str(v), "question": q}) for v, q in asked]
    Path("q.jsonl").write_text("\n".join(rows))
    call = ("batch", "q.jsonl", "--out", "a.jsonl", *SHORT)
    assert told(run(*call)) == [
        f"dynfocus: warning: the video of 2 rows {UNKNOWN_WORLD}"
    ]
    lines = map(json.loads, Path("a.jsonl").read_text().splitlines())
    records = [line for line in lines if "video" in line]
    assert len(records) == 3
    for record in records:
        wanted = [f"{clip} {UNKNOWN_WORLD}"] if record["video"] == str(clip) else None
        assert record.get("warnings") == wanted
    assert run(*call, "--json").document["num_unknown_world"] == 2
