"""Measure what the server adds to an answer: requests against ``model.ask``.

One client asks a server with nano about an indexed video of four minutes, JSON included,
in turns with ``model.ask`` of the same video in the client's process; before each, the
threads that torch keeps spinning after the one before come to rest. Run with:

    python benchmarks/serving.py --num 40
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import uvicorn

import dynfocus
from dynfocus.serving import ServerSettings, create_application
from dynfocus.world import make_video

REST_SECONDS = 0.05
"""Threads of OpenMP spin for up to 10 ms once they have nothing to do."""
QUESTION = "Which room is shown most of the time?"


def main() -> None:
    """Print the percentiles of both, and the ratio of the medians, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=40, help="Questions of each kind.")
    parser.add_argument("--seconds", type=int, default=240, help="Length of the video.")
    args = parser.parse_args()
    num = args.num
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_video(clip, args.seconds, 3)
        model = dynfocus.load("nano", index_folder=Path(folder) / "index")
        settings = ServerSettings(
            folder=Path(folder) / "library", index_folder=Path(folder) / "index"
        )
        server = uvicorn.Server(
            uvicorn.Config(create_application(settings), port=0, log_level="error")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
                while http.get("/readyz").status_code != 200:
                    time.sleep(0.2)
                told = json.dumps(compare(http, model, clip, num), indent=2)
                sys.stdout.write(f"{told}\n")
        finally:
            server.should_exit = True
            thread.join()


def compare(
    http: httpx.Client, model: object, clip: Path, num: int
) -> dict[str, object]:
    """Ask in turns, so that both see the same machine."""
    with clip.open("rb") as file:
        told = http.post(
            "/v1/files", files={"file": file}, data={"purpose": "user_data"}
        )
    part = {"type": "file", "file": {"file_id": told.json()["id"]}}
    content = [part, {"type": "text", "text": QUESTION}]
    body = {"model": "nano", "messages": [{"role": "user", "content": content}]}
    ways: dict[str, Callable[[], object]] = {
        "model.ask": lambda: model.ask(clip, QUESTION),  # type: ignore[attr-defined]
        "/v1/chat/completions": lambda: (
            http.post("/v1/chat/completions", json=body).raise_for_status().json()
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(num + 2):
        for name, ask in ways.items():
            time.sleep(REST_SECONDS)
            started = time.perf_counter()
            ask()
            if turn >= 2:  # the first ones index, and warm up
                seconds[name].append(time.perf_counter() - started)
    found: dict[str, object] = {
        name: {
            f"p{share}_ms": round(1000 * float(np.percentile(times, share)), 1)
            for share in (50, 90, 99)
        }
        for name, times in seconds.items()
    }
    base, served = (float(np.median(seconds[name])) for name in ways)
    return {**found, "num": num, "ratio_of_medians": round(served / base, 3)}


if __name__ == "__main__":
    main()
