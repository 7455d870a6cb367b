"""The frozen half, encoded once: keys, contents, what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.sources import load_frames
from dynfocus.video import VideoReader
from dynfocus.world import make_video

VIDEO = "focusworld:train/3?seconds=9"
PICTURE = "focusworld:train/4?seconds=60&at=12"
SAMPLES = [{"video": VIDEO}, {"image": PICTURE}, {"video": VIDEO}, {}]


@pytest.fixture
def encoded(monkeypatch):
    """Count the videos that the model encodes."""
    from dynfocus.models.dynfocus import DynFocusForConditionalGeneration as Model

    seen: list[int] = []
    real = Model.encode_video

    def encode(self, pixel_values, *arguments, **settings):
        seen.append(len(pixel_values))
        return real(self, pixel_values, *arguments, **settings)

    monkeypatch.setattr(Model, "encode_video", encode)
    return seen


def test_each_medium_is_encoded_once(make_tiny, tmp_path, encoded):
    cache = EncodedVideos(tmp_path / "new" / "c", *make_tiny())
    cache.fill(SAMPLES)
    assert sorted(encoded) == [1, 9]
    cache.fill(SAMPLES)
    EncodedVideos(tmp_path / "new" / "c", *make_tiny()).fill(SAMPLES)
    assert sorted(encoded) == [1, 9]
    entries = {entry.path for entry in cache.store.entries()}
    assert entries == {cache.store.path(cache.key(m)) for m in (VIDEO, PICTURE)}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == entries
    assert [cache.num_frames(medium) for medium in (VIDEO, PICTURE)] == [9, 1]


def test_what_was_stopped_is_done_later(make_tiny, tmp_path, monkeypatch, encoded):
    cache = EncodedVideos(tmp_path, *make_tiny())
    cache.fill(SAMPLES[:1])
    assert encoded == [9]
    cache.fill(SAMPLES)
    assert encoded == [9, 1]


@pytest.mark.parametrize("medium", [VIDEO, PICTURE])
def test_what_is_kept_is_what_the_model_gives(make_tiny, tmp_path, medium):
    model, processor = make_tiny()
    cache = EncodedVideos(tmp_path, model, processor)
    cache.fill(SAMPLES)
    frames = load_frames(medium, "video", fps=1.0, max_frames=None, frame_size=112)
    expected = model.encode_video(
        processor.pixel_values(frames.frames), torch.from_numpy(frames.times)
    )
    kept = cache.load(medium)
    assert kept.pooled.dtype == torch.float32
    assert torch.equal(kept.pts_seconds, expected.pts_seconds)
    for name in ("pooled", "spatial"):
        torch.testing.assert_close(
            getattr(kept, name), getattr(expected, name), rtol=1e-3, atol=1e-3
        )
    assert kept.patches is None
    assert expected.prototypes is not None
    torch.testing.assert_close(
        kept.prototypes.features, expected.prototypes.features, rtol=1e-3, atol=1e-3
    )
    for name in ("frames", "mask", "assignment"):
        kept_part = getattr(kept.prototypes, name)
        assert torch.equal(kept_part, getattr(expected.prototypes, name))


def test_a_run_of_less_precision_encodes_in_it(make_tiny, tmp_path):
    exact, rounded = (
        EncodedVideos(tmp_path, *make_tiny(), precision=precision)
        for precision in ("float32", "bfloat16")
    )
    for cache in (exact, rounded):
        cache.fill(SAMPLES[1:2])
    one, other = exact.load(PICTURE).pooled, rounded.load(PICTURE).pooled
    assert not torch.equal(one, other)
    torch.testing.assert_close(
        one, other, rtol=0.05, atol=0.05 * float(one.abs().max())
    )


def test_the_key_changes_with_whatever_changes_the_features(make_tiny, tmp_path):
    model, processor = make_tiny()

    def key(model=model, processor=processor, **settings):
        return EncodedVideos(tmp_path, model, processor, **settings).key(VIDEO)

    keys = [key(), key(fps=2.0), key(max_frames=4), key(precision="bfloat16")]
    for changes in (
        {"num_prototypes": 5},
        {"num_event_tokens": 16},
        {"num_temporal_neighbors": 3},
        {"temporal_clustering": "kmeans"},
        {"event_merge": "uniform"},
        {"num_spatial_prototypes": [5, 2]},
        {"num_spatial_neighbors": [4, 2]},
        {"spatial_merge": "uniform"},
    ):
        keys.append(key(*make_tiny(**changes)))
    other, changed = make_tiny()
    with torch.no_grad():
        other.vision_tower.embeddings.class_embedding[0, 0, 0] += 1e-3
    changed.image_mean = [0.4, 0.5, 0.5]
    keys += [key(other), key(processor=changed)]
    cache = EncodedVideos(tmp_path, model, processor)
    keys.append(cache.key(VIDEO.replace("3", "4")))
    assert len(set(keys)) == len(keys)


def test_the_key_stays_when_only_what_learns_changes(make_tiny, tmp_path):
    model, processor = make_tiny(0)
    one = EncodedVideos(tmp_path, model, processor).key(VIDEO)
    other, _ = make_tiny(7, selection_ratio=1.0)
    assert EncodedVideos(tmp_path, other, processor).key(VIDEO) == one


def test_a_file_that_changed_is_encoded_anew(make_tiny, tmp_path, encoded):
    picture = tmp_path / "a.png"
    Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(picture)
    cache = EncodedVideos(tmp_path / "c", *make_tiny())
    sample = {"image": str(picture)}
    cache.fill([sample])
    cache.fill([sample])
    assert encoded == [1]
    os.utime(picture)  # touched alone
    cache.fill([sample])
    assert encoded == [1]
    Image.fromarray(np.full((50, 70, 3), 91, np.uint8)).save(picture)
    cache.fill([sample])
    assert encoded == [1, 1]
    assert cache.load(str(picture)).num_frames == 1


def test_what_could_not_be_encoded_fails_when_it_is_asked_for(make_tiny, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    medium = str(tmp_path / "a.png")
    cache = EncodedVideos(tmp_path / "c", *make_tiny())
    cache.fill([{"image": medium}, {"image": str(tmp_path / "missing.png")}])
    for ask in (cache.load, cache.num_frames):
        with pytest.raises(
            FileNotFoundError, match="could not be encoded; 'dynfocus d"
        ):
            ask(medium)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="data.cache: .* is a file; name a folder"):
        EncodedVideos(tmp_path / "file", *make_tiny())


def test_patches_go_by_the_tower_alone(make_tiny, tmp_path):
    def key(*parts):
        return EncodedVideos(tmp_path, *parts, storage="patches").key(VIDEO)

    model, processor = make_tiny()
    first = key(model, processor)
    assert key(*make_tiny(num_prototypes=5)) == first
    assert EncodedVideos(tmp_path, model, processor).key(VIDEO) != first
    processor.image_std = [0.3, 0.5, 0.5]
    assert key(model, processor) != first


def test_videos_are_read_from_files(make_tiny, tmp_path):
    video = make_video(tmp_path / "a.mp4", 6.0, 1, size=112, fps=4)
    cache = EncodedVideos(tmp_path / "c", *make_tiny(), fps=2.0, max_frames=7)
    cache.fill([{"video": str(video.path)}])
    kept = cache.load(str(video.path))
    expected = VideoReader(video.path).sample(fps=2.0, max_frames=7).times
    assert kept.pts_seconds.tolist() == expected.tolist()


def test_the_limit_of_frames_holds_for_focusworld_too():
    frames = load_frames(VIDEO, "video", fps=2.0, max_frames=5, frame_size=112)
    assert frames.frames.shape == (5, 112, 112, 3)
    assert len(frames.times) == 5
    whole = load_frames(VIDEO, "video", fps=2.0, max_frames=None, frame_size=112)
    assert len(whole.times) == 18
    assert set(frames.times) <= set(whole.times)


def test_an_encoder_that_learns_is_refused(make_tiny, tmp_path):
    model, processor = make_tiny(spatial_gate=True)
    with pytest.raises(ValueError, match="needs a frozen encoder: .*spatial_gate"):
        EncodedVideos(tmp_path / "c", model, processor)
    model, processor = make_tiny()
    model.config.text_side = "frame_queries"
    with pytest.raises(ValueError, match=r"text_side 'frame_queries' train it"):
        EncodedVideos(tmp_path / "c", model, processor)
    assert not (tmp_path / "c").exists()
