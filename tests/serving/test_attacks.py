"""Attacks on a server that runs; ``docs/serving.md`` lists them with their tests."""

from __future__ import annotations

import ast
import base64
import re
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

from dynfocus.serving.connections import PatientProtocol
from dynfocus.serving.failures import ApiError, hide_places
from dynfocus.serving.protection import Protection
from dynfocus.serving.sources import find_file
from dynfocus.video import UnreachableVideoError
from dynfocus.video.fetching import Fetcher
from web_server import WebServer

ROOT = Path(__file__).parents[2]
SECRET = "the word that nobody may log"


@pytest.fixture(scope="module")
def api(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def video(api, clip):
    with clip.open("rb") as file:
        name = "<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\r\n.mp4"
        told = api.post("/dynfocus/videos", files={"file": (name, file)})
    assert told.status_code == 201
    return told.json()["id"]


def refused(response):
    """Check that a failure says nothing of the inside, and give its status."""
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert not re.search(r"Traceback|File \"|site-packages|/tmp/", response.text)
    return response.status_code


PRIVATE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://user@127.0.0.1/",
    "http://example.org@127.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_machine_inside_is_asked(address, monkeypatch):
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket, "create_connection", connect)
    policy = Protection().fetch_policy("127.0.0.1")
    with pytest.raises(UnreachableVideoError, match=r"public internet|no address|name"):
        list(Fetcher(address, policy).receive())


def test_a_name_is_looked_up_once_and_that_machine_is_asked(monkeypatch):
    told = [["192.0.2.1", "93.184.216.34"], ["93.184.216.34"], ["127.0.0.1"]]
    connected = []

    def look_up(host, port, **_):
        return [(2, 1, 6, "", (one, port)) for one in told.pop(0)]

    def connect(address, *_, **__):
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    policy = Protection().fetch_policy("127.0.0.1")
    for reason in ("public internet", "no server answers"):
        with pytest.raises(UnreachableVideoError, match=reason):
            list(Fetcher("http://rebinds.example/", policy).receive())
    assert connected == ["93.184.216.34"]


def test_only_hosts_of_the_list_are_asked():
    listed = Protection(fetch_from=("films.example", "*.cdn.example"))
    policy = listed.fetch_policy("127.0.0.1")
    allowed = [policy.allows(host) for host in ("films.example", "a.CDN.example.")]
    others = ("evil.example", "films.example.evil.example", "notcdn.example", "")
    assert all(allowed)
    assert not any(policy.allows(host) for host in others)
    assert not Protection().fetch_policy("192.0.2.7").allows("films.example")
    with pytest.raises(UnreachableVideoError, match="not among those"):
        list(Fetcher("http://evil.example/", policy).receive())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://other.example/film", "not among those"),
        ("https://films.example.evil.example/", "not among those"),
        ("http://inside.example/film", "public internet"),
        ("http://127.0.0.1/film", "public internet"),
        ("//2130706433/film", "public internet|no address|name"),
    ],
)
def test_a_redirect_leads_to_no_other_host_and_no_machine_inside(
    target, reason, monkeypatch
):
    machines = {"films.example": "93.184.216.34", "inside.example": "10.0.0.1"}
    connect, look_up = socket.create_connection, socket.getaddrinfo

    def find(host, port, *given, **more):
        if host not in machines:
            return look_up(host, port, *given, **more)
        return [(2, 1, 6, "", (machines[host], port))]

    def lead(address, *given, **more):
        assert address == ("93.184.216.34", 80), "another machine was asked"
        return connect(("127.0.0.1", web.port), *given, **more)

    listed = ("films.example", "inside.example", "127.0.0.1", "2130706433")
    policy = Protection(fetch_from=listed).fetch_policy("127.0.0.1")
    with WebServer() as web:
        web.put("film", b"", redirect=target)
        monkeypatch.setattr(socket, "getaddrinfo", find)
        monkeypatch.setattr(socket, "create_connection", lead)
        with pytest.raises(UnreachableVideoError, match=reason):
            list(Fetcher("http://films.example/film", policy).receive())
        monkeypatch.undo()


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "file://{root}/../secret",
        "file://{root}/%2e%2e/secret",
        "file://{root}/link",
        "file://{root}/folder/secret",
        "file://other.example{root}/film.mp4",
        "file://{root}/film.mp4%00.txt",
        "file:{root}",
        "file:///proc/self/environ",
        "file:relative",
    ],
)
def test_no_file_outside_the_roots_is_read(address, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "film.mp4").write_text("film")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    assert find_file(f"file://{root}/film.mp4", [root]) == root / "film.mp4"
    with pytest.raises(ApiError) as failure:
        find_file(address.format(root=root), [root])
    assert failure.value.status in (400, 403)


