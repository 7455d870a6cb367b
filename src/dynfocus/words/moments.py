"""Passages: texts that stand on the screen together, or make up a sentence that is said.

A line of a slide or of subtitles is often half a thought. Passages are what is searched;
the best line of a passage says where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dynfocus.words.terms import words_of
from dynfocus.words.timed_text import TimedText

_MOST_CHARACTERS = 400
_SENTENCE = 40
"""Characters from which on a full stop ends what is said in one passage."""
_SAID_SECONDS = 15.0
_PAUSE_SECONDS = 2.0
_STOPS = (".", "!", "?", "\u3002", "\uff01", "\uff1f", "\u2026")


@dataclass(frozen=True)
class Passage:
    """Texts that belong together, in order of time and reading."""

    texts: tuple[TimedText, ...]

    @property
    def start(self) -> float:
        """When the first begins, in seconds."""
        return min(one.start for one in self.texts)

    @property
    def end(self) -> float:
        """When the last ends, in seconds."""
        return max(one.end for one in self.texts)

    @property
    def text(self) -> str:
        """All of them, line by line."""
        return "\n".join(one.text for one in self.texts)

    @cached_property
    def words(self) -> list[list[str]]:
        """The folded words of each."""
        return [words_of(one.text) for one in self.texts]


def make_passages(texts: Sequence[TimedText]) -> list[Passage]:
    """Put texts together: what is on the screen at once, and what is said in a sentence.

    Args:
        texts: The texts of one video, in any order.

    Returns:
        Passages in order of time; each text is in one.
    """
    passages: list[Passage] = []
    for source in ("screen", "subtitle", "transcript"):
        own = sorted(
            (one for one in texts if one.source == source), key=lambda one: one.start
        )
        belongs = _is_on_screen_with if source == "screen" else _continues
        open_texts: list[TimedText] = []
        for one in own:
            if open_texts and not belongs(one, open_texts):
                passages.append(Passage(tuple(open_texts)))
                open_texts = []
            open_texts.append(one)
        if open_texts:
            passages.append(Passage(tuple(open_texts)))
    return sorted(passages, key=lambda one: one.start)


def _is_short(texts: Sequence[TimedText], more: TimedText) -> bool:
    return sum(len(one.text) for one in (*texts, more)) <= _MOST_CHARACTERS


def _is_on_screen_with(one: TimedText, texts: Sequence[TimedText]) -> bool:
    """Tell whether a text is shown while all of a passage are."""
    gone = min(before.end for before in texts)
    is_together = one.start < gone or one.start == texts[0].start
    return is_together and _is_short(texts, one)


def _continues(one: TimedText, texts: Sequence[TimedText]) -> bool:
    """Tell whether a text goes on with a sentence that is being said."""
    said = sum(len(before.text) for before in texts)
    is_ended = said >= _SENTENCE and texts[-1].text.rstrip().endswith(_STOPS)
    return (
        not is_ended
        and one.start - texts[-1].end <= _PAUSE_SECONDS
        and one.end - texts[0].start <= _SAID_SECONDS
        and one.speaker == texts[-1].speaker
        and _is_short(texts, one)
    )
