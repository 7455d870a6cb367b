"""What became of each step of a video, as answers tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dynfocus.methods import KeptStep
from dynfocus.models.conversation import FrameReport
from dynfocus.plugins.host_video import HostVideo


def report_steps(video: HostVideo, kept: Sequence[KeptStep]) -> list[FrameReport]:
    """Tell what became of each step; tokens after the last count to it."""
    reports = [
        FrameReport(
            index=index,
            time=seconds,
            score=step.score,
            kind=step.kind,
            tokens=len(step.places),
        )
        for index, seconds, step in zip(
            video.steps.tolist(), video.frame_seconds[:, 0].tolist(), kept, strict=True
        )
    ]
    last = reports[-1]
    reports[-1] = replace(last, tokens=last.tokens + len(video.tail))
    return reports
