"""Files that are whole or not there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dynfocus.atomic import (
    atomic_file,
    atomic_folder,
    check_writable,
    write_atomically,
)
from dynfocus.errors import UnwritableFileError
from dynfocus.text import sentence


def test_checking_leaves_nothing_behind_and_touches_nothing(tmp_path):
    (tmp_path / "r.html").write_text("before")
    check_writable(tmp_path / "r.html")
    check_writable(tmp_path / "new.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "before"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UnwritableFileError, match="it is a folder; name a file"):
        check_writable(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UnwritableFileError, match=r"none does not exist; create it"):
        check_writable(tmp_path / "none" / "r.html")


def test_a_folder_that_refuses_files_is_named(tmp_path, monkeypatch):
    def refuse(self, *, exist_ok=True):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UnwritableFileError, match=r"r.html: Permission denied; name a"):
        check_writable(tmp_path / "r.html")


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    write_atomically(target, b"first")
    real = Path.write_bytes

    def fill_the_disk(self, content):
        real(self, content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_what_stops_the_writer_stops_the_file(tmp_path):
    target = tmp_path / ("n" * 250 + ".mp4")

    def stop() -> None:
        with atomic_file(target) as part:
            part.write_text("half")
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        stop()
    assert list(tmp_path.iterdir()) == []
    with atomic_file(target) as part:
        part.write_text("whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_text_can_always_be_written(tmp_path):
    write_atomically(tmp_path / "r.html", "caf\udce9.mp4")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text == "caf\N{REPLACEMENT CHARACTER}.mp4"


def test_what_is_read_is_not_written_over(tmp_path):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"film")
    (tmp_path / "link").symlink_to(video)
    for name in ("clip.mp4", "link"):
        with pytest.raises(UnwritableFileError, match="that is the file that is read"):
            check_writable(tmp_path / name, read=video)
    check_writable(tmp_path / "clip.html", read=video)


def test_a_pipe_stays_a_pipe_and_gets_the_whole(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, "a page")
    reader.join(10)
    assert got == [b"a page"]
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "page").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "page")
    write_atomically(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page").read_text() == "after"


def test_a_folder_appears_when_all_is_written(tmp_path):
    (tmp_path / ".new.part").mkdir()
    (tmp_path / ".new.part" / "left").write_text("of a run that was killed")
    for place in (tmp_path / "new", tmp_path / "empty"):
        if place.name == "empty":
            place.mkdir()
        with atomic_folder(place) as folder:
            (folder / "a.txt").write_text("a")
            assert not list(tmp_path.glob(f"{place.name}/*"))
        assert [file.name for file in place.iterdir()] == ["a.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(27, "File too large"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
def test_a_full_disk_is_named_with_what_was_to_be_written(writer, error, tmp_path):
    with (
        pytest.raises(OSError, match="No space left") as caught,
        writer(tmp_path / "x"),
    ):
        raise error
    assert sentence(caught.value) == (
        f"{tmp_path / 'x'}: No space left on device; free some space there"
    )
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError, match="k"), atomic_folder(tmp_path / "x"):
        raise KeyError("k")
    assert not list(tmp_path.iterdir())
