"""Videos through their index: opened where it is on disk, read and encoded elsewhere.

Letters: T frames.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeGuard

from dynfocus.focus import FocusBudget, VideoFeatures
from dynfocus.index import IndexStore, Sampling, VideoIndex, check_storage
from dynfocus.models.conversation import check_count
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration, DynFocusProcessor
from dynfocus.models.dynfocus.frames import Video
from dynfocus.models.dynfocus.media import take_evenly
from dynfocus.models.encoding import Progress, VideoEncoder
from dynfocus.models.fingerprint import ModelFingerprint, index_layout
from dynfocus.models.sources import make_thumbnails
from dynfocus.models.stored_videos import StoredVideos

_logger = logging.getLogger(__name__)


class VideoIndexer:
    """Give the question-independent half of videos, each encoded at most once.

    Args:
        model: The model.
        processor: Its processor.
        name: What it was loaded as.
        store: Where files that were encoded are kept and found again; None for
            nowhere.
        storage: ``"exact"`` or ``"compact"``; by default what suits the model.
    """

    def __init__(
        self,
        model: DynFocusForConditionalGeneration,
        processor: DynFocusProcessor,
        name: str,
        store: IndexStore | None = None,
        storage: str | None = None,
    ) -> None:
        self._encoder = VideoEncoder(model, processor)
        self._settings = model.settings
        self._stored: StoredVideos | None = None
        wanted = check_storage(storage)
        if store is None:
            return
        fingerprint = ModelFingerprint(model, processor)
        if not fingerprint.is_known:
            _logger.warning("the vision tower of %s is on a disk: no index", name)
            return
        layout = index_layout(model.config, model.vision_tower.dtype)
        storages = (wanted,) if wanted else layout.storages
        self._stored = StoredVideos(store, layout, storages, fingerprint, name)

    def index(
        self,
        video: Video,
        *,
        fps: float,
        max_frames: int | None,
        progress: Progress | None,
    ) -> VideoIndex:
        """Open the index of a video, or encode it; see `VideoModel.index`."""
        if isinstance(video, VideoIndex):
            return video
        sampling = Sampling(fps=float(fps), max_frames=max_frames)
        return self._open(video, sampling) or self._make(video, sampling, progress)

    def features(
        self,
        video: Video,
        *,
        fps: float,
        max_frames: int | None,
        max_video_tokens: int | None,
        progress: Progress | None,
    ) -> VideoFeatures:
        """Encode a video unless it is encoded.

        All sampled frames are encoded and tell of their events. Which of them have
        tokens is chosen later, when the question is known; a budget that is too small
        for any video is refused here, before anything is read.

        Args:
            video: A file, frames, or an encoded video.
            fps: Frames per second to sample; an index keeps its own.
            max_frames: At most so many frames, taken evenly.
            max_video_tokens: At most so many video tokens.
            progress: Called with the steps done and the steps in all.

        Returns:
            The question-independent half.
        """
        FocusBudget(settings=self._settings, max_video_tokens=max_video_tokens)
        if max_frames is not None:
            check_count("max_frames", max_frames)
        if isinstance(video, VideoFeatures):
            return take_evenly(video, max_frames)
        if isinstance(video, VideoIndex):
            return take_evenly(video.features, max_frames)
        index = self.index(video, fps=fps, max_frames=max_frames, progress=progress)
        return index.features

    def _open(self, video: Video, sampling: Sampling) -> VideoIndex | None:
        """Open the entry of a file; None where there is no file or no entry."""
        if self._stored is None or not _is_file(video):
            return None
        return self._stored.open(video, sampling)

    def _make(
        self,
        video: Video,
        sampling: Sampling,
        progress: Progress | None,
    ) -> VideoIndex:
        """Read and encode a video; the entry of a file is kept where there is a store."""
        stored = self._stored if _is_file(video) else None
        key = stored.key(video, sampling) if stored and _is_file(video) else None
        opened = self._encoder.read(
            video, fps=sampling.fps, max_frames=sampling.max_frames, progress=progress
        )
        sampled = opened.sampled
        index = VideoIndex(
            features=self._encoder.encode(sampled, progress),
            source=opened.source,
            duration=opened.duration,
            fps=sampling.fps,
            max_frames=sampling.max_frames,
            thumbnails=make_thumbnails(sampled.frames, opened.size),
        )
        if stored is None or key is None:
            return index
        return stored.keep(key, index, opened.damage)


def _is_file(video: Video) -> TypeGuard[str | Path]:
    return isinstance(video, str | Path) and Path(video).is_file()
