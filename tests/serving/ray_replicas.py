"""Two replicas under questions, one of which is killed; prints what became of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

for limit in ("READY_CHECK", "HEALTH_CHECK"):  # five seconds are few on a busy machine
    os.environ[f"RAY_SERVE_PROXY_{limit}_TIMEOUT_S"] = "120"

import ray  # noqa: E402 which reads these
from ray import serve  # noqa: E402
from ray.serve._private import api  # noqa: E402

from dynfocus.serving.replicas import app  # noqa: E402

PORT = 18765
QUESTION = {"question": "Which room is shown most of the time?"}


api.HTTP_PROXY_TIMEOUT = 600  # nor is a minute much


def replicas():
    """Find the processes of the replicas, which this one started through Ray."""
    found, left = [], [os.getpid()]
    while left:
        pid = left.pop()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
            if b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return sorted(found)


def main(folder, clips):
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(
        app(
            {
                "num_replicas": 2,
                "folder": str(folder / "library"),
                "index_folder": str(folder / "index"),
                "index_workers": 0,
            }
        ),
        route_prefix="/",
    )
    told = {}
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=300) as http,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(video):
            while True:
                answer = http.post(f"/dynfocus/videos/{video}/ask", json=QUESTION)
                if "being loaded" not in answer.text:
                    return answer.status_code
                time.sleep(0.5)

        first, second = (
            http.post(
                "/dynfocus/videos", files={"file": ("clip.mp4", clip.read_bytes())}
            ).json()["id"]
            for clip in clips
        )
        told["first_questions"] = [*pool.map(ask, [first, second] * 4)]
        told["entries"] = len([*(folder / "index" / "entries").rglob("*.safetensors")])
        before = replicas()
        asked = [pool.submit(ask, first) for _ in range(8)]
        time.sleep(0.3)
        os.kill(before[0], signal.SIGKILL)
        told["at_the_kill"] = [one.result() for one in asked]
        told["after_it"] = [ask(second) for _ in range(8)]
        told["listed"] = len(http.get("/dynfocus/videos").json()["videos"])
        told["num_before"] = len(before)
        end = time.monotonic() + 120
        while len(replicas()) < 2 and time.monotonic() < end:
            time.sleep(0.5)
        told["num_again"] = len(replicas())
    sys.stdout.write(f"{json.dumps(told)}\n")
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(one) for one in sys.argv[2:]])
