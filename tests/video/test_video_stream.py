import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dynfocus.video import DamagedVideoWarning, UnreadableVideoError, VideoReader
from dynfocus.video.watchdog import work_ahead

TIMES = np.arange(90) / 30
ONE_KEY_FRAME = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0"}


@pytest.mark.parametrize("frames_at_a_time", [1, 7, 25, 1000])
@pytest.mark.parametrize(
    ("name", "encoder"),
    [("clip.mp4", {}), ("clip.ts", {}), ("one.mp4", ONE_KEY_FRAME)],
)
def test_the_parts_are_what_sample_gives(
    name, encoder, frames_at_a_time, tmp_path, write_clip
):
    reader = VideoReader(write_clip(tmp_path / name, TIMES, encoder=encoder))
    parts = list(reader.stream(fps=10, frames_at_a_time=frames_at_a_time))
    assert max(len(part.times) for part in parts) <= frames_at_a_time
    whole = reader.sample(fps=10)
    np.testing.assert_array_equal(
        np.concatenate([p.frames for p in parts]), whole.frames
    )
    np.testing.assert_array_equal(np.concatenate([p.times for p in parts]), whole.times)


def test_parts_end_at_key_frames_and_come_in_order(tmp_path, write_clip, read_numbers):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", TIMES))
    parts = list(reader.stream(times=TIMES[::-1], frames_at_a_time=25))
    assert [len(part.times) for part in parts] == [20, 20, 20, 20, 10]
    numbers = [number for part in parts for number in read_numbers(part.frames)]
    assert numbers == list(range(90))


def test_losses_are_told_once_at_the_end(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mkv", np.arange(300) / 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    reader = VideoReader(path)
    with pytest.warns(DamagedVideoWarning) as caught:
        parts = list(reader.stream(fps=5, frames_at_a_time=4))
    assert len(caught) == 1
    num_kept = sum(len(part.times) for part in parts)
    message = str(caught[0].message)
    assert f"; {num_kept} of 30 wanted frames were kept." in message
    with pytest.raises(UnreadableVideoError, match="none of 1 wanted frame"):
        list(reader.stream(times=[9.0]))


def test_no_frames_at_a_time_are_refused(tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", TIMES[:3]))
    message = "frames_at_a_time must be a whole number of at least 1, got 0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        next(reader.stream(frames_at_a_time=0))


def test_the_next_part_is_decoded_while_one_is_used(tmp_path, write_clip, monkeypatch):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", TIMES))
    decode, begun, threads = VideoReader._decode, [], set()

    def noting(self, wanted, *rest, **more):
        begun.append(float(wanted[0]))
        threads.add(threading.current_thread())
        return decode(self, wanted, *rest, **more)

    monkeypatch.setattr(VideoReader, "_decode", noting)
    stream = reader.stream(times=TIMES, frames_at_a_time=25)
    first = next(stream)
    deadline = time.monotonic() + 60
    while len(begun) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert begun == [0.0, pytest.approx(TIMES[20])]  # the second, and not the third
    assert threading.current_thread() not in threads
    assert len(first.times) == 20
    stream.close()
    assert len(begun) == 2


def test_what_is_wrong_ahead_is_told_at_its_place():
    def job(number):
        if number == 2:
            raise ValueError("two is wrong")
        return number

    results = work_ahead(job, [0, 1, 2, 3])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two is wrong"):
        next(results)
    assert list(work_ahead(job, [])) == []


PEAK_OF_STREAMING = """
import resource, sys
from dynfocus.video import VideoReader
reader = VideoReader(sys.argv[1], num_threads=2)
for part in reader.stream(fps=5, frames_at_a_time=32):
    pass
reader.sample(num_frames=16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_video(tmp_path, write_clip):
    peaks = []
    for seconds in (20, 160):
        path = write_clip(
            tmp_path / f"{seconds}.mp4", np.arange(5 * seconds) / 5, size=(288, 352)
        )
        done = subprocess.run(
            [sys.executable, "-c", PEAK_OF_STREAMING, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    # All frames of the longer one would be 243 MB.
    assert peaks[1] < peaks[0] + 25
