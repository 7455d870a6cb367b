"""The lines of Python that docs/serving.md shows, against a server with nano."""

from __future__ import annotations

import re
from pathlib import Path

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
