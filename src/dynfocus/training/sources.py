"""Where training conversations come from: LLaVA's JSON, FocusWorld, and any videos.

No other module of general training but that of fragments knows FocusWorld.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dynfocus.atomic import atomic_file
from dynfocus.methods.loops import Look
from dynfocus.text import read_text, sentence, to_json
from dynfocus.training.failures import Failure
from dynfocus.training.fragments import Fragments, parse_fragment
from dynfocus.training.samples import Sample, check_sample, name_media
from dynfocus.validation import Count, Natural, Positive, checked
from dynfocus.video import SampledFrames, VideoReader, read_image, read_video
from dynfocus.world.conversations import (
    WorldAddress,
    log_conversation,
    parse_address,
    picture_sample,
    render_address,
    video_samples,
)
from dynfocus.world.questions import KINDS
from dynfocus.world.video import NARROW, World
from dynfocus.world.wide import KINDS as WIDE_KINDS


@checked
class WorldVideos:
    """Questions about FocusWorld videos whose lengths are log-uniform."""

    num_videos: Count
    """How many videos."""
    seconds: tuple[float, float]
    """Shortest and longest."""
    seed: Natural = 0
    """Number of the first."""
    split: Literal["train", "validation", "test"] = "train"
    """Random stream of the scenes."""
    kinds: dict[str, Positive] | None = None
    """How often the questions of each kind are asked: 2 is twice, 0.5 every other one.
    All kinds once by default."""
    turns_per_sample: Count = 4
    """Questions of a conversation."""
    wide: bool = False
    """Whether the videos, and the wordings, are of the widened world."""
    max_per_kind: Count | None = None
    """At most so many different questions of each kind about a video."""

    def __post_init__(self) -> None:
        known = WIDE_KINDS if self.wide else KINDS
        for kind in self.kinds or ():
            if kind not in known:
                raise ValueError(
                    f"data.sources: world_videos has no kind {kind!r}; known are "
                    f"{', '.join(known)}"
                )

    def samples(self) -> list[Sample]:
        """Write the conversations."""
        return [
            sample
            for address in world_addresses(
                self.num_videos,
                self.seconds,
                self.seed,
                self.split,
                World(wide=self.wide),
            )
            for sample in video_samples(
                address,
                turns_per_sample=self.turns_per_sample,
                weights=self.kinds,
                max_per_kind=self.max_per_kind,
            )
        ]


@checked
class WorldPictures:
    """Questions about single FocusWorld pictures."""

    num_pictures: Count
    """How many pictures."""
    seed: Natural = 0
    """Number of the first."""

    def samples(self) -> list[Sample]:
        """Write the conversations."""
        samples: list[Sample] = []
        number = self.seed
        while len(samples) < self.num_pictures:
            at = float(np.random.default_rng([59, number]).integers(60))
            sample = picture_sample(
                WorldAddress(split="train", seed=number, seconds=60.0, at=at)
            )
            samples += [sample] if sample else []
            number += 1
        return samples


@checked
class WorldLogs:
    """Questions about written logs of FocusWorld scenes, without pictures."""

    num_logs: Count
    """How many logs."""
    seed: Natural = 900_000_000
    """Number of the first."""
    wide: bool = False
    """Whether the scenes, and the wordings, are of the widened world."""

    def samples(self) -> list[Sample]:
        """Write the conversations."""
        samples = []
        world = World(wide=self.wide)
        for seed in range(self.seed, self.seed + self.num_logs):
            turns = []
            for question, answer in log_conversation(seed, 32, 4, world):
                turns.append({"from": "human", "value": question})
                turns.append({"from": "gpt", "value": answer})
            samples.append({"id": f"log-{seed}", "conversations": turns})
        return samples


@checked
class Source:
    """One of five places that training conversations come from."""

    json: str | None = None
    """A file of LLaVA samples, ``.json`` or ``.jsonl``."""
    root: str | None = None
    """Folder of the file's media; the file's own by default."""
    world_videos: WorldVideos | None = None
    """FocusWorld videos."""
    world_pictures: WorldPictures | None = None
    """FocusWorld pictures."""
    world_logs: WorldLogs | None = None
    """Written logs of FocusWorld."""
    fragments: Fragments | None = None
    """Fragments of any videos, with tasks that need no labels (SF2T)."""

    @property
    def _made(self) -> list[WorldVideos | WorldPictures | WorldLogs | Fragments]:
        made = (
            self.world_videos,
            self.world_pictures,
            self.world_logs,
            self.fragments,
        )
        return [one for one in made if one is not None]

    def __post_init__(self) -> None:
        if len(self._made) + (self.json is not None) != 1:
            raise ValueError(
                "data.sources: each must have one of json, world_videos, world_pictures, "
                "world_logs, fragments"
            )
        if self.root is not None and self.json is None:
            raise ValueError("data.sources: root belongs to json; leave it out")

    def samples(self) -> list[Sample | Failure]:
        """Read or write the conversations.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is no list of samples.
        """
        if self.json is not None:
            return list(_read_json(Path(self.json), self.root))
        return list(self._made[0].samples())


@checked
class VideoData:
    """Where conversations come from, and how densely their videos are read."""

    sources: tuple[Source, ...] = ()
    """Their files and generators, one after another."""
    cache: str | None = None
    """Folder in which encoded videos are kept."""
    shares_patches: bool = False
    """Keep all patches there, from which every connector can start, in place of what
    DynFocus makes of them; models with another connector do so anyway."""
    fps: Positive = 1.0
    """Frames a second."""
    max_frames: Count | None = None
    """At most so many frames a video, taken evenly."""
    max_failures: Natural = 0
    """Samples that may turn out unreadable."""

    def __post_init__(self) -> None:
        for source in self.sources:
            most = source.fragments.frames[1] if source.fragments is not None else 0
            if self.max_frames is not None and self.max_frames < most:
                raise ValueError(
                    f"data.max_frames must be at least {most}, the frames of a fragment, "
                    f"got {self.max_frames}; raise it, or lower fragments.frames"
                )


def load_samples(
    sources: Sequence[Source], setting: str = "data.sources"
) -> tuple[list[Sample], list[Failure]]:
    """Collect the samples of all sources, in order, and what was left out of files.

    Args:
        sources: Where they come from.
        setting: Names the sources in an error.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is no list of samples, or there is no sample.
    """
    found = [sample for source in sources for sample in source.samples()]
    samples = [sample for sample in found if isinstance(sample, dict)]
    failures = [sample for sample in found if isinstance(sample, Failure)]
    if not found:
        raise ValueError(f"{setting}: no sample found; name at least one source")
    return samples, failures


def _read_json(path: Path, root: str | None) -> Iterator[Sample | Failure]:
    folder = path.parent if root is None else Path(root)
    for where, raw in read_entries(path):
        try:
            yield check_sample(raw, folder)
        except (ValueError, OSError) as error:
            medium = name_media(raw) if isinstance(raw, dict) else ""
            yield Failure(sample=where, medium=medium, reason=sentence(error))


def read_entries(path: Path) -> list[tuple[str, Any]]:
    """Read the entries of a JSON list, or of a file with one JSON object a line.

    Returns:
        For each entry its id, or the file and its place in it, and what it is; a line
        that is not JSON is given as the error.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not JSON, or no list.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"training data {path} does not exist: make some with 'dynfocus world make', "
            "or import some with 'dynfocus data import'"
        )
    if path.suffix == ".jsonl":
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        lines = enumerate(data.split(b"\n"), 1)
        entries = [(n, _read_line(line)) for n, line in lines if line.strip()]
        return [(_name(entry, f"{path}, line {n}"), entry) for n, entry in entries]
    text = read_text(path)
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ValueError(f"training data {path} is not valid JSON: {error}") from error
    if not isinstance(raw, list):
        raise ValueError(f"training data {path} must be a list of samples")
    return [(_name(e, f"{path}, entry {n}"), e) for n, e in enumerate(raw, 1)]


