"""Hosts from folders, with their processor's files, in Python and on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tiny_hosts import save_host

import dynfocus
from dynfocus.cli import main
from dynfocus.defaults import RECOMMENDED_SCORER
from dynfocus.methods import SELECTORS
from dynfocus.methods.loops import LOOPS
from dynfocus.models import VideoModel
from dynfocus.plugins import HostProcessor, host_type
from tiny_clip import save_tiny_clip

QUESTION = "what is on the red square ?"


@pytest.fixture
def folder(hosts, tmp_path) -> Path:
    return save_host(hosts("llava_onevision"), tmp_path / "tiny host")


def test_a_folder_is_recognised_by_its_configuration(folder, plugged, clip):
    assert host_type(folder) == "llava_onevision"
    focused = dynfocus.load(folder, device="cpu")
    assert isinstance(focused, VideoModel)
    wanted = plugged(max_video_tokens=40).ask(clip, QUESTION, max_new_tokens=3)
    got = focused.ask(clip, QUESTION, max_new_tokens=3, max_video_tokens=40)
    assert (got.text, got.frames) == (wanted.text, wanted.frames)
    assert focused.name == str(folder)
    assert not focused.is_nano


def test_what_is_no_host_has_no_type(tmp_path):
    assert host_type("nano") is None
    assert host_type(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert host_type(tmp_path) is None


def test_numbers_are_found_wherever_they_are_saved(hosts, folder):
    whole = HostProcessor.from_pretrained(folder)
    assert dict(whole.numbers)["size"] == {"height": 28, "width": 28}
    numbers = folder / "preprocessor_config.json"
    saved = {"image_processor": json.loads(numbers.read_text())}
    numbers.unlink()
    with pytest.raises(ValueError, match="neither processor_config.json nor video_pre"):
        HostProcessor.from_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(saved))
    assert HostProcessor.from_pretrained(folder).numbers == whole.numbers
    video = {"size": {"height": 7, "width": 7}}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    assert HostProcessor.from_pretrained(folder).numbers == video
    saved["video_processor"] = {"size": {"height": 8, "width": 8}}
    (folder / "processor_config.json").write_text(json.dumps(saved))
    found = HostProcessor.from_pretrained(folder).numbers
    assert found == saved["video_processor"]


def test_templates_are_found_wherever_they_are_saved(folder):
    template = (folder / "chat_template.jinja").read_text()
    assert HostProcessor.from_pretrained(folder).chat_template == template
    (folder / "chat_template.jinja").unlink()
    assert HostProcessor.from_pretrained(folder).chat_template is None
    path = folder / "chat_template.json"
    path.write_text(json.dumps({"chat_template": template}))
    assert HostProcessor.from_pretrained(folder).chat_template == template
    path.write_text("{")
    with pytest.raises(ValueError, match="chat_template.json of .* is not valid JSON"):
        HostProcessor.from_pretrained(folder)


def test_a_begun_prompt_is_not_begun_twice(hosts):
    processor = hosts("llava_onevision").processor
    plain = processor.token_ids("red")
    assert processor.token_ids("<s> red")[0] == 1
    assert len(processor.token_ids("<s> red")) == len(plain) + 1


def test_the_command_answers_with_a_host(folder, clip, capsys):
    call = ["ask", str(clip), QUESTION, "--model", str(folder), "--json"]
    assert main([*call, "--max-video-tokens", "40", "--max-new-tokens", "3"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tokens"] == 40
    assert sum(frame["tokens"] for frame in document["frames"]) == 40
    assert main([*call, "--method", "uniform", "--report", str(folder / "r.html")]) == 0
    assert "<svg" in (folder / "r.html").read_text()
    assert "which has no spatial prototypes to show" in capsys.readouterr().err
    assert main([*call, "--method", "magic"]) == 2
    assert (
        f"one of {', '.join(sorted({*SELECTORS, *LOOPS}))}, got 'magic'"
        in capsys.readouterr().err
    )


def test_a_host_draws_timelines_and_nano_takes_no_scorer(folder, clip, capsys):
    out = folder / "timeline.png"
    call = ["timeline", str(clip), "a ?", "b ?", "--model", str(folder)]
    assert main([*call, "--out", str(out)]) == 0
    assert out.is_file()
    capsys.readouterr()
    call = ["ask", str(clip), QUESTION, "--model", "nano", "--scorer", "some/clip"]
    assert main(call) == 1
    assert "scorer is for vision language models" in capsys.readouterr().err


def test_unknown_and_damaged_hosts_are_one_sentence(folder):
    with pytest.raises(ValueError, match="leave index_folder and storage out"):
        dynfocus.load(folder, storage="exact")
    with pytest.raises(ValueError, match="only one of device and device_map"):
        dynfocus.load(folder, device="cpu", device_map="auto")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be loaded"):
        dynfocus.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(
        ValueError, match="'llama' are not supported; supported are int"
    ):
        dynfocus.load(folder)


def test_a_conversation_on_the_command_line(folder, clip, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("what is red ?\nwhere ?\n"))
    call = ["chat", str(clip), "--model", str(folder), "--max-video-tokens", "40"]
    assert main([*call, "--max-new-tokens", "2"]) == 0
    costs = capsys.readouterr().err.splitlines()
    assert len(costs) == 2
    assert all("; 40 video tokens, " in line for line in costs)


def test_several_videos_are_asked_about_on_the_command_line(
    folder, clip, tmp_path, capsys
):
    page = tmp_path / "r.html"
    call = ["ask", str(clip), "--also", str(clip), QUESTION, "--model", str(folder)]
    call += ["--max-new-tokens", "2", "--max-video-tokens"]
    assert main([*call, "40", "--json", "--report", str(page)]) == 0
    document = json.loads(capsys.readouterr().out)
    tokens = [0, 0]
    for frame in document["frames"]:
        tokens[frame["video"]] += frame["tokens"]
    assert tokens == [20, 20]
    assert page.read_text(encoding="utf-8").count("<svg") == 2
    assert main([*call, "1"]) == 2
    assert "--max-video-tokens must be at least" in capsys.readouterr().err
    assert main([*call, "5"]) == 2
    assert "the least of 2 videos, got 5" in capsys.readouterr().err


def test_a_scorer_is_named_on_the_command_line(folder, clip, tmp_path, capsys):
    clip_model = save_tiny_clip(tmp_path)
    call = ["ask", str(clip), QUESTION, "--model", str(folder), "--json"]
    call += ["--scorer", str(clip_model), "--max-video-tokens", "40"]
    assert main([*call, "--max-new-tokens", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 40
    focused = dynfocus.load(folder, device="cpu", scorer=clip_model)
    index = focused.index(clip)
    assert focused.scores_see_question
    assert index.features.regions.shape[:2] == (6, 10)


def test_a_scorer_that_was_downloaded_looks_by_itself(
    folder, clip, tmp_path, capsys, hub
):
    clip_model = save_tiny_clip(tmp_path)
    hub.name = RECOMMENDED_SCORER
    hub.files = {file.name: file.read_bytes() for file in clip_model.iterdir()}
    assert main(["download", "--scorer"]) == 0
    capsys.readouterr()
    call = ["ask", str(clip), QUESTION, "--model", str(folder), "--json"]
    call += ["--max-video-tokens", "40", "--max-new-tokens", "2"]
    assert main([*call]) == 0
    found = capsys.readouterr()
    assert found.err.startswith(f"Scorer: {RECOMMENDED_SCORER}, as it was downloaded")
    assert main([*call, "--scorer", str(clip_model)]) == 0
    named = capsys.readouterr()
    assert "Scorer:" not in named.err
    assert main([*call, "--scorer", "none"]) == 0
    without = capsys.readouterr()
    scores = [
        [frame["score"] for frame in json.loads(made.out)["frames"]]
        for made in (found, named, without)
    ]
    assert scores[0] == scores[1] != scores[2]
    assert main([*call[:3], "--model", "nano"]) == 0
    assert "Scorer:" not in capsys.readouterr().err
