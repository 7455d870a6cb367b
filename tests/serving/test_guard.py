"""The guard before the application: names, origins, keys, lengths, slowness, headers."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pytest

from dynfocus.serving.guard import Guard
from dynfocus.serving.protection import Protection, is_loopback, read_keys

KEY = "a-key-that-nobody-guesses"
seen = []


async def application(scope, receive, send):
    """Read the whole body, and tell how long it was."""
    seen.append(scope["path"])
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    if scope["path"] == "/fails":
        raise RuntimeError("a secret of the server")
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": str(length).encode()})


def request(
    method="GET",
    path="/v1/models",
    *,
    host="127.0.0.1",
    base="http://127.0.0.1:8000",
    content=None,
    headers=None,
    **protection,
):
    guard = Guard(application, Protection(**protection), host)

    async def send():
        transport = httpx.ASGITransport(guard, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://localhost:8000", 200),
        ("http://LOCALHOST", 200),
        ("http://[::1]:8000", 200),
        ("http://evil.example", 421),
        ("http://127.0.0.1.evil.example", 421),
        ("http://localhost.evil.example:8000", 421),
        ("http://0.0.0.0:8000", 421),
        ("http://169.254.169.254", 421),
    ],
)
def test_a_name_that_was_made_to_lead_here_is_refused(name, status):
    answer = request(base=name)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] == "unknown_host"


def test_a_name_that_the_server_was_given_is_known():
    assert request(base="http://films.example", host_names=("films.example",))
    answer = request(
        base="http://192.0.2.7:8000",
        host="192.0.2.7",
        api_keys=(KEY,),
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_a_page_of_another_site_cannot_send(headers, status):
    answer = request("POST", content=b"{}", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer  {KEY}", 200),
        ("Basic " + base64.b64encode(f"me:{KEY}".encode()).decode(), 200),
        ("Basic " + base64.b64encode(b"me:other").decode(), 401),
        ("Basic %%%", 401),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        (f"Bearer {KEY.upper()}", 401),
        ("Bearer", 401),
        ("Bearer \xff", 401),
        (KEY, 401),
        ("", 401),
        (None, 401),
    ],
)
def test_a_key_lets_in_and_nothing_else_does(given, status):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    answer = request(headers=headers, api_keys=("another-long-key-of-ours", KEY))
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["type"] == "authentication_error"
        assert KEY not in answer.text


def test_a_browser_is_asked_for_a_password_and_health_needs_no_key():
    page = request(path="/", headers={"Accept": "text/html"}, api_keys=(KEY,))
    assert page.headers["WWW-Authenticate"].startswith("Basic ")
    assert request(path="/healthz", api_keys=(KEY,)).status_code == 200
    assert request(path="/metrics", api_keys=(KEY,)).status_code == 401


def test_a_key_is_not_shown_and_a_short_one_is_refused():
    assert KEY not in repr(Protection(api_keys=(KEY,)))
    with pytest.raises(ValueError, match="at least 16 characters") as failure:
        Protection(api_keys=("short",))
    assert "'short'" not in str(failure.value)


def test_keys_come_from_the_environment():
    assert read_keys({"DYNFOCUS_API_KEY": f" {KEY}, other ,"}) == (KEY, "other")
    assert read_keys({}) == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "films.example", ""])
def test_another_interface_needs_a_key(host):
    with pytest.raises(ValueError, match="a key is needed: set DYNFOCUS_API_KEY"):
        Protection().check_interface(host)
    Protection(api_keys=(KEY,)).check_interface(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert is_loopback(host)
    Protection().check_interface(host)


@pytest.mark.parametrize(
    ("kind", "length", "status"),
    [
        ("application/json", 100, 200),
        ("application/json", 101, 413),
        ("multipart/form-data; boundary=x", 1000, 200),
        ("multipart/form-data; boundary=x", 1001, 413),
    ],
)
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_beyond_its_limit_is_cut_off(kind, length, status, is_declared):
    async def pieces():
        for _ in range(length):
            yield b"x"

    answer = request(
        "POST",
        content=b"x" * length if is_declared else pieces(),
        headers={"Content-Type": kind},
        max_body_bytes=100,
        max_upload_bytes=1000,
    )
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "too_long"


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "0x10", ""])
def test_a_length_that_is_none_breaks_nothing(length):
    answer = request("POST", content=b"", headers={"Content-Length": length})
    assert answer.status_code in (200, 413)


def test_a_body_that_does_not_come_is_not_waited_for():
    async def stalls():
        yield b"x"
        await asyncio.sleep(5)
        yield b"x"

    answer = request("POST", content=stalls(), body_seconds=0.05)
    assert answer.status_code == 408
    assert answer.json()["error"]["code"] == "too_slow"


def test_more_requests_than_allowed_are_asked_to_come_back():
    guard = Guard(application, Protection(max_requests=1), "127.0.0.1")

    async def send():
        transport = httpx.ASGITransport(guard)
        base = "http://127.0.0.1"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:

            async def waits():
                yield b"x"
                await asyncio.sleep(0.2)

            first = asyncio.create_task(client.post("/first", content=waits()))
            await asyncio.sleep(0.05)
            second = await client.get("/second")
            return await first, second, await client.get("/third")

    first, second, third = asyncio.run(send())
    assert [first.status_code, second.status_code, third.status_code] == [200, 503, 200]
    assert int(second.headers["Retry-After"]) > 0


def test_a_failure_that_nobody_foresaw_tells_nothing(caplog):
    answer = request(path="/fails")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
    assert "a secret of the server" in caplog.text


@pytest.mark.parametrize("path", ["/v1/models", "/fails"])
def test_every_answer_has_the_headers(path):
    headers = request(path=path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
