from __future__ import annotations

import json

import pytest

from downloaded import WHOLE, put_into_cache
from dynfocus.defaults import find_downloaded, missing_parts


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
