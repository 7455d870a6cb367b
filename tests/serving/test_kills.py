"""A server that is killed: what it acknowledged is there, and nothing half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from dynfocus.world import make_video

pytestmark = pytest.mark.slow
QUESTION = {"question": "Which room is shown most of the time?"}
START_SECONDS = 300


@contextmanager
def running(folder, *options):
    """Start the command; gives a client and the process, which is killed at the end."""
    command = [sys.executable, "-m", "dynfocus", "serve", "--port", "0", *options]
    command += ["--folder", str(folder / "library")]
    environment = os.environ | {"DYNFOCUS_INDEX": str(folder / "index")}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=log, text=True, env=environment
        )
    try:
        url = process.stderr.readline().split()[-1]
        with httpx.Client(base_url=url, timeout=START_SECONDS) as client:
            end = time.monotonic() + START_SECONDS
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < end
                time.sleep(0.2)
            yield client, process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def descendants(pid):
    found, left = [], [pid]
    while left:
        with suppress(OSError):
            for task in Path(f"/proc/{left.pop()}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
        found = [*dict.fromkeys([*found, *left])]
    return found


def wait_until_ready(client, video):
    end = time.monotonic() + START_SECONDS
    while (shown := client.get(f"/dynfocus/videos/{video}").json())["state"] != "ready":
        assert shown["state"] != "failed", shown
        assert time.monotonic() < end, shown
        time.sleep(0.1)


def variant(content, number):
    """Change the content of an MP4 file and nothing that it shows."""
    rest = number.to_bytes(8, "big")
    return content + (8 + len(rest)).to_bytes(4, "big") + b"free" + rest


def check_whole(client, folder, acknowledged):
    """Check that what was acknowledged is there, byte by byte, and nothing else is."""
    listed = {one["id"] for one in client.get("/dynfocus/videos").json()["videos"]}
    assert set(acknowledged) <= listed
    for video in listed:
        content = client.get(f"/dynfocus/videos/{video}/content").content
        assert content == acknowledged.get(video, content)
        assert content.startswith(b"\x00\x00\x00")
    assert not list((folder / "library" / "incoming").iterdir())


@pytest.mark.parametrize("moment", ["upload", "indexing", "answering"])
def test_a_kill_loses_nothing_that_was_acknowledged(moment, tmp_path):
    clip = tmp_path / "clip.mp4"
    make_video(clip, 60 if moment == "indexing" else 12, 1)
    content = clip.read_bytes()
    acknowledged = {}
    with running(tmp_path) as (client, process):
        told = client.post("/dynfocus/videos", files={"file": ("a.mp4", content)})
        video = told.json()["id"]
        acknowledged[video] = content
        if moment == "indexing":
            while client.get(f"/dynfocus/videos/{video}").json()["state"] == "new":
                time.sleep(0.02)
        else:
            wait_until_ready(client, video)
        children = descendants(process.pid)
        if moment == "upload":
            kill_in_the_middle_of_an_upload(client, process, variant(content, 1))
        elif moment == "answering":
            asked = {**QUESTION, "stream": True}
            path = f"/dynfocus/videos/{video}/ask"
            with (
                suppress(httpx.HTTPError),
                client.stream("POST", path, json=asked) as stream,
            ):
                lines = stream.iter_lines()
                next(lines)
                process.kill()
                list(lines)
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < end, "a worker outlives its server"
            time.sleep(0.05)
    with running(tmp_path) as (client, _):
        check_whole(client, tmp_path, acknowledged)
        wait_until_ready(client, video)
        answer = client.post(f"/dynfocus/videos/{video}/ask", json=QUESTION)
        assert answer.status_code == 200
        history = client.get(f"/dynfocus/videos/{video}/questions").json()["questions"]
        assert all(one["text"] for one in history)


def kill_in_the_middle_of_an_upload(client, process, content):
    def pieces():
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="b.mp4"'
        yield head + b"\r\n\r\n" + content[: len(content) // 2]
        process.kill()
        yield content[len(content) // 2 :] + b"\r\n--x--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with suppress(httpx.HTTPError):
        client.post("/dynfocus/videos", content=pieces(), headers=kind)


def test_kills_at_any_moment_lose_nothing(tmp_path):
    clip = tmp_path / "clip.mp4"
    make_video(clip, 6, 1)
    content = clip.read_bytes()
    acknowledged, answered = {}, {}
    rng = random.Random(0)

    def use(client, numbers):
        with suppress(httpx.HTTPError):
            for number in numbers:
                changed = variant(content, number)
                told = client.post("/dynfocus/videos", files={"file": ("v", changed)})
                video = told.json()["id"]
                acknowledged[video] = changed
                path = f"/dynfocus/videos/{video}"
                answered[video] = client.post(f"{path}/ask", json=QUESTION).json()

    for turn in range(4):
        with running(tmp_path) as (client, process):
            check_whole(client, tmp_path, acknowledged)
            numbers = range(100 * turn, 100 * turn + 100)
            user = threading.Thread(target=use, args=(client, numbers))
            user.start()
            time.sleep(rng.uniform(0.5, 6.0))
            process.kill()
            user.join()
    with running(tmp_path) as (client, _):
        check_whole(client, tmp_path, acknowledged)
        for video, answer in answered.items():
            path = f"/dynfocus/videos/{video}"
            told = client.get(f"{path}/questions").json()["questions"]
            assert [one["text"] for one in told] == [answer["text"]]
    assert len(acknowledged) >= 3


def test_a_server_that_is_asked_to_end_does_so_in_time(tmp_path):
    clip, longer = tmp_path / "clip.mp4", tmp_path / "longer.mp4"
    make_video(clip, 12, 1)
    make_video(longer, 60, 2)
    waiting = []
    with running(tmp_path, "--shutdown-seconds", "4") as (client, process):
        content = clip.read_bytes()
        told = client.post("/dynfocus/videos", files={"file": ("clip.mp4", content)})
        path = f"/dynfocus/videos/{told.json()['id']}"
        wait_until_ready(client, told.json()["id"])
        files = {"file": ("longer.mp4", longer.read_bytes())}  # is being indexed
        client.post("/dynfocus/videos", files=files)
        threads = [
            threading.Thread(
                target=lambda: waiting.append(client.post(f"{path}/ask", json=QUESTION))
            )
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        while "questions_waiting 8" not in client.get("/metrics").text:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(30) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        assert time.monotonic() - began < 4 + 1.5
    statuses = [one.status_code for one in waiting]
    assert set(statuses) == {200, 503}
    assert all(one.headers["Retry-After"] for one in waiting if one.status_code == 503)
    assert "Traceback" not in (tmp_path / "log").read_text()
