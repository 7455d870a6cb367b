"""The report of questions about one video: one HTML page that needs nothing else.

Spatial prototypes are drawn over their frame: which patches each of them merged.

Letters: H and W of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dynfocus.atomic import check_writable, write_atomically
from dynfocus.errors import UnreadableVideoError
from dynfocus.focus import uniform_indices
from dynfocus.methods.image_features import fit_size
from dynfocus.models.conversation import Answer, FrameReport, WordReport
from dynfocus.report.pages import (
    INK,
    PAPER,
    Colour,
    choose_colours,
    describe_length,
    font,
    render,
    time_in,
)
from dynfocus.report.timelines import Interval, draw_timeline
from dynfocus.text import label_media, plural
from dynfocus.video import VideoReader, as_file

if TYPE_CHECKING:
    from dynfocus.index import VideoGroup, VideoIndex
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap

_THUMBNAIL_PIXELS = 160
_LONGER_SIDE = 320
_MOST_LOW = 24
_TINT = 0.45
_LABEL = 12

Pixels = NDArray[np.uint8]
Cells = NDArray[np.int64]


def write_report(
    path: str | Path,
    index: VideoIndex | VideoGroup,
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
        index: The video that was asked about, or the videos.
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
            videos=index.videos,
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
        sources=[
            f"{_name(index.videos, number)}, {describe_length(one.interval, one.duration)}, "
            f"{plural(one.num_frames, 'frame')} sampled at {one.fps:g} a second"
            for number, one in enumerate(index.videos)
        ],
        items=items,
        judged=[item.verdict for item in items if item.verdict is not None],
        pictures=_cone_pictures(index.videos, items),
    )
    write_atomically(path, text)


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """The tokens spent beside those of encoding every frame as a Cone."""

    by_cones: int
    by_rods: int
    all_cones: int
    """0 where no frame is a Cone, or two passes read frames of two frequencies."""
    rows: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One question of the page."""

    answer: Answer
    videos: tuple[VideoIndex, ...]
    truth: str | None
    verdict: bool | None
    evidence: tuple[Interval, ...]
    maps: list[MapPictures]

    @property
    def cones(self) -> list[FrameReport]:
        return [frame for frame in self.answer.frames if frame.is_fine]

    @property
    def has_frequencies(self) -> bool:
        return any(frame.kind in ("low", "high") for frame in self.answer.frames)

    @property
    def shown(self) -> list[FrameReport]:
        """Give the frames whose pictures are shown: fine ones, and some low ones."""
        low = [frame for frame in self.answer.frames if frame.kind == "low"]
        rows = uniform_indices(len(low), min(len(low), _MOST_LOW)).tolist()
        found = [*self.cones, *(low[row] for row in rows)]
        return sorted(found, key=lambda frame: frame.time)

    @property
    def looked(self) -> list[Interval]:
        return [] if self.answer.looks is None else self.answer.looks.intervals

    @property
    def timelines(self) -> list[tuple[str, Markup]]:
        """Draw the frames of each video, below its name where there are several."""
        drawn = []
        for number, video in enumerate(self.videos):
            frames = [frame for frame in self.answer.frames if frame.video == number]
            start, end = video.interval
            picture = draw_timeline(
                frames,
                end,
                self.evidence,
                start=start,
                looked=self.looked,
                words=[one for one in self.answer.words if one.video == number],
            )
            name = _name(self.videos, number) if len(self.videos) > 1 else ""
            drawn.append((name, Markup(picture)))
        return drawn

    def place(self, frame: FrameReport | MapPictures | WordReport) -> str:
        """Say at what time of which video a frame, or what was read, is."""
        start, end = self.videos[frame.video].interval
        is_dense = isinstance(frame, FrameReport) and frame.kind == "high"
        time = time_in(frame.time, 0.0 if is_dense else end - start)
        return f"Video {frame.video + 1}, {time}" if len(self.videos) > 1 else time

    @property
    def cost(self) -> _Cost:
        frames, cones = self.answer.frames, self.cones
        by_cones = sum(frame.tokens for frame in cones)
        by_rods = sum(frame.tokens for frame in frames) - by_cones
        rows: tuple[tuple[str, int, int], ...] = (
            ("Dense" if self.has_frequencies else "Cones", len(cones), by_cones),
            (
                "Low frequency" if self.has_frequencies else "Rods",
                len(frames) - len(cones),
                by_rods,
            ),
            ("Read by the language model", len(frames), self.answer.tokens),
        )
        all_cones = 0
        if not self.has_frequencies:
            all_cones = len(frames) * max((frame.tokens for frame in cones), default=0)
            rows = (*rows, ("Every frame as a Cone", len(frames), all_cones))
        return _Cost(by_cones=by_cones, by_rods=by_rods, all_cones=all_cones, rows=rows)

    def shows_answer(self, seconds: float) -> bool:
        return any(start <= seconds < end for start, end in self.evidence)


def _name(videos: Sequence[VideoIndex], number: int) -> str:
    """Call a video by its number among several, and by its file."""
    source = videos[number].source
    label = label_media(len(videos))[number]
    return f"{label}{as_file(source).name if source else 'a video'}"


