"""Excerpts of videos: of a file, of frames that are there, of a video that is encoded.

Letters: T frames, S steps, F frames of a step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dynfocus.index import Pictures, Sampling, VideoIndex
from dynfocus.models.options import AskOptions
from dynfocus.video import RemoteFile, SampledFrames, VideoName, VideoReader, as_file
from dynfocus.video.plan import check_inside, wanted_times

_SLACK_SECONDS = 1e-6


def open_excerpt(video: Any, options: AskOptions) -> Any:
    """Open a file of which options want an excerpt or another stream.

    Args:
        video: Whatever a caller calls a video.
        options: Their ``start``, ``end`` and ``stream`` matter.

    Returns:
        A reader of these frames alone; the file or the video itself where it is no
        file, or the whole of it is wanted.

    Raises:
        ValueError: The excerpt lies outside the video, or the video is open with another
            stream.
    """
    if isinstance(video, VideoName):
        video = as_file(video)  # one version of a remote file, whoever reads it
    if (options.start, options.end, options.stream) == (None, None, None):
        return video
    if isinstance(video, Path | RemoteFile):
        video = VideoReader(video, stream=options.stream)
    if not isinstance(video, VideoReader):
        return video
    _check_stream(options.stream, video.timeline.stream_index)
    return video.excerpt(options.start, options.end)


def sampling_of(video: Any, options: AskOptions) -> Sampling:
    """Tell which frames of what `open_excerpt` gave are encoded."""
    sampling = Sampling(
        fps=options.fps,
        max_frames=options.max_frames,
        max_encoded_frames=options.max_encoded_frames,
        start=options.start or None,
        end=options.end,
    )
    if not isinstance(video, VideoReader):
        return sampling
    return replace(
        sampling,
        start=video.start or None,
        end=video.end if video.end < video.duration else None,
        stream=video.other_stream,
    )


def within(
    frames: SampledFrames, options: AskOptions, duration: float
) -> SampledFrames:
    """Leave the frames of an excerpt.

    Args:
        frames: The frames.
        options: Their ``start``, ``end`` and ``stream`` matter.
        duration: How long the frames last, in seconds.

    Raises:
        ValueError: There are none, the excerpt lies outside, or a stream is asked for.
    """
    _check_stream(options.stream, None)
    check_inside(options.start or 0.0, options.end, duration)
    return frames.take(_rows_within(frames.times[:, None], options, duration))


def take_excerpt(video: VideoIndex, options: AskOptions) -> VideoIndex:
    """Take an excerpt of an encoded video, and encode nothing.

    Its frames are a video of their own: event prototypes are estimated anew from them,
    and they alone share a budget.

    Args:
        video: The video.
        options: Their ``start``, ``end`` and ``stream`` matter.

    Returns:
        The frames that were sampled from ``start`` on and before ``end``.

    Raises:
        ValueError: There are none, the excerpt lies outside, another stream was encoded,
            or the video comes from a compact index, of which no part can be taken.
    """
    if options.stream is not None:
        _check_stream(options.stream, _stream_of(video))
    if options.start is None and options.end is None:
        return video
    start, end = video.interval
    begin = start if options.start is None else options.start
    stop = end if options.end is None else options.end
    check_inside(begin, options.end, video.duration)
    if begin <= start and stop >= end:
        return video
    rows = _rows_within(moments(video), options, video.duration)
    pictures = video.thumbnails
    if pictures is not None:
        is_stored = isinstance(pictures, Pictures)
        pictures = pictures.take(rows) if is_stored else pictures[rows]
    features = video.features.take(torch.from_numpy(rows))
    return replace(
        video,
        features=features.not_before(begin),
        thumbnails=pictures,
        start=max(begin, start),
        end=min(stop, end),
    )


def holds_excerpt(whole: VideoIndex, reader: VideoReader, sampling: Sampling) -> bool:
    """Tell whether an encoded video has the frames that reading an excerpt would give.

    Args:
        whole: The whole video, encoded.
        reader: The excerpt.
        sampling: Which frames of it are wanted.
    """
    if not whole.features.is_divisible:
        return False
    wanted = reader.plan_times(fps=sampling.fps, max_frames=sampling.max_frames)
    found = moments(whole)[:, 0]
    found = found[_is_within(found, reader.start, reader.end)]
    return len(found) == len(wanted) and np.allclose(
        found, wanted, rtol=0, atol=_SLACK_SECONDS
    )


def moments(video: VideoIndex) -> NDArray[np.float64]:
    """Tell for which moments the frames of an encoded video were sampled, ``[S, F]``.

    Of a file whose frames are all there these are the moments of its sampling plan; a
    frame may have come on display before. Else they are the times of the frames.
    """
    seconds = video.features.frame_seconds.double().cpu().numpy()
    num_steps, per_step = seconds.shape
    if video.source is None:
        return seconds
    start, end = video.interval
    planned = wanted_times(end, start=start, fps=video.fps, max_frames=video.max_frames)
    if -(-len(planned) // per_step) != num_steps:
        return seconds
    missing = -len(planned) % per_step
    return np.append(planned, np.repeat(planned[-1:], missing)).reshape(-1, per_step)


def _rows_within(
    seconds: NDArray[np.float64], options: AskOptions, duration: float
) -> NDArray[np.int64]:
    """Find the steps all of whose frames, at ``[S, F]``, lie in an excerpt."""
    start = 0.0 if options.start is None else options.start
    end = np.inf if options.end is None else options.end
    rows = np.flatnonzero(_is_within(seconds, start, end).all(axis=1))
    if not len(rows):
        raise ValueError(
            f"no frame lies from start ({start:g} s) on and before end "
            f"({min(end, duration):g} s); the {len(seconds)} there are lie from "
            f"{seconds.min():g} s to {seconds.max():g} s"
        )
    return rows


def _is_within(
    seconds: NDArray[np.float64], start: float, end: float
) -> NDArray[np.bool_]:
    return (seconds >= start - _SLACK_SECONDS) & (seconds < end - _SLACK_SECONDS)


def _stream_of(video: VideoIndex) -> int | None:
    """Tell the number of the stream that was encoded; its file knows what a player shows."""
    if video.stream is not None or video.source is None:
        return video.stream
    try:
        return VideoReader(video.source).timeline.stream_index
    except (OSError, ValueError):  # which is not there any more
        return None


def _check_stream(wanted: int | None, found: int | None) -> None:
    """Refuse a stream other than that of what is open."""
    if wanted in (None, found):
        return
    of = "" if found is None else f", of stream {found}"
    raise ValueError(
        f"stream {wanted} cannot be chosen of a video that is open already{of}; name its "
        "file instead"
    )
