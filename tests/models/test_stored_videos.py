"""Asking through the index on disk: the same answers, sooner, and never a stale one."""

from __future__ import annotations

import inspect
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from counted_reads import QUESTION, ask, count_reads

import dynfocus
from dynfocus.errors import UnusableEntryWarning
from dynfocus.focus import FocusSettings
from dynfocus.index import IndexLayout, IndexStore
from dynfocus.models import VideoModel
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.fingerprint import READ_LATER, ModelFingerprint, index_layout
from dynfocus.models.loading import KINDS
from dynfocus.video import DamagedVideoWarning, RemoteFile, UnreachableVideoError
from dynfocus.world import make_video

Build = Callable[..., VideoModel]


@pytest.fixture
def build(make_model, make_processor, index_folder) -> Build:
    """Build a tiny model with an index; `store=None` leaves the index out."""

    def make(seed: int = 0, focus: FocusSettings | None = None, **options):
        options.setdefault("store", IndexStore(index_folder))
        return VideoModel(
            FeatureBackbone(
                make_model(focus, seed=seed), make_processor(focus), "tiny", **options
            )
        )

    return make


def test_an_index_is_found_where_it_is_and_nothing_is_encoded(build, clip):
    model = build()
    assert model.find_index(clip) is None
    assert build(store=None).find_index(clip) is None
    kept = model.index(clip)
    found = model.find_index(clip)
    assert found is not None
    assert (found.entry, found.is_from_disk) == (kept.entry, True)
    assert model.find_index(clip, fps=0.5) is None
    with pytest.raises(ValueError, match="fps"):
        model.find_index(clip, fps=0)


@pytest.mark.parametrize("budget", [None, 36, 14])
def test_exact_answers_are_those_without_an_index(build, clip, budget, monkeypatch):
    plain = ask(build(store=None), clip, max_video_tokens=budget)
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    for _ in range(3):
        assert ask(model, clip, max_video_tokens=budget) == plain
    assert len(reads) == 1
    assert ask(build(storage="exact"), str(clip), max_video_tokens=budget) == plain
    frames = model.score_frames(clip, QUESTION, max_video_tokens=budget)
    assert frames == plain[2]
    chat = model.chat(clip, max_video_tokens=budget).ask(QUESTION, max_new_tokens=5)
    assert (chat.text, chat.tokens, chat.frames) == plain
    assert len(reads) == 1


def test_an_exact_index_gives_fewer_frames_without_reading(build, clip, monkeypatch):
    model = build(storage="exact")
    index = model.index(clip)
    reads = count_reads(model, monkeypatch)
    expected = ask(model, index, max_video_tokens=14)
    assert ask(model, clip, max_video_tokens=14) == expected
    assert len(ask(model, index, max_frames=3)[2]) == 3
    assert reads == []


def test_an_index_from_disk_describes_its_video(build, clip):
    model = build()
    fresh, again = model.index(clip), build().index(clip)
    assert (fresh.is_from_disk, again.is_from_disk) == (False, True)
    assert again.source == str(clip)
    assert (again.duration, again.fps) == (fresh.duration, fresh.fps)
    assert again.thumbnails.shape == fresh.thumbnails.shape == (6, 14, 28, 3)
    assert (again.thumbnails[2] == fresh.thumbnails[2]).all()
    for name in ("pooled", "spatial", "pts_seconds"):
        assert torch.equal(getattr(again.features, name), getattr(fresh.features, name))


def test_compact_answers_are_the_same_first_and_later(build, clip, monkeypatch):
    plain = ask(build(store=None), clip)
    model = build(storage="compact")
    reads = count_reads(model, monkeypatch)
    first = ask(model, clip)
    assert [frame.time for frame in first[2]] == [frame.time for frame in plain[2]]
    assert ask(model, clip) == first
    assert ask(build(storage="compact"), clip) == first
    assert reads == [6]
    index = model.index(clip)
    assert index.is_from_disk
    assert index.features.pooled is None


def test_an_entry_of_the_other_storage_is_used_unless_one_is_asked_for(
    build, clip, monkeypatch
):
    compact = ask(build(storage="compact"), clip)
    model = build()
    assert model.store.entries()[0].storage == "compact"
    reads = count_reads(model, monkeypatch)
    assert ask(model, clip) == compact
    assert reads == []
    asked = build(storage="exact")
    reads = count_reads(asked, monkeypatch)
    assert ask(asked, clip) == ask(build(store=None), clip)
    assert reads == [6]


