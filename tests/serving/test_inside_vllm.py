"""The reader of videos in a real vLLM, which needs an environment of its own.

``DYNFOCUS_VLLM_PYTHON`` names the Python of that environment. No language model runs: what
is tried is how vLLM finds the reader, what it gives it, and what it takes from it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynfocus.backends import file_request
from dynfocus.methods import select_frames
from dynfocus.video import VideoReader

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("DYNFOCUS_VLLM_PYTHON")
QUESTION = "What letter is on the red square?"
PROGRAM = """
import json, sys
import numpy as np
request = json.load(sys.stdin)

from vllm.plugins import load_general_plugins
load_general_plugins()
import vllm
from transformers.video_utils import VideoMetadata
from vllm.multimodal.media import MediaConnector
from vllm.multimodal.media.connector import merge_media_io_kwargs
from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

assert not VIDEO_LOADER_REGISTRY.backend_requires_gpu("dynfocus")
(part,) = [p for p in request["messages"][0]["content"] if p["type"] == "video_url"]
told = {"version": vllm.__version__, "loads": []}
served = {"video": {"video_backend": "dynfocus", "num_frames": 5, "scorer": "none"}}
for asked in (None, request["media_io_kwargs"]):
    connector = MediaConnector(media_io_kwargs=merge_media_io_kwargs(served, asked))
    found = connector.fetch_video(part["video_url"]["url"])
    frames, metadata = getattr(found, "media", found)
    kept = {k: v for k, v in metadata.items() if k != "do_sample_frames"}
    seconds = VideoMetadata(**kept).timestamps
    told["loads"].append(
        {"shape": list(frames.shape), "sum": int(np.asarray(frames, np.int64).sum()),
         "metadata": metadata, "seconds": [float(one) for one in seconds]}
    )
print("TOLD " + json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.skipif(PYTHON is None, reason="DYNFOCUS_VLLM_PYTHON names no Python")
def test_vllm_finds_the_reader_and_gives_it_the_question(
    clip: Path, tmp_path: Path
) -> None:
    assert PYTHON is not None
    install = [PYTHON, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    subprocess.run([*install, str(tmp_path), str(ROOT)], check=True)
    reader = VideoReader(clip)
    body = file_request(reader, QUESTION, 3, "any").body
    told = _run(tmp_path, body)
    assert told["version"]
    for load, count in zip(told["loads"], (5, 3), strict=True):
        chosen = select_frames(reader, QUESTION, count)
        times = [frame.time for frame in chosen.frames]
        assert load["seconds"] == pytest.approx(times, abs=0.0006)
        expected = reader.sample(times=times).frames
        assert load["shape"] == list(expected.shape)
        assert load["sum"] == int(expected.astype(np.int64).sum())
        assert load["metadata"]["video_backend"] == "dynfocus"


def _run(folder: Path, body: dict[str, Any]) -> Any:
    env = os.environ | {"PYTHONPATH": str(folder), "VLLM_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [str(PYTHON), "-c", PROGRAM],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("TOLD ")]
    return json.loads(line.removeprefix("TOLD "))
