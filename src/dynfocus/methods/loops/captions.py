"""What caption memories have in common: clips told in words, and a model that reads them.

A memory is written as a generator of steps that is sent the replies; `as_rule` makes a rule
of it. Captions are `TimedText`, one a clip. Half of the budget at most goes to captions
that do not depend on the question, which a `CaptionStore` keeps, so that the next question
about the video costs none of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict
from pathlib import Path

from dynfocus.errors import UnusableEntryError
from dynfocus.focus import FrameShare
from dynfocus.methods.intervals import Interval
from dynfocus.methods.loops.interface import Look, LoopInput, Rule, Step
from dynfocus.methods.loops.zooming import one_pass, tokens_of
from dynfocus.video import VideoName
from dynfocus.words import TimedText
from dynfocus.words.store import WordStore

Memory = Generator[Step, str, None]
"""Gives steps, is sent replies, and ends with a step that is the answer."""
CAPTION_TOKENS, SUMMARY_TOKENS = 96, 512
"""Longest caption of a clip and longest summary."""
MOST_CLIPS = 120
CAPTION = (
    "These frames show a video from {start} to {end}. Describe what happens in them, with "
    "any words that can be read, in two sentences."
)
ANSWER = "{memory}\n\nThis is what a video shows. {question}"
_FRAMES = 16
_logger = logging.getLogger(__name__)


def as_rule(play: Callable[[LoopInput], Memory]) -> Rule:
    """Make a rule of a generator: it is played anew with the replies so far."""

    def rule(given: LoopInput, replies: tuple[str, ...]) -> Step:
        steps = play(given)
        step = next(steps)
        for reply in replies:
            step = steps.send(reply)
        return step

    return rule


def cut(given: LoopInput, seconds: float, most: int = MOST_CLIPS) -> list[Interval]:
    """Cut a video into clips of so many seconds, longer ones if there were too many."""
    count = max(1, min(most, round(given.seconds / seconds)))
    length = given.seconds / count
    return [
        (given.start + place * length, given.start + (place + 1) * length)
        for place in range(count)
    ]


def affordable(given: LoopInput, tokens: int | None, wanted: int) -> int:
    """Count the clips that a part of the budget can caption, a frame each at least."""
    if tokens is None:
        return wanted
    least = given.budget.fit(None, 1, scale=min(given.budget.scales))
    each = max(1, least.num_tokens if least else 1, given.budget.least)
    return max(1, min(wanted, tokens // (each + given.budget.num_tail)))


def share_of(
    given: LoopInput, tokens: int | None, clips: int, frames: int = _FRAMES
) -> FrameShare | None:
    """Share a part of the budget among clips; None where it buys none a frame."""
    each = None
    if tokens is not None:
        each = max(0, tokens // max(1, clips) - given.budget.num_tail)
    share = given.budget.fit(each, frames, least=4)
    if share is None or 0 < share.num_tokens < given.budget.least:
        return None
    return share


def tell_clips(
    given: LoopInput, seconds: float, tokens: int | None, frames: int = _FRAMES
) -> Generator[Step, str, list[tuple[Interval, str]]]:
    """Have clips told; where the budget is too small for one, answer in one pass.

    Args:
        given: What is known.
        seconds: Length of a clip; longer ones where the budget is for fewer.
        tokens: The part of the budget that is for them.
        frames: At most so many frames of a clip.

    Returns:
        The clips with what was said of each; none where the answer was given.
    """
    clips = cut(given, seconds)
    clips = cut(given, seconds, affordable(given, tokens, len(clips)))
    share = share_of(given, tokens, len(clips), frames)
    if share is None:
        yield too_small(given)
        return []
    said = []
    for clip in clips:
        said.append((clip, (yield caption(given, share, clip))))
    return said


def caption(
    given: LoopInput,
    share: FrameShare,
    clip: Interval,
    prompt: str = CAPTION,
    *,
    is_kept: bool = True,
) -> Step:
    """Ask for the caption of a clip.

    Args:
        given: What is known.
        share: Frames of the clip.
        clip: Begin and end in seconds.
        prompt: What is asked, with ``{start}`` and ``{end}``.
        is_kept: Whether the caption serves other questions, too.
    """
    start, end = clip
    fps = min(share.num_frames / (end - start), max(given.most_fps, 1 / (end - start)))
    return Step(
        prompt=prompt.replace("{start}", clock(start)).replace("{end}", clock(end)),
        looks=(Look(start=start, end=end, fps=fps, scale=share.scale, kind="high"),),
        max_video_tokens=tokens_of(given, [share]),
        reply_tokens=CAPTION_TOKENS,
        is_kept=is_kept,
    )


def told(clip: Interval, text: str) -> TimedText | None:
    """Make a timed text of a caption; None of an empty one."""
    if not text.strip():
        return None
    words = " ".join(text.split())
    return TimedText(start=clip[0], end=clip[1], text=words, source="caption")


def write_memory(texts: Iterable[TimedText | None]) -> str:
    """Write captions as lines in order of time, each behind its time."""
    known = sorted(
        (text for text in texts if text is not None), key=lambda text: text.start
    )
    return "\n".join(
        f"{clock(text.start)}-{clock(text.end)}: {text.text}" for text in known
    )


def blind(prompt: str, *, reply_tokens: int = 64, is_answer: bool = False) -> Step:
    """Ask without showing anything."""
    return Step(
        prompt=prompt,
        is_blind=True,
        reply_tokens=reply_tokens,
        is_answer=is_answer,
        max_video_tokens=0,
    )


def too_small(given: LoopInput) -> Step:
    """Answer in one pass where no clip can be captioned."""
    note = "The budget is too small to caption clips, so the answer took one pass."
    return one_pass(given, given.budget.max_video_tokens, note)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class CaptionStore:
    """Keep captions that do not depend on a question, one file a caption.

    Args:
        video: The video.
        model: What decides its captions: the model's name and how it reads.
        store: Where; by default the user's index.
    """

    def __init__(
        self, video: VideoName, model: str, store: WordStore | None = None
    ) -> None:
        self._video, self._model = video, model
        self._store = store or WordStore()

    def recall(self, step: Step) -> str | None:
        """Give the caption that a step asks for, if it is known."""
        path = self._path(step)
        found = None if path is None else self._store.load(path)
        return found[0].text if found else None

    def keep(self, step: Step, reply: str) -> None:
        """Keep the caption of a step."""
        look = step.looks[0]
        text = told((look.start, look.end), reply)
        path = self._path(step)
        if text is None or path is None:
            return
        try:
            self._store.save(path, [text], self._reader(step))
        except OSError as error:
            _logger.warning("a caption is not kept: %s", error)

    def _path(self, step: Step) -> Path | None:
        """Give the file of a caption; None where nothing tells the video's versions."""
        try:
            return self._store.path(self._video, self._reader(step))
        except (UnusableEntryError, OSError) as error:
            _logger.info("captions are not kept: %s", error)
            return None

    def _reader(self, step: Step) -> str:
        asked = {
            "model": self._model,
            "prompt": step.prompt,
            "looks": [asdict(look) for look in step.looks],
            "tokens": step.max_video_tokens,
        }
        return f"caption {json.dumps(asked, sort_keys=True)}"