def test_a_budget_needs_no_second_reading(build, clip, monkeypatch):
    model = build(storage="compact")
    reads = count_reads(model, monkeypatch)
    index = model.index(clip)
    thin = ask(model, index, max_video_tokens=14)
    assert len(thin[2]) < 6
    assert ask(model, clip, max_video_tokens=14) == thin
    assert ask(build(storage="compact"), clip, max_video_tokens=14) == thin
    assert len(ask(model, index.features, max_frames=2)[2]) == 2
    plain = ask(build(store=None), clip, max_video_tokens=14)
    assert [frame.time for frame in thin[2]] == [frame.time for frame in plain[2]]
    clip.unlink()
    assert ask(model, index, max_video_tokens=14) == thin
    assert reads == [6]


def test_touching_copying_and_renaming_keep_the_entry(build, clip, monkeypatch):
    model = build()
    reads = count_reads(model, monkeypatch)
    expected = ask(model, clip)
    os.utime(clip, (time.time() - 500,) * 2)
    assert ask(model, clip) == expected
    copied = shutil.copy(clip, clip.with_name("copy of it.mp4"))
    assert ask(model, copied) == expected
    assert model.index(copied).source == str(copied)
    assert ask(model, clip.rename(clip.with_name("renamed.mkv"))) == expected
    assert len(reads) == 1


def test_another_content_sampling_or_model_is_another_entry(build, clip, monkeypatch):
    model = build()
    reads = count_reads(model, monkeypatch)
    ask(model, clip)
    ask(model, clip, fps=2.0)
    ask(model, clip, max_frames=3)
    assert reads == [6, 12, 3]
    other = build(seed=1)
    other_reads = count_reads(other, monkeypatch)
    assert ask(other, clip) == ask(build(seed=1, store=None), clip)
    assert other_reads == [6]
    make_video(clip, 5, seed=2, size=112)
    assert len(ask(model, clip)[2]) == 5
    assert reads == [6, 12, 3, 5]


def test_weights_changed_in_place_are_another_model(build, clip, monkeypatch):
    model = build()
    reads = count_reads(model, monkeypatch)
    ask(model, clip)
    with torch.no_grad():
        next(model.model.text_encoder.parameters()).add_(1)
        ask(model, clip)  # the question's side has no part in it
        next(model.model.vision_tower.parameters()).add_(1)
    ask(model, clip)
    assert reads == [6, 6]


def test_a_damaged_entry_is_explained_and_replaced(build, clip, monkeypatch):
    model = build()
    expected = ask(model, clip)
    (entry,) = model.store.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-9])
    reads = count_reads(model, monkeypatch)
    with pytest.warns(UnusableEntryWarning, match="cut short.*the video is read again"):
        assert ask(model, clip) == expected
    assert ask(model, clip) == expected
    assert reads == [6]


