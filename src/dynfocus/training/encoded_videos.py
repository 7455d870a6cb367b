"""Videos of training: encoded once and kept in a store, or decoded for every step.

Letters: T frames of a video, C H W pixels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dynfocus.focus import FocusNetwork, FrameEncoding, VideoFeatures
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.index import (
    UNBOUNDED,
    EntryFacts,
    EntryKey,
    IndexStore,
    Sampling,
    pack_features,
    unpack_features,
)
from dynfocus.methods.loops import Look
from dynfocus.models.fingerprint import ModelFingerprint, index_layout, patch_layout
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.models.vision import encode_pixels
from dynfocus.training.failures import SAMPLE_ERRORS
from dynfocus.training.fragments import parse_fragment
from dynfocus.training.progress import tell_progress
from dynfocus.training.recipe import Precision
from dynfocus.training.samples import (
    Sample,
    drawn_seconds,
    file_behind,
    is_drawn,
    media_of,
)
from dynfocus.training.sources import load_frames, load_look

try:
    from accelerate import PartialState
except ImportError as error:
    raise ImportError(
        "training and experiments need accelerate, which is not installed; install it "
        "with pip install 'dynfocus[train]'"
    ) from error


logger = logging.getLogger(__name__)


class EncodedVideos:
    """Encode videos and images with a frozen vision tower, each at most once.

    Entries go by the content of a medium, the sampling, and the weights and settings
    that made them, so a folder may be shared by runs and nothing in it is ever stale.
    All is kept in half precision.

    Args:
        folder: Where the entries stand.
        model: The model whose frozen half encodes.
        processor: Its processor.
        fps: Frames a second of videos.
        max_frames: At most so many frames a video.
        storage: ``"exact"`` for the features that DynFocus starts from, ``"patches"``
            for those that every connector can start from.
        precision: ``"bfloat16"`` runs the tower under autocast, as a step without a
            store does; such entries are of their own.

    Raises:
        ValueError: If the settings make the spatial prototypes trainable.
    """

    def __init__(
        self,
        folder: str | Path,
        model: VideoLanguageModel,
        processor: VideoProcessor,
        fps: float = 1.0,
        max_frames: int | None = None,
        *,
        storage: Literal["exact", "patches"] = "exact",
        precision: Precision = "float32",
    ) -> None:
        has_patches = storage == "patches"
        if not has_patches and (
            model.settings.spatial_gate or model.config.text_side != "text"
        ):
            raise ValueError(
                "data.cache needs a frozen encoder: settings with spatial_gate or "
                "text_side 'frame_queries' train it, so leave data.cache out"
            )
        if Path(folder).is_file():
            raise ValueError(f"data.cache: {folder} is a file; name a folder")
        self.store = IndexStore(folder, max_bytes=UNBOUNDED)
        self._model = model
        self._processor = processor
        self._sampling = Sampling(fps=fps, max_frames=max_frames)
        layout: Any = patch_layout if has_patches else index_layout
        self._layout = replace(layout(model.config, torch.float16), has_pictures=False)
        self._precision = precision
        self._fingerprint = ModelFingerprint(model, processor, of_patches=has_patches)()
        if precision != "float32":
            self._fingerprint += f"-{precision}"

    def key(self, medium: str, look: Look | None = None) -> EntryKey:
        """Tell what the entry of a medium goes by, or that of a dense look at it.

        Raises:
            OSError: It is a file that is not there.
        """
        return EntryKey(
            content=self._content(medium),
            model=self._fingerprint,
            sampling=self._sampling
            if look is None
            else Sampling(fps=look.fps, start=look.start, end=look.end),
            layout=self._layout.name,
        )

    def _content(self, medium: str) -> str:
        file = file_behind(medium)
        if file is None:
            return medium
        digest = self.store.digest(file)
        return f"{digest} {medium}" if is_drawn(medium) else digest

    def fill(self, samples: Sequence[Sample]) -> None:
        """Encode what is missing and tell how far it is; what is there is kept.

        What cannot be read is left out with a warning, and fails again when it is asked
        for. Several processes share the work.
        """
        media = list(dict.fromkeys(p for sample in samples for p in _parts_of(sample)))
        state = PartialState()
        mine = media[state.process_index :: state.num_processes]
        missing = [part for part in mine if not self._has(*part[1:])]
        if missing:
            logger.info("encoding %d of %d videos and images", len(missing), len(mine))
            self._keep_all(missing, tells=state.is_main_process)
        state.wait_for_everyone()

    def load(self, medium: str, looks: Sequence[Look] = ()) -> VideoFeatures:
        """Return the features or the patches of a medium, in float32, with dense looks."""
        features = self._load(medium)
        for look in looks:
            features = features.mix(self._load(medium, look))
        return features

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of an encoded medium without reading them."""
        facts = self.store.facts(self.key(medium))
        if facts is None:
            raise _missing(medium)
        return facts.num_frames

    def blank(self) -> VideoFeatures:
        """Return the features of a grey image, in float32."""
        side = self._processor.frame_size
        with torch.no_grad():
            features = self._model.encode_video(torch.zeros(1, 3, side, side), [0.0])
        return features.to(dtype=torch.float32)

    def _load(self, medium: str, look: Look | None = None) -> VideoFeatures:
        key = self.key(medium, look)
        found = self.store.open(key, self._layout)
        if found is None:
            raise _missing(medium)
        features = unpack_features(found[1], self._layout).to(dtype=torch.float32)
        return replace(features, duration=found[0].duration)

    def _has(self, medium: str, look: Look | None) -> bool:
        try:
            return self.store.path(self.key(medium, look)).is_file()
        except OSError:  # there is no such medium, so its entry has no name
            return False

    def _keep_all(self, media: Sequence[_Part], *, tells: bool) -> None:
        home = self._model.device
        if torch.cuda.is_available():
            self._model.vision_tower.to(PartialState().device)
        told = tell_progress(media, "Encoding") if tells else media
        for kind, medium, look in told:
            try:
                self._keep(medium, kind, look)
            except SAMPLE_ERRORS as error:
                logger.warning("%s cannot be encoded: %s", medium, error)
        self._model.vision_tower.to(home)

    @torch.inference_mode()
    def _keep(self, medium: str, kind: str, look: Look | None) -> None:
        key = self.key(medium, look)  # of the file before it is read
        side = self._processor.frame_size
        if look is not None:
            frames = load_look(medium, look, side)
        else:
            frames = load_frames(
                medium,
                kind,
                fps=self._sampling.fps,
                max_frames=self._sampling.max_frames,
                frame_size=side,
            )
        times = torch.from_numpy(frames.times).double()
        pixels = self._processor.pixel_values(frames.frames)
        with torch.autocast(
            self._model.vision_tower.device.type,
            torch.bfloat16,
            enabled=self._precision == "bfloat16",
        ):
            tensors = self._encode(pixels, times)
        facts = EntryFacts(
            num_frames=len(times),
            source=medium,
            duration=frames.duration or float(times[-1]),
            model_name="training",
        )
        self.store.write(key, facts, tensors)

    def _encode(self, pixel_values: Tensor, pts_seconds: Tensor) -> dict[str, Tensor]:
        """Make the tensors of an entry of pixels, ``[T, 3, H, W]``, and their times."""
        if self._layout.storage == "exact":
            features = self._model.encode_video(pixel_values, pts_seconds)
            return pack_features(features.to(dtype=torch.float16), self._layout)
        tower = self._model.vision_tower.eval()
        windows = torch.split(pixel_values, WINDOW_FRAMES)
        parts = [FrameEncoding(None, encode_pixels(tower, w).content) for w in windows]
        return pack_features(VideoFeatures.join(parts, pts_seconds), self._layout)