@pytest.mark.parametrize(
    "address",
    [
        "gopher://example.org/1",
        "concat:/etc/passwd|/etc/hosts",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "rtsp://example.org/stream",
        "javascript:alert(1)",
        "data:video/mp4;base64,%%%",
        "data:video/mp4",
        "\x00",
        "",
        "http://",
        "http://exa mple.org/\r\nHost: evil",
    ],
)
def test_addresses_of_other_kinds_are_refused(api, address):
    told = api.post("/dynfocus/videos", json={"address": address})
    if told.status_code in (200, 201):  # it is refused when it is fetched
        video = told.json()["id"]
        end = time.monotonic() + 300
        while (shown := api.get(f"/dynfocus/videos/{video}").json())[
            "state"
        ] != "failed":
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        api.delete(f"/dynfocus/videos/{video}")
    else:
        refused(told)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "video-\x00",
        "videos",
        "-",
    ],
)
def test_no_id_leads_out_of_the_library(api, name):
    for method, path in (
        ("GET", "/dynfocus/videos/{}"),
        ("GET", "/dynfocus/videos/{}/content"),
        ("DELETE", "/dynfocus/videos/{}"),
        ("GET", "/v1/files/{}/content"),
        ("POST", "/v1/uploads/{}/cancel"),
    ):
        url = httpx.URL(api.base_url).copy_with(
            raw_path=path.format(name.replace("\x00", "%00")).encode()
        )
        refused(api.request(method, url))


def test_no_file_beside_the_page_is_given(api):
    for name in ("../guard.py", "%2e%2e/guard.py", "..%2fguard.py", "..%5cguard.py"):
        url = httpx.URL(api.base_url).copy_with(raw_path=f"/page/{name}".encode())
        assert refused(api.get(url)) == 404


def test_a_name_is_text_and_no_header_or_markup(api, video):
    shown = api.get(f"/dynfocus/videos/{video}")
    assert "\r" not in shown.json()["name"]
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    for path in (f"/dynfocus/videos/{video}/content", f"/v1/files/{video}/content"):
        content = api.get(path, headers={"Range": "bytes=0-9"})
        assert "set-cookie" not in content.headers
        assert content.headers["Content-Type"].startswith(("video/", "application/oct"))
        assert "sandbox" in content.headers["Content-Security-Policy"]


UPLOADS = {
    "page.mp4": b"<html><script>alert(1)</script></html>",
    "list.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "empty.mp4": b"",
}


@pytest.mark.parametrize("name", UPLOADS)
def test_what_is_no_video_by_its_content_is_not_taken_for_one(api, name):
    told = api.post("/dynfocus/videos", files={"file": (name, UPLOADS[name])})
    if not told.is_success:
        refused(told)
        return
    video = told.json()["id"]
    end = time.monotonic() + 300
    while (shown := api.get(f"/dynfocus/videos/{video}").json())["state"] != "failed":
        assert shown["state"] != "ready"
        assert time.monotonic() < end, shown
        time.sleep(0.05)
    assert "/" not in shown["problem"].replace("and/or", "")
    asked = {"question": "What is it?", "method": "uniform"}
    refused(api.post(f"/dynfocus/videos/{video}/ask", json=asked))
    api.delete(f"/dynfocus/videos/{video}")


