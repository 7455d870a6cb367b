"""Files of strangers: the same frames, in a process that may not do more than allowed."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dynfocus.errors import (
    DamagedVideoWarning,
    UnreadableVideoError,
    VideoLimitError,
)
from dynfocus.video import VideoReader, as_file, read_image
from dynfocus.video.confinement import confining, current_confinement
from dynfocus.video.decode_limits import DecodeLimits
from dynfocus.video.exchange import pack, unpack

TIMES = np.arange(30) / 10


def processes():
    """List the decoders that this process started and that live."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return [one for one in found if _is_decoder(one)]


def _is_decoder(process):
    try:
        return b"video.confined" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return False


@pytest.fixture
def clip(tmp_path, write_clip):
    return write_clip(tmp_path / "clip.mp4", TIMES)


def test_frames_are_the_same_and_nothing_is_decoded_here(clip, monkeypatch):
    plain = VideoReader(clip)
    expected = plain.sample(fps=4.0)
    told = []
    with confining(DecodeLimits()):
        monkeypatch.setattr(av, "open", None)  # here, not in the other process
        reader = VideoReader(clip)
        sampled = reader.sample(fps=4.0, progress=lambda *step: told.append(step))
        some = reader.excerpt(1.0, 2.0).sample(num_frames=2, size=(8, 12))
    assert current_confinement() is None
    np.testing.assert_array_equal(sampled.frames, expected.frames)
    np.testing.assert_array_equal(sampled.times, expected.times)
    assert told == [(n, 12) for n in range(1, 13)]
    assert some.frames.shape == (2, 8, 12, 3)
    assert reader.metadata == plain.metadata
    assert reader.timeline.facts == plain.timeline.facts
    assert not processes()


def test_damage_is_told_as_without(tmp_path, write_clip):
    clip = write_clip(tmp_path / "clip.mkv", TIMES)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    with pytest.warns(DamagedVideoWarning) as expected:
        plain = VideoReader(clip).sample(fps=5.0)
    with confining(DecodeLimits()), pytest.warns(DamagedVideoWarning) as told:
        sampled = VideoReader(clip).sample(fps=5.0)
    assert [str(w.message) for w in told] == [str(w.message) for w in expected]
    np.testing.assert_array_equal(sampled.frames, plain.frames)


def test_a_file_at_an_address_is_copied_once(clip, web):
    address = web.put("clip.mp4", clip)
    expected = VideoReader(clip).sample(num_frames=3)
    with confining(DecodeLimits()):
        file = as_file(address)
        sampled = VideoReader(file).sample(num_frames=3)
        num_requests = len(web.requests)
        VideoReader(file).sample(num_frames=2)
        assert len(web.requests) == num_requests
        web.put("text.mp4", b"no film" * 100)
        with pytest.raises(UnreadableVideoError, match=r"^http://.*/text.mp4: "):
            VideoReader(web.address("text.mp4"))
    np.testing.assert_array_equal(sampled.frames, expected.frames)


def bomb(side):
    """Write an image of a few kilobytes that says it has many pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")]
    whole = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        crc = struct.pack(">I", zlib.crc32(name + data))
        whole += struct.pack(">I", len(data)) + name + data + crc
    return whole


CONTENTS = {
    "a text": b"this is a text and no film\n" * 100,
    "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a page": b"<html><script>alert(1)</script></html>",
    "an archive": b"PK\x03\x04" + bytes(300),
    "a program": b"\x7fELF" + bytes(300),
    "a picture": bomb(8),
    "noise": np.random.default_rng(0).bytes(5000),
}


def test_who_does_not_wait_any_more_ends_the_decoder(clip):
    with confining(DecodeLimits()):
        reader = VideoReader(clip)

        def leave(done, total):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reader.sample(progress=leave)
        assert len(processes()) <= 1  # the one that waits
    assert not processes()


def test_more_files_than_processes_wait(clip):
    most = 0
    with confining(DecodeLimits(max_processes=1)):
        reader = VideoReader(clip)

        def count(done, total):
            nonlocal most
            most = max(most, len(processes()))

        threads = [
            threading.Thread(target=lambda: reader.sample(num_frames=2, progress=count))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 1 <= most <= 2  # one at work, one that waits


PROGRAM = """
import os, sys, time
from dynfocus.video.confinement import confining
from dynfocus.video.decode_limits import DecodeLimits
from dynfocus.video import VideoReader
with confining(DecodeLimits()):
    reader = VideoReader(sys.argv[1])
    def stop(done, total):
        print("at work", flush=True)
        time.sleep(8)
    reader.sample(progress=stop)
