"""A model in a process of its own: what it does holds up nobody but who asked."""

from __future__ import annotations

import os
import threading
import time
from functools import partial

import httpx
import pytest

import busy_model
from dynfocus.errors import BusyServerError
from dynfocus.models.options import AskOptions
from dynfocus.serving import ServerSettings, create_application, service
from dynfocus.serving.hosting import ModelHere, ModelProcess
from dynfocus.video.decode_limits import DecodeLimits

START_SECONDS = 120


@pytest.fixture(scope="module")
def busy(running, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "load_answerer", busy_model.load)
        settings = ServerSettings(
            folder=tmp_path_factory.mktemp("library"), model="busy", answer_threads=2
        )
        with (
            running(create_application(settings)) as server,
            httpx.Client(base_url=server.url, timeout=START_SECONDS) as http,
        ):
            wait_until_ready(http)
            yield http


def wait_until_ready(http):
    end = time.monotonic() + START_SECONDS
    while http.get("/readyz").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def ask(http, question, **more):
    return http.post("/v1/chat/completions", json=busy_model.request(question, **more))


def text_of(response):
    return response.json()["choices"][0]["message"]["content"]


def test_health_is_told_while_the_model_holds_its_interpreter(busy):
    answers, seconds = [], []
    asking = threading.Thread(target=lambda: answers.append(ask(busy, "hold")))
    asking.start()
    with httpx.Client(base_url=str(busy.base_url)) as http:
        while asking.is_alive():
            began = time.perf_counter()
            assert http.get("/healthz").status_code == 200
            seconds.append(time.perf_counter() - began)
            time.sleep(0.01)
    asking.join()
    assert answers[0].status_code == 200
    assert len(seconds) > 5
    assert sorted(seconds)[len(seconds) // 2] < 0.1
    assert max(seconds) < 0.5


def test_what_goes_wrong_there_is_told_as_if_it_were_here(busy, caplog):
    told = ask(busy, "fail")
    assert (told.status_code, told.json()["error"]["message"]) == (
        400,
        "the question is too hard",
    )
    wrong = ask(busy, "pid", method="magic")
    assert (wrong.status_code, "method must be none" in wrong.text) == (400, True)
    told = ask(busy, "crash")
    assert (told.status_code, "foresaw" in told.text) == (500, False)
    assert "busy_model.py" in caplog.text  # where it happened


def test_who_goes_away_frees_the_model_within_a_second(busy):
    for _ in range(2):  # as many as are answered at once
        body = busy_model.request("write", stream=True)
        with busy.stream("POST", "/v1/chat/completions", json=body) as stream:
            next(stream.iter_lines())
    began = time.monotonic()
    assert int(text_of(ask(busy, "pid"))) != os.getpid()
    assert time.monotonic() - began < 1.5


def test_a_model_that_dies_is_started_again(busy):
    first = text_of(ask(busy, "pid"))
    told = ask(busy, "die")
    assert told.status_code == 503
    assert told.headers["Retry-After"]
    wait_until_ready(busy)
    assert text_of(ask(busy, "pid")) != first


@pytest.mark.parametrize(
    "make",
    [
        ModelHere,
        pytest.param(
            lambda load, fail: ModelProcess(load, DecodeLimits(), fail),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_given_up(make):
    failures, is_told = [], threading.Event()

    def fail(reason):
        failures.append(reason)
        is_told.set()

    host = make(partial(busy_model.load, ServerSettings(model="none")), fail)
    assert is_told.wait(START_SECONDS)
    assert failures == ["the model could not be loaded: there is no model none"]
    with pytest.raises(BusyServerError, match="could not be loaded"):
        host.call("check", 1, AskOptions())
    host.close()
