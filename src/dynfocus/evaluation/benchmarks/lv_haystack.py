"""LV-Haystack: a few key frames searched in long videos, and a question about them.

Three sources have its shape: the table of the hub (Ego4D), what T* makes of it and of
LongVideoBench for its own use, and LongVideoBench itself, of which the hour-long videos
without questions about subtitles are a part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dynfocus.errors import UnreadableVideoError
from dynfocus.evaluation.benchmarks import longvideobench
from dynfocus.evaluation.benchmarks.annotations import (
    Row,
    has_fields,
    need_files,
    number_copies,
    read_rows,
    unknown_shape,
    without_letter,
)
from dynfocus.evaluation.benchmarks.benchmark import (
    Benchmark,
    Item,
    Loaded,
    Split,
)
from dynfocus.evaluation.benchmarks.choice import (
    Reading,
    ask_by_letter,
    choice_figures,
)
from dynfocus.evaluation.benchmarks.options import BenchmarkOptions
from dynfocus.evaluation.benchmarks.video_files import VideoFiles, scan_videos
from dynfocus.text import plural
from dynfocus.video import VideoReader

_PART = "longvideobench"
_HOUR = 3600
_FIRST_LETTER = re.compile(r"\s*([A-Fa-f])")


def load(data: Path, options: BenchmarkOptions) -> Loaded:
    """Read the hub's table, the rows of T*, or the part of LongVideoBench."""
    split = options.split or "test_tiny"
    if split == _PART:
        return _load_part(data, options)
    patterns = (
        "lv_haystack*.json*",
        f"{split}-*.parquet",
        f"*aystack*{split.removeprefix('test_')}*.json*",
        "*aystack*.json*",
        "*aystack*.parquet",
    )
    files = need_files(data, patterns, "lv-haystack")
    rows = [row for path in files for row in read_rows(path)]
    is_table = has_fields(rows[0], "frame_indexes_video", "video_metadata")
    if not has_fields(rows[0], "video_id", "question") or not (
        is_table or "gt_frame_index" in rows[0]
    ):
        wanted = (
            "the known shapes: video_id, question, options, frame_indexes_video, "
            "video_metadata; video_path, question, options, gt_frame_index"
        )
        raise unknown_shape(files[0], rows[0], wanted)
    found = scan_videos(data)
    names = number_copies(str(row.get("vclip_id") or row["video_id"]) for row in rows)
    make = _item if is_table else _item_of_t_star
    items = [
        make(row, str(row.get("id", name)), data, found)
        for row, name in zip(rows, names, strict=True)
    ]
    shape = "the hub's table" if is_table else "the rows of T*"
    return Loaded(items=items, shape=shape, files=files, notes=_notes(items))


def _item(row: Row, name: str, data: Path, files: VideoFiles) -> Item:
    """Make a question about the clip where that is there alone, else the whole video."""
    video, clip = str(row["video_id"]), str(row["vclip_id"])
    is_clip = files.find([video]) is None and files.find([clip]) is not None
    frames = row["frame_indexes_vclip" if is_clip else "frame_indexes_video"]
    rate = float(row["video_metadata"]["frame_rate"])
    given = row["options"] or {}
    choices = tuple(str(given[one]) for one in sorted(given) if given[one] is not None)
    return Item(
        id=name,
        video=clip if is_clip else video,
        question=str(row["question"]),
        choices=choices,
        answer=str(row["answer"] or "").strip()[:1].upper(),
        groups={"clip": is_clip},
        key_times=tuple(frame / rate for frame in frames),
        unit=video,
    )


def _item_of_t_star(row: Row, name: str, data: Path, files: VideoFiles) -> Item:
    video = str(row.get("video_path") or row["video_id"])
    lines = str(row["options"]).split("\n")
    return Item(
        id=name,
        video=video,
        question=str(row["question"]),
        choices=tuple(without_letter(line) for line in lines if line.strip()),
        answer=str(row.get("gt_answer") or row.get("answer") or "").strip()[:1].upper(),
        key_times=_to_times(row["gt_frame_index"], video, data, files),
    )


def _load_part(data: Path, options: BenchmarkOptions) -> Loaded:
    """Take of LongVideoBench what asks about an hour of pictures."""
    whole = longvideobench.load(data, options)
    files = scan_videos(data)
    items = []
    for item in whole.items:
        groups = item.groups
        if groups.get("duration_group") != _HOUR or "T" in item.kind:
            continue
        times = _to_times(groups["position"], item.video, data, files)
        items.append(
            Item(
                id=item.id,
                video=item.video,
                question=item.question,
                choices=item.choices,
                answer=item.answer,
                kind=item.kind,
                key_times=times,
            )
        )
    return Loaded(
        items=items,
        shape="questions of LongVideoBench",
        files=whole.files,
        notes=_notes(items),
    )


def _to_times(
    frames: Sequence[int], video: str, data: Path, files: VideoFiles
) -> tuple[float, ...]:
    """Turn numbers of frames into seconds, by the file; none where there is no file."""
    path = files.find(_names(video))
    if path is None:
        return ()
    try:
        rate = VideoReader(data / path).fps
    except (OSError, UnreadableVideoError):
        return ()
    return tuple(frame / rate for frame in frames)


def _names(video: str) -> tuple[str, ...]:
    return video, Path(video).name


def _notes(items: Sequence[Item]) -> list[str]:
    """Tell how many questions have no key frames, which have no temporal figures."""
    bare = sum(not item.key_times for item in items)
    if not bare:
        return []
    return [
        f"{plural(bare, 'question')} without key frames, or without the video whose rate "
        "tells their times: they are in no temporal figure"
    ]


def read_as_lv_haystack(reply: str, choices: Sequence[str]) -> str | None:
    """Take a letter A to F at the start, whatever word it begins.

    Args:
        reply: The reply.
        choices: The texts of the options.
    """
    found = _FIRST_LETTER.match(reply)
    return found[1].upper() if found else None


BENCHMARK = Benchmark(
    name="lv-haystack",
    title="LV-Haystack",
    source=(
        "on the hub LVHaystack/LongVideoHaystack; its videos are those of Ego4D, under "
        "ego4d-data.org's licence, and of LongVideoBench"
    ),
    layout=(
        "data/test_tiny-00000-of-00001.parquet (also test, val, train), or rows of T* as "
        "JSON; for --rule split=longvideobench lvb_val.json",
        "VIDEO_ID.mp4, or VCLIP_ID.mp4 of the clips alone (any folder)",
    ),
    splits=(
        Split(name="test_tiny"),
        Split(name="test"),
        Split(name="val"),
        Split(name="train"),
        Split(name=_PART, questions=342, videos=114),
    ),
    load=load,
    put=ask_by_letter,
    mark=Reading(official=read_as_lv_haystack, lmms_eval=read_as_lv_haystack).mark,
    figures=partial(choice_figures, main="Accuracy"),
    key_frames=(
        *("Temporal precision", "Temporal recall", "Temporal F1"),
        *("Likeness precision", "Likeness recall", "Likeness F1"),
    ),
    video_names=_names,
    rules=("split", "parsing", "unparsed", "likeness"),
)
"""The benchmark."""
