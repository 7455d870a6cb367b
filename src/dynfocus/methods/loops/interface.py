"""What a loop is made of: looks at a video, steps, and the rule that gives the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import UnreadableVideoError
from dynfocus.focus import TwoPassBudget, uniform_indices
from dynfocus.methods.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Look:
    """A stretch of a video that is looked at: what the tool ``look`` takes."""

    start: float
    """Where it begins, in seconds."""
    end: float
    """Where it ends, in seconds; half-open."""
    fps: float
    """Frames a second."""
    scale: float = 1.0
    """Side of a frame beside a whole one; its tokens go with the square. `ROD_SCALE` for a
    Rod of it."""
    kind: Literal["low", "high"] = "low"
    """Frequency: low all over the video, or high within an interval."""

    @property
    def num_frames(self) -> int:
        """Count the frames, one at least."""
        return max(1, round((self.end - self.start) * self.fps))

    def choose(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Choose the frames of this look among frames at increasing times.

        Args:
            times: Presentation times in seconds, ``[T]``.

        Returns:
            Positions, increasing and even, at most `num_frames`; where no frame begins
            in the stretch, the one on display at its start.
        """
        first, last = np.searchsorted(times, (self.start, self.end))
        if first == last:
            return np.array([max(0, first - 1)])
        count = min(self.num_frames, int(last - first))
        return first + uniform_indices(int(last - first), count).numpy()


@dataclass(frozen=True, kw_only=True)
class LoopInput:
    """What a rule knows before anything was seen."""

    question: str
    """The question."""
    duration: float
    """Length of the video in seconds."""
    start: float
    """Where what is asked about begins, in seconds."""
    end: float
    """Where it ends."""
    num_frames: int
    """Frames at the low frequency."""
    held_fps: float
    """Frames a second that a second look can find without the file."""
    file_fps: float | None
    """Frames a second of the file; None where it cannot be looked at again."""
    budget: TwoPassBudget
    """What may be read, in all passes together."""
    grid: int | None = None
    """The model writes times as steps of a grid of so many; None for seconds."""
    blocked: str | None = None
    """Why the file cannot be looked at again, as a clause."""
    propose: Callable[[], Sequence[Interval]] | None = None
    """Gives the stretches that events and the question's rating point to, the surest
    first; None where nothing rates frames for the question."""

    @property
    def seconds(self) -> float:
        """How long what is asked about lasts."""
        return self.end - self.start

    @property
    def most_fps(self) -> float:
        """Frames a second that a second look can find."""
        return max(self.held_fps, self.file_fps or 0.0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the model is shown and asked next."""

    prompt: str
    """What it is asked."""
    looks: tuple[Look, ...] = ()
    """What it is shown; nothing for all of the video in the model's own way."""
    max_video_tokens: int | None = None
    """What may be read for it."""
    is_answer: bool = False
    """Whether the reply is the answer."""
    intervals: tuple[Interval, ...] = ()
    """What is looked at again, in seconds."""
    note: str | None = None
    """What did not go as it should, in a sentence."""
    is_blind: bool = False
    """Whether nothing is shown: the model reads the prompt alone."""
    is_kept: bool = False
    """Whether the reply does not depend on the question, so that it may be kept."""
    reply_tokens: int = 48
    """Longest reply, in tokens, if it is not the answer."""


Rule = Callable[[LoopInput, tuple[str, ...]], Step]
"""Gives the next step by the replies to those before. It is pure: the same gives the same."""


class Tool(Protocol):
    """What shows a video to a model, in one process or through a server."""

    def look(self, look: Look) -> Any:
        """Give the frames of a look.

        Raises:
            OSError: The file is not there any more.
            UnreadableVideoError: None of the frames can be decoded.
        """

    def ask(self, step: Step, seen: list[tuple[Look, Any]]) -> str:
        """Show what was seen in the looks of a step, and give the model's reply."""


class Memory(Protocol):
    """What keeps replies that do not depend on a question."""

    def recall(self, step: Step) -> str | None:
        """Give the reply to a step, if it is known."""

    def keep(self, step: Step, reply: str) -> None:
        """Keep the reply to a step."""


def follow(
    rule: Rule, given: LoopInput, tool: Tool, memory: Memory | None = None
) -> tuple[Step, list[tuple[Step, str]]]:
    """Take the steps of a rule until it answers.

    Where the file cannot be looked at again, the rule is told, and goes on from there.

    Args:
        rule: The rule.
        given: What it knows.
        tool: What looks and asks.
        memory: What keeps replies that do not depend on the question, if anything does.

    Returns:
        The last step, whose reply is the answer, and those before with their replies.
    """
    taken: list[tuple[Step, str]] = []
    while True:
        step = rule(given, tuple(reply for _, reply in taken))
        known = memory.recall(step) if memory is not None and step.is_kept else None
        if known is not None:
            taken.append((step, known))
            continue
        try:
            seen = [(look, tool.look(look)) for look in step.looks]
        except (OSError, UnreadableVideoError) as error:
            if given.file_fps is None or not step.intervals:
                raise
            blocked = str(error).rstrip(".")
            given = replace(given, file_fps=None, blocked=blocked)
            continue
        reply = tool.ask(step, seen)
        if step.is_answer:
            return step, taken
        if memory is not None and step.is_kept:
            memory.keep(step, reply)
        taken.append((step, reply))
