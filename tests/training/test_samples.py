"""Samples as neighbours write them: turns by role, parts, several media, the system."""

from __future__ import annotations

import re

import pytest

from dynfocus.training.samples import check_sample, media_of, name_media

TURNS = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "This."}]
ANSWER = {"role": "assistant", "content": "This."}


def user(*parts):
    return {"role": "user", "content": list(parts)}


def text(words):
    return {"type": "text", "text": words}


@pytest.fixture
def check(tmp_path):
    """Check a sample beside a few files; give its media by their names alone."""
    for name in ("a.mp4", "b.mp4", "a.png", "b.png"):
        (tmp_path / name).touch()

    def check(sample):
        found = check_sample(sample, tmp_path)
        media = [(k, m.removeprefix(f"{tmp_path}/")) for k, m in media_of(found)]
        return found, media

    return check


def test_roles_and_contents_are_read_as_turns(check):
    sample = {"messages": [{"role": "user", "content": "What?"}, ANSWER], "id": "x"}
    found, media = check(sample)
    assert found == {"id": "x", "conversations": TURNS}
    assert media == []
    assert check({**sample, "conversations": None})[0] == found


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video", "video": "a.mp4"},
        {"type": "video", "path": "a.mp4", "text": None},
        {"type": "video_url", "video_url": {"url": "file://a.mp4"}},
    ],
)
def test_parts_name_what_they_show(check, part):
    found, media = check({"messages": [user(part, text("What?")), ANSWER]})
    assert media == [("video", "a.mp4")]
    assert found["conversations"][0]["value"] == "<video>\nWhat?"


def test_parts_without_names_show_what_stands_beside_the_turns(check):
    shown = user({"type": "image"}, text("And"), {"type": "image"}, text("?"))
    sample = {"messages": [shown, ANSWER], "images": ["a.png", {"path": "b.png"}]}
    found, media = check(sample)
    assert media == [("image", "a.png"), ("image", "b.png")]
    assert found["conversations"][0]["value"] == "<image>\nAnd\n<image>\n?"


def test_lists_name_several_media_and_a_list_of_one_names_it(check):
    found, media = check({"video": ["a.mp4", "b.mp4"], "conversations": TURNS})
    assert media == [("video", "a.mp4"), ("video", "b.mp4")]
    assert name_media(found).endswith("b.mp4")
    one, media = check({"video": ["a.mp4"], "image": [], "conversations": TURNS})
    assert media == [("video", "a.mp4")]
    assert isinstance(one["video"], str)
    assert check({"video": [], "conversations": TURNS})[1] == []


@pytest.mark.parametrize(
    "told",
    [
        {"conversations": [{"from": "system", "value": "Be brief."}, *TURNS]},
        {"conversations": TURNS, "system": "Be brief."},
        {"messages": [{"role": "system", "content": [text("Be brief.")]}, *TURNS]},
    ],
)
def test_what_the_system_says_is_kept(check, told):
    found, _ = check(told)
    assert found == {"conversations": TURNS, "system": "Be brief."}
    assert "system" not in check({"conversations": TURNS, "system": ""})[0]


BAD = [
    ([user({"type": "audio"}), ANSWER], {}, "turn 1 has a part of type 'audio'; known"),
    ([user(text(3)), ANSWER], {}, "a text in 'content' of turn 1 must be a text"),
    ([user(), ANSWER], {}, "'content' of turn 1 must be a text that is not empty"),
    ([user({"type": "video"}), ANSWER], {}, "shows a video and names none"),
    (
        [user({"type": "video", "video": ["1.png", "2.png"]}), ANSWER],
        {},
        "names the frames of a video, whose times are not known; name a file",
    ),
    (
        [user({"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}})],
        {},
        "'data:image/png;base64,A' is no file; fetch it",
    ),
    (
        [user({"type": "video", "video": "a.mp4"}), ANSWER],
        {"video": "b.mp4"},
        "names a video in its turns and others beside them; give one",
    ),
    (
        [user({"type": "video", "video": "a.mp4"}), ANSWER],
        {"image": "a.png"},
        "has both a video and an image; give one",
    ),
    (
        [user(text("What?")), {"role": "assistant", "content": [{"type": "image"}]}],
        {"image": "a.png"},
        "'content' of turn 2 shows a medium; only questions can show one",
    ),
    (
        [user({"type": "image"}, text("?")), ANSWER],
        {"image": ["a.png", "b.png"]},
        "marks 1 places for its 2 images; mark one for each, or none",
    ),
    ([user(text("?")), ANSWER], {"video": ["a.mp4", 3]}, "'video' must be a text"),
    ([*TURNS, {"role": "system", "content": "?"}], {}, "turns must alternate"),
    ([{"role": ["user"], "content": "?"}, ANSWER], {}, "turns must alternate"),
]


@pytest.mark.parametrize(("turns", "more", "message"), BAD)
def test_what_cannot_be_used_is_told_in_a_sentence(check, turns, more, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check({"messages": turns, **more})
