"""What bounds a comparison from both sides: the evidence alone, and no video at all.

It stands alone because a variant is trained and asked in the same way, whatever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dynfocus.evaluation.benchmarks.focusworld import Interval, evidence_seen
from dynfocus.focus import VideoFeatures
from dynfocus.models.conversation import OnText, PreparedTurn
from dynfocus.models.generation import Generator, Written
from dynfocus.models.options import AskOptions


class Blind:
    """Write answers from prompts without their video tokens.

    Args:
        generator: What writes them.
    """

    def __init__(self, generator: Generator) -> None:
        self.marks = generator.marks
        self._generator = generator

    def generate(
        self, turn: PreparedTurn, options: AskOptions, on_text: OnText | None = None
    ) -> Written:
        """Answer the words of a prompt; see `Generator.generate`."""
        words = ~turn.is_visual[0]
        ids, embeds = turn.input_ids[:, words], turn.embeds[:, words]
        blind = replace(turn, input_ids=ids, embeds=embeds)
        return self._generator.generate(blind, options, on_text)


def of_evidence(video: VideoFeatures, evidence: Sequence[Interval]) -> VideoFeatures:
    """Leave the frames that lie in the evidence; all where none does."""
    seconds = video.pts_seconds.tolist()
    rows = [row for row, time in enumerate(seconds) if evidence_seen(evidence, [time])]
    return video.take(torch.tensor(rows)) if rows else video