def _cone_pictures(
    videos: Sequence[VideoIndex], items: Sequence[_Item]
) -> dict[tuple[int, float], NDArray[np.uint8]]:
    """Give the picture of every frame that is shown, by its video and time.

    Dense frames are not in the index; they are read again, if the file is still there.
    """
    found: dict[tuple[int, float], NDArray[np.uint8]] = {}
    shown = [frame for item in items for frame in item.shown]
    for number, video in enumerate(videos):
        wanted = np.array(sorted({one.time for one in shown if one.video == number}))
        held = np.asarray(video.features.pts_seconds.cpu(), dtype=np.float64)
        is_held = np.isin(wanted, held) | (video.source is None)
        for times, is_read in ((wanted[is_held], False), (wanted[~is_held], True)):
            if not len(times):
                continue
            with suppress(*([OSError, UnreadableVideoError] if is_read else [])):
                pictures = _frames_at(video, times, is_read=is_read)
                found |= {
                    (number, t): p
                    for t, p in zip(times.tolist(), pictures, strict=True)
                }
    return found


def _frames_at(
    index: VideoIndex, wanted: NDArray[np.float64], *, is_read: bool = False
) -> NDArray[np.uint8]:
    if index.thumbnails is not None and not is_read:
        times = np.asarray(index.features.pts_seconds.cpu(), dtype=np.float64)
        nearest = np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)
        return index.thumbnails[nearest]
    if index.source is None:
        raise ValueError(
            "the index holds neither thumbnails nor the path of its video, so the "
            "report has no pictures to show; index the video from its file"
        )
    reader = VideoReader(index.source, stream=index.stream)
    size = fit_size(reader.size, _THUMBNAIL_PIXELS)
    return reader.sample(times=wanted, size=size).frames


def draw_layer(picture: Pixels, cells: Cells, colours: Sequence[Colour]) -> Pixels:
    """Draw over a frame which patches belong to one spatial prototype.

    Args:
        picture: The frame, ``[H, W, 3]``; it is drawn 320 pixels long.
        cells: The number of the prototype of each patch, on a grid over the frame.
        colours: A colour for each number.

    Returns:
        The frame with tinted patches, lines between prototypes, and their numbers
        from 1.
    """
    base = _enlarge(picture)
    rows, columns = _cell_of_pixels(base.shape[0], base.shape[1], cells.shape)
    owner = cells[rows[:, None], columns]  # [H, W]
    tint = np.array(colours)[owner]
    mixed = (base * (1 - _TINT) + tint * _TINT).round().astype(np.uint8)
    mixed[_borders(owner)] = PAPER
    image = Image.fromarray(mixed)
    draw = ImageDraw.Draw(image)
    for number in np.unique(cells).tolist():
        row, column = _middle(cells == number)
        x = (column + 0.5) * base.shape[1] / cells.shape[1]
        y = (row + 0.5) * base.shape[0] / cells.shape[0]
        _draw_label(draw, (x, y), str(number + 1))
    return np.asarray(image)


@dataclass(frozen=True, kw_only=True)
class LayerPicture:
    """One layer of spatial prototypes, drawn over its frame."""

    picture: Pixels
    """The drawing, ``[H, W, 3]``."""
    entries: list[tuple[int, Colour, int, float]]
    """Number, colour, patches and share of the attention of each prototype."""


@dataclass(frozen=True, kw_only=True)
class MapPictures:
    """What the spatial prototypes of one frame merged, layer by layer."""

    time: float
    """Presentation time of the frame in seconds."""
    picture: Pixels
    """The frame, ``[H, W, 3]``."""
    layers: list[LayerPicture]
    """The layers, from patches on."""
    video: int
    """Which of the videos it is of, from 0."""

    @classmethod
    def of(cls, found: PrototypeMap) -> MapPictures:
        """Draw the map of a frame."""
        colours = choose_colours(len(found.attention))
        return cls(
            time=found.time,
            picture=_enlarge(found.picture),
            layers=[_draw_entries(found, cells, colours) for cells in found.layers],
            video=found.video,
        )


def _draw_entries(
    found: PrototypeMap, cells: Cells, colours: Sequence[Colour]
) -> LayerPicture:
    numbers, counts = np.unique(cells, return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return LayerPicture(
        picture=draw_layer(found.picture, cells, colours),
        entries=[
            (number + 1, colours[number], count, float(found.attention[number]))
            for number, count in pairs
        ],
    )


def _enlarge(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    scale = _LONGER_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized)


def _cell_of_pixels(
    height: int, width: int, grid: tuple[int, ...]
) -> tuple[Cells, Cells]:
    """Return the row of the grid of each line of pixels, and the column of each."""
    rows = np.arange(height) * grid[0] // height
    columns = np.arange(width) * grid[1] // width
    return rows, columns


def _borders(owner: Cells) -> NDArray[np.bool_]:
    """Mark the two pixels at each border between different prototypes."""
    border = np.zeros(owner.shape, dtype=bool)
    down = owner[1:] != owner[:-1]
    right = owner[:, 1:] != owner[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border


def _middle(member: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the member cell that lies nearest to the mean of all members."""
    places = np.argwhere(member)
    away = np.square(places - places.mean(axis=0)).sum(axis=1)
    row, column = places[away.argmin()].tolist()
    return row, column


def _draw_label(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], text: str
) -> None:
    letters = font(_LABEL, bold=True)
    left, top, right, bottom = draw.textbbox(centre, text, letters, anchor="mm")
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=INK)
    draw.text(centre, text, PAPER, letters, anchor="mm")
