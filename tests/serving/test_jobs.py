from __future__ import annotations

import asyncio

import pytest

from dynfocus.errors import BusyServerError
from dynfocus.serving.jobs import Jobs, Progress


def test_what_several_wait_for_is_done_once_and_tells_its_progress():
    done = []

    async def work(tell):
        for number in range(3):
            tell(Progress(stage="reading", done=number, total=3))
            await asyncio.sleep(0.01)
        done.append("done")
        return 5

    async def run():
        jobs = Jobs()
        job = jobs.start("key", work)
        assert jobs.start("key", work) is job
        steps = [one.done async for one in job.changes() if one.stage == "reading"]
        assert steps == sorted(steps)
        assert await asyncio.gather(job.wait(), job.wait()) == [5, 5]
        assert jobs.find("key") is None

    asyncio.run(run())
    assert done == ["done"]


@pytest.mark.parametrize("is_wanted", [True, False])
def test_work_ends_when_nobody_wants_it(is_wanted):
    async def run():
        jobs = Jobs()
        job = jobs.start(
            "key", lambda tell: asyncio.sleep(0.2, "made"), is_wanted=is_wanted
        )
        waiting = [asyncio.create_task(job.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert not job.task.done()
        waiting[1].cancel()
        await asyncio.wait([job.task])
        assert job.task.cancelled() != is_wanted

    asyncio.run(run())


def test_who_waits_for_work_that_is_given_up_is_told():
    async def run():
        jobs = Jobs()
        job = jobs.start("key", lambda tell: asyncio.sleep(60))
        waiting = asyncio.create_task(job.wait())
        await asyncio.sleep(0.01)
        await jobs.close(5)
        with pytest.raises(BusyServerError, match="given up"):
            await waiting

    asyncio.run(run())
