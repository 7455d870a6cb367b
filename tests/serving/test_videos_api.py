from __future__ import annotations

import io
import json
import shutil

import httpx
import pytest
from PIL import Image

from dynfocus.serving import ServerSettings, create_application, word_search

QUESTION = "Which room is shown most of the time?"


@pytest.fixture(scope="module")
def api(served):
    with httpx.Client(base_url=f"{served.url}/dynfocus", timeout=600) as client:
        yield client


@pytest.fixture(scope="module")
def video(api, clip):
    with clip.open("rb") as file:
        told = api.post("/videos", files={"file": ("my clip.mp4", file)})
    assert told.status_code == 201
    return told.json()["id"]


def events_of(response):
    """Read server-sent events as pairs of a name and a document."""
    found, name = [], None
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


def test_events_tell_of_the_work_and_end(api, video):
    with api.stream("GET", f"/videos/{video}/events") as response:
        events = events_of(response)
    name, shown = events[-1]
    assert name == "ready"
    assert (shown["name"], shown["duration"]) == ("my clip.mp4", 12.0)
    assert {name for name, _ in events[:-1]} <= {"progress"}
    (listed,) = api.get("/videos").json()["videos"]
    assert listed["state"] == "ready"


def test_a_storyboard_frames_and_the_file_are_shown(api, video, clip):
    board = api.get(f"/videos/{video}/storyboard", params={"format": "json"}).json()
    assert board["video"] == "my clip.mp4"
    times = [one["time"] for one in board["prototypes"]]
    picture = api.get(f"/videos/{video}/storyboard")
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    asked = {"times": ",".join(map(str, [*times[:2], 999])), "width": 64}
    strip = api.get(f"/videos/{video}/frames", params=asked)
    assert Image.open(io.BytesIO(strip.content)).width == 3 * 64
    part = api.get(f"/videos/{video}/content", headers={"Range": "bytes=0-99"})
    assert part.status_code == 206
    assert part.content == clip.read_bytes()[:100]
    assert part.headers["content-type"] == "video/mp4"
    assert api.get(f"/videos/{video}/frames", params={"times": "x"}).status_code == 400


def test_a_timeline_has_an_entry_a_frame(api, video, nano, clip):
    told = api.get(f"/videos/{video}/timeline", params={"question": QUESTION}).json()
    wanted = nano.score_frames(clip, QUESTION)
    assert told["kinds"] == [frame.kind for frame in wanted]
    assert len(told["times"]) == len(told["scores"]) == len(wanted)
    assert told["sees_question"]


def test_questions_are_answered_and_remembered(api, video, nano, clip):
    wanted = nano.ask(clip, QUESTION)
    told = api.post(f"/videos/{video}/ask", json={"question": QUESTION}).json()
    assert told["text"] == wanted.text
    assert [frame["kind"] for frame in told["frames"]] == [
        frame.kind for frame in wanted.frames
    ]
    asked = {"question": QUESTION, "stream": True, "max_video_tokens": 60}
    with api.stream("POST", f"/videos/{video}/ask", json=asked) as response:
        events = events_of(response)
    pieces = [one["delta"] for name, one in events if name == "delta"]
    assert "".join(pieces) == events[-1][1]["answer"]["text"]
    history = api.get(f"/videos/{video}/questions").json()["questions"]
    assert api.get(f"/videos/{video}").json()["num_questions"] == 2
    assert [one["text"] for one in history] == [told["text"], "".join(pieces)]
    assert history[1]["options"]["max_video_tokens"] == 60


def test_what_is_no_video_is_said_to_have_failed(api):
    told = api.post(
        "/videos", files={"file": ("notes.mp4", b"these are notes" * 99)}
    ).json()
    with api.stream("GET", f"/videos/{told['id']}/events") as response:
        name, shown = events_of(response)[-1]
    assert name == "failed"
    assert shown["problem"].startswith("notes.mp4: this is not a video")
    answer = api.post(f"/videos/{told['id']}/ask", json={"question": QUESTION})
    assert answer.status_code == 400
    assert "not a video" in answer.json()["error"]["message"]
    assert api.delete(f"/videos/{told['id']}").json()["deleted"]
    assert api.get(f"/videos/{told['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"address": "http://127.0.0.1:9/x.mp4"}, 201),
        ({"address": "ftp://x/y.mp4"}, 400),
        ({}, 400),
        ([], 400),
    ],
)
def test_an_address_is_taken_and_checked_where_it_is_fetched(api, body, status):
    told = api.post("/videos", json=body)
    assert told.status_code == status
    if status == 201:
        with api.stream("GET", f"/videos/{told.json()['id']}/events") as response:
            name, shown = events_of(response)[-1]
        assert name == "failed"
        assert "not on the public internet" in shown["problem"]
        api.delete(f"/videos/{told.json()['id']}")


def test_words_are_found_in_a_file_that_may_be_named(
    running, nano, clip, tmp_path, monkeypatch
):
    monkeypatch.setattr(word_search, "is_screen_read", lambda wanted: False)
    talk = shutil.copy(clip, tmp_path / "talk.mp4")
    (tmp_path / "talk.srt").write_text(
        "1\n00:00:02,000 --> 00:00:04,000\nThe dividend is paid in May.\n"
    )
    settings = ServerSettings(
        folder=tmp_path / "library", index_workers=0, roots=(tmp_path,)
    )
    with (
        running(create_application(settings, nano)) as server,
        httpx.Client(base_url=f"{server.url}/dynfocus/videos", timeout=600) as api,
    ):
        body = {"address": talk.as_uri()}
        told = httpx.post(
            f"{server.url}/dynfocus/videos", json=body, timeout=600
        ).json()
        found = api.get(f"/{told['id']}/find", params={"q": "dividend"}).json()
        assert [one["start"] for one in found["results"]] == [2.0]
        again = api.get(f"/{told['id']}/find", params={"q": "elephant"}).json()
        assert again["results"] == []
        assert api.get(f"/{told['id']}/find").status_code == 400
        assert api.delete(f"/{told['id']}").json()["deleted"]
    assert talk.exists()
