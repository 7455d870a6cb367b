"""The family that docs/plugins.md shows works as it stands, bit for bit."""

from __future__ import annotations

import io
import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import torch
from tiny_hosts import COLOURS, LANGUAGE, TOWER, build_tokenizer, save_host
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaConfig

from dynfocus import extensions
from dynfocus.cli import main
from dynfocus.plugins import HostProcessor, families, plug
from dynfocus.plugins.host_pixels import to_pixels
from dynfocus.plugins.host_prompts import fill, lay_out
from tiny_clip import save_tiny_clip

PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
QUESTION = "what is red ?"


def test_the_family_that_is_shown_can_be_installed(monkeypatch, make_frames):
    usage, code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "dynfocus.plug(model, processor" in usage
    (line,) = re.findall(r"^llava = \"(.*)\"$", PAGE, re.MULTILINE)
    names: dict = {"__name__": "my_package.llava"}
    exec(compile(code, "docs/plugins.md", "exec"), names)
    module = SimpleNamespace(Llava=names["Llava"])
    monkeypatch.setitem(sys.modules, "my_package", SimpleNamespace(llava=module))
    monkeypatch.setitem(sys.modules, "my_package.llava", module)
    points = [EntryPoint("llava", line, extensions.FAMILIES)]
    monkeypatch.setattr(extensions, "_points", lambda group, path: points)
    assert families()["llava"] is names["Llava"]

    tokenizer = build_tokenizer()
    tower = {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7}
    config = LlavaConfig(
        vision_config={**tower, "projection_dim": 16, **TOWER},
        text_config={"model_type": "llama", **LANGUAGE, "vocab_size": len(tokenizer)},
        image_token_index=tokenizer.get_vocab()["<image>"],
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config).eval()
    numbers = {"crop_size": {"height": 28, "width": 28}, **COLOURS}
    processor = HostProcessor(tokenizer=tokenizer, numbers=numbers)
    focused = plug(model, processor, method="none")
    frames = make_frames(3)
    host, video = focused.backbone, focused.index(frames).features
    plan = host.family.plan_frames(frames.shape[1:3], 3)
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    wanted = model.generate(
        input_ids=lay_out(host.family, [video], QUESTION),
        pixel_values=to_pixels(frames, plan.pixels),
        **options,
    )
    turn = fill(host.family, [host.select(video, QUESTION)], QUESTION)
    assert torch.equal(host.run(turn, **options), wanted)
    assert (
        plug(model, processor, max_video_tokens=20).ask(frames, QUESTION).tokens == 20
    )


def test_the_lines_that_plug_a_host_run(hosts, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip.rename("lecture.mp4")
    host = hosts("llava_onevision")
    usage, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    parts = {AutoModelForImageTextToText: host.model, AutoProcessor: host.processor}
    with monkeypatch.context() as patch:
        for loader, part in parts.items():
            patch.setattr(loader, "from_pretrained", lambda name, part=part: part)
        exec(compile(usage, "docs/plugins.md", "exec"), {})


def test_the_commands_that_plug_a_host_run(hosts, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    clip.rename("lecture.mp4")
    save_host(hosts("llava_onevision"), tmp_path / "FOLDER_OR_HUB_ID")
    Path("openai").mkdir()
    save_tiny_clip(tmp_path).rename("openai/clip-vit-base-patch32")
    calls = re.findall(r"^\$ dynfocus (.*)", PAGE, re.MULTILINE)
    assert len(calls) == 3
    for call in calls:
        assert main(shlex.split(call)) == 0, capsys.readouterr().err


def test_the_table_has_every_family():
    for name in families():
        assert f"| `{name}` |" in PAGE