"""


def test_a_killed_server_leaves_no_decoder(clip):
    secret = {"DYNFOCUS_SECRET": "in the environment"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(clip)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | secret,
    ) as server:
        assert server.stdout.readline() == "at work\n"
        children = children_of(server.pid)
        assert children
        for child in children:
            with suppress(ProcessLookupError):  # one is done with its job
                environment = Path(f"/proc/{child}/environ").read_bytes()
                assert b"DYNFOCUS_SECRET" not in environment
        server.kill()
    end = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.02)


def children_of(parent):
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(child) for child in listed.split()]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no JSON\n",
        b'["kept", {}, {"picture": ["object", [1]]}]\n12345678',
        b'["kept", {}, {"picture": ["uint8", [99]]}]\n1',
        b'["kept", {}, {"picture": ["uint8", [-1]]}]\n1',
        b'["kept"]\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_nonsense_from_a_decoder_is_an_error(message):
    with pytest.raises(UnreadableVideoError, match="told nonsense"):
        unpack(message)


def test_messages_come_back_as_they_were_sent():
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    kind, values, arrays = unpack(pack("kind", {"name": "é\ud800"}, array=array))
    assert (kind, values) == ("kind", {"name": "é\ud800"})
    np.testing.assert_array_equal(arrays["array"], array)


@pytest.fixture(scope="module")
def confinement():
    with confining(DecodeLimits()) as confinement:
        yield confinement


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_pixels_per_frame": 64 * 96 - 1}, "96x64, and 6,143 pixels"),
        ({"max_seconds": 2.9}, "has 3 s, and 3 s are allowed"),
        ({"max_frames": 29}, "has 30 frames, and 29 are"),
        ({"max_bytes": 1000}, "bytes, and 1,000 are allowed"),
        ({"decode_seconds": 0.001}, "more than the 0.001 s"),
        ({"memory_bytes": 100_000}, "memory|no frame"),
    ],
)
def test_a_video_beyond_a_limit_is_refused(
    clip, limits, text, confinement, monkeypatch
):
    monkeypatch.setattr(confinement, "limits", DecodeLimits(**limits))
    with pytest.raises(UnreadableVideoError, match=text):
        VideoReader(clip)


def test_images_are_read_there_and_bombs_are_not(tmp_path, confinement):
    Image.new("RGB", (5, 3), (10, 20, 30)).save(tmp_path / "small.png")
    (tmp_path / "bomb.png").write_bytes(bomb(60_000))
    (tmp_path / "text.png").write_text("no image")
    frames, _ = read_image(tmp_path / "small.png")
    with pytest.raises(VideoLimitError, match="60000x60000"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(UnreadableVideoError, match="no image that can be read"):
        read_image(tmp_path / "text.png")
    assert frames.shape == (1, 3, 5, 3)
    assert frames[0, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("kind", ["a playlist", "a picture", "noise"])
def test_content_counts_and_not_the_name(kind, tmp_path, confinement):
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENTS[kind])
    with pytest.raises(UnreadableVideoError) as failure:
        VideoReader(path)
    assert "root:" not in str(failure.value)


def test_a_decoder_that_dies_is_an_error_of_that_file_alone(clip, confinement):
    reader = VideoReader(clip)

    killed = []

    def kill(done, total):
        found = processes()
        killed.extend(found)
        for process in found:
            os.kill(process, signal.SIGSEGV)

    with pytest.raises(UnreadableVideoError, match=r"crashed .*exit code -11"):
        reader.sample(times=TIMES, size=(600, 900), progress=kill)  # more than a pipe
    while set(killed) & set(processes()):  # the one that waits dies on its own time
        time.sleep(0.01)
    assert len(reader.sample(num_frames=2).frames) == 2


def test_what_is_decoded_when_the_work_is_ended_is_given_up(clip):
    others = set(processes())  # of the confinement that the tests share
    with confining(DecodeLimits()) as confinement:
        reader = VideoReader(clip)

        def end(done, total):
            confinement.close()

        with pytest.raises((UnreadableVideoError, VideoLimitError)):
            reader.sample(times=TIMES, size=(600, 900), progress=end)
        with pytest.raises(UnreadableVideoError, match="is being ended"):
            reader.sample(num_frames=2)
    assert set(processes()) <= others
