"""The folder of indexed videos: what is found, what is refused, what is removed."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dynfocus.errors import UnusableEntryWarning
from dynfocus.focus import EventBatch, FocusSettings, VideoFeatures
from dynfocus.index import (
    UNBOUNDED,
    EntryFacts,
    EntryKey,
    IndexLayout,
    IndexStore,
    Sampling,
    default_folder,
    pack_features,
)
from dynfocus.video.digests import ContentDigests

SETTINGS = FocusSettings(
    num_event_tokens=4,
    num_prototypes=3,
    num_spatial_prototypes=(4, 2),
    num_spatial_neighbors=(3, 2),
)
LAYOUT = IndexLayout(settings=SETTINGS, dim=8)
NUM_FRAMES = 5


def key_of(content: str = "c", **changes: object) -> EntryKey:
    parts = {
        "content": content,
        "model": "m",
        "sampling": Sampling(fps=1.0),
        "layout": LAYOUT.name,
    }
    return EntryKey(**(parts | changes))


def make_entry(seed: int = 0) -> tuple[EntryFacts, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    features = VideoFeatures(
        pooled=torch.randn(NUM_FRAMES, 4, 8, generator=generator),
        spatial=torch.randn(NUM_FRAMES, 6, 8, generator=generator),
        pts_seconds=torch.arange(NUM_FRAMES, dtype=torch.float64),
        prototypes=EventBatch(
            features=torch.randn(1, 3, 4, 8, generator=generator),
            frames=torch.tensor([[0, 2, 4]]),
            mask=torch.ones(1, 3, dtype=torch.bool),
            assignment=torch.tensor([[0, 0, 1, 1, 2]]),
        ),
    )
    facts = EntryFacts(
        num_frames=NUM_FRAMES,
        source="clip.mp4",
        duration=5.0,
        picture_size=(9, 16),
        model_name="tiny",
    )
    slots = torch.zeros(NUM_FRAMES, 3072, dtype=torch.uint8)
    tensors = pack_features(features, LAYOUT)
    return facts, tensors | {"pictures": slots}


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "store")


def test_an_entry_is_given_back_and_listed(store):
    facts, tensors = make_entry()
    assert store.open(key_of(), LAYOUT) is None
    path = store.write(key_of(), facts, tensors)
    found_facts, found = store.open(key_of(), LAYOUT)
    assert found_facts == facts
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    (entry,) = store.entries()
    assert (entry.path, entry.facts, entry.storage) == (path, facts, "exact")
    assert entry.num_bytes == path.stat().st_size


@pytest.mark.parametrize(
    "other",
    [
        key_of("another"),
        key_of(model="another"),
        key_of(sampling=Sampling(fps=2.0)),
        key_of(sampling=Sampling(fps=1.0, max_frames=9)),
        key_of(layout="compact-00000000"),
    ],
)
def test_every_part_of_the_key_counts(store, other):
    store.write(key_of(), *make_entry())
    assert store.open(other, LAYOUT) is None
    assert store.open(key_of(), LAYOUT) is not None


def spoil_text(path: Path) -> None:
    path.write_text("This is no index.")


def spoil_length(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def spoil_emptied(path: Path) -> None:
    path.write_bytes(b"")


def spoil_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def spoil_foreign(path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, path)


def spoil_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version":"2"', b'"version":"1"'))


def spoil_facts(path: Path) -> None:
    data = path.read_bytes().replace(b"num_frames", b"num_framez", 1)
    path.write_bytes(data)


def spoil_key(path: Path) -> None:
    other = path.parents[1] / "zz" / path.name
    IndexStore(path.parents[2]).write(key_of("another"), *make_entry())
    written = IndexStore(path.parents[2]).path(key_of("another"))
    assert not other.exists()
    shutil.copy(written, path)
    written.unlink()


def spoil_shape(path: Path) -> None:
    facts, tensors = make_entry()
    tensors["spatial"] = torch.zeros(NUM_FRAMES, 6, 7)
    IndexStore(path.parents[2]).write(key_of(), facts, tensors)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_text, "it is damaged, cut short or of another kind"),
        (spoil_length, "it is damaged, cut short or of another kind"),
        (spoil_emptied, "it is damaged, cut short or of another kind"),
        (spoil_bytes, "the bytes of its tensor .* have changed"),
        (spoil_foreign, "its header names format None"),
        (
            spoil_version,
            "it is of version '1' of the index, and this program reads '2'",
        ),
        (spoil_facts, "its header is not whole"),
        (spoil_key, "it belongs to another video or model"),
        (spoil_shape, "its tensor spatial is .*7.*, expected .*8"),
    ],
)
def test_what_is_no_whole_entry_is_explained_and_replaced(store, spoil, reason):
    path = store.write(key_of(), *make_entry())
    spoil(path)
    with pytest.warns(UnusableEntryWarning, match=f"is not used: {reason}") as caught:
        assert store.open(key_of(), LAYOUT) is None
    assert len(caught) == 1
    assert "the video is read again" in str(caught[0].message)
    store.write(key_of(), *make_entry())
    assert store.open(key_of(), LAYOUT) is not None


def test_a_write_that_was_killed_is_never_used(store, monkeypatch):
    class KilledError(BaseException):
        pass

    def kill(file: int) -> None:
        raise KilledError

    monkeypatch.setattr(os, "fsync", kill)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    with pytest.raises(KilledError):
        store.write(key_of(), *make_entry())
    monkeypatch.undo()
    (part,) = (path for path in store.folder.rglob("*") if path.is_file())
    assert part.name.endswith(".part")
    assert store.open(key_of(), LAYOUT) is None
    assert store.entries() == []
    assert store.clean() == []
    os.utime(part, (time.time() - 90_000,) * 2)
    assert store.clean() == [part]


def _write_often(folder: Path, seed: int) -> None:
    for _ in range(20):
        IndexStore(folder).write(key_of(), *make_entry(seed))


def test_processes_may_write_the_same_entry_at_once(store):
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_write_often, args=(store.folder, 0)) for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    wanted = make_entry()[1]["spatial"]
    while any(writer.is_alive() for writer in writers):
        found = store.open(key_of(), LAYOUT)
        assert found is None or torch.equal(found[1]["spatial"], wanted)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len([path for path in store.folder.rglob("*") if path.is_file()]) == 1


def test_entries_used_longest_ago_make_room(tmp_path, caplog):
    size = sum(tensor.nbytes for tensor in make_entry()[1].values())
    store = IndexStore(tmp_path, max_bytes=3 * size + 9000)
    names = ["a", "b", "c"]
    for age, name in enumerate(names):
        path = store.write(key_of(name), *make_entry())
        os.utime(path, (1000 + age,) * 2)
    store.open(key_of("a"), LAYOUT)  # now the one used last
    with caplog.at_level(logging.INFO, "dynfocus.index.store"):
        store.write(key_of("d"), *make_entry())
    kept = [n for n in [*names, "d"] if store.path(key_of(n)).exists()]
    assert kept == ["a", "c", "d"]
    assert "removed" in caplog.text


def test_an_entry_larger_than_the_store_is_not_kept(tmp_path):
    store = IndexStore(tmp_path, max_bytes=1000)
    with pytest.warns(UnusableEntryWarning, match="of at most 1,000 bytes.*DYNFOCUS_"):
        assert store.write(key_of(), *make_entry()) is None
    with pytest.raises(ValueError, match="max_bytes must be at least 1, got 0"):
        IndexStore(tmp_path, max_bytes=0)


def test_a_folder_that_cannot_be_written_is_complained_of_once(tmp_path):
    (tmp_path / "file").write_text("")
    store = IndexStore(tmp_path / "file" / "store")
    with pytest.warns(UnusableEntryWarning, match="cannot keep this video"):
        assert store.write(key_of("a"), *make_entry()) is None
    assert store.write(key_of("b"), *make_entry()) is None
    assert store.open(key_of("a"), LAYOUT) is None


def test_cleaning_removes_what_is_no_entry_or_everything(store):
    good = store.write(key_of(), *make_entry())
    bad = store.write(key_of("b"), *make_entry())
    bad.write_text("no")
    assert {entry.problem is None for entry in store.entries()} == {True, False}
    assert store.clean() == [bad]
    assert store.clean(everything=True) == [good]
    assert store.entries() == []


def test_the_default_folder_is_asked_for_at_each_use(monkeypatch, tmp_path):
    store = IndexStore()
    monkeypatch.setenv("DYNFOCUS_INDEX", str(tmp_path / "own"))
    assert store.folder == default_folder() == tmp_path / "own"
    monkeypatch.delenv("DYNFOCUS_INDEX")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store.folder == tmp_path / "cache" / "dynfocus" / "index"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.folder == tmp_path / ".cache" / "dynfocus" / "index"

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user without a home
    assert store.folder == Path(tempfile.gettempdir()) / "dynfocus" / "index"


def test_the_default_size_is_asked_for_at_each_use(monkeypatch):
    store = IndexStore()
    assert store.max_bytes == 20e9
    monkeypatch.setenv("DYNFOCUS_INDEX_GB", "0.5")
    assert store.max_bytes == 500_000_000
    for wrong in ("many", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("DYNFOCUS_INDEX_GB", wrong)
        with pytest.raises(ValueError, match=f"gigabytes above 0, got '{wrong}'"):
            store.max_bytes  # noqa: B018 asking is the test


def write_settled(path: Path, data: bytes) -> Path:
    """Write a file as if a minute ago."""
    path.write_bytes(data)
    os.utime(path, (time.time() - 60,) * 2)
    return path


def test_a_digest_is_of_the_content_and_is_remembered(tmp_path, monkeypatch):
    digests = ContentDigests(tmp_path / "digests")
    file = write_settled(tmp_path / "a.mp4", b"one")
    first = digests.of(file)
    assert len(first) == 32
    assert digests.of(shutil.copy(file, tmp_path / "b.mp4")) == first
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)  # it is not read again
        assert digests.of(file) == first
    os.utime(file)
    assert digests.of(file) == first  # touched: read again, the same content
    assert digests.of(write_settled(file, b"two")) != first
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        assert ContentDigests(tmp_path / "digests").of(file) != first


def test_a_file_that_just_changed_is_read_again(tmp_path):
    digests = ContentDigests(tmp_path / "digests")
    file = tmp_path / "a.mp4"
    file.write_bytes(b"one")
    first = digests.of(file)
    status = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digests.of(file) != first


def test_digests_survive_bad_notes_and_folders(tmp_path, monkeypatch):
    file = write_settled(tmp_path / "a.mp4", b"one")
    digests = ContentDigests(tmp_path / "digests")
    first = digests.of(file)
    (note,) = digests.folder.iterdir()
    for text in ("[", "[]", "{}", '{"path": 3}'):
        note.write_text(text)
        assert digests.of(file) == first
        digests = ContentDigests(tmp_path / "digests")
    unwritable = ContentDigests(file / "no")
    assert unwritable.of(file) == first
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        assert unwritable.of(file) == first  # remembered in this process at least
    digests.forget_missing()
    assert note.exists()
    file.unlink()
    digests.forget_missing()
    assert not note.exists()


def test_what_an_earlier_version_left_is_explained_and_cleaned(store, tmp_path):
    """An entry of version 1, as that wrote it, is listed and never opened."""
    tensors = make_entry()[1]
    facts = {
        "num_frames": NUM_FRAMES,
        "source": "/videos/clip.mp4",
        "duration": 5.0,
        "picture_size": [9, 16],
        "model_name": "nano",
        "damage": None,
    }
    key = {
        "content": "c",
        "model": "m",
        "sampling": {"fps": 1.0, "max_frames": None},
        "storage": "exact",
    }
    sums = {name: zlib.crc32(t.numpy().tobytes()) for name, t in tensors.items()}
    old = store.folder / "entries" / "ab" / f"{'ab' * 16}.safetensors"
    old.parent.mkdir(parents=True)
    save_file(
        tensors,
        old,
        metadata={
            "format": "dynfocus-video-index",
            "version": "1",
            "key": json.dumps(key, sort_keys=True),
            "facts": json.dumps(facts),
            "checksums": json.dumps(sums),
        },
    )
    assert store.open(key_of(), LAYOUT) is None
    (entry,) = store.entries()
    assert (entry.facts, entry.storage) == (None, None)
    assert "version '1' of the index" in entry.problem
    assert "'dynfocus index --clean' removes it" in entry.problem
    store.path(key_of()).parent.mkdir()
    shutil.copy(old, store.path(key_of()))
    with pytest.warns(UnusableEntryWarning, match="of version '1' of the index"):
        assert store.open(key_of(), LAYOUT) is None
    assert len(store.clean()) == 2


def test_a_store_without_bounds_removes_nothing(tmp_path, monkeypatch):
    store = IndexStore(tmp_path, max_bytes=UNBOUNDED)
    monkeypatch.setattr(store, "make_room", None)  # nor is it looked through
    assert store.write(key_of(), *make_entry()) is not None
