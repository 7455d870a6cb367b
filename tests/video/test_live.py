"""Videos that come: the frames of a file read by time, from a pipe, cut, stuck."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dynfocus.video import (
    DamagedVideoWarning,
    LiveReader,
    StuckVideoError,
    UnreachableVideoError,
    UnreadableVideoError,
    VideoReader,
)
from dynfocus.video.live_source import safe_options

TIMES = np.arange(75) / 30
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def read_all(source, **options):
    with LiveReader(source, **options) as reader:
        parts = list(reader)
    assert reader.is_over
    assert all(part.frames.shape[0] == len(part.times) == 1 for part in parts)
    return (
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


@pytest.mark.parametrize("fps", [1.0, 4.0, 30.0, 45.0])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.ts", {}),
        ("clip.mp4", {"muxer": FRAGMENTED}),
        ("clip.mkv", {"rotation": 90}),
    ],
)
def test_frames_are_those_of_the_file(name, options, fps, tmp_path, write_clip):
    path = write_clip(tmp_path / name, TIMES, **options)
    frames, times = read_all(path, fps=fps)
    wanted = VideoReader(path).sample(fps=fps)
    np.testing.assert_array_equal(frames, wanted.frames)
    np.testing.assert_allclose(times, wanted.times, atol=1e-9)


def test_gaps_between_frames_show_the_frame_before(tmp_path, write_clip, read_numbers):
    path = write_clip(tmp_path / "clip.mkv", [0, 0.5, 4.2, 4.4])
    frames, times = read_all(path, fps=1.0, size=(64, 96))
    assert read_numbers(frames) == [0, 1, 1, 1, 1]
    np.testing.assert_allclose(times, [0, 0.5, 0.5, 0.5, 0.5], atol=2e-3)


def test_a_pipe_is_read_as_it_comes(tmp_path, write_clip, read_numbers):
    content = write_clip(tmp_path / "clip.ts", TIMES).read_bytes()
    half = len(content) // 2 // 188 * 188
    descriptor, writer = os.pipe()
    may_go_on = threading.Event()

    def write():
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content[:half])
            pipe.flush()
            may_go_on.wait(30)
            pipe.write(content[half:])

    thread = threading.Thread(target=write)
    thread.start()
    numbers = []
    quick = {"probesize": "2000", "analyzeduration": "1000"}
    with (
        os.fdopen(descriptor, "rb") as pipe,
        LiveReader(pipe, fps=10, options=quick) as reader,
    ):
        while len(numbers) < 4:
            part = reader.read(wait_seconds=30)
            numbers += read_numbers(part.frames)
        may_go_on.set()  # only now is the other half written
        for part in reader:
            numbers += read_numbers(part.frames)
    thread.join()
    assert numbers[:4] == [0, 3, 6, 9]
    assert numbers[-1] == 72


def test_standard_input_is_read_in_a_process_of_its_own(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    code = (
        "from dynfocus.video import LiveReader\n"
        "with LiveReader('-', fps=2) as reader:\n"
        "    print(*(part.times[0] for part in reader))\n"
    )
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    assert done.stdout.split() == ["0.0", "0.5", "1.0", "1.5", "2.0"]


def test_a_named_pipe_is_a_file_that_comes(tmp_path, write_clip):
    content = write_clip(tmp_path / "clip.ts", TIMES).read_bytes()
    fifo = tmp_path / "a: pipe"
    os.mkfifo(fifo)
    thread = threading.Thread(target=fifo.write_bytes, args=(content,))
    thread.start()
    _, times = read_all(fifo, fps=2)
    thread.join()
    assert len(times) == 5


@pytest.mark.parametrize("has_parts", [True, False], ids=["parts", "whole"])
def test_an_address_is_read_by_our_own_fetcher(
    has_parts, web, tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    address = web.put("clip.ts", path, has_parts=has_parts)
    frames, _ = read_all(f"{address}?sig=s3cret", fps=2)
    assert read_numbers(frames) == [0, 15, 30, 45, 60]
    assert {headers["User-Agent"] for _, headers in web.requests} == {"dynfocus"}
    with pytest.raises(UnreachableVideoError, match=r"none.ts\?...: .*HTTP 404"):
        read_all(f"{web.address('none.ts')}?sig=s3cret")


def test_an_index_at_the_end_of_a_file_at_an_address_is_found(
    web, tmp_path, write_clip, read_numbers
):
    address = web.put("clip.mp4", write_clip(tmp_path / "clip.mp4", TIMES))
    assert read_numbers(read_all(address, fps=2)[0]) == [0, 15, 30, 45, 60]


def test_no_server_is_one_sentence():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableVideoError, match="no server answers there"):
            read_all(f"http://127.0.0.1:{held.getsockname()[1]}/clip.ts")


@pytest.mark.parametrize("has_parts", [True, False], ids=["parts", "whole"])
def test_a_playlist_at_an_address_opens_nothing(has_parts, web, tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    names = [web.put("clip.ts", path), f"file:{path}", str(path)]
    for name in names:
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n"
        address = web.put("list.m3u8", text.encode(), has_parts=has_parts)
        for input_format in (None, "hls"):
            with pytest.raises(UnreadableVideoError, match="playlists"):
                read_all(address, input_format=input_format)
    assert {place for place, _ in web.requests} == {"/list.m3u8"}


def test_a_stream_of_a_server_that_breaks_off_gives_what_came(
    web, tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    dies_after = path.stat().st_size * 2 // 3
    address = web.put("clip.ts", path, has_parts=False, dies_after=dies_after)
    with pytest.warns(DamagedVideoWarning, match=r"clip\.ts: "):
        frames, _ = read_all(address, fps=2)
    assert read_numbers(frames)[:3] == [0, 15, 30]


def test_frames_of_an_address_are_given_while_it_still_sends(
    web, tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    size = path.stat().st_size
    settings = {"dies_after": size * 2 // 3, "wait_seconds_inside": 30.0}
    address = web.put("clip.ts", path, has_parts=False, **settings)
    began = time.monotonic()
    with LiveReader(address, fps=2) as reader:
        parts = [reader.read(10.0) for _ in range(2)]
    assert time.monotonic() - began < 10
    assert read_numbers([part.frames[0] for part in parts]) == [0, 15]


def test_only_addresses_of_streams_and_of_the_web_are_watched():
    for name in ("ftp://host/a.ts", "hls+http://host/a.m3u8", "concat://a"):
        with pytest.raises(ValueError, match="are not watched, only those of http"):
            LiveReader(name)
    LiveReader("rtsp://user:word@host/1")
    assert "http" not in safe_options("udp://1", None)["protocol_whitelist"]


def test_a_stream_that_is_cut_off_gives_what_came(tmp_path, write_clip, read_numbers):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    frames, _ = read_all(path, fps=10)
    assert read_numbers(frames)[:4] == [0, 3, 6, 9]
    assert 4 <= len(frames) < 25


def test_damage_is_counted_and_told_once(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    content = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    middle = slice(len(content) // 3, len(content) // 2)
    content[middle] = generator.bytes(len(content[middle]))
    path.write_bytes(content)
    with pytest.warns(DamagedVideoWarning, match="pieces? of the video had damage"):
        frames, times = read_all(path, fps=10)
    assert len(frames) > 5
    assert (np.diff(times) >= 0).all()


def test_a_source_that_falls_silent_is_given_up(tmp_path):
    descriptor, writer = os.pipe()
    with (
        os.fdopen(descriptor, "rb") as pipe,
        os.fdopen(writer, "wb"),
        LiveReader(pipe, timeout_seconds=0.3) as reader,
        pytest.raises(StuckVideoError, match="nothing came for 0.3 s"),
    ):
        list(reader)


def test_a_slow_reader_holds_the_source_up_and_is_no_silence(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    with LiveReader(path, fps=30, timeout_seconds=2) as reader:
        first = reader.read(wait_seconds=30)
        time.sleep(2.2)
        assert reader.num_decoded < 75
        rest = list(reader)
    assert len(rest) == 74
    assert first.times[0] == 0


def test_what_cannot_be_read_is_one_sentence(tmp_path, write_sound):
    missing = tmp_path / "no.ts"
    with pytest.raises(FileNotFoundError, match="no such file; give a file, '-' for"):
        LiveReader(missing)
    (tmp_path / "noise.ts").write_bytes(b"no video " * 40)
    with pytest.raises(UnreadableVideoError, match="cannot open this as a video"):
        read_all(tmp_path / "noise.ts")
    with pytest.raises(UnreadableVideoError, match="holds no video stream"):
        read_all(write_sound(tmp_path / "sound.m4a"))
    with pytest.raises(FileNotFoundError, match="no such file or device"):
        read_all("/dev/video97")
    for wrong in ({"fps": 0}, {"size": (0, 3)}, {"timeout_seconds": 0}):
        with pytest.raises(ValueError, match="must be"):
            LiveReader(Path(__file__), **wrong)


def test_a_playlist_on_a_disk_is_no_source_and_opens_nothing(tmp_path, write_clip):
    write_clip(tmp_path / "clip.ts", TIMES)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.ts\n#EXT-X-ENDLIST\n"
    )
    with playlist.open("rb") as opened:
        for source in (playlist, opened):
            with pytest.raises(UnreadableVideoError, match="playlists, |cannot open"):
                read_all(source)
