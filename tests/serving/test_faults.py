"""A disk that is full or read-only, a client that goes away: what is told, and what goes on."""

from __future__ import annotations

import errno
import os
import threading
import time

import httpx
import pytest

from dynfocus.serving import (
    ServerSettings,
    library,
    running,
    uploads,
    workers,
)

QUESTION = "Which room is shown most of the time?"


@pytest.fixture(scope="module")
def api(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def video(api, clip):
    told = api.post("/dynfocus/videos", files={"file": ("clip.mp4", clip.read_bytes())})
    path = f"/dynfocus/videos/{told.json()['id']}"
    with api.stream("GET", f"{path}/events") as events:
        assert "event: ready" in list(events.iter_lines())
    return path


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def no_writing(request, monkeypatch):
    """Let nothing be written where the library writes."""

    def refuse(*_, **__):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(library.IncomingFile, "write", refuse)
    monkeypatch.setattr(library, "write_atomically", refuse)
    monkeypatch.setattr(uploads, "write_atomically", refuse)
    monkeypatch.setattr(library.Library, "note_question", refuse)
    is_full = request.param in (errno.ENOSPC, errno.EDQUOT)
    return "full_disk" if is_full else "read_only"


def test_what_cannot_be_written_is_told_and_the_rest_goes_on(
    api, video, served, no_writing
):
    before = api.get("/dynfocus/videos").json()
    file = {"file": ("b.mp4", b"other content")}
    address = {"address": "https://films.example/a.mp4"}
    begun = {"filename": "b.mp4", "bytes": 3, "purpose": "user_data"}
    for told in (
        api.post("/dynfocus/videos", files=file),
        api.post("/v1/files", files=file, data={"purpose": "user_data"}),
        api.post("/dynfocus/videos", json=address),
        api.post("/v1/uploads", json=begun),
    ):
        assert told.status_code == 507
        assert told.json()["error"]["code"] == no_writing
        assert "/tmp" not in told.text
    assert api.get("/dynfocus/videos").json() == before
    incoming = served.application.state.service.library.folder / "incoming"
    assert not list(incoming.iterdir())
    answer = api.post(f"{video}/ask", json={"question": QUESTION})
    assert answer.status_code == 200
    assert answer.json()["text"]
    assert "the answer is not kept" in answer.json()["warnings"][-1]


def test_a_video_that_is_read_on_a_full_disk_is_not_said_to_be_ready(
    api, clip, monkeypatch
):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(workers, "run_job", refuse)
    content = clip.read_bytes() + b"\0\0\0\x08free"
    told = api.post("/dynfocus/videos", files={"file": ("c.mp4", content)}).json()
    with api.stream("GET", f"/dynfocus/videos/{told['id']}/events") as events:
        lines = list(events.iter_lines())
    assert "event: failed" in lines
    shown = api.get(f"/dynfocus/videos/{told['id']}").json()
    assert (shown["state"], "space" in shown["problem"]) == ("failed", True)
    monkeypatch.undo()
    again = api.post("/dynfocus/videos", files={"file": ("c.mp4", content)}).json()
    with api.stream("GET", f"/dynfocus/videos/{again['id']}/events") as events:
        assert "event: ready" in list(events.iter_lines())


def test_a_library_that_cannot_be_written_to_is_told_before_it_is_served(tmp_path):
    taken = tmp_path / "file"
    taken.write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory|File exists"):
        running.run(ServerSettings(folder=taken), print)


def test_who_goes_away_frees_the_indexing_within_a_second(
    api, served, clip, monkeypatch
):
    begun, ended = threading.Event(), threading.Event()

    def run(job, load, on_step):
        if job.board_folder is not None:
            return {"warnings": []}
        begun.set()
        try:
            while True:
                on_step("indexing", 0, 9)
                time.sleep(0.02)
        finally:
            ended.set()

    monkeypatch.setattr(workers, "run_job", run)
    content = clip.read_bytes() + b"\0\0\0\x09free\0"
    told = api.post("/dynfocus/videos", files={"file": ("d.mp4", content)}).json()
    path = f"/dynfocus/videos/{told['id']}"
    with api.stream("GET", f"{path}/events") as events:
        list(events.iter_lines())
    asked = {"question": QUESTION, "stream": True}
    with api.stream("POST", f"{path}/ask", json=asked) as stream:
        next(stream.iter_lines())
        assert begun.wait(30)
    assert ended.wait(1.0)
