"""Grading: records are judged once, by several threads, and what was said is kept.

Replies are kept in a file of JSON lines under the hash of the judge, the prompt and all
that it was filled with, so a second run, another rounding or another machine asks nothing
again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Literal, Protocol

from dynfocus.errors import BackendError, BusyBackendError, RefusedAnswerError
from dynfocus.evaluation.judges.judge import Judge
from dynfocus.evaluation.judges.prompts import PROMPTS, JudgePrompt, Messages
from dynfocus.evaluation.judges.verdicts import read_verdict
from dynfocus.json_lines import JsonLines
from dynfocus.text import sentence

State = Literal["judged", "malformed", "refused"]
_TRIES = 3
_BUSY_TRIES = 8
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 120.0


class Task(Protocol):
    """What a judge is asked; see `benchmarks.benchmark.JudgeTask`."""

    @property
    def aspect(self) -> str:
        """The name of its prompt."""

    @property
    def fields(self) -> Any:
        """What the prompt is filled with."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one call of a judge."""

    state: State
    reply: str
    """What it wrote, or why it did not."""
    values: dict[str, Any] = field(default_factory=dict)
    """The scores, and yes or no."""


@dataclass(frozen=True, kw_only=True)
class Grades:
    """All verdicts of a run, in the order of the tasks, and what they took."""

    verdicts: Sequence[Verdict]
    judge: str
    prompts: dict[str, str]
    """Hash of the prompt of each aspect."""
    num_calls: int
    """Calls of this run; the rest were kept."""
    num_waits: int
    """How often a busy server was waited for."""

    @property
    def counts(self) -> dict[str, int]:
        """Count the verdicts of each state."""
        found = Counter(verdict.state for verdict in self.verdicts)
        return {state: found[state] for state in ("judged", "malformed", "refused")}


def grade(
    tasks: Sequence[Task],
    judge: Judge,
    kept: str | Path | None = None,
    *,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Grades:
    """Ask a judge about all tasks that it was not asked about before.

    A reply that is no verdict is asked for again twice; a busy server is waited for,
    longer each time. Where the server fails for good, what it said so far is kept.

    Args:
        tasks: What is judged.
        judge: Who judges.
        kept: File of replies; None for none.
        workers: Calls at a time.
        progress: Called with the tasks done and the tasks in all.
        sleep: Waits.

    Raises:
        BackendError: The server is not there, or stays busy.
    """
    wanted = {_key(judge, task): task for task in tasks}
    found: dict[str, Verdict] = {}
    asking = _Asking(judge, sleep)
    with ExitStack() as opened:
        file = None if kept is None else opened.enter_context(JsonLines(kept))
        for record in () if file is None else file.records:
            if record.get("key") in wanted:
                task = wanted[record["key"]]
                found[record["key"]] = _read(record, PROMPTS[task.aspect])
        todo = [(key, task) for key, task in wanted.items() if key not in found]
        for key, task, verdict in asking.all(todo, workers):
            found[key] = verdict
            if file is not None:
                file.append(_record(key, judge, task, verdict))
            if progress is not None:
                progress(len(found), len(wanted))
    return Grades(
        verdicts=[found[_key(judge, task)] for task in tasks],
        judge=judge.name,
        prompts={t.aspect: PROMPTS[t.aspect].prompt_hash for t in wanted.values()},
        num_calls=asking.num_calls,
        num_waits=asking.num_waits,
    )


def _messages(task: Task) -> Messages:
    return PROMPTS[task.aspect].fill(task.fields)


def _key(judge: Judge, task: Task) -> str:
    """Name a call by all that decides its reply."""
    content = json.dumps([judge.name, task.aspect, _messages(task)])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _record(key: str, judge: Judge, task: Task, verdict: Verdict) -> dict[str, Any]:
    return {
        "key": key,
        "judge": judge.name,
        "aspect": task.aspect,
        "prompt": PROMPTS[task.aspect].prompt_hash,
        "refused": verdict.state == "refused",
        "reply": verdict.reply,
    }


def _read(record: dict[str, Any], prompt: JudgePrompt) -> Verdict:
    if record.get("refused"):
        return Verdict(state="refused", reply=record["reply"])
    return _verdict(record["reply"], prompt)


def _verdict(reply: str, prompt: JudgePrompt) -> Verdict:
    values = read_verdict(reply, prompt)
    if values is None:
        return Verdict(state="malformed", reply=reply)
    return Verdict(state="judged", reply=reply, values=values)


class _Asking:
    """Calls of a judge, several at a time."""

    def __init__(self, judge: Judge, sleep: Callable[[float], object]) -> None:
        self._judge = judge
        self._sleep = sleep
        self._failed = Event()
        self.num_calls = 0
        self.num_waits = 0

    def all(
        self, todo: Sequence[tuple[str, Task]], workers: int
    ) -> Iterator[tuple[str, Task, Verdict]]:
        """Yield verdicts in the order of the tasks, then fail if any call did."""
        with ThreadPoolExecutor(max_workers=workers) as pool:
            calls: list[tuple[str, Task, Future[Verdict]]] = [
                (key, task, pool.submit(self._one, task)) for key, task in todo
            ]
            failure: BackendError | None = None
            for key, task, call in calls:
                try:
                    verdict = call.result()
                except BackendError as error:
                    failure = failure or error
                    self._failed.set()
                    continue
                yield key, task, verdict
        if failure is not None:
            raise failure

    def _one(self, task: Task) -> Verdict:
        prompt = PROMPTS[task.aspect]
        verdict: Verdict | None = None
        for _ in range(_TRIES):
            try:
                verdict = _verdict(self._call(task, prompt), prompt)
            except RefusedAnswerError as error:
                return Verdict(state="refused", reply=sentence(error))
            if verdict.state == "judged":
                break
        assert verdict is not None  # there is one try at least
        return verdict

    def _call(self, task: Task, prompt: JudgePrompt) -> str:
        """Ask once, and again while the server is busy."""
        wait = _FIRST_WAIT_SECONDS
        for left in range(_BUSY_TRIES, -1, -1):
            if self._failed.is_set():
                raise BackendError("another call of the judge failed")
            self.num_calls += 1
            try:
                return self._judge.answer(_messages(task), prompt.max_new_tokens)
            except BusyBackendError as error:
                if not left:
                    raise
                self.num_waits += 1
                self._sleep(min(error.wait_seconds or wait, _LONGEST_WAIT_SECONDS))
                wait *= 2
        raise AssertionError  # the last try returns or raises
