"""``dynfocus index``: files, folders, patterns, several processes, what is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dynfocus
from dynfocus.index import IndexStore
from dynfocus.models import VideoModel
from dynfocus.models.feature_backbone import FeatureBackbone


@pytest.fixture(scope="module")
def shipped() -> VideoModel:
    return dynfocus.load("nano", index_folder=False)


@pytest.fixture
def nano(shipped: VideoModel, monkeypatch: pytest.MonkeyPatch) -> VideoModel:
    """Let every model loaded be the shipped one, read once."""

    def load(name, *, index_folder=None, storage=None, **options) -> VideoModel:
        store = None if index_folder is False else IndexStore(index_folder)
        return VideoModel(
            FeatureBackbone(shipped.model, shipped.processor, name, store, storage)
        )

    monkeypatch.setattr(dynfocus, "load", load)
    return shipped


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """Two different videos, a damaged one and something else."""
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(clip, folder / "a.mp4")
    data = clip.read_bytes()
    (folder / "more" / "b.mp4").write_bytes(data + b"\0\0\0\x08free")
    (folder / "bad.mp4").write_bytes(data[:2000])
    (folder / "notes.txt").write_text("no video")
    return folder


def states(document) -> dict[str, str]:
    return {Path(row["file"]).name: row["state"] for row in document["videos"]}


def test_files_folders_and_patterns_are_indexed_once(run, nano, folder, index_folder):
    outcome = run("index", folder / "a.mp4", "videos/more/*.mp4", "--json")
    assert outcome.code == 0
    assert states(outcome.document) == {"a.mp4": "new", "b.mp4": "new"}
    for row in outcome.document["videos"]:
        assert Path(row["entry"]).is_relative_to(index_folder)
        assert Path(row["entry"]).stat().st_size == row["num_bytes"]
        assert row["num_frames"] == 6
    (folder / "bad.mp4").unlink()
    outcome = run("index", folder)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2
    assert outcome.out.splitlines()[0].endswith(f"\t{folder / 'a.mp4'}")
    assert outcome.err_lines[-1].startswith("0 new, 2 done before, 0 failed in ")


def test_what_was_indexed_is_found_by_ask(run, nano, folder):
    run("index", folder / "a.mp4")
    call = ("ask", folder / "a.mp4", "What?", "-m", "nano", "--json")
    found = run(*call)
    assert found.document["from_index"] is True
    assert " for opening its index" in found.err
    plain = run(*call, "--no-index")
    assert plain.document["from_index"] is False
    assert " for reading the video" in plain.err
    for part in ("text", "tokens", "frames"):
        assert found.document[part] == plain.document[part]
    other = run(*call, "--fps", 2)
    assert other.document["from_index"] is False


def test_a_damaged_video_is_named_and_the_others_are_done(run, nano, folder):
    outcome = run("index", folder, "--json")
    assert outcome.code == 1
    assert states(outcome.document) == {
        "a.mp4": "new",
        "bad.mp4": "failed",
        "b.mp4": "new",
    }
    assert "2 new, 0 done before, 1 failed" in outcome.err
    assert outcome.err_lines[-1] == (
        f"dynfocus: {folder / 'bad.mp4'} is not indexed: the file has a video stream "
        "but no frame of it can be decoded."
    )


@pytest.mark.parametrize("storage", ["exact", "compact"])
def test_a_dry_run_tells_the_sizes_and_writes_nothing(
    run, nano, folder, index_folder, storage
):
    words = ("index", folder / "a.mp4", "--storage", storage, "--json")
    told = run(*words, "--dry-run").document
    assert list(index_folder.iterdir()) == []
    (row,) = run(*words).document["videos"]
    assert told["videos"][0]["num_frames"] == row["num_frames"]
    assert 0 < row["num_bytes"] - told["num_bytes"] <= 8192
    outcome = run("index", folder, "--dry-run")
    assert outcome.code == 1
    assert "3 videos, exact storage" in outcome.err
    assert "bad.mp4 cannot be indexed" in outcome.err_lines[-1]


def test_few_frames_are_encoded_where_that_is_asked(run, nano, folder, index_folder):
    words = ("index", folder / "a.mp4", "--max-encoded-frames", 3, "--json")
    assert run(*words, "--dry-run").document["videos"][0]["num_frames"] == 3
    (row,) = run(*words).document["videos"]
    assert (row["state"], row["num_frames"]) == ("new", 3)
    asked = ("ask", folder / "a.mp4", "What letter is on the red square?", "--json")
    answer = run(*asked, "--max-encoded-frames", 3).document
    assert (answer["from_index"], len(answer["frames"])) == (True, 3)
    assert len(run(*asked).document["frames"]) == 6
    assert run(*asked, "--max-encoded-frames", 0).code == 2


def test_an_index_elsewhere_is_listed_cleaned_and_emptied(run, nano, folder):
    run("index", folder / "a.mp4", "--folder", "own")
    outcome = run("index", "--list", "--folder", "own")
    assert f"\t{folder / 'a.mp4'}\t6 frames, nano" in outcome.out
    assert outcome.err.startswith("1 video, 0.1 MB in own")
    document = run("index", "--list", "--folder", "own", "--json").document
    (entry,) = document["entries"]
    assert entry["storage"] == "exact"
    assert entry["num_bytes"] == document["num_bytes"]
    stray = Path(entry["path"]).with_name("stray.safetensors")
    stray.write_text("no index")
    assert "\tnot used: " in run("index", "--list", "--folder", "own").out
    assert run("index", "--clean", "--folder", "own").out == f"{stray}\n"
    document = run("index", "--empty", "--folder", "own", "--json").document
    assert document["removed"] == [entry["path"]]
    assert run("index", "--list").err.startswith("0 videos, 0.0 MB in ")


def test_an_index_that_cannot_be_written_fails(run, nano, folder):
    Path("file").write_text("")
    outcome = run("index", folder / "a.mp4", "--folder", "file/index")
    assert outcome.code == 1
    assert "cannot keep this video" in outcome.err_lines[-1]


def test_videos_that_make_room_for_each_other_are_said(run, nano, folder, monkeypatch):
    monkeypatch.setenv("DYNFOCUS_INDEX_GB", "0.0001")
    outcome = run("index", folder / "a.mp4", folder / "more")
    assert outcome.code == 1
    assert outcome.err_lines[-1].startswith("dynfocus: 1 video of these had to make r")
    assert "DYNFOCUS_INDEX_GB" in outcome.err_lines[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either videos or one of --list, --clean and --empty"),
        (("a.mp4", "--list"), "give either videos or one of"),
        (("--list", "--clean"), "give either videos or one of"),
        (("a.mp4", "--workers", 0), "0 is not a count of 1 or more"),
    ],
)
def test_wrong_calls(run, words, message):
    outcome = run("index", *words)
    assert outcome.code == 2
    assert message in outcome.err


def test_missing_files_and_models_are_one_sentence(run, folder):
    outcome = run("index", "missing.mp4")
    assert (outcome.code, outcome.err_lines) == (
        1,
        ["dynfocus: missing.mp4 is no file and no folder; check the spelling"],
    )
    outcome = run("index", "")  # such as a variable of the shell that is not set
    (line,) = outcome.err_lines
    assert outcome.code == 1
    assert line.startswith("dynfocus: a name is empty; give a file, a folder or")
    outcome = run("index", "ftp://example.org/a.mp4")
    assert (outcome.code, outcome.err_lines) == (
        1,
        [
            "dynfocus: ftp://example.org/a.mp4: addresses of ftp are not read as files, "
            "only those of http and https; 'dynfocus watch' takes streams."
        ],
    )
    outcome = run("index", folder, "--model", "no-model")
    assert outcome.code == 1
    assert "'no-model' is neither 'nano', nor a folder" in outcome.err


def test_a_misspelt_name_does_not_stop_the_others(run, nano, folder):
    outcome = run("index", folder / "a.mp4", "misspelt.mp4", folder / "more", "--json")
    assert outcome.code == 1
    assert states(outcome.document) == {
        "a.mp4": "new",
        "b.mp4": "new",
        "misspelt.mp4": "failed",
    }
    assert outcome.err_lines[-1] == (
        "dynfocus: misspelt.mp4 is not indexed: misspelt.mp4 is no file and no folder; "
        "check the spelling"
    )
    assert run("index", folder / "a.mp4", "no.mp4", "--dry-run").code == 1


def test_several_processes_share_the_work(run, folder):
    outcome = run("index", folder, "--workers", 2, "--json")
    assert outcome.code == 1
    assert states(outcome.document) == {
        "a.mp4": "new",
        "bad.mp4": "failed",
        "b.mp4": "new",
    }
    assert "2 new, 0 done before, 1 failed" in outcome.err


def test_a_run_that_was_killed_continues(run, nano, clip, tmp_path, monkeypatch):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        data = clip.read_bytes() + (9 + number).to_bytes(4, "big") + b"free"
        (folder / f"{number}.mp4").write_bytes(data + bytes(1 + number))

    read = VideoModel.index

    def stop(self, video, **options):
        if Path(video).name == "1.mp4":
            raise KeyboardInterrupt
        return read(self, video, **options)

    with monkeypatch.context() as patch:
        patch.setattr(VideoModel, "index", stop)
        assert run("index", folder).code == 130
    outcome = run("index", folder, "--json")
    assert states(outcome.document) == {"0.mp4": "done", "1.mp4": "new", "2.mp4": "new"}


@pytest.mark.slow
def test_an_interrupt_ends_all_processes(folder, index_folder):
    (folder / "bad.mp4").unlink()
    command = [sys.executable, "-m", "dynfocus", "index", str(folder)]
    process = subprocess.Popen(
        [*command, "--workers", "2"], stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(5)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert b"Traceback" not in err
    assert subprocess.run(command, check=False).returncode == 0
