from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager

import httpx
import pytest

import busy_model
from dynfocus.errors import BusyServerError
from dynfocus.serving import ServerSettings, create_application
from dynfocus.serving.answering import AnswerDesk


@contextmanager
def open_desk(**options):
    desk = AnswerDesk(
        **{"num_threads": 1, "max_waiting": 9, "max_per_client": 9, **options}
    )
    try:
        yield desk
    finally:
        desk.close(5)


async def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def held(desk, gate):
    """Keep the thread of a desk busy."""
    task = asyncio.create_task(desk.answer(lambda tell: gate.wait(10)))
    await until(lambda: desk.num_busy == 1)
    return task


def test_pieces_come_before_the_answer_and_errors_are_raised():
    def ask(tell):
        tell("a")
        tell("b")
        return 3

    def fail(tell):
        raise ValueError("wrong")

    async def run(desk):
        assert [piece async for piece in desk.stream(ask)] == ["a", "b", 3]
        assert await desk.answer(ask) == 3
        with pytest.raises(ValueError, match="wrong"):
            await desk.answer(fail)

    with open_desk() as desk:
        asyncio.run(run(desk))


def test_clients_take_turns():
    order, gate = [], threading.Event()

    async def run(desk):
        first = await held(desk, gate)
        asked = [
            asyncio.create_task(desk.answer(lambda _, n=name: order.append(n), client))
            for client, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"))
        ]
        await until(lambda: desk.num_waiting == 4)
        gate.set()
        await asyncio.gather(first, *asked)

    with open_desk() as desk:
        asyncio.run(run(desk))
    assert order == ["a1", "b1", "a2", "a3"]


def test_a_full_queue_refuses_and_says_when_to_come_back():
    gate = threading.Event()

    async def run(desk):
        first = await held(desk, gate)
        one = asyncio.create_task(desk.answer(lambda _: 1, "a"))
        await until(lambda: desk.num_waiting == 1)
        with pytest.raises(BusyServerError, match="of your questions") as refused:
            await desk.answer(lambda _: 1, "a")
        assert refused.value.is_of_client
        two = asyncio.create_task(desk.answer(lambda _: 1, "b"))
        await until(lambda: desk.num_waiting == 2)
        with pytest.raises(BusyServerError, match="wait already") as refused:
            desk.check("c")
        assert refused.value.retry_seconds >= 1
        gate.set()
        await asyncio.gather(first, one, two)

    with open_desk(max_waiting=2, max_per_client=1) as desk:
        asyncio.run(run(desk))


def test_who_goes_away_frees_the_thread():
    begun, ended = threading.Event(), threading.Event()

    def write(tell):
        try:
            while True:
                tell("word")
                begun.set()
                time.sleep(0.01)
        finally:
            ended.set()

    async def run(desk):
        async with aclosing(desk.stream(write)) as pieces:
            async for _ in pieces:
                break
        assert await desk.answer(lambda _: 7) == 7

    with open_desk() as desk:
        asyncio.run(run(desk))
    assert ended.is_set()


def test_a_closed_desk_sends_everybody_away():
    gate = threading.Event()

    async def run(desk):
        first = await held(desk, gate)
        waiting = asyncio.create_task(desk.answer(lambda _: 1))
        await until(lambda: desk.num_waiting == 1)
        closing = asyncio.create_task(asyncio.to_thread(desk.close, 5))
        with pytest.raises(BusyServerError, match="stopping"):
            await waiting
        gate.set()
        await asyncio.gather(first, closing)
        with pytest.raises(BusyServerError, match="stopping"):
            await desk.answer(lambda _: 1)

    with open_desk() as desk:
        asyncio.run(run(desk))


class Noting(busy_model.BusyModel):
    """Note the order of questions; those that begin with "hold" wait for a gate."""

    def __init__(self):
        self.gate = threading.Event()
        self.asked = []

    def ask(self, question, *, on_text):
        self.asked.append(question)
        if question == "first":
            assert self.gate.wait(60)
        return super().ask("pid", on_text=on_text)


@pytest.mark.parametrize("by", ["address", "key"])
def test_clients_take_turns_whoever_asks_more(by, running_server, tmp_path):
    model = Noting()
    settings = ServerSettings(folder=tmp_path, model="busy", index_workers=0)
    application = create_application(settings, model)
    keys = {"a": "Bearer the-key-of-one-client", "b": "Bearer the-key-of-another"}
    with running_server(application) as server, ThreadPoolExecutor(8) as pool:

        def ask(client, question):
            places = {"a": "127.0.0.1", "b": "127.0.0.2" if by == "address" else None}
            transport = httpx.HTTPTransport(local_address=places[client])
            headers = {"Authorization": keys[client]} if by == "key" else {}
            url = f"{server.url}/v1/chat/completions"
            with httpx.Client(transport=transport, timeout=60) as http:
                body = busy_model.request(question)
                return http.post(url, json=body, headers=headers).status_code

        def wait(num_asked, num_waiting):
            desk, end = application.state.service.desk, time.monotonic() + 30
            while (len(model.asked), desk.num_waiting) != (num_asked, num_waiting):
                assert time.monotonic() < end
                time.sleep(0.01)

        done = [pool.submit(ask, "a", "first")]
        wait(1, 0)
        for number, (client, question) in enumerate(
            (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")), 1
        ):
            done.append(pool.submit(ask, client, question))
            wait(1, number)
        model.gate.set()
        assert [one.result() for one in done] == [200] * 6
    assert model.asked == ["first", "a1", "b1", "a2", "b2", "a3"]