def test_a_folder_that_cannot_be_written_changes_no_answer(build, clip, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = IndexStore(tmp_path / "file")
    for storage in ("exact", "compact"):
        expected = ask(build(storage=storage), clip)
        model = build(store=blocked, storage=storage)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert ask(model, clip) == expected
            assert ask(model, clip) == expected
        assert len(caught) <= 1


def test_what_is_missing_of_a_damaged_video_is_said_each_time(build, clip):
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    clip.write_bytes(data)
    model, messages = build(), []
    for _ in range(2):
        with pytest.warns(DamagedVideoWarning) as caught:
            ask(model, clip)
        messages.append(str(caught[0].message))
    assert messages[0] == messages[1]


def test_frames_and_missing_files_leave_the_index_alone(build, make_frames, tmp_path):
    model = build()
    ask(model, make_frames(4))
    with pytest.raises(FileNotFoundError):
        ask(model, tmp_path / "missing.mp4")
    assert list(model.store.folder.iterdir()) == []


def test_a_model_that_reads_patches_keeps_them(make_model, make_processor, clip):
    plain = make_model(text_side="frame_queries")
    layout = index_layout(plain.config, torch.float32)
    assert layout.num_patch_tokens == 17
    outcomes = []
    for store in (None, IndexStore(), IndexStore()):
        model = VideoModel(
            FeatureBackbone(plain, make_processor(), "tiny", store, "exact")
        )
        outcomes.append(ask(model, clip))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    compact = VideoModel(
        FeatureBackbone(plain, make_processor(), "tiny", IndexStore(), "compact")
    )
    assert ask(compact, clip) == ask(compact, clip)
    assert compact.index(clip).features.patches.shape == (6, 17, 32)


def test_whoever_adds_an_argument_says_whether_encoding_reads_it():
    """Every other argument decides the fingerprint; these are meant to."""
    names = set()
    kinds = KINDS.values()
    for made in (one for kind in kinds for one in (kind[0], kind[2])):
        names |= inspect.signature(made.__init__).parameters.keys() - {"self", "kwargs"}
    assert names >= READ_LATER
    assert names - READ_LATER == {
        "frame_size",
        "image_mean",
        "image_std",
        "text_side",
        "tower_method",
        "tower_options",
        "vision_config",
    }


def test_a_fingerprint_names_what_the_features_depend_on(make_model, make_processor):
    def name(model, processor=None):
        return ModelFingerprint(model, processor or make_processor())()

    first = name(make_model())
    assert name(make_model()) == first
    assert name(make_model().to(torch.bfloat16)) != first
    assert name(make_model(), make_processor(image_mean=(0.1, 0.2, 0.3))) != first
    settings = make_model().settings.to_dict()
    for change, is_other in (
        ({"num_prototypes": 4}, True),
        ({"event_merge": "uniform"}, True),
        ({"selection_ratio": 0.5}, False),
        ({"noise_sigma": 0.3}, False),
    ):
        focus = FocusSettings.from_dict(settings | change)
        model = make_model(focus)
        model.vision_tower.load_state_dict(make_model().vision_tower.state_dict())
        assert (name(model, make_processor(focus)) != first) == is_other


def test_the_shipped_model_answers_the_same_from_both_storages(tmp_path):
    made = make_video(tmp_path / "clip.mp4", 20, seed=4)
    plain = dynfocus.load("nano", index_folder=False)
    assert plain.store is None
    layout = index_layout(plain.model.config, torch.float32)
    assert layout.offered()[0].storage == "exact"
    assert layout == IndexLayout(settings=plain.model.settings, dim=160)
    compact = VideoModel(
        FeatureBackbone(plain.model, plain.processor, "nano", IndexStore(), "compact")
    )
    exact = VideoModel(
        FeatureBackbone(plain.model, plain.processor, "nano", IndexStore())
    )
    for question in made.questions[:6]:
        expected = plain.ask(made.path, question.question)
        found = exact.ask(made.path, question.question)
        assert (found.text, found.frames) == (expected.text, expected.frames)
        near = compact.ask(made.path, question.question)
        assert near.text == expected.text
        scores = [frame.score for frame in expected.frames]
        assert [frame.score for frame in near.frames] == pytest.approx(scores, abs=0.05)


def test_loading_chooses_the_folder(tmp_path, index_folder):
    own = dynfocus.load("nano", index_folder=tmp_path / "own")
    assert own.store.folder == tmp_path / "own"
    assert dynfocus.load("nano").store.folder == Path(index_folder)
    with pytest.raises(ValueError, match="storage must be one of 'exact' or 'compact'"):
        dynfocus.load("nano", storage="tiny")


def test_a_file_at_an_address_is_kept_by_the_version_that_its_server_names(
    build, clip, web, monkeypatch
):
    address = web.put("clip.mp4", clip)
    plain = ask(build(store=None), clip)
    model = build(storage="exact")
    reads = count_reads(model, monkeypatch)
    first = model.index(f"{address}?sig=s3cret")
    assert ask(model, address) == plain
    num_requests = len(web.requests)
    assert ask(model, Path(address)) == plain
    assert len(web.requests) == num_requests + 1  # whether it is the same version
    assert len(reads) == 2
    assert (str(first.source), first.is_from_disk) == (f"{address}?...", False)
    notes = [entry.facts.source for entry in model.store.entries()]
    assert sorted(notes) == [address, f"{address}?..."]
    web.page("clip.mp4").headers = {"ETag": '"v2"'}
    assert ask(model, address) == plain
    assert len(reads) == 3


def test_a_remote_file_that_changes_meanwhile_is_neither_answered_nor_kept(
    build, clip, web, monkeypatch
):
    web.put("clip.mp4", clip)
    monkeypatch.setattr("dynfocus.video.remote._BLOCK_BYTES", 1024)
    model = build(storage="exact")
    file = RemoteFile(web.address("clip.mp4"))
    assert file.identity is not None
    web.page("clip.mp4").headers = {"ETag": '"v2"'}
    with pytest.raises(UnreachableVideoError, match="changed while it was read"):
        model.index(file)
    assert not model.store.entries()


def test_a_remote_file_without_a_version_is_answered_and_not_kept(build, clip, web):
    address = web.put("clip.mp4", clip, headers={"Last-Modified": ""})
    model = build(storage="exact")
    with pytest.warns(UnusableEntryWarning, match="neither ETag nor Last-Modified"):
        answer = ask(model, address)
    assert answer == ask(build(store=None), clip)
    assert not model.store.entries()


def test_a_remote_file_that_comes_whole_is_the_file_on_disk(build, clip, web):
    address = web.put("clip.mp4", clip, has_parts=False, headers={})
    model = build(storage="exact")
    assert not model.index(clip).is_from_disk
    assert model.index(address).is_from_disk
