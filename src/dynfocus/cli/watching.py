"""The questions of ``dynfocus watch``: when they are due, where they come from."""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dynfocus.cli.ask import describe_cost
from dynfocus.cli.console import plural, say

if TYPE_CHECKING:
    from dynfocus.models import Session


class Desk:
    """Ask questions when they are due and print the answers."""

    def __init__(
        self,
        session: Session,
        fixed: Sequence[str],
        every: float | None,
        max_new_tokens: int,
        *,
        is_json: bool,
    ) -> None:
        self.num_failed = 0
        self._session = session
        self._fixed = fixed
        self._every = every
        self._due = every
        self._asked_at = -1
        self._max_new_tokens = max_new_tokens
        self._is_json = is_json

    def ask_due(self) -> None:
        """Ask the fixed questions if enough of the video was seen since."""
        seen = self._session.seen_seconds
        if self._every is None or self._due is None or seen < self._due - 1e-6:
            return
        while self._due <= seen + 1e-6:
            self._due += self._every
        self._ask_fixed()

    def close(self, typed: Listener | None) -> None:
        """Ask a last time about the whole, and what was sent in until then."""
        if self._asked_at < self._session.num_pushed:
            self._ask_fixed()
        if typed is not None:
            for question in typed.rest():
                self.ask(question)

    def _ask_fixed(self) -> None:
        self._asked_at = self._session.num_pushed
        for question in self._fixed:
            self.ask(question)

    def ask(self, question: str) -> None:
        """Answer one question in one line; report a user error and go on."""
        if not question:
            say(f"Seen: {describe_session(self._session)}.")
            return
        seen = self._session.seen_seconds
        held, stride = self._session.num_frames, self._session.stride
        try:
            answer = self._session.ask(question, max_new_tokens=self._max_new_tokens)
        except ValueError as error:
            self.num_failed += 1
            say(f"dynfocus: {' '.join(str(error).split())}")
            return
        facts = {"seen_seconds": round(seen, 3), "num_frames": held, "stride": stride}
        if self._is_json:
            whole = answer.to_dict()
            told = {
                key: whole[key] for key in ("question", "text", "tokens", "seconds")
            }
            print(json.dumps(facts | told, ensure_ascii=False), flush=True)
        else:
            text = " ".join(answer.text.split())
            print(f"{seen:.1f}\t{question}\t{text}", flush=True)
        say(f"{describe_cost(answer)}; seen {describe_session(self._session)}")


class Listener:
    """Read questions from standard input in a thread, while the video is read."""

    def __init__(self, waits_for_end: bool) -> None:
        self._waits_for_end = waits_for_end
        self._lines: queue.Queue[str | None] = queue.Queue()
        stream: Iterable[str] = sys.stdin
        if isinstance(sys.stdin, io.TextIOWrapper):
            # A file of its own: a thread that waits in it does not hold up the exit.
            stream = open(os.dup(sys.stdin.fileno()), encoding=sys.stdin.encoding)  # noqa: PTH123, SIM115
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()
        if sys.stdin.isatty():
            say("Ask about what was seen, one question a line; Ctrl-C ends.")

    def _read(self, stream: Iterable[str]) -> None:
        for line in stream:
            self._lines.put(line.strip())
        self._lines.put(None)

    def arrived(self) -> Iterable[str]:
        """Yield what was asked since."""
        while not self._lines.empty():
            line = self._lines.get()
            if line is None:
                self._lines.put(None)  # the end stays the end
                return
            yield line

    def rest(self) -> Iterable[str]:
        """Yield what else is asked, to the end of input where that was wanted."""
        if not self._waits_for_end:
            yield from self.arrived()
            return
        while (line := self._lines.get()) is not None:
            yield line


def describe_session(session: Session) -> str:
    """Say in a few words how much was seen and what is held of it."""
    num_held, stride = session.num_frames, session.stride
    share = "" if stride == 1 else f", 1 in {stride}"
    return (
        f"{session.seen_seconds:.1f} s in {plural(session.num_pushed, 'frame')}, "
        f"{num_held:,} held{share}"
    )
