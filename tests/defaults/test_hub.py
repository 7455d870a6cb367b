from __future__ import annotations

import errno
import json
import socket
import time

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError

from downloaded import WHOLE, put_into_cache
from dynfocus.defaults import (
    DownloadError,
    download,
    download_bytes,
    find_downloaded,
    locate,
    missing_parts,
)

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
    monkeypatch.setattr("dynfocus.defaults.hub.find_downloaded", lambda name: None)
    with pytest.raises(DownloadError, match=message):
        download("owner/model")


def test_a_whole_model_is_found_without_the_hub(hub_cache):
    assert find_downloaded("owner/model") is None
    folder = put_into_cache(hub_cache, "owner/model", WHOLE)
    assert find_downloaded("owner/model") == folder
    assert find_downloaded("owner/other") is None


@pytest.mark.parametrize("name", ["nano", "../owner/model", "a b/c", "", "a/b/c"])
def test_what_is_no_name_on_the_hub_is_not_found(name):
    assert find_downloaded(name) is None


@pytest.mark.parametrize("lost", sorted(WHOLE))
def test_a_model_that_lacks_a_file_is_not_found(hub_cache, lost):
    files = {name: body for name, body in WHOLE.items() if name != lost}
    folder = put_into_cache(hub_cache, "owner/model", files)
    assert find_downloaded("owner/model") is None
    (missing,) = missing_parts(folder)
    assert lost in missing.split(" or ")


def test_every_shard_of_the_weights_is_needed(tmp_path):
    for name in WHOLE:
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "model.safetensors").unlink()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.st"}}))
    (tmp_path / "1.safetensors").write_bytes(b"")
    assert missing_parts(tmp_path) == ("2.st",)
    index.write_text("[]")
    with pytest.raises(ValueError, match="does not list the files of the weights"):
        missing_parts(tmp_path)


def test_a_model_is_located_here_or_fetched(hub, tmp_path):
    hub.files = dict(WHOLE)
    assert locate(tmp_path) == tmp_path
    assert download_bytes("owner/model") == sum(map(len, WHOLE.values()))
    assert locate("owner/model") == find_downloaded("owner/model")
    with pytest.raises(DownloadError, match="no folder owner/nod, and the hub has no"):
        locate("owner/nod")


@pytest.mark.parametrize("name", ["nod", "./no/d", "a/b/c", "no folder", ""])
def test_a_mistyped_folder_never_asks_the_hub(name):
    with pytest.raises(ValueError, match="nor a folder, nor a hub id of the form"):
        locate(name)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_hub_that_does_not_answer_is_one_sentence_soon(hub, monkeypatch, is_there):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if is_there else 9
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr("dynfocus.defaults.hub._ANSWER_SECONDS", 0.3)
        start = time.monotonic()
        with pytest.raises(DownloadError, match="there is no folder owner/model, and "):
            locate("owner/model")
        assert time.monotonic() - start < 3
