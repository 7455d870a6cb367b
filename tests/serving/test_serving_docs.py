"""The lines of Python that docs/serving.md shows, against a server with nano."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dynfocus.world import make_video

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")


def test_the_client_that_is_shown_gets_an_answer(served, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "http://127.0.0.1:8000" in code
    make_video(tmp_path / "clip.mp4", duration=20, seed=3, fps=4)
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("http://127.0.0.1:8000", served.url), "page", "exec"), {})
    answer, tokens, cones = capsys.readouterr().out.splitlines()
    assert answer
    assert 0 < int(tokens) <= 200
    assert "'time'" in cones


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_calls_of_curl_that_are_shown_get_an_answer(served, clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    upload, ask, stream = re.findall(r"^curl .*", PAGE, re.MULTILINE)

    def call(line, file_id="ID"):
        line = line.replace("http://127.0.0.1:8000", served.url).replace("ID", file_id)
        shell = ["bash", "-c", f"{line} --silent --show-error --fail-with-body"]
        told = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    file_id = json.loads(call(upload))["id"]
    events = call(ask, file_id)
    assert "What letter is on the red square?" in events
    assert call(stream, file_id).rstrip().endswith("data: [DONE]")