class PreparedVideos:
    """Patches from which a network makes events once, at first use, and keeps them.

    Args:
        patches: The patches on disk.
        network: What makes events of them without learning how.
    """

    def __init__(self, patches: EncodedVideos, network: FocusNetwork) -> None:
        self._patches, self._network = patches, network
        self._kept: dict[str, VideoFeatures] = {}

    @torch.no_grad()
    def load(self, medium: str, looks: Sequence[Look] = ()) -> VideoFeatures:
        """Return the features of a medium, in float32; events take no looks."""
        assert not looks  # a stage has them with SlowFocus alone
        if medium not in self._kept:
            self._kept[medium] = self._network.add_events(self._patches.load(medium))
        return self._kept[medium]

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a medium."""
        return self._patches.num_frames(medium)


_Part = tuple[str, str, Look | None]
"""A medium behind its kind, and a dense look at it or none."""


def _parts_of(sample: Sample) -> Iterator[_Part]:
    """List what is encoded for a sample."""
    for kind, medium in media_of(sample):
        yield kind, medium, None
        for look in sample.get("looks", ()):
            yield kind, medium, look


def _missing(medium: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{medium} could not be encoded; 'dynfocus data check' says why"
    )


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """A video that is encoded in the training step."""

    pixel_values: Tensor
    """Normalised frames, ``[T, C, H, W]``."""
    pts_seconds: Tensor
    """Their times, ``[T]``."""
    is_high: Tensor | None = None
    """True at dense frames, ``[T]``; None if there are none."""
    duration: float | None = None
    """Length of the video in seconds."""

    @property
    def marks(self) -> Tensor:
        """True at dense frames, ``[T]``."""
        if self.is_high is None:
            return torch.zeros(self.num_frames, dtype=torch.bool)
        return self.is_high

    @property
    def num_frames(self) -> int:
        """Count the frames, ``T``."""
        return len(self.pixel_values)


@dataclass(frozen=True, kw_only=True)
class FrameReader:
    """Decode videos and images in the worker that asks for a sample."""

    processor: VideoProcessor
    fps: float = 1.0
    max_frames: int | None = None
    dtype: torch.dtype = torch.float32

    def load(self, medium: str, kind: str, looks: Sequence[Look] = ()) -> Pixels:
        """Read a video or an image, with dense looks."""
        frames = load_frames(
            medium,
            kind,
            fps=self.fps,
            max_frames=self.max_frames,
            frame_size=self.processor.frame_size,
            looks=looks,
        )
        high = frames.is_high
        return Pixels(
            pixel_values=self.processor.pixel_values(frames.frames).to(self.dtype),
            pts_seconds=torch.from_numpy(frames.times),
            is_high=None if high is None else torch.from_numpy(high),
            duration=frames.duration,
        )

    def blank(self) -> Pixels:
        """Return a grey image."""
        side = self.processor.frame_size
        return Pixels(
            pixel_values=torch.zeros(1, 3, side, side, dtype=self.dtype),
            pts_seconds=torch.zeros(1, dtype=torch.float64),
        )

    def count_frames(self, sample: Sample) -> list[int]:
        """Count the frames of each medium of a sample without opening its files.

        Raises:
            ValueError: If nothing says how long its video is.
        """
        told = sample.get("duration")
        durations = iter(told if isinstance(told, list) else [told])
        return [
            self._count(sample, medium, next(durations, None)) if kind == "video" else 1
            for kind, medium in media_of(sample)
        ]

    def _count(self, sample: Sample, medium: str, told: Any) -> int:
        fragment = parse_fragment(medium)
        if fragment is not None:
            return fragment.num_frames
        drawn = drawn_seconds(medium)
        seconds = told if drawn is None else drawn
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise ValueError(
                f"sample {sample.get('id', '?')} does not tell the 'duration' of its "
                "video, by which batches are grouped; let 'dynfocus data check' write "
                "it, or set schedule.group_by_length=false"
            )
        count = max(1, math.ceil(seconds * self.fps))
        return count if self.max_frames is None else min(count, self.max_frames)
