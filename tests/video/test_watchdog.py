import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest

from dynfocus.video import StuckVideoError, UnreadableVideoError, VideoReader, decoder
from dynfocus.video.watchdog import (
    AbandonedError,
    Pulse,
    deaf_to_interrupts,
    run_watched,
)

TIMES = np.arange(30) / 30


def test_results_come_in_the_order_of_the_jobs(tmp_path):
    jobs = [lambda pulse, n=n: n for n in range(5)]
    assert run_watched(tmp_path, jobs, timeout_seconds=None) == [0, 1, 2, 3, 4]


def test_an_error_of_a_job_is_raised_and_stops_the_others(tmp_path):
    was_stopped = threading.Event()

    def fail(pulse):
        raise RuntimeError("broken")

    def work_on(pulse):
        try:
            while True:
                pulse.beat()
                time.sleep(0.005)
        except AbandonedError:
            was_stopped.set()
            raise

    with pytest.raises(RuntimeError, match="broken"):
        run_watched(tmp_path, [fail, work_on], timeout_seconds=None)
    assert was_stopped.wait(5)


def test_a_slow_job_that_makes_progress_is_not_given_up(tmp_path):
    def work(pulse: Pulse):
        for _ in range(6):
            time.sleep(0.05)
            pulse.beat()
        return "done"

    assert run_watched(tmp_path, [work], timeout_seconds=0.25) == ["done"]


def test_a_stuck_decode_times_out(tmp_path, write_clip, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", TIMES)
    reader = VideoReader(path, timeout_seconds=0.2)
    release = threading.Event()
    decode = decoder.decode

    def stuck(context, packet):
        release.wait(20)
        return decode(context, packet)

    monkeypatch.setattr(decoder, "decode", stuck)
    start = time.monotonic()
    message = (
        f"{path}: reading or decoding made no progress for 0.2 s; copy the file to a "
        "local disk, or raise timeout_seconds if it is only slow."
    )
    with pytest.raises(StuckVideoError, match=f"^{re.escape(message)}$"):
        reader.sample(times=[0.5])
    assert time.monotonic() - start < 5
    release.set()


def test_a_stuck_video_is_an_unreadable_one():
    assert issubclass(StuckVideoError, UnreadableVideoError)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(
        UnreadableVideoError,
        match=r"pipe\.mp4: this is a pipe or a device, .*write it to a file first",
    ):
        VideoReader(tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_threads": 0},
            "num_threads must be at least 1, or None for all cores, got 0.",
        ),
        (
            {"timeout_seconds": 0},
            "timeout_seconds must be above 0, or None to wait for ever, got 0.",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        VideoReader("clip.mp4", **settings)


def test_a_process_that_is_started_deaf_survives_an_interrupt():
    code = "import time; print(1, flush=True); time.sleep(0.3); print(2)"
    for is_deaf in (True, False):
        with deaf_to_interrupts() if is_deaf else nullcontext():
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (out == "2\n", "KeyboardInterrupt" in err) == (is_deaf, not is_deaf)