def picture_bomb(side):
    """Write an image of a few kilobytes that says it has many pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")]
    whole = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        crc = struct.pack(">I", zlib.crc32(name + data))
        whole += struct.pack(">I", len(data)) + name + data + crc
    return whole


def test_a_picture_of_many_pixels_is_not_decoded(api):
    data = base64.b64encode(picture_bomb(50_000)).decode()
    url = {"url": f"data:image/png;base64,{data}"}
    content = [{"type": "image_url", "image_url": url}, {"type": "text", "text": "?"}]
    asked = {"model": "nano", "messages": [{"role": "user", "content": content}]}
    told = api.post("/v1/chat/completions", json=asked)
    assert refused(told) == 400
    assert "50000x50000" in told.json()["error"]["message"]


ODD = {
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "deep fields": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a long number": b'{"question": ' + b"9" * 10_000 + b"}",
    "not a number": b'{"question": "?", "start": NaN, "end": Infinity}',
    "half a character": rb'{"question": "\ud800"}',
    "not UTF-8": b'{"question": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "wrong types": b'{"question": {"a": []}, "max_video_tokens": "many"}',
    "a huge budget": b'{"question": "?", "max_video_tokens": 1e400}',
    "a negative budget": b'{"question": "?", "max_video_tokens": -5}',
    "a huge rate": b'{"question": "?", "fps": 1e300}',
    "no rate": b'{"question": "?", "fps": 0}',
    "many frames": b'{"question": "?", "max_frames": 99999999999999999999}',
    "outside": b'{"question": "?", "start": 1e9}',
    "an unknown method": b'{"question": "?", "method": "../../x"}',
    "an empty question": b'{"question": ""}',
    "history of anything": b'{"question": "?", "history": [1, "a", null]}',
    "nothing": b"",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_requests_are_refused_in_a_sentence(api, video, kind):
    told = api.post(
        f"/dynfocus/videos/{video}/ask",
        content=ODD[kind],
        headers={"Content-Type": "application/json"},
    )
    if kind == "half a character" and told.is_success:
        return  # it is a question like another, with a sign that cannot be read
    assert refused(told) in (400, 413, 422)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{}],
        "text",
        [{"role": "user"}],
        [{"role": "tool", "content": "?"}],
        [{"role": "user", "content": [{"type": "video_url", "video_url": 5}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": "../x"}}]}],
        [{"role": "user", "content": [{"type": "text", "text": {"a": 1}}]}],
        [{"role": "user", "content": [[]]}],
    ],
)
def test_odd_messages_are_refused_in_a_sentence(api, messages):
    asked = {"model": "nano", "messages": messages}
    refused(api.post("/v1/chat/completions", json=asked))


def test_a_body_that_is_read_by_hand_is_checked_too(api):
    for body in (b"[" * 100_000, b"{", b"\xff", b"[]", b"null", b'{"address": 5}'):
        headers = {"Content-Type": "application/json"}
        told = api.post("/dynfocus/videos", content=body, headers=headers)
        assert refused(told) == 400


def test_what_only_keeps_busy_is_refused(api, video):
    path = f"/dynfocus/videos/{video}"
    asked = {"question": "?" * 300_000}
    assert refused(api.post(f"{path}/ask", json=asked)) == 400
    times = ",".join("1" for _ in range(64))
    wide = {"times": times, "width": 1920}
    assert refused(api.get(f"{path}/frames", params=wide)) == 400
    parts = [{"type": "file", "file": {"file_id": video}}] * 33
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "?"}]}]
    for more in ({}, {"stop": ["a"] * 100}, {"max_frames": 10**9}):
        asked = {"model": "nano", "messages": messages, **more}
        assert refused(api.post("/v1/chat/completions", json=asked)) == 400
    asked = {"filename": "a.mp4", "bytes": 10**15, "purpose": "user_data"}
    assert refused(api.post("/v1/uploads", json=asked)) == 413


def test_many_ranges_are_not_worth_many_bytes(api, video, clip):
    ranges = ",".join(f"{n}-" for n in range(2000))
    path = f"/dynfocus/videos/{video}/content"
    answer = api.get(path, headers={"Range": f"bytes={ranges}"})
    assert len(answer.content) <= 2 * clip.stat().st_size
    for odd in ("bytes=-", "bytes=9-1", f"bytes={10**30}-", "lines=1-2", "bytes=a-b"):
        assert api.get(path, headers={"Range": odd}).status_code in (200, 400, 416)


def test_odd_times_and_widths_are_refused(api, video):
    for times in ("nan", "inf", "-1", "", ",", "1e400", "1," * 5000, "a"):
        path = f"/dynfocus/videos/{video}/frames"
        refused(api.get(path, params={"times": times}))
    for width in (0, -1, 10**9, "a"):
        refused(api.get(path, params={"times": "1", "width": width}))


def test_one_video_can_be_deleted_by_many_at_once(api, clip):
    content = clip.read_bytes() + b"\x00\x00\x00\x08free"
    told = api.post("/dynfocus/videos", files={"file": ("other.mp4", content)})
    video = told.json()["id"]
    with ThreadPoolExecutor(6) as crowd:
        paths = [f"/dynfocus/videos/{video}"] * 6
        statuses = [told.status_code for told in crowd.map(api.delete, paths)]
        asked = api.post(f"{paths[0]}/ask", json={"question": "What is it?"})
    assert set(statuses) <= {200, 204, 404}
    assert refused(asked) == 404
    assert api.get("/healthz").status_code == 200


def test_questions_are_not_in_the_log(api, video, caplog):
    caplog.set_level("DEBUG")
    path = f"/dynfocus/videos/{video}/ask"
    api.post(path, json={"question": SECRET})
    api.post(path, json={"question": SECRET, "method": "unknown"})
    api.get(f"/dynfocus/videos/{video}/timeline", params={"question": SECRET})
    ours = [
        r for r in caplog.records if r.name.partition(".")[0] in ("dynfocus", "uvicorn")
    ]
    assert not any(SECRET in record.getMessage() for record in ours)


def test_sentences_do_not_tell_where_things_lie():
    text = "/home/me/library/videos/video-1/content: this is no video."
    assert hide_places(text) == "the video: this is no video."
    kept = "http://films.example/a/b.mp4: no server answers; 1/2 of it."
    assert hide_places(kept) == kept


class _Impatient(PatientProtocol):
    head_seconds = 0.2
    max_connections = 3


async def _application(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture
def impatient(running_server):
    config = uvicorn.Config(
        _application, port=0, http=_Impatient, log_level="warning", lifespan="off"
    )
    with running_server(config) as server:
        yield server.port


@pytest.mark.parametrize(
    "beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_head_that_does_not_come_is_not_waited_for(impatient, beginning):
    with socket.create_connection(("127.0.0.1", impatient), timeout=10) as client:
        client.sendall(beginning)
        assert client.recv(1000) == b""


def test_connections_are_not_without_number(impatient):
    clients = [socket.create_connection(("127.0.0.1", impatient)) for _ in range(3)]
    with socket.create_connection(("127.0.0.1", impatient), timeout=10) as further:
        assert further.recv(1) == b""
    for client in clients:
        client.close()


def test_every_attack_of_the_page_is_a_test():
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| `(test_\w+)` \|$", page, re.MULTILINE)
    tests = set()
    for name in (
        "serving/test_attacks",
        "serving/test_guard",
        "video/test_confinement",
    ):
        tree = ast.parse((ROOT / "tests" / f"{name}.py").read_text(encoding="utf-8"))
        tests |= {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert len(rows) >= 25
    assert set(rows) <= tests
