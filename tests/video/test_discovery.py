"""Videos by name, by folder and by pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynfocus.video import find_videos


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.mp4", "b.MKV", "notes.txt", ".hidden.mp4", "d/c.webm", "d/e/f.ts"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.mp4").write_bytes(b"")
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given: str | Path) -> list[str]:
    return [path.as_posix() for path in find_videos(given)]


def test_a_file_is_itself_whatever_its_ending(tree):
    assert names("notes.txt", tree / "a.mp4") == ["notes.txt", f"{tree}/a.mp4"]


def test_a_folder_is_searched_for_videos(tree):
    assert names(".") == ["a.mp4", "b.MKV", "d/c.webm", "d/e/f.ts"]
    assert names("d") == ["d/c.webm", "d/e/f.ts"]


def test_patterns_match_files(tree):
    assert names("*.mp4") == ["a.mp4"]
    assert names("**/*.[tw]*") == ["d/c.webm", "d/e/f.ts", "notes.txt"]
    assert names(f"{tree}/d/*.webm") == [f"{tree}/d/c.webm"]
    assert names("d*") == ["d/c.webm", "d/e/f.ts"]


def test_each_file_is_listed_once(tree):
    (tree / "link.mp4").symlink_to("a.mp4")
    assert names("a.mp4", "*.mp4", tree / "a.mp4", "link.mp4") == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.mp4", "missing.mp4 is no file and no folder"),
        ("*.avi", "no file matches .*avi; check the pattern"),
        ("none", r"none holds no video file \(.3gp, .avi"),
    ],
)
def test_names_that_mean_nothing_are_refused(tree, name, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_videos([name])
