"""Every example of ``serve`` and ``mcp``, of the help and of the documents, answers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters

from test_examples import EXAMPLES, ROOT

pytestmark = pytest.mark.slow
START_SECONDS = 300
KEY = "a-key-that-is-long-enough-to-be-taken"
QUESTION = "Which room is shown most of the time?"


def calls(command):
    found = {" ".join(one.values[1]): one.values[1] for one in EXAMPLES}
    return [
        pytest.param(words, id=line)
        for line, words in found.items()
        if words[0] == command
    ]


@pytest.fixture
def work(clip, tmp_path, monkeypatch):
    """Stand in a folder with what the examples name."""
    (tmp_path / "my-model").symlink_to(ROOT / "src" / "dynfocus" / "assets" / "nano")
    (tmp_path / "Videos").mkdir()
    shutil.copy(clip, tmp_path / "Videos" / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DYNFOCUS_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("DYNFOCUS_INDEX", str(tmp_path / "index"))
    return tmp_path


@contextmanager
def started(words):
    """Start the command; gives the address that it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dynfocus", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        said = process.stderr.readline()
        assert "http://" in said, said + process.stderr.read()
        yield said.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize("words", calls("serve"))
def test_the_server_that_is_shown_answers(words, work, stand_in, monkeypatch):
    words = [stand_in.url if one.startswith("http:") else one for one in words]
    model = words[words.index("--model") + 1] if "--model" in words else "nano"
    headers = {}
    if "--host-name" in words:
        monkeypatch.setenv("DYNFOCUS_API_KEY", KEY)
        host = words[words.index("--host-name") + 1]
        headers = {"Host": host, "Authorization": f"Bearer {KEY}"}
    with (
        started([*words, "--port", "0"]) as url,
        httpx.Client(
            base_url=url.replace("0.0.0.0", "127.0.0.1"),
            headers=headers,
            timeout=START_SECONDS,
        ) as client,
    ):
        end = time.monotonic() + START_SECONDS
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.2)
        with (work / "Videos" / "clip.mp4").open("rb") as file:
            told = client.post(
                "/v1/files", files={"file": file}, data={"purpose": "user_data"}
            )
        content = [
            {"type": "file", "file": {"file_id": told.json()["id"]}},
            {"type": "text", "text": QUESTION},
        ]
        messages = [{"role": "user", "content": content}]
        body = {"model": model, "messages": messages}
        answer = client.post("/v1/chat/completions", json=body).raise_for_status()
    assert answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("words", calls("mcp"))
def test_the_tools_that_are_shown_answer(words, work):
    (work / "talks").mkdir()
    words = [str(work / "talks") if one == "/srv/talks" else one for one in words]
    command = ["-m", "dynfocus", *words]
    if "--http" not in words:
        program = StdioServerParameters(
            command=sys.executable, args=command, env=dict(os.environ)
        )
        probe(program, work)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with started([*words, "--port", port]) as url:
        end = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            assert time.monotonic() < end
            time.sleep(0.2)
        probe(url, work)


def probe(server, work):
    async def talk():
        async with Client(server) as client:
            path = str(work / "Videos" / "clip.mp4")
            return await client.call_tool("probe", {"video": path})

    told = anyio.run(talk)
    assert not told.is_error
    assert '"duration": 12.0' in told.content[0].text
