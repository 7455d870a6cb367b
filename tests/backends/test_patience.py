from __future__ import annotations

import time

import pytest

from dynfocus.backends.client import ChatClient, Server

BODY = {"model": "served", "messages": [{"role": "user", "content": "?"}]}


class GoneError(Exception):
    pass


def test_a_silent_server_is_not_waited_for_when_nobody_wants_the_answer(stand_in):
    stand_in.silent_seconds = 3.0
    began = time.monotonic()

    def gone(_: str) -> None:
        if time.monotonic() - began > 0.3:
            raise GoneError

    with pytest.raises(GoneError):
        ChatClient(Server(url=stand_in.url)).complete(BODY, gone)
    assert time.monotonic() - began < 2.5


def test_an_answer_that_is_wanted_comes_whole(stand_in):
    stand_in.silent_seconds = 0.6
    pieces: list[str] = []
    told = ChatClient(Server(url=stand_in.url)).complete(BODY, pieces.append)
    assert told.text == "an answer"
    assert "".join(pieces) == "an answer"
