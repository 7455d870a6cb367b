"""The videos of one model in an index on disk."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dynfocus.index import (
    EntryFacts,
    EntryKey,
    IndexLayout,
    IndexStore,
    Pictures,
    Sampling,
    VideoIndex,
    pack_features,
    unpack_features,
)
from dynfocus.models.encoding import source_of
from dynfocus.video import DamagedVideoWarning, RemoteFile, VideoFile

_logger = logging.getLogger(__name__)


class StoredVideos:
    """Open and keep what a model has encoded of video files.

    Args:
        store: Where entries stand.
        layouts: What they hold: the first is written, all are opened.
        fingerprint: Gives the name of the model's question-independent half.
        model_name: What the model was loaded as.
    """

    def __init__(
        self,
        store: IndexStore,
        layouts: tuple[IndexLayout, ...],
        fingerprint: Callable[[], str],
        model_name: str,
    ) -> None:
        self.store = store
        self.layouts = layouts
        self._fingerprint = fingerprint
        self._model_name = model_name

    def key(
        self,
        path: str | VideoFile,
        sampling: Sampling,
        layout: IndexLayout | None = None,
    ) -> EntryKey:
        """Tell what a file's entry goes by, in the layout that is written or another."""
        return EntryKey(
            content=self.store.digest(path),
            model=self._fingerprint(),
            sampling=sampling,
            layout=(layout or self.layouts[0]).name,
        )

    def open(self, path: VideoFile, sampling: Sampling) -> VideoIndex | None:
        """Open the entry of a file; None where there is none that can be used.

        Args:
            path: The video.
            sampling: Which of its frames were encoded.
        """
        for layout in self.layouts:
            key = self.key(path, sampling, layout)
            found = self.store.open(key, layout)
            if found is not None:
                return self._index(path, key, layout, *found)
        return None

    def _index(
        self,
        path: VideoFile,
        key: EntryKey,
        layout: IndexLayout,
        facts: EntryFacts,
        tensors: dict[str, Tensor],
    ) -> VideoIndex:
        if facts.damage is not None:
            warnings.warn(facts.damage, DamagedVideoWarning, stacklevel=6)
        _logger.info("%s was opened from %s", path, self.store.path(key))
        assert facts.picture_size is not None  # layouts of models have pictures
        pictures = Pictures(tensors.pop("pictures").numpy(), facts.picture_size)
        return VideoIndex(
            features=unpack_features(tensors, layout),
            source=source_of(path),
            duration=facts.duration,
            fps=key.sampling.fps,
            max_frames=key.sampling.max_frames,
            start=key.sampling.start or 0.0,
            end=key.sampling.end,
            stream=key.sampling.stream,
            thumbnails=pictures,
            is_world=facts.is_world,
            is_from_disk=True,
            entry=self.store.path(key),
        )

    def keep(
        self, key: EntryKey, index: VideoIndex, damage: str | None = None
    ) -> VideoIndex:
        """Write the entry of a file, and give what opening it will give.

        So the first question is answered from the same numbers as the second, also
        where the store cannot be written.

        Args:
            key: What the entry goes by, told before the file was read.
            index: What was encoded of the file.
            damage: What of the file could not be decoded.
        """
        assert isinstance(index.thumbnails, np.ndarray)  # made beside the features
        assert index.source is not None  # it is of a file
        tensors = pack_features(index.features, self.layouts[0])
        pictures = Pictures.of(index.thumbnails)
        facts = EntryFacts(
            num_frames=index.num_frames,
            source=_address(index.source),
            duration=index.duration,
            picture_size=pictures.shape[1:3],
            model_name=self._model_name,
            damage=damage,
            is_world=index.is_world,
        )
        entry = None
        if self.key(index.source, key.sampling) == key:
            slots = torch.from_numpy(pictures.slots)
            entry = self.store.write(key, facts, tensors | {"pictures": slots})
        else:
            _logger.info("%s changed while it was read; it is not kept", index.source)
        features = unpack_features(tensors, self.layouts[0])
        return replace(index, features=features, thumbnails=pictures, entry=entry)


def _address(source: str | RemoteFile) -> str:
    """Write down where a video came from, without secrets."""
    return str(source if isinstance(source, RemoteFile) else Path(source).resolve())
