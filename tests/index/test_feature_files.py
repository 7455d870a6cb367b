"""Video features: checks, files, what an interruption leaves behind."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from dynfocus.focus import TimePrototypes, VideoFeatures
from dynfocus.index import VideoIndex, entries, load_features, save_features


def build_features(num_frames: int = 4, patches: bool = False) -> VideoFeatures:
    generator = torch.Generator().manual_seed(0)
    return VideoFeatures(
        pooled=torch.randn(num_frames, 4, 8, generator=generator),
        spatial=torch.randn(num_frames, 6, 8, generator=generator),
        pts_seconds=torch.arange(num_frames, dtype=torch.float64) / 3,
        patches=torch.randn(num_frames, 17, 8) if patches else None,
    )


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_file_keeps_the_features(tmp_path, patches, dtype):
    features = build_features(patches=patches).to(dtype=dtype)
    path = tmp_path / "a.safetensors"
    save_features(features, path)
    save_features(features, path)
    again = load_features(path)
    for name in ("pooled", "spatial", "pts_seconds", "patches"):
        torch.testing.assert_close(
            getattr(again, name), getattr(features, name), rtol=0, atol=0
        )
    assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]


def with_prototypes(num_frames: int = 4) -> VideoFeatures:
    """Bring along two prototypes and an empty slot."""
    prototypes = TimePrototypes(
        features=torch.randn(1, 3, 4, 8),
        frames=torch.tensor([[0, 2, -1]]),
        mask=torch.tensor([[True, True, False]]),
        assignment=torch.arange(num_frames)[None] % 2,
    )
    return replace(build_features(num_frames), prototypes=prototypes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_file_keeps_the_event_prototypes(tmp_path, dtype):
    features = with_prototypes().to(dtype=dtype)
    path = tmp_path / "a.safetensors"
    save_features(features, path)
    again = load_features(path)
    assert torch.equal(again.pooled, features.pooled)
    for field in fields(TimePrototypes):
        kept = getattr(again.prototypes, field.name)
        written = getattr(features.prototypes, field.name)
        assert kept.dtype == written.dtype
        assert torch.equal(kept, written)
    save_features(replace(features, prototypes=None), path)
    assert load_features(path).prototypes is None


@pytest.mark.parametrize("part", ["features", "frames", "mask", "assignment"])
def test_a_file_with_some_parts_of_the_prototypes_is_refused(tmp_path, part):
    path = tmp_path / "a.safetensors"
    save_features(with_prototypes(), path)
    header = {"format": "dynfocus-video-features", "version": "1"}
    whole = load_file(path)
    some = {name: t for name, t in whole.items() if name != f"prototype_{part}"}
    save_file(some, path, metadata=header)
    with pytest.raises(
        ValueError, match=r"holds only prototype_.* all are needed; ind"
    ):
        load_features(path)
    names = ("pooled", "spatial", "pts_seconds", f"prototype_{part}")
    save_file({name: whole[name] for name in names}, path, metadata=header)
    with pytest.raises(ValueError, match=f"holds only prototype_{part} of prototype_f"):
        load_features(path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_features(build_features(4), path)

    def fail(tensors: object, part: object, metadata: object) -> None:
        part.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(entries, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_features(build_features(5), path)
    assert load_features(path).num_frames == 4
    assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_that_are_not_whole_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="index the video first"):
        load_features(path)
    save_features(build_features(), path)
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is damaged"):
            load_features(path)


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_features(build_features(), path)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(
        ValueError, match="is not a file of video features in version 1"
    ):
        load_features(path)
    header = {"format": "dynfocus-video-features", "version": "1"}
    save_file(tensors | {"stray": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(ValueError, match="'stray'.*expected"):
        load_features(path)
    save_file({"pooled": tensors["pooled"]}, path, metadata=header)
    with pytest.raises(ValueError, match="holds .'pooled'., expected"):
        load_features(path)
    save_file(tensors | {"spatial": torch.zeros(3, 6, 8)}, path, metadata=header)
    with pytest.raises(ValueError, match="one entry a frame .4., got 3; index the"):
        load_features(path)
    save_file(tensors | {"pts_seconds": torch.zeros(4)}, path, metadata=header)
    with pytest.raises(ValueError, match="holds times as torch.float32"):
        load_features(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooled": torch.zeros(4, 8)}, "pooled must have 3 dimensions"),
        ({"spatial": torch.zeros(5, 6, 8)}, "spatial must have one entry a frame"),
        ({"spatial": torch.zeros(4, 6, 9)}, "same width, got 8 and 9"),
        ({"patches": torch.zeros(3, 17, 8)}, "patches must have one entry a frame"),
        (
            {
                "pooled": torch.zeros(0, 4, 8),
                "spatial": torch.zeros(0, 6, 8),
                "pts_seconds": torch.zeros(0),
            },
            "at least one frame",
        ),
    ],
)
def test_features_check_themselves(changes, message):
    features = build_features()
    fields = {name: getattr(features, name) for name in ("pooled", "spatial")}
    with pytest.raises(ValueError, match=message):
        VideoFeatures(**{"pts_seconds": features.pts_seconds, **fields, **changes})


def test_frames_can_be_taken_and_moved():
    features = build_features(5, patches=True)
    some = features.take(torch.tensor([1, 3]))
    assert some.num_frames == 2
    torch.testing.assert_close(some.patches, features.patches[[1, 3]])
    prototypes = TimePrototypes(
        torch.zeros(1, 2, 4, 8),
        torch.tensor([[0, 3]]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 5, dtype=torch.long),
    )
    with_prototypes = VideoFeatures(
        pooled=features.pooled,
        spatial=features.spatial,
        pts_seconds=features.pts_seconds,
        prototypes=prototypes,
    )
    half = with_prototypes.to("cpu", torch.float16)
    assert half.pooled.dtype == half.prototypes.features.dtype == torch.float16
    assert half.prototypes.frames.dtype == torch.int64
    assert half.pts_seconds.dtype == torch.float64


def test_thumbnails_match_their_frames():
    features = build_features(4)
    picture = torch.zeros(3, 5, 6, 3, dtype=torch.uint8).numpy()
    with pytest.raises(ValueError, match="one entry a frame .4., got .3, 5, 6, 3."):
        VideoIndex(
            features=features, source=None, duration=4.0, fps=1.0, thumbnails=picture
        )
