"""The report of questions about one video: one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.report.clock import format_time
from dynfocus.report.pages import data_uri, escape, page
from dynfocus.report.prototype_maps import prototype_section
from dynfocus.report.timeline import Interval, TimelineFrame, draw_timeline
from dynfocus.video import VideoReader

if TYPE_CHECKING:
    from dynfocus.index import VideoIndex
    from dynfocus.models.answers import Answer, FrameReport
    from dynfocus.models.prototype_maps import PrototypeMap

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
            number=number + 1,
            answer=answer,
            truth=truths[number] if truths else None,
            verdict=verdicts[number] if verdicts else None,
            evidence=tuple(evidence[number]) if evidence else (),
            maps=tuple(maps[number]) if maps else (),
        )
        for number, answer in enumerate(answers)
    ]
    pictures = _cone_pictures(index, answers)
    sections = [_section(item, index.duration, pictures) for item in items]
    overview = _overview(items) if len(items) > 1 else ""
    body = _heading(title, index) + overview + "".join(sections)
    write_atomically(path, page(title, body))


@dataclass(frozen=True, kw_only=True)
class _Item:
    number: int
    answer: Answer
    truth: str | None
    verdict: bool | None
    evidence: tuple[Interval, ...]
    maps: tuple[PrototypeMap, ...]

    @property
    def mark(self) -> str:
        if self.verdict is None:
            return ""
        word = "right" if self.verdict else "wrong"
        return f'<span class="mark {word}">{word}</span>'


def _cone_pictures(index: VideoIndex, answers: Sequence[Answer]) -> dict[float, str]:
    """Encode the picture of every frame that some answer saw as a Cone, by its time."""
    wanted = sorted({frame.time for answer in answers for frame in _cones(answer)})
    if not wanted:
        return {}
    pictures = _frames_at(index, np.array(wanted))
    return {
        time: data_uri(picture) for time, picture in zip(wanted, pictures, strict=True)
    }


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


def _cones(answer: Answer) -> list[FrameReport]:
    return [frame for frame in answer.frames if frame.kind == "cone"]


def _heading(title: str, index: VideoIndex) -> str:
    source = escape(Path(index.source).name) if index.source else "a video"
    length = format_time(index.duration, with_tenths=index.duration < 60)
    return (
        f"<h1>{escape(title)}</h1><p class=faint>{source}, {length} long, "
        f"{index.features.num_frames} frames sampled at {index.fps:g} a second. Cones are "
        "the frames that matter to the question, encoded finely; Rods are all the "
        "others, kept as a sketch.</p>"
    )


def _overview(items: Sequence[_Item]) -> str:
    known = [item for item in items if item.truth is not None]
    rows = "".join(
        f'<tr><td class=n><a href="#q{item.number}">{item.number}</a></td>'
        f"<td>{escape(item.answer.question)}</td>"
        f"<td>{escape(item.answer.text)}{item.mark}</td>"
        + (f"<td>{escape(item.truth or '')}</td>" if known else "")
        + f"<td class=n>{item.answer.tokens:,}</td>"
        f"<td class=n>{item.answer.seconds:.2f}</td></tr>"
        for item in items
    )
    truth = "<th>Truth</th>" if known else ""
    judged = [item.verdict for item in items if item.verdict is not None]
    right = f"{sum(judged)} of {len(judged)} right."
    score = f"<p class=faint>{right}</p>" if judged else ""
    return (
        "<section><h2>All questions</h2><table><tr><th class=n>#</th><th>Question</th>"
        f"<th>Answer</th>{truth}<th class=n>Video tokens</th>"
        f"<th class=n>Seconds</th></tr>{rows}</table>{score}</section>"
    )


def _section(item: _Item, duration: float, pictures: dict[float, str]) -> str:
    answer = item.answer
    frames = [
        TimelineFrame(
            pts_seconds=frame.time, score=frame.score, is_cone=frame.kind == "cone"
        )
        for frame in answer.frames
    ]
    truth = ""
    if item.truth is not None:
        truth = f"<p class=faint>Truth: {escape(item.truth)}</p>"
    return (
        f'<section id="q{item.number}"><h2>{escape(answer.question)}</h2>'
        f"<p class=answer><b>{escape(answer.text) or '(no words)'}</b>{item.mark}</p>"
        f"{truth}{draw_timeline(frames, duration, item.evidence)}"
        f"{_legend(item)}{_tokens(answer)}{_thumbnails(item, duration, pictures)}"
        f"{prototype_section(item.maps, duration)}</section>"
    )


def _legend(item: _Item) -> str:
    entries = [("score", "score of each frame"), ("cone", "Cones"), ("rod", "Rods")]
    if item.evidence:
        entries.append(("evidence", "where the answer is shown"))
    spans = "".join(f'<span><i class="{n}"></i>{text}</span>' for n, text in entries)
    return f"<div class=legend>{spans}</div>"


def _tokens(answer: Answer) -> str:
    """Compare the tokens spent with those of encoding every frame as a Cone."""
    cones = _cones(answer)
    rods = [frame for frame in answer.frames if frame.kind != "cone"]
    by_cones = sum(frame.tokens for frame in cones)
    by_rods = sum(frame.tokens for frame in rods)
    if not cones:
        return f"<p>{answer.tokens:,} video tokens.</p>"
    all_cones = len(answer.frames) * max(frame.tokens for frame in cones)
    bars = "".join(
        f'<i class="{name}" style="width:{100 * tokens / all_cones:.2f}%"></i>'
        for name, tokens in (("cone", by_cones), ("rod", by_rods))
    )
    rows = "".join(
        f"<tr><td>{name}</td><td class=n>{count:,}</td><td class=n>{tokens:,}</td></tr>"
        for name, count, tokens in (
            ("Cones", len(cones), by_cones),
            ("Rods", len(rods), by_rods),
            ("Read by the language model", len(answer.frames), answer.tokens),
            ("Every frame as a Cone", len(answer.frames), all_cones),
        )
    )
    share = answer.tokens / all_cones
    return (
        f'<div class=bar title="tokens spent of those of Cones only">{bars}</div>'
        f"<p class=faint>{answer.tokens:,} video tokens, {share:.0%} of what Cones for "
        f"every frame would take; {answer.seconds:.2f} s.</p><table><tr><th></th>"
        f"<th class=n>Frames</th><th class=n>Video tokens</th></tr>{rows}</table>"
    )


def _thumbnails(item: _Item, duration: float, pictures: dict[float, str]) -> str:
    figures = []
    for frame in _cones(item.answer):
        time = format_time(frame.time, with_tenths=duration < 60)
        is_hit = any(start <= frame.time < end for start, end in item.evidence)
        figures.append(
            f"<figure{' class=hit' if is_hit else ''}>"
            f'<img src="{pictures[frame.time]}" alt="Cone at {time}">'
            f"<figcaption>{time}, score {frame.score:.2f}</figcaption></figure>"
        )
    return f"<div class=thumbs>{''.join(figures)}</div>"
