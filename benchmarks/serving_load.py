"""Load a server: many clients that upload, ask and look at once, for some minutes.

The server runs as its command starts it, in a process of its own, with nano. Each client
goes round: it uploads a video, half of them new by their content, asks about the one
that all know and about its own, looks at frames, and deletes what it brought. A prober
asks for the health twice a second. Run with:

    python benchmarks/serving_load.py --clients 50 --seconds 600
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from dynfocus.world import make_video

QUESTION = "Which room is shown most of the time?"
HONEST = (429, 503)
LONGEST_WAIT = 5.0


@dataclass
class Tally:
    """What happened."""

    statuses: dict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)


def main() -> None:
    """Print what happened as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clip-seconds", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_video(clip, args.clip_seconds, 3)
        with running(folder) as (url, process):
            tally = asyncio.run(load(url, process.pid, clip.read_bytes(), args))
        told = summarise(tally, args)
    sys.stdout.write(f"{json.dumps(told, indent=2)}\n")


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a server with a library and an index of its own."""
    environment = os.environ | {"DYNFOCUS_INDEX": str(folder / "index")}
    command = [sys.executable, "-m", "dynfocus", "serve", "--port", "0"]
    command += ["--folder", str(folder / "library")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            yield line.split()[-1], process
        finally:
            process.terminate()
            process.wait(60)


async def load(url: str, pid: int, clip: bytes, args: Any) -> Tally:
    """Let clients do what they do until the time is over."""
    tally = Tally()
    limits = httpx.Limits(max_connections=args.clients + 10)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as http:
        while (await http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.5)
        known = (await upload(http, clip)).json()["id"]
        while (await http.get(f"/dynfocus/videos/{known}")).json()["state"] != "ready":
            await asyncio.sleep(0.5)
        end = time.monotonic() + args.seconds
        began = time.monotonic()
        tasks = [
            asyncio.create_task(client(number, http, tally, clip, known, end))
            for number in range(args.clients)
        ]
        tasks.append(asyncio.create_task(probe(url, tally, end)))
        while time.monotonic() < end:
            tally.memory.append((time.monotonic() - began, resident_bytes(pid)))
            await asyncio.sleep(1.0)
        await asyncio.gather(*tasks)
    return tally


async def client(
    number: int,
    http: httpx.AsyncClient,
    tally: Tally,
    clip: bytes,
    known: str,
    end: float,
) -> None:
    """Go round until the time is over."""
    rng = random.Random(number)
    while time.monotonic() < end:
        is_new = rng.random() < 0.5
        rest = rng.randbytes(16) if is_new else b"the same for all"
        told = await tried("upload", tally, upload(http, clip + padding(rest)))
        own = told.json()["id"] if told is not None else known
        for video in (known, own):
            path = f"/dynfocus/videos/{video}"
            body = {"question": QUESTION}
            kind = "ask known" if video == known else "ask own"
            if await tried(kind, tally, http.post(f"{path}/ask", json=body)):
                tally.answers[number] += 1
        times = ",".join(str(rng.randrange(10)) for _ in range(4))
        frames = http.get(f"/dynfocus/videos/{known}/frames", params={"times": times})
        await tried("frames", tally, frames)
        if is_new and own != known:
            await tried("delete", tally, http.delete(f"/dynfocus/videos/{own}"))


async def tried(kind: str, tally: Tally, request: Any) -> httpx.Response | None:
    """Send a request, count it, and wait where the server asks for that."""
    began = time.perf_counter()
    try:
        told: httpx.Response = await request
    except httpx.HTTPError as error:
        tally.statuses[kind][type(error).__name__] += 1
        tally.failures.append(f"{kind}: {error!r}")
        return None
    tally.statuses[kind][str(told.status_code)] += 1
    if told.is_success:
        tally.seconds[kind].append(time.perf_counter() - began)
        return told
    wait = told.headers.get("Retry-After")
    if told.status_code not in HONEST or wait is None:
        tally.failures.append(f"{kind}: {told.status_code} {told.text[:200]}")
    await asyncio.sleep(min(float(wait or 1), LONGEST_WAIT))
    return None


async def probe(url: str, tally: Tally, end: float) -> None:
    """Ask for the health, on a connection of its own."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while time.monotonic() < end:
            await tried("health", tally, http.get("/healthz"))
            await asyncio.sleep(0.5)


def upload(http: httpx.AsyncClient, content: bytes) -> Any:
    """Send a video."""
    return http.post("/dynfocus/videos", files={"file": ("clip.mp4", content)})


def padding(rest: bytes) -> bytes:
    """Make a part of an MP4 file that changes its content and nothing that it shows."""
    return (8 + len(rest)).to_bytes(4, "big") + b"free" + rest


def resident_bytes(pid: int) -> int:
    """Give the memory of a process and of all that it started."""
    total, left = 0, [pid]
    while left:
        one = Path(f"/proc/{left.pop()}")
        try:
            total += int((one / "statm").read_text().split()[1]) * 4096
            for task in (one / "task").iterdir():
                left += map(int, (task / "children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return total


def summarise(tally: Tally, args: Any) -> dict[str, Any]:
    """Put percentiles, memory and fairness together."""
    early = [used for at, used in tally.memory if at <= min(120, args.seconds / 2)]
    answers = [tally.answers[number] for number in range(args.clients)]
    return {
        "clients": args.clients,
        "seconds": args.seconds,
        "statuses": {kind: dict(each) for kind, each in tally.statuses.items()},
        "failures": len(tally.failures),
        "first_failures": tally.failures[:10],
        "milliseconds": {
            kind: {
                name: round(1000 * float(np.percentile(each, share)), 1)
                for name, share in (("p50", 50), ("p99", 99), ("worst", 100))
            }
            for kind, each in tally.seconds.items()
        },
        "answers_per_client": {"least": min(answers), "most": max(answers)},
        "resident_mb": {
            "early": round(float(np.median(early[-10:])) / 1e6),
            "end": round(float(np.median([m for _, m in tally.memory[-10:]])) / 1e6),
            "most": round(max(m for _, m in tally.memory) / 1e6),
        },
    }


if __name__ == "__main__":
    main()
