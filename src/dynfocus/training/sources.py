"""Where training conversations come from: LLaVA JSON files and FocusWorld itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynfocus.atomic import atomic_file
from dynfocus.text import read_text, to_json
from dynfocus.training.nano.language import log_conversation
from dynfocus.world.conversations import (
    WorldAddress,
    parse_address,
    picture_sample,
    video_samples,
)
from dynfocus.world.questions import KINDS

Sample = dict[str, Any]
_MEDIA = ("video", "image")


def load_samples(sources: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """Collect the samples of all sources, in order.

    A source is one of ``{json: FILE, root: FOLDER}``, ``{world_videos: {...}}``,
    ``{world_pictures: {...}}`` and ``{world_logs: {...}}``.

    Raises:
        ValueError: If a source is of another kind, or a sample is malformed.
    """
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        raise ValueError(
            f"data.sources must be a list, such as '- json: data/train.json', got "
            f"{sources!r}"
        )
    samples: list[Sample] = []
    for source in sources:
        kinds = [k for k in _READERS if isinstance(source, Mapping) and k in source]
        if len(kinds) != 1:
            raise ValueError(
                f"data.sources: each must have one of {', '.join(_READERS)}, got {source!r}"
            )
        samples += _READERS[kinds[0]](source)
    if not samples:
        raise ValueError("data.sources: no sample found; name at least one source")
    return samples


def _settings(
    source: Mapping[str, Any], kind: str, needed: set[str], optional: set[str]
) -> dict[str, Any]:
    """Return the settings of a FocusWorld source, all needed ones and no unknown one."""
    given = source[kind]
    if not isinstance(given, Mapping) or not needed <= set(given):
        raise ValueError(
            f"data.sources: {kind} needs the settings {', '.join(sorted(needed))}, "
            f"got {given!r}"
        )
    unknown = sorted(set(given) - needed - optional)
    if unknown:
        raise ValueError(
            f"data.sources: {kind} has no setting {unknown[0]!r}; known are "
            f"{', '.join(sorted(needed | optional))}"
        )
    return dict(given)


def _read_json(source: Mapping[str, Any]) -> list[Sample]:
    path = Path(source["json"])
    root = Path(source.get("root", path.parent))
    entries = read_entries(path)
    for _, raw in entries:
        if isinstance(raw, ValueError):
            raise raw
    return [check_sample(raw, root, where) for where, raw in entries]


def read_entries(path: Path) -> list[tuple[str, Any]]:
    """Read the entries of a JSON list, or of a file with one JSON object a line.

    Returns:
        For each entry where it stands, for messages, and what it is; a line that is not
        JSON is given as the error.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not JSON, or no list.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"training data {path} does not exist: make some with 'dynfocus world make', "
            "or import some with 'dynfocus data import'"
        )
    text = read_text(path)
    try:
        if path.suffix == ".jsonl":
            lines = text.split("\n")
            raw: Any = [
                _read_line(line, path, n)
                for n, line in enumerate(lines, 1)
                if line.strip()
            ]
        else:
            raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"training data {path} is not valid JSON: {error}") from error
    if not isinstance(raw, list):
        raise ValueError(f"training data {path} must be a list of samples")
    return [(f"training data {path}, sample {_name(entry)}", entry) for entry in raw]


def _read_line(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(
            f"training data {path}, line {number} is not valid JSON: {error}"
        )


def _name(entry: Any) -> str:
    return str(entry.get("id", "?")) if isinstance(entry, dict) else "?"


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


def check_sample(sample: Any, root: Path, where: str) -> Sample:
    """Refuse a malformed sample and make its file's path absolute.

    Raises:
        FileNotFoundError: If its video or image is not there.
        ValueError: If something else is wrong with it.
    """
    if not isinstance(sample, dict) or not isinstance(
        sample.get("conversations"), list
    ):
        raise ValueError(f"{where}: 'conversations' must be a list of turns")
    turns = sample["conversations"]
    roles = [t.get("from") if isinstance(t, dict) else None for t in turns]
    if not turns or len(turns) % 2 or roles != ["human", "gpt"] * (len(turns) // 2):
        raise ValueError(
            f"{where}: turns must alternate human, gpt, human, gpt, got {roles}"
        )
    if any(not isinstance(t.get("value"), str) for t in turns):
        raise ValueError(f"{where}: every turn needs a text under 'value'")
    media = [m for m in _MEDIA if m in sample]
    if len(media) > 1:
        raise ValueError(f"{where}: has both a video and an image; give one")
    if any(not isinstance(sample[m], str) for m in media):
        raise ValueError(f"{where}: {media[0]!r} must be a file name")
    return {**sample, **{m: _locate(sample[m], root, where) for m in media}}


def _locate(name: str, root: Path, where: str) -> str:
    """Return where a medium is: an address stays, a file's path becomes absolute."""
    if parse_address(name) is not None:
        return name
    path = root / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{where}: {path} does not exist; set 'root' to the folder of the media"
        )
    return str(path)


def _world_videos(source: Mapping[str, Any]) -> list[Sample]:
    settings = _settings(
        source,
        "world_videos",
        {"num_videos", "seconds"},
        {
            "seed",
            "split",
            "kinds",
            "turns_per_sample",
            "max_per_kind",
            "repeats",
            "near_twins",
        },
    )
    unknown = sorted(set(settings.get("kinds") or ()) - set(KINDS))
    if unknown:
        raise ValueError(
            f"data.sources: world_videos has no kind {unknown[0]!r}; known are "
            f"{', '.join(KINDS)}"
        )
    samples = []
    for address in world_addresses(
        settings.pop("num_videos"),
        settings.pop("seconds"),
        settings.pop("seed", 0),
        settings.pop("split", "train"),
    ):
        kinds = settings.get("kinds")
        samples += video_samples(
            address, **{**settings, "kinds": tuple(kinds) if kinds else None}
        )
    return samples


def world_addresses(
    num_videos: int, seconds: Sequence[float], seed: int, split: Any
) -> list[WorldAddress]:
    """Name FocusWorld videos whose lengths are log-uniform between two bounds."""
    low, high = seconds
    addresses = []
    for number in range(seed, seed + num_videos):
        rng = np.random.default_rng([53, number])
        length = float(round(np.exp(rng.uniform(np.log(low), np.log(high)))))
        addresses.append(WorldAddress(split=split, seed=number, seconds=length))
    return addresses


def _world_pictures(source: Mapping[str, Any]) -> list[Sample]:
    settings = _settings(source, "world_pictures", {"num_pictures"}, {"seed"})
    samples: list[Sample] = []
    number = int(settings.get("seed", 0))
    while len(samples) < settings["num_pictures"]:
        at = float(np.random.default_rng([59, number]).integers(60))
        sample = picture_sample(
            WorldAddress(split="train", seed=number, seconds=60.0, at=at)
        )
        samples += [sample] if sample else []
        number += 1
    return samples


def _world_logs(source: Mapping[str, Any]) -> list[Sample]:
    settings = _settings(source, "world_logs", {"num_logs"}, {"seed"})
    first = int(settings.get("seed", 900_000_000))
    samples = []
    for seed in range(first, first + settings["num_logs"]):
        turns = []
        for question, answer in log_conversation(seed, 32, 4):
            turns.append({"from": "human", "value": question})
            turns.append({"from": "gpt", "value": answer})
        samples.append({"id": f"log-{seed}", "conversations": turns})
    return samples


_READERS = {
    "json": _read_json,
    "world_videos": _world_videos,
    "world_pictures": _world_pictures,
    "world_logs": _world_logs,
}
