from __future__ import annotations

import asyncio
import os
import signal

import pytest

from dynfocus.errors import BusyServerError
from dynfocus.serving.reading import BOARD, FileJob
from dynfocus.serving.workers import Workers
from dynfocus.video.decode_limits import DecodeLimits


def no_model():
    raise AssertionError("these jobs need no model")


@pytest.mark.parametrize("num_processes", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_is_read_with_its_steps_and_others_fail_alone(
    tmp_path, clip, num_processes
):
    stages = []
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 99)

    async def run():
        workers = Workers(num_processes, no_model, DecodeLimits())
        try:
            with pytest.raises(ValueError, match="not a video"):
                await workers.run(FileJob(path=str(bad)), lambda *_: None)
            if num_processes:
                (worker,) = workers.processes
                os.kill(worker, signal.SIGKILL)
            job = FileJob(path=str(clip), board_folder=str(tmp_path))
            facts = await workers.run(job, lambda *step: stages.append(step))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(workers.run(job, lambda *_: None), 0)
        finally:
            await asyncio.to_thread(workers.close, 5)
        with pytest.raises(BusyServerError, match="stopping"):
            await workers.run(job, lambda *_: None)
        return facts

    facts = asyncio.run(run())
    assert (facts["duration"], facts["warnings"]) == (12.0, [])
    assert (tmp_path / BOARD).exists()
    assert {stage for stage, *_ in stages} == {"reading"}