def _read_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return ValueError(f"not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8")
    except ValueError as error:
        return ValueError(f"not valid JSON: {error}")


def _name(entry: Any, place: str) -> str:
    name = entry.get("id") if isinstance(entry, dict) else None
    return place if name is None else str(name)


def write_samples(samples: Iterable[Sample], target: Path) -> None:
    """Write samples to a file that is there only when it is whole."""
    is_list = target.suffix == ".json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as part, part.open("w", encoding="utf-8") as file:
        for number, sample in enumerate(samples):
            if is_list:
                file.write(",\n" if number else "[\n")
            file.write(to_json(sample))
            file.write("" if is_list else "\n")
        if is_list:
            file.write("\n]\n" if file.tell() else "[]\n")


def world_addresses(
    num_videos: int,
    seconds: Sequence[float],
    seed: int,
    split: Any,
    world: World = NARROW,
) -> list[WorldAddress]:
    """Name FocusWorld videos whose lengths are log-uniform between two bounds."""
    low, high = seconds
    addresses = []
    for number in range(seed, seed + num_videos):
        rng = np.random.default_rng([53, number])
        length = float(round(np.exp(rng.uniform(np.log(low), np.log(high)))))
        addresses.append(
            WorldAddress(split=split, seed=number, seconds=length, world=world)
        )
    return addresses


def load_frames(
    medium: str,
    kind: str,
    *,
    fps: float,
    max_frames: int | None,
    frame_size: int,
    looks: Sequence[Look] = (),
) -> SampledFrames:
    """Read or draw the frames of a video or an image, and those of dense looks at it."""
    fragment = parse_fragment(medium)
    if fragment is not None:
        return fragment.render(fps, frame_size)
    address = parse_address(medium)
    if address is None and kind == "image":
        return read_image(medium)
    source = VideoReader(medium) if address is None else render_address(address, fps)
    frames = read_video(source, fps=fps, max_frames=max_frames, frame_size=frame_size)
    frames.duration = source.duration if address is None else address.seconds
    for look in looks:
        frames = frames.mix(load_look(medium, look, frame_size))
    return frames


def load_look(medium: str, look: Look, frame_size: int) -> SampledFrames:
    """Read or draw the frames of one look at a video."""
    address = parse_address(medium)
    if address is None:
        reader = VideoReader(medium)
        chosen = reader.frame_times[look.choose(reader.frame_times)]
        return reader.sample(times=chosen, size=(frame_size, frame_size))
    middles = (
        look.start + (np.arange(look.num_frames, dtype=np.float64) + 0.5) / look.fps
    )
    return render_address(address, times=middles)
