from __future__ import annotations

import errno

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError

from downloaded import WHOLE
from dynfocus.defaults import DownloadError, download, find_downloaded

USELESS = {
    "README.md": b"words",
    "pytorch_model.bin": b"the same again",
    "onnx/config.json": b"{}   ",
    "onnx/model.onnx": b"the same again, too",
    "consolidated.safetensors": b"and again",
}


def test_only_what_is_loaded_is_fetched_and_only_once(hub):
    hub.files = WHOLE | USELESS
    done = download("owner/model")
    assert done.is_new
    assert sorted(hub.fetched) == sorted(WHOLE)
    assert {file.name for file in done.folder.iterdir()} == set(WHOLE)
    assert done.num_bytes == sum(map(len, WHOLE.values()))
    assert find_downloaded("owner/model") == done.folder
    hub.name = "gone/away"
    again = download("owner/model")
    assert (again.folder, again.is_new) == (done.folder, False)
    assert len(hub.fetched) == len(WHOLE)


def test_what_came_before_an_interruption_is_kept(hub, monkeypatch):
    hub.files = dict(WHOLE)
    weights = hub.files.pop("model.safetensors")
    with pytest.raises(DownloadError, match="has no model.safetensors or model.safe"):
        download("owner/model")
    assert find_downloaded("owner/model") is None
    hub.files["model.safetensors"] = weights
    hub.commit = "f" * 40
    hub.fetched.clear()
    assert download("owner/model").is_new
    assert hub.fetched == ["model.safetensors"]


def test_a_folder_holds_one_model(hub, tmp_path):
    hub.files = dict(WHOLE)
    done = download("owner/model", folder=tmp_path / "mine")
    assert done.folder == tmp_path / "mine"
    assert done.is_new
    assert find_downloaded("owner/model") is None
    assert not download("owner/model", folder=tmp_path / "mine").is_new
    with pytest.raises(DownloadError, match="mine already holds owner/model; give an"):
        download("owner/other", folder=tmp_path / "mine")
    with pytest.raises(DownloadError, match="already holds other files; give an empty"):
        download("owner/model", folder=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="file is a file; give a folder"):
        download("owner/model", folder=tmp_path / "file")


@pytest.mark.parametrize("name", ["nano", "a/b/c", "a b/c", "", "-a/b", "a/..--b"])
def test_a_wrong_name_is_one_sentence(name):
    with pytest.raises(DownloadError, match="is named owner/name, such as Hugging"):
        download(name)


def test_what_the_hub_refuses_is_one_sentence(hub, tmp_path):
    hub.files = dict(WHOLE)
    with pytest.raises(DownloadError, match="the hub has no model owner/other, or it"):
        download("owner/other")
    hub.refusal = "GatedRepo"
    with pytest.raises(
        DownloadError, match="accepted its terms; do so at https://"
    ) as e:
        download("owner/model", folder=tmp_path / "mine")
    assert isinstance(e.value.__cause__, GatedRepoError)
    hub.refusal = None
    assert download("owner/model", folder=tmp_path / "mine").is_new


def test_without_a_network_nothing_is_half_done(hub, tmp_path, monkeypatch):
    hub.files = dict(WHOLE)
    there = download("owner/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download("owner/model").folder == there.folder
    for folder in (None, tmp_path / "mine"):
        with pytest.raises(DownloadError, match="HF_HUB_OFFLINE forbids to fetch it"):
            download("owner/other", folder=folder)
    assert not (tmp_path / "mine").exists()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="Connection refused.*check the network"):
        download("owner/other")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), "the disk is full before owner/model"),
        (
            PermissionError(13, "Permission denied", "/c"),
            "be written to /c: Permission",
        ),
        (RuntimeError("broken\nlong story"), r"from the hub \(broken\); check the net"),
    ],
)
def test_what_fails_on_this_machine_is_one_sentence(hub, monkeypatch, error, message):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(
        "dynfocus.defaults.downloading.find_downloaded", lambda name: None
    )
    with pytest.raises(DownloadError, match=message):
        download("owner/model")
