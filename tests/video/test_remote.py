"""Files at addresses: the frames of the file on disk, few requests, clear refusals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from dynfocus.index import IndexStore
from dynfocus.video import (
    FetchPolicy,
    RemoteFile,
    UnreachableVideoError,
    UnreadableVideoError,
    VideoReader,
    as_file,
    find_videos,
    probe_video,
    read_image,
    show_address,
)
from dynfocus.video.fetch_policy import is_public
from web_server import WebServer

TIMES = np.arange(60) / 30
BLOCK = 256 * 1024
STRICT = FetchPolicy(allow_private=False)
QUICK = FetchPolicy(connect_seconds=2.0, read_seconds=0.3)


@pytest.fixture
def clip(tmp_path, write_clip):
    return write_clip(tmp_path / "clip.mp4", TIMES)


@pytest.fixture
def large_clip(clip):
    """Put two megabytes of nothing between the pictures and the index at the end."""
    data = clip.read_bytes()
    place = data.rindex(b"moov") - 4
    hole = (2**21).to_bytes(4, "big") + b"free" + bytes(2**21 - 8)
    clip.write_bytes(data[:place] + hole + data[place:])
    return clip


def read(video):
    return VideoReader(video).sample(num_frames=6)


def assert_same(remote, local):
    np.testing.assert_array_equal(remote.frames, local.frames)
    np.testing.assert_array_equal(remote.times, local.times)


@pytest.mark.parametrize("has_parts", [True, False], ids=["parts", "whole"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.webm"])
def test_frames_are_those_of_the_file(name, has_parts, web, tmp_path, write_clip):
    codec = "libsvtav1" if name.endswith("webm") else "libx264"
    path = write_clip(tmp_path / name, TIMES, codec=codec)
    address = web.put(name, path, has_parts=has_parts)
    assert_same(read(address), read(path))
    assert str(VideoReader(address).path) == address
    found, wanted = probe_video(address).to_dict(), probe_video(path).to_dict()
    assert found == wanted | {"path": address}


def test_an_index_at_the_end_costs_few_requests(web, large_clip):
    address = web.put("clip.mp4", large_clip)
    reader = VideoReader(address)
    assert len(web.requests) <= 3
    reader.sample(num_frames=3)
    assert len(web.requests) <= 3
    fetched = {start // BLOCK for start, _ in web.page("clip.mp4").ranges}
    assert len(fetched) == len(web.requests)


def test_what_is_read_in_order_is_asked_for_in_growing_parts(web):
    content = np.random.default_rng(0).bytes(20 * BLOCK + 77)
    file = RemoteFile(web.put("data", content))
    with file.open() as opened:
        assert opened.read() == content
    assert len(web.requests) <= 6
    assert web.num_connections == 1
    with file.open() as opened:
        opened.seek(-100, os.SEEK_END)
        assert opened.read(50) == content[-100:-50]
        assert opened.seek(7) == 7
        assert opened.read(3 * BLOCK) == content[7 : 7 + 3 * BLOCK]
    assert len(web.requests) <= 6


def test_many_threads_read_one_file(web, clip):
    content = np.random.default_rng(0).bytes(12 * BLOCK)
    file = RemoteFile(web.put("data", content))

    def read_at(number):
        start = number * 7 * 10_007 % len(content)
        with file.open() as opened:
            opened.seek(start)
            return opened.read(100_000) == content[start : start + 100_000]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read_at, range(200)))
    reader = VideoReader(web.put("clip.mp4", clip), num_threads=4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reader.sample(num_frames=9), range(8)))
    for one in found:
        assert_same(one, VideoReader(clip).sample(num_frames=9))


def test_no_more_than_32_mebibytes_are_kept(web):
    file = RemoteFile(web.put("data", bytes(40 * 2**20)))
    with file.open() as opened:
        while opened.read(2**20):
            pass
        num_requests = len(web.requests)
        opened.seek(0)
        opened.read(1)
    assert len(web.requests) == num_requests + 1


def test_redirects_are_followed_and_remembered(web, clip):
    web.put("film", clip)
    web.put("b", b"", redirect="/film")
    address = web.put("a", b"", redirect=web.address("b"))
    assert_same(read(address), read(clip))
    assert [path for path, _ in web.requests].count("/a") == 1


def test_a_redirect_that_ran_out_is_asked_for_again(web, large_clip):
    web.put("first", large_clip)
    web.put("second", large_clip)
    address = web.put("a", b"", redirect="/first")
    reader = VideoReader(address)
    reader.path._blocks.clear()
    web.page("first").status = 403
    web.page("a").redirect = "/second"
    assert len(reader.sample(num_frames=2).times) == 2


def test_a_connection_that_breaks_is_renewed(web, large_clip):
    address = web.put("clip.mp4", large_clip)
    wanted = read(large_clip)
    reader = VideoReader(address)
    reader.path._blocks.clear()
    web.page("clip.mp4").dies_after = 100_000
    assert_same(reader.sample(num_frames=6), wanted)


FAILURES = [
    ({"status": 404}, "HTTP 404; there is no such file"),
    ({"status": 403}, "HTTP 403; it may need a log-in"),
    ({"status": 500}, "HTTP 500; try again later"),
    ({"content": b""}, "the file is empty"),
    ({"content": b"", "has_parts": False}, "the file is empty"),
    ({"wait_seconds": 1.0}, r"the server was silent for 0\.3 s"),
    ({"dies_after": 0}, "the server broke off"),
    ({"dies_after": 1000, "has_parts": False}, "the server broke off"),
    (
        {"dies_after": 1000, "wait_seconds_inside": 1.0, "has_parts": False},
        "was silent",
    ),
    ({"headers": {"Content-Encoding": "gzip"}}, r"sends it compressed \(gzip\)"),
    ({"headers": {"Content-Range": "bytes 5-6/9"}}, "another part than was asked for"),
    ({"redirect": "/clip.mp4"}, "redirects more than 5 times"),
    ({"redirect": "ftp://127.0.0.1/x"}, "begins with ftp:, and allowed are http and"),
    ({"redirect": "file:///etc/passwd"}, "begins with file:, and allowed are http"),
]


@pytest.mark.parametrize(("page", "message"), FAILURES)
def test_every_failure_is_a_sentence(page, message, web, clip):
    address = web.put("clip.mp4", page.get("content", clip))
    for name, value in page.items():
        setattr(web.page("clip.mp4"), name, value)
    with pytest.raises(UnreadableVideoError, match=message) as caught:
        VideoReader(RemoteFile(address, QUICK if "silent" in message else None))
    assert str(caught.value).startswith(f"{address}: ")
    assert str(caught.value).count(". ") == 0


def test_a_server_that_is_not_there_is_named(web):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnreachableVideoError, match="no server answers there"):
        VideoReader(f"http://127.0.0.1:{port}/clip.mp4")
    with pytest.raises(UnreachableVideoError, match="no machine has this name"):
        VideoReader("http://nowhere.invalid/clip.mp4")
    for address in ("http://127.0.0.1:port/a", "http:///a", "http://a..b/a"):
        with pytest.raises(UnreachableVideoError, match="no address that can be asked"):
            VideoReader(address)


def test_a_web_page_is_told_from_a_broken_video(web):
    page = b"<!doctype html><title>A film</title>" * 20
    address = web.put("watch", page, headers={"Content-Type": "text/html; charset=x"})
    with pytest.raises(UnreadableVideoError, match="this is a web page, not a video"):
        VideoReader(address)


@pytest.mark.parametrize("has_parts", [True, False])
@pytest.mark.parametrize("names_length", [True, False])
def test_a_file_that_is_too_large_is_refused(has_parts, names_length, web):
    address = web.put(
        "film", bytes(10**6), has_parts=has_parts, names_length=names_length
    )
    file = RemoteFile(address, FetchPolicy(max_bytes=999_999))
    with pytest.raises(UnreachableVideoError, match="more than the 999,999 bytes"):
        VideoReader(file)


def test_all_requests_together_have_a_limit(web):
    web.put("data", bytes(20 * BLOCK), wait_seconds=0.1)
    file = RemoteFile(web.address("data"), FetchPolicy(total_seconds=0.25))
    with (
        pytest.raises(UnreachableVideoError, match=r"longer than the 0\.25 s"),
        file.open() as opened,
    ):
        opened.read()


@pytest.mark.parametrize("has_parts", [True, False])
def test_fetching_a_whole_file_tells_how_far_it_is(has_parts, web):
    file = RemoteFile(web.put("data", bytes(3 * BLOCK), has_parts=has_parts))
    told: list[tuple[int, int]] = []
    file.progress = lambda done, total: told.append((done, total))
    with file.open() as opened:
        assert len(opened.read()) == 3 * BLOCK
    assert told == sorted(told)
    assert told[-1:] == [] if has_parts else [(3 * BLOCK, 3 * BLOCK)]


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"ETag": '"v2"'}},
        {"headers": {"ETag": '"v1"', "Last-Modified": "Tue, 03 Jan 2023 03:04:05 GMT"}},
        {"content": bytes(10**6)},
        {"has_parts": False},
    ],
    ids=["tag", "time", "length", "whole"],
)
def test_a_file_that_changes_while_it_is_read_is_noticed(change, web, large_clip):
    address = web.put("clip.mp4", large_clip)
    reader = VideoReader(address)
    reader.path._blocks.clear()
    for name, value in change.items():
        setattr(web.page("clip.mp4"), name, value)
    with pytest.raises(UnreachableVideoError, match="changed while it was read"):
        reader.sample(num_frames=4)


def test_secrets_are_sent_but_never_shown(web, clip, caplog):
    caplog.set_level("INFO")
    web.put("film.mp4", clip)
    address = f"http://ann:pass@127.0.0.1:{web.port}/film.mp4?sig=s3cret#t=5"
    file = RemoteFile(address)
    shown = f"http://127.0.0.1:{web.port}/film.mp4?..."
    assert str(file) == shown == show_address(address)
    assert repr(file) == f"RemoteFile({shown!r})"
    assert (file.name, file.stem) == ("film.mp4", "film")
    assert VideoReader(file).frame_count == len(TIMES)
    path, headers = web.requests[0]
    assert path == "/film.mp4?sig=s3cret"
    assert headers["Authorization"].startswith("Basic ")
    web.page("film.mp4").status = 404
    with pytest.raises(UnreachableVideoError) as caught:
        VideoReader(address)
    assert str(caught.value).startswith(f"{shown}: ")
    assert "s3cret" not in caplog.text
    httpx.get(address, trust_env=False)
    assert "s3cret" in caplog.text  # what others ask for is logged as before


def test_a_log_in_is_not_sent_elsewhere(web, clip):
    with WebServer() as other:
        target = other.put("film.mp4", clip)
        web.put("a", b"", redirect=target)
        read(f"http://ann:pass@127.0.0.1:{web.port}/a")
        assert not any("Authorization" in headers for _, headers in other.requests)
    assert "Authorization" in web.requests[0][1]


PRIVATE = [
    "127.0.0.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "0.0.0.0",
    "[::]",
    "10.1.2.3",
    "169.254.169.254",
    "100.64.0.1",
    "[fe80::1]",
    "[fd00::1]",
    "[fec0::1]",
    "[::7f00:1]",
    "[64:ff9b:1::a00:1]",
    "224.0.0.1",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_strict_policy_refuses_private_machines_however_spelled(host, web, clip):
    web.put("clip.mp4", clip)
    file = RemoteFile(f"http://{host}:{web.port}/clip.mp4", STRICT)
    with pytest.raises(UnreachableVideoError, match="leads to a machine|no address"):
        VideoReader(file)
    assert not web.requests


@pytest.mark.parametrize("machine", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_machines_are_told(machine):
    assert is_public(machine)


@pytest.fixture
def names(monkeypatch):
    """Let the tests say what a name means, each time it is asked for."""
    meanings: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def find(host, port, *args, **options):
        known = meanings.get(host)
        if known is None:
            return real(host, port, *args, **options)
        machine = known.pop(0) if len(known) > 1 else known[0]
        return real(machine, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return meanings


def test_a_redirect_to_a_private_machine_is_refused(web, clip, names, monkeypatch):
    web.put("secret.mp4", clip)
    address = web.put("a", b"", redirect=f"http://inside.test:{web.port}/secret.mp4")
    names["inside.test"] = ["169.254.169.254"]
    monkeypatch.setattr(
        "dynfocus.video.fetching.is_public", lambda machine: machine == "127.0.0.1"
    )
    with pytest.raises(UnreachableVideoError, match="leads to a machine"):
        VideoReader(RemoteFile(address, STRICT))
    assert [path for path, _ in web.requests] == ["/a"]


def test_what_was_checked_is_connected_to(names, monkeypatch):
    names["rebound.test"] = ["8.8.8.8", "127.0.0.1"]
    tried: list[str] = []

    def connect(address, *args, **options):
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(UnreachableVideoError, match="no server answers"):
        VideoReader(RemoteFile("http://rebound.test/clip.mp4", STRICT))
    assert tried == ["8.8.8.8"]


@pytest.mark.parametrize("allow_private", [True, False])
def test_a_name_is_not_looked_for_longer_than_a_connection(allow_private, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20) or [])
    policy = FetchPolicy(connect_seconds=0.2, allow_private=allow_private)
    began = time.monotonic()
    with pytest.raises(UnreachableVideoError, match=r"no server answers within 0\.2 s"):
        VideoReader(RemoteFile("http://slow.test/clip.mp4", policy))
    assert time.monotonic() - began < 5


def test_a_machine_that_does_not_answer_is_passed_over(web, clip, monkeypatch):
    web.put("clip.mp4", clip)
    real = socket.getaddrinfo

    def find(host, port, *args, **options):
        if host != "two.test":
            return real(host, port, *args, **options)
        return [one for n in (9, 1) for one in real(f"127.0.0.{n}", port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    monkeypatch.setattr("dynfocus.video.fetching.is_public", lambda machine: True)
    file = RemoteFile(web.address("clip.mp4", "two.test"), STRICT)
    assert_same(read(file), read(clip))


def test_a_strict_policy_asks_for_the_name_and_checks_the_certificate(
    secure_web, certificate, clip, monkeypatch
):
    monkeypatch.setattr("dynfocus.video.fetching.is_public", lambda machine: True)
    secure_web.put("clip.mp4", clip)
    good = secure_web.address("clip.mp4", "localhost")
    with pytest.raises(UnreachableVideoError, match="certificate is not trusted"):
        VideoReader(RemoteFile(good, STRICT))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for policy in (FetchPolicy(), STRICT):
        assert_same(read(RemoteFile(good, policy)), read(clip))
    assert secure_web.requests[-1][1]["Host"] == f"localhost:{secure_web.port}"
    other = secure_web.address("clip.mp4", "127.0.0.1")
    for policy in (FetchPolicy(), STRICT):
        with pytest.raises(UnreachableVideoError, match="certificate is not trusted"):
            VideoReader(RemoteFile(other, policy))


def test_schemes_can_be_limited(web, clip):
    address = web.put("clip.mp4", clip)
    file = RemoteFile(address, FetchPolicy(schemes=("https",)))
    with pytest.raises(UnreachableVideoError, match="allowed are https"):
        VideoReader(file)
    assert not web.requests
    with pytest.raises(ValueError, match="max_bytes must be at least 1"):
        FetchPolicy(max_bytes=0)


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "list.sdp": "v=0\ns={}\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("is_remote", [False, True], ids=["disk", "address"])
@pytest.mark.parametrize("target", ["address", "clip.ts"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_nothing(name, target, is_remote, web, tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.ts", TIMES)
    address = web.put("clip.ts", path)
    text = PLAYLISTS[name].format(address if target == "address" else target)
    (tmp_path / name).write_text(text)
    video = web.put(name, text.encode()) if is_remote else tmp_path / name
    with pytest.raises(UnreadableVideoError, match="playlists, scripts"):
        VideoReader(video)
    assert not any(path == "/clip.ts" for path, _ in web.requests)


def refer(data: bytes, target: bytes) -> bytes:
    """Say in an MP4 file that its pictures are in another one (an alias, as of QuickTime)."""
    name = target.rsplit(b"/", 1)[-1]
    levels = (1).to_bytes(2, "big") * 2
    path = (2).to_bytes(2, "big") + len(target).to_bytes(2, "big") + target
    path += bytes(len(target) % 2) + b"\xff\xff\0\0"
    alias = bytes(14) + b"\3" + b"vol".ljust(27, b"\0") + bytes(12)
    alias += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + levels + bytes(16)
    entry = (len(alias + path) + 8).to_bytes(4, "big") + b"alis" + alias + path
    made = bytearray(data)
    end, parents = len(data), []
    place = data.index(b"moov") - 4
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = data.index(name, place, end) - 4
        parents.append(place)
    end = place + int.from_bytes(data[place : place + 4], "big")
    made[place + 16 : end] = entry
    for parent in parents:
        size = int.from_bytes(data[parent : parent + 4], "big")
        made[parent : parent + 4] = (size + len(made) - len(data)).to_bytes(4, "big")
    return bytes(made)


def test_a_reference_inside_a_file_opens_nothing(tmp_path, write_clip, web):
    own = write_clip(tmp_path / "own.mp4", TIMES)
    other = shutil.copy(own, tmp_path / "other.mp4")
    (tmp_path / "refers.mp4").write_bytes(refer(own.read_bytes(), os.fsencode(other)))
    opened = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(tmp_path / "refers.mp4"), options=opened) as container:
        assert next(container.decode(video=0)).width  # FFmpeg would find it
    for video in (tmp_path / "refers.mp4", web.put("a.mp4", tmp_path / "refers.mp4")):
        with pytest.raises(UnreadableVideoError, match="no frame of it can be decoded"):
            VideoReader(video)


def test_a_picture_is_one_file_whatever_its_name(tmp_path, web):
    from PIL import Image

    for number in (1, 2):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"p{number}.png")
    with pytest.raises(FileNotFoundError):
        VideoReader(tmp_path / "p%d.png")
    picture = read_image(web.put("p.png", tmp_path / "p2.png"))
    assert picture.frames[0, 0, 0].tolist() == [2, 0, 0]


def test_an_address_is_known_also_without_the_slash_that_a_path_eats(web, clip):
    address = web.put("clip.mp4", clip)
    assert_same(read(Path(address)), read(clip))
    assert find_videos([address, clip, address]) == [address, clip]
    assert isinstance(as_file("HTTP://example.org/a.mp4"), RemoteFile)
    assert as_file("a:b.mp4") == Path("a:b.mp4")
    with pytest.raises(ValueError, match="addresses of ftp are not read") as caught:
        VideoReader("ftp://ann:pass@example.org/a.mp4")
    assert str(caught.value).startswith("ftp://example.org/a.mp4: ")
    assert_same(read(f"{address}?signature={'x' * 999}"), read(clip))


def test_a_version_of_a_file_has_a_name(web, clip, tmp_path):
    address = web.put("clip.mp4", clip)

    def identity(**settings):
        for name, value in settings.items():
            setattr(web.page("clip.mp4"), name, value)
        return RemoteFile(address).identity

    by_tag = identity()
    assert by_tag == identity() is not None
    signed = f"{address}?x-amz-date=1&X-Amz-Signature=2%2F#t=1"
    assert RemoteFile(signed).identity == by_tag
    assert RemoteFile(f"{address}?id=1&X-Goog-Signature=2").identity != by_tag
    assert identity(headers={"ETag": '"v2"'}) not in (by_tag, None)
    by_time = identity(headers={"ETag": 'W/"v1"'})
    assert by_time not in (by_tag, None)
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    assert identity(headers={"Last-Modified": now}) is None
    assert identity(headers={"Last-Modified": ""}) is None
    store = IndexStore(tmp_path / "index")
    assert identity(has_parts=False) == store.digest(clip)
    web.page("clip.mp4").has_parts = True
    with pytest.raises(ValueError, match="names no version"):
        store.digest(address)


def test_nothing_is_left_of_a_download_that_was_ended(web, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    address = web.put("film.mp4", bytes(10**6), has_parts=False, dies_after=500_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        with pytest.raises(UnreachableVideoError):
            VideoReader(address)
    assert not list(folder.iterdir())
    web.page("film.mp4").wait_seconds_inside = 5.0
    program = subprocess.Popen(
        [sys.executable, "-m", "dynfocus", "probe", address],
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(web.requests) < 2 and program.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    program.send_signal(signal.SIGTERM)
    _, said = program.communicate(timeout=10)
    assert program.returncode == 143, said
    assert not list(folder.iterdir())
