"""The frozen half of a training sample: encoded once, kept on disk."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from safetensors import safe_open

from dynfocus.focus import VideoFeatures
from dynfocus.index import load_features, save_features
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.fingerprint import digest_weights
from dynfocus.training.failures import SAMPLE_ERRORS
from dynfocus.training.sources import Sample, is_drawn, load_frames, medium_of

try:
    from accelerate import PartialState
except ImportError as error:
    raise ImportError(
        "training and experiments need accelerate, which is not installed; install it "
        "with pip install 'dynfocus[train]'"
    ) from error

logger = logging.getLogger(__name__)


class FeatureCache:
    """Encode videos and images with a frozen vision tower, each at most once.

    Files are keyed by the medium, the sampling, and the weights and settings that made
    them, so a cache may be shared by runs and is never stale.

    Args:
        folder: Where the files stand.
        model: The model whose frozen half encodes.
        processor: Its processor.
        fps: Frames a second of videos.
        max_frames: At most so many frames a video.

    Raises:
        ValueError: If the settings make the spatial prototypes trainable.
    """

    def __init__(
        self,
        folder: str | Path,
        model: DynFocusForConditionalGeneration,
        processor: DynFocusProcessor,
        fps: float = 1.0,
        max_frames: int | None = None,
    ) -> None:
        if model.settings.spatial_gate or model.config.text_side == "frame_queries":
            raise ValueError(
                "data.cache needs a frozen encoder: settings with spatial_gate or "
                "text_side 'frame_queries' train it, so leave data.cache out"
            )
        self.folder = Path(folder)
        if self.folder.is_file():
            raise ValueError(f"data.cache: {folder} is a file; name a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.processor = processor
        self.fps = fps
        self.max_frames = max_frames
        self._fingerprint = _fingerprint(model, processor)

    def path(self, medium: str) -> Path:
        """Return the file of a medium, whether or not it is there."""
        stamp = f"{self.fps}|{self.max_frames}|{self._fingerprint}"
        return medium_path(self.folder, medium, stamp)

    def fill(self, samples: Sequence[Sample]) -> None:
        """Encode what is missing, with a progress bar; what is there is kept.

        What cannot be read is left out with a warning, and fails again when it is asked
        for. Several processes share the work.
        """
        media = {m: kind for s in samples for kind, m in [medium_of(s)] if m}
        missing = [(m, kind) for m, kind in media.items() if not self._has(m)]
        state = PartialState()
        mine = missing[state.process_index :: state.num_processes]
        if mine:
            logger.info("encoding %d of %d videos and images", len(mine), len(media))
            self._encode_all(mine, shows_bar=state.is_main_process)
        state.wait_for_everyone()

    def _encode_all(self, media: Sequence[tuple[str, str]], *, shows_bar: bool) -> None:
        console = Console(stderr=True)
        shows_bar = shows_bar and console.is_terminal
        home = self.model.device
        if torch.cuda.is_available():
            self.model.vision_tower.to(PartialState().device)
        for medium, kind in track(
            media, "Encoding", console=console, disable=not shows_bar
        ):
            try:
                self._encode(medium, kind)
            except SAMPLE_ERRORS as error:
                logger.warning("%s cannot be encoded: %s", medium, error)
        self.model.vision_tower.to(home)

    def load(self, medium: str) -> VideoFeatures:
        """Return the features of a medium in float32."""
        path = self.path(medium)
        if not path.is_file():
            raise FileNotFoundError(
                f"{medium} could not be encoded; 'dynfocus data check' says why"
            )
        return load_features(path).to(dtype=torch.float32)

    def blank(self) -> VideoFeatures:
        """Return the features of a grey image."""
        side = self.processor.frame_size
        grey = torch.zeros(1, 3, side, side)
        with torch.no_grad():
            return self.model.encode_video(grey, [0.0]).to(dtype=torch.float32)

    def _has(self, medium: str) -> bool:
        try:
            return self.path(medium).is_file()
        except OSError:  # there is no such medium, so its file has no name
            return False

    def num_frames(self, medium: str) -> int:
        """Return the number of frames of a cached medium without reading them."""
        with safe_open(self.path(medium), framework="pt") as file:
            return int(file.get_slice("pts_seconds").get_shape()[0])

    @torch.inference_mode()
    def _encode(self, medium: str, kind: str) -> None:
        frames = load_frames(
            medium,
            kind,
            fps=self.fps,
            max_frames=self.max_frames,
            frame_size=self.processor.frame_size,
        )
        features = self.model.encode_video(
            self.processor.pixel_values(frames.frames), torch.from_numpy(frames.times)
        )
        path = self.path(medium)
        path.parent.mkdir(exist_ok=True)
        save_features(features.to(dtype=torch.float16), path)


def medium_path(folder: Path, medium: str, stamp: str) -> Path:
    """Name the file of a medium in a cache: by its content's facts and what made it."""
    stamp = f"{medium}|{stamp}"
    if not is_drawn(medium):
        facts = Path(medium).stat()
        stamp += f"|{facts.st_size}|{facts.st_mtime_ns}"
    name = hashlib.sha256(stamp.encode()).hexdigest()[:24]
    return folder / name[:2] / f"{name}.safetensors"


def _fingerprint(
    model: DynFocusForConditionalGeneration, processor: DynFocusProcessor
) -> str:
    """Hash the weights and the settings that features depend on."""
    digest = hashlib.sha256()
    settings = model.settings
    digest.update(
        repr(
            (
                settings.num_event_tokens,
                settings.num_prototypes,
                settings.num_temporal_neighbors,
                settings.temporal_clustering,
                settings.event_merge,
                settings.spatial_clustering,
                settings.num_spatial_prototypes,
                settings.num_spatial_neighbors,
                settings.spatial_merge,
                processor.frame_size,
                tuple(processor.image_mean),
                tuple(processor.image_std),
            )
        ).encode()
    )
    digest_weights(digest, model.vision_tower)
    return digest.hexdigest()
