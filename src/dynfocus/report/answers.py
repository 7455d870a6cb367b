"""The report of questions about one video: one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.report.pages import render
from dynfocus.report.prototype_maps import MapPictures
from dynfocus.report.timelines import Interval, draw_timeline
from dynfocus.video import VideoReader

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.models.conversation import Answer, FrameReport
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap

_THUMBNAIL_PIXELS = 160


def write_report(
    path: str | Path,
    index: VideoIndex,
    answers: Sequence[Answer],
    *,
    title: str,
    truths: Sequence[str | None] | None = None,
    verdicts: Sequence[bool | None] | None = None,
    evidence: Sequence[Sequence[Interval]] | None = None,
    maps: Sequence[Sequence[PrototypeMap]] | None = None,
) -> None:
    """Write a page with the answers, where the tokens went, and the Cones' pictures.

    Args:
        path: The HTML file; it appears when it is complete.
        index: The video that was asked about.
        answers: One or more answers about it.
        title: Heading of the page.
        truths: The right answer to each question, where known.
        verdicts: Whether each answer was judged right, where known.
        evidence: Intervals in seconds that show each answer, where known.
        maps: What the spatial prototypes of some Cones of each answer merged.

    Raises:
        UnwritableFileError: The file cannot be written there.
        ValueError: One of the lists has not one entry an answer.
    """
    check_writable(path)
    if not answers:
        raise ValueError("answers must hold at least one answer, got none")
    lists = {
        "truths": truths,
        "verdicts": verdicts,
        "evidence": evidence,
        "maps": maps,
    }
    for name, given in lists.items():
        if given is not None and len(given) != len(answers):
            raise ValueError(
                f"{name} must have one entry an answer ({len(answers)}), got {len(given)}"
            )
    items = [
        _Item(
            answer=answer,
            duration=index.duration,
            truth=truths[number] if truths else None,
            verdict=verdicts[number] if verdicts else None,
            evidence=tuple(evidence[number]) if evidence else (),
            maps=[MapPictures.of(found) for found in maps[number]] if maps else [],
        )
        for number, answer in enumerate(answers)
    ]
    text = render(
        "answers.html",
        title=title,
        source=Path(index.source).name if index.source else "a video",
        duration=index.duration,
        num_frames=index.features.num_frames,
        fps=index.fps,
        items=items,
        judged=[item.verdict for item in items if item.verdict is not None],
        pictures=_cone_pictures(index, items),
    )
    write_atomically(path, text)


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """The tokens spent beside those of encoding every frame as a Cone."""

    by_cones: int
    by_rods: int
    all_cones: int
    """0 where no frame is a Cone."""
    rows: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One question of the page."""

    answer: Answer
    duration: float
    truth: str | None
    verdict: bool | None
    evidence: tuple[Interval, ...]
    maps: list[MapPictures]

    @property
    def cones(self) -> list[FrameReport]:
        return [frame for frame in self.answer.frames if frame.kind == "cone"]

    @property
    def timeline(self) -> Markup:
        return Markup(draw_timeline(self.answer.frames, self.duration, self.evidence))

    @property
    def cost(self) -> _Cost:
        frames, cones = self.answer.frames, self.cones
        by_cones = sum(frame.tokens for frame in cones)
        by_rods = sum(frame.tokens for frame in frames) - by_cones
        all_cones = len(frames) * max((frame.tokens for frame in cones), default=0)
        rows = (
            ("Cones", len(cones), by_cones),
            ("Rods", len(frames) - len(cones), by_rods),
            ("Read by the language model", len(frames), self.answer.tokens),
            ("Every frame as a Cone", len(frames), all_cones),
        )
        return _Cost(by_cones=by_cones, by_rods=by_rods, all_cones=all_cones, rows=rows)

    def shows_answer(self, seconds: float) -> bool:
        return any(start <= seconds < end for start, end in self.evidence)


def _cone_pictures(
    index: VideoIndex, items: Sequence[_Item]
) -> dict[float, NDArray[np.uint8]]:
    """Give the picture of every frame that some answer saw as a Cone, by its time."""
    wanted = sorted({frame.time for item in items for frame in item.cones})
    if not wanted:
        return {}
    return dict(zip(wanted, _frames_at(index, np.array(wanted)), strict=True))


def _frames_at(index: VideoIndex, wanted: NDArray[np.float64]) -> NDArray[np.uint8]:
    if index.thumbnails is not None:
        times = np.asarray(index.features.pts_seconds.cpu(), dtype=np.float64)
        nearest = np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)
        return index.thumbnails[nearest]
    if index.source is None:
        raise ValueError(
            "the index holds neither thumbnails nor the path of its video, so the "
            "report has no pictures to show; index the video from its file"
        )
    reader = VideoReader(index.source)
    scale = _THUMBNAIL_PIXELS / max(reader.size)
    height, width = (max(8, round(side * scale)) for side in reader.size)
    return reader.sample(times=wanted, size=(height, width)).frames
