"""The client against a server that refuses, is slow, answers nonsense or breaks off."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from dynfocus.backends import BackendError, ChatClient, Server
from stand_in_server import RefusedRequestError

KEY = "sk-very-secret-0123456789"
BODY = {"model": "served", "messages": [{"role": "user", "content": "Why?"}]}


def ask(stand_in, **changes):
    for name, value in changes.items():
        setattr(stand_in, name, value)
    pieces = []
    client = ChatClient(Server(url=stand_in.url, timeout_seconds=5))
    return client.complete(BODY, pieces.append), pieces


def failure(stand_in, **changes) -> str:
    with pytest.raises(BackendError) as caught:
        ask(stand_in, **changes)
    text = str(caught.value)
    assert "\n" not in text
    assert stand_in.url in text
    return text


def test_the_answer_comes_piece_by_piece_in_order(stand_in):
    stand_in.answer = lambda body: iter(
        ("  A ", "red", "", "\n", "cross \u2028", "ü. ", " ")
    )
    completion, pieces = ask(stand_in)
    assert pieces == ["A", " red", "\ncross", " \u2028ü."]
    assert completion.text == "".join(pieces) == "A red\ncross \u2028ü."
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens is None
    (body,) = stand_in.bodies
    assert body == {**BODY, "stream": True}
    assert stand_in.headers[0]["accept"] == "text/event-stream"
    assert "authorization" not in stand_in.headers[0]


def test_a_piece_is_told_before_the_next_one_is_written(stand_in):
    told = threading.Event()

    def answer(body):
        yield "first"
        assert told.wait(5)
        yield " second"

    stand_in.answer = answer
    client = ChatClient(Server(url=stand_in.url, timeout_seconds=10))
    completion = client.complete(BODY, lambda piece: told.set())
    assert completion.text == "first second"


def test_the_key_goes_into_the_header_and_nowhere_else(stand_in, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    completion, _ = ask(stand_in, key=KEY)
    assert completion.text == "an answer"
    server = Server(url=stand_in.url)
    assert KEY not in repr(server) + json.dumps(stand_in.bodies)
    stand_in.key = "another"
    text = failure(stand_in)
    assert KEY not in text
    assert "HTTP 401: Incorrect API key provided: [key];" in text
    assert "set the key in the environment variable OPENAI_API_KEY" in text


def test_a_key_may_come_from_another_variable_which_must_be_set(stand_in, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    server = Server(url=stand_in.url, api_key_variable="MY_KEY")
    stand_in.key = KEY
    assert ChatClient(server).list_models() == ["served"]
    with pytest.raises(ValueError, match="the environment variable OTHER is not set"):
        Server(url=stand_in.url, api_key_variable="OTHER")
    for wrong in ("sk-ü", "sk\nx"):
        monkeypatch.setenv("MY_KEY", wrong)
        with pytest.raises(ValueError, match="the value of MY_KEY cannot") as caught:
            Server(url=stand_in.url, api_key_variable="MY_KEY")
        assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "raw", "expected"),
    [
        (500, b'{"error": {"message": "out\\nof memory"}}', "HTTP 500: out of memory"),
        (500, b"<html>boom</html>", "HTTP 500: Internal Server Error"),
        (400, b'{"error": "no images here."}', "HTTP 400: no images here"),
        (422, b'{"detail": [{"loc": "x"}]}', 'HTTP 422: [{"loc": "x"}]'),
        (404, b'{"message": "no model x"}', "no model x; check the URL and the name"),
        (429, b"{}", "HTTP 429: Too Many Requests; wait a little and ask again"),
        (307, b"", "HTTP 307: Temporary Redirect; use the address"),
    ],
)
def test_a_refusal_carries_the_reason_of_the_server(stand_in, status, raw, expected):
    assert expected in failure(stand_in, status=status, raw=raw)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("text/html", b"<html>Welcome</html>", "answered with text/html, not with"),
        ("text/event-stream", b"data: hello\n\n", "answered with no JSON: hello"),
        ("text/event-stream", b"data: [1]\n\n", "answered with no JSON object: [1]"),
        (
            "text/event-stream",
            b'data: {"a": 1}\n\n',
            "answered with no chat completion",
        ),
        ("text/event-stream", b"data: \xff\n\n", "sent text that is not UTF-8"),
        (
            "text/event-stream",
            b'data: {"error": {"message": "engine died"}}\n\n',
            "stopped with an error: engine died",
        ),
        (
            "application/json",
            b'{"choices": "none"}',
            "answered with no chat completion",
        ),
        ("application/json", b"{", "answered with no JSON: {"),
        ("text/event-stream", b"", "closed the connection without an answer"),
    ],
)
def test_nonsense_is_one_sentence(stand_in, kind, raw, expected):
    assert expected in failure(stand_in, content_type=kind, raw=raw)


def test_a_stream_that_breaks_off_is_no_answer(stand_in):
    text = failure(stand_in, finish_reason=None, ends_with_done=False)
    assert "broke the answer off after 9 characters" in text
    completion, _ = ask(stand_in, finish_reason="length")
    assert (completion.text, completion.finish_reason) == ("an answer", "length")


def test_a_server_that_does_not_stream_is_understood(stand_in):
    message = {"role": "assistant", "content": " whole "}
    document = {"choices": [{"message": message, "finish_reason": "stop"}]}
    completion, pieces = ask(
        stand_in, content_type="application/json", raw=json.dumps(document).encode()
    )
    assert completion.text == "whole"
    assert pieces == ["whole"]


def test_tokens_without_words_are_told_apart_from_an_empty_answer(stand_in):
    stand_in.answer = lambda body: iter(())
    assert "used up all tokens" in failure(stand_in, finish_reason="length")
    assert "ended the answer without a word" in failure(stand_in, finish_reason="stop")
    assert "filtered the answer after 0" in failure(
        stand_in, finish_reason="content_filter"
    )


def choice(finish_reason: str, **delta: object) -> bytes:
    one = {"choices": [{"delta": delta, "finish_reason": finish_reason}]}
    return f"data: {json.dumps(one)}\n\n".encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: [DONE]\n\n", "ended the answer without a word"),
        (b": ping\n\ndata: [DONE]\n\n", "ended the answer without a word"),
        (choice("stop", content=" \n"), "ended the answer without a word"),
        (choice("content_filter", content="half of"), "filtered the answer after 7"),
        (choice("stop", refusal="I cannot."), "refused to answer: I cannot."),
        (
            choice("stop", refusal="I ") + choice("stop", refusal="will not"),
            "refused to answer: I will not",
        ),
    ],
)
def test_what_is_no_answer_is_one_sentence(stand_in, raw, expected):
    assert expected in failure(stand_in, content_type="text/event-stream", raw=raw)


def test_halves_of_characters_are_joined_or_marked(stand_in):
    halves = [
        choice("stop", content=half) for half in ("so \ud83d", "\ude00 b", "\ude00")
    ]
    completion, pieces = ask(
        stand_in, content_type="text/event-stream", raw=b"".join(halves)
    )
    assert completion.text == "".join(pieces) == "so \U0001f600 b\ufffd"


def test_silence_is_given_up(stand_in):
    stand_in.silent_seconds = 1.0
    client = ChatClient(Server(url=stand_in.url, timeout_seconds=0.2))
    with pytest.raises(BackendError, match=r"was silent for 0\.2 s; give it more time"):
        client.complete(BODY)


def test_no_server_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BackendError, match="no server answers at http://127"):
            ChatClient(Server(url=url)).list_models()


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("http://h/openai/v1/chat/completions", "http://h/openai/v1"),
    ],
)
def test_addresses_are_brought_to_one_form(url, base):
    assert Server(url=url).url == base


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://a/b",
        "",
        "http://",
        "http://me:pass@h",
        "http://h/?k=pass",
    ],
)
def test_addresses_that_are_none_are_refused_without_their_secrets(url):
    with pytest.raises(ValueError, match="the URL of the server") as caught:
        Server(url=url)
    assert "pass@" not in str(caught.value)
    assert "k=pass" not in str(caught.value)


def test_local_servers_are_told_apart():
    assert Server(url="http://127.0.0.1:1").is_local
    assert Server(url="http://localhost").is_local
    assert not Server(url="https://api.example.com/v1").is_local
    with pytest.raises(ValueError, match="timeout_seconds must be above 0, got 0"):
        Server(url="http://localhost", timeout_seconds=0)


def test_a_list_of_models_must_be_one(stand_in):
    client = ChatClient(Server(url=stand_in.url))
    assert client.list_models() == ["served"]
    stand_in.models = ()
    with pytest.raises(BackendError, match="gave no list of models"):
        client.list_models()


@pytest.mark.parametrize(("told", "expected"), [(-0.5, 0.6065), (None, None)])
def test_confidence_is_what_the_server_says_of_its_tokens(stand_in, told, expected):
    stand_in.log_probability = told
    client = ChatClient(Server(url=stand_in.url))
    completion = client.complete({**BODY, "logprobs": True})
    assert completion.confidence == pytest.approx(expected, abs=1e-4)


def test_a_server_without_probabilities_is_asked_without_them(stand_in):
    def refuse(body):
        if "logprobs" in body:
            raise RefusedRequestError("Unsupported parameter: 'logprobs'")

    stand_in.check = refuse
    client = ChatClient(Server(url=stand_in.url))
    completion = client.complete({**BODY, "logprobs": True})
    assert (completion.text, completion.confidence) == ("an answer", None)
    assert ["logprobs" in body for body in stand_in.bodies] == [True, False]
    stand_in.check = refuse_all
    with pytest.raises(BackendError, match="refused with HTTP 400: no logprobs"):
        client.complete(BODY)


def refuse_all(body):
    raise RefusedRequestError("no logprobs here")
