"""Another server behind ours: it refuses, hangs, lies or dies, and only its answer fails."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from dynfocus.serving import ServerSettings, create_application

pytestmark = pytest.mark.slow


@pytest.fixture
def api(stand_in, running_server, tmp_path):
    settings = ServerSettings(
        backend="openai",
        url=stand_in.url,
        model="served",
        timeout=3.0,
        folder=tmp_path / "library",
        index_workers=0,
        budget=2,
    )
    with (
        running_server(create_application(settings)) as server,
        httpx.Client(base_url=server.url, timeout=300) as client,
    ):
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        yield client


@pytest.fixture
def path(api, clip):
    with clip.open("rb") as file:
        told = api.post("/dynfocus/videos", files={"file": ("clip.mp4", file)})
    return f"/dynfocus/videos/{told.json()['id']}/ask"


def begin(text):
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


FAULTS = {
    "refuses": ({"key": "another"}, 502),
    "fails": ({"status": 500, "raw": b"{}"}, 502),
    "is busy": ({"status": 429, "raw": b"{}"}, 503),
    "hangs": ({"silent_seconds": 4.0}, 502),
    "gives no chat": ({"raw": b"data: nonsense\n\n"}, 502),
    "gives a page": ({"raw": b"<html></html>", "content_type": "text/html"}, 502),
    "gives half a character": ({"raw": b"data: \xff\xfe\n\n"}, 502),
    "dies in the middle": ({"raw": begin("half an ")}, 502),
}


def test_what_another_server_does_wrong_is_said_and_harms_nothing_else(
    api, path, stand_in
):
    told = api.post(path, json={"question": "What is it?"}).json()
    assert told["text"] == "an answer"
    usual = dict(vars(stand_in))
    for fault, (settings, status) in FAULTS.items():
        vars(stand_in).update(settings)
        told = api.post(path, json={"question": "What is it?"})
        assert told.status_code == status, (fault, told.text)
        error = told.json()["error"]
        assert stand_in.url not in told.text
        assert "127.0.0.1" not in error["message"]
        assert (status == 503) == ("Retry-After" in told.headers)
        asked = {"question": "What is it?", "stream": True}
        with api.stream("POST", path, json=asked) as stream:
            lines = list(stream.iter_lines())
        assert any('"error"' in line for line in lines), (fault, lines)
        assert api.get("/healthz").status_code == 200
        vars(stand_in).update({name: usual[name] for name in settings})
    assert (
        api.post(path, json={"question": "What is it?"}).json()["text"] == "an answer"
    )


def test_who_goes_away_frees_what_waits_for_another_server(api, path, stand_in):
    api.post(path, json={"question": "What is it?"})
    stand_in.silent_seconds = 2.9
    with pytest.raises(httpx.ReadTimeout):
        api.post(path, json={"question": "What is it?"}, timeout=0.7)
    end = time.monotonic() + 1.0
    while "dynfocus_questions_busy 0.0" not in api.get("/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.05)
