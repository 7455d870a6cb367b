"""Samples that cannot be read while a run goes on: skipped, named, counted, bounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from dynfocus.atomic import write_atomically
from dynfocus.errors import TooManyFailuresError, UnreadableVideoError
from dynfocus.text import plural, to_json

logger = logging.getLogger(__name__)

SAMPLE_ERRORS = (OSError, SafetensorError, UnreadableVideoError, ValueError)
"""What a damaged file or a malformed sample raises."""

_FILE = "failures.jsonl"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One sample that could not be read."""

    sample: str
    medium: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What a batch holds, for the log."""

    num_tokens: int
    num_frames: int
    num_cut: int = 0
    """Samples that were cut to a limit of the recipe."""
    failures: tuple[Failure, ...] = ()


class FailureLog:
    """Keep the failures of a run in ``failures.jsonl``, and stop it at too many.

    Each process notes its own and knows how many there are in all.

    Args:
        output: The folder of the run.
        max_failures: Different samples that may fail.
    """

    def __init__(self, output: Path, max_failures: int) -> None:
        self.path = output / _FILE
        self.max_failures = max_failures
        self.seen: set[str] = set()

    def restore(self, step: int) -> None:
        """Keep what failed before a step, in the main process; 0 starts over."""
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["step"] < step]
        self.seen = {json.loads(line)["sample"] for line in kept}
        write_atomically(self.path, "".join(f"{line}\n" for line in kept))

    def add(self, failures: Sequence[Failure], step: int) -> None:
        """Note failures that are new, with a warning for each."""
        for failure in failures:
            if failure.sample in self.seen:
                continue
            self.seen.add(failure.sample)
            logger.warning(
                "sample %s is skipped (%s): %s",
                failure.sample,
                failure.medium or "text",
                failure.reason,
            )
            line = to_json({"step": step, **asdict(failure)})
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def check(self) -> None:
        """Stop the run if more samples failed, in all processes, than may.

        Raises:
            TooManyFailuresError: Naming the last of them.
        """
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        names = {entry["sample"] for entry in entries}
        if len(names) > self.max_failures:
            last = entries[-1]
            raise TooManyFailuresError(
                f"{plural(len(names), 'sample')} failed, data.max_failures allows "
                f"{self.max_failures}; the last is {last['sample']} ({last['reason']}); "
                f"all are in {self.path}; run 'dynfocus data check' on the data"
            )
