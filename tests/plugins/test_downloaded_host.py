"""Two commands from a video to an answer: a tiny SmolVLM2, a stand-in hub, no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants
from tiny_hosts import build_host

import dynfocus
from dynfocus.cli import main
from dynfocus.defaults import RECOMMENDED
from dynfocus.models import VideoModel

QUESTION = "what is on the red square ?"
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {% endfor %}"  # knows images only


@pytest.fixture
def repository(tmp_path) -> dict[str, bytes]:
    """Write the files as the recommended model's repository has them."""
    host, folder = build_host("smolvlm"), tmp_path / "repository"
    host.model.save_pretrained(folder)
    host.processor.tokenizer.save_pretrained(folder)
    numbers = json.dumps(dict(host.processor.numbers))
    (folder / "preprocessor_config.json").write_text(numbers)
    template = json.dumps({"chat_template": TEMPLATE})
    (folder / "chat_template.json").write_text(template)
    (folder / "processor_config.json").write_text('{"image_seq_len": 16}')
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_download_then_ask(hub, repository, clip, capsys, monkeypatch):
    call = ["ask", str(clip), QUESTION, "--json", "--max-video-tokens", "40"]
    assert main(call) == 0
    assert "No model was asked" in json.loads(capsys.readouterr().out)["text"]
    hub.name, hub.files = RECOMMENDED, repository
    assert main(["download"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main([*call, "--max-new-tokens", "3"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["model"] == RECOMMENDED
    assert document["tokens"] == 40
    assert printed.err.splitlines()[0].startswith(f"Model: {RECOMMENDED}, as it was ")
    focused = dynfocus.load(folder, device="cpu")
    assert isinstance(focused, VideoModel)
    wanted = focused.ask(clip, QUESTION, max_video_tokens=40, max_new_tokens=3)
    assert document["text"] == wanted.text
    assert main([*call, "--max-new-tokens", "3", "--model", RECOMMENDED]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == wanted.text
    answer = dynfocus.ask(clip, QUESTION, max_video_tokens=40, max_new_tokens=3)
    assert answer.text == wanted.text
