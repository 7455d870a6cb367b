"""Loading: only whole models of the right kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import dynfocus
from dynfocus.models import loading
from dynfocus.models.dynfocus import DynFocusConfig, DynFocusForConditionalGeneration


@pytest.fixture
def folder(tmp_path: Path, make_model, make_processor) -> Path:
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    return tmp_path


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_name_that_is_nothing_is_refused():
    with pytest.raises(ValueError, match="'nanno' is neither 'nano', nor a folder"):
        dynfocus.load("nanno")


def test_a_missing_nano_model_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "_ASSETS", tmp_path)
    with pytest.raises(ValueError, match="nano model is not part of this installation"):
        dynfocus.load()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "has no config.json; give a folder"),
        ("model.safetensors", "has no weights"),
        ("processor_config.json", "has no processor_config.json"),
        ("tokenizer.json", "cannot be loaded"),
    ],
)
def test_a_missing_file_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        dynfocus.load(folder)


def test_a_broken_configuration_is_named(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        dynfocus.load(folder)


def test_a_model_of_another_kind_is_refused(folder):
    edit_json(folder / "config.json", model_type="llama")
    with pytest.raises(ValueError, match="type 'llama' are not supported; .*are inte"):
        dynfocus.load(folder)


def test_truncated_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be loaded"):
        dynfocus.load(folder)


def test_weights_that_do_not_fit_are_refused(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "focus_network.cooperative_encoding.key_projector.weight"
    for changed, message in (
        ({k: v for k, v in tensors.items() if k != name}, "1 missing .focus_network"),
        (tensors | {"stray": tensors[name].clone()}, "1 unexpected .stray"),
        (tensors | {name: tensors[name][:3].clone()}, "1 of another shape"),
    ):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(ValueError, match=message):
            dynfocus.load(folder)


def test_a_tokenizer_of_another_model_is_refused(folder, make_processor):
    processor = make_processor()
    processor.tokenizer.add_tokens(["and", "more"])
    processor.save_pretrained(folder)
    with pytest.raises(ValueError, match="has 45 entries, text_config only 43"):
        dynfocus.load(folder)


def test_settings_that_differ_are_refused(folder):
    edit_json(folder / "processor_config.json", focus={"num_prototypes": 9})
    with pytest.raises(ValueError, match="differ in their focus settings"):
        dynfocus.load(folder)


def test_another_placeholder_is_refused(folder):
    edit_json(folder / "config.json", video_token_id=3)
    with pytest.raises(ValueError, match="video_token_id is 3 in"):
        dynfocus.load(folder)


def test_a_small_model_is_read_as_transformers_reads_it():
    source = loading._locate("nano")
    config = DynFocusConfig.from_pretrained(source)
    quick = loading._read_small(source, config)
    # a model that is put around this one must not draw its weights anew
    assert all(weight._is_hf_initialized for weight in quick.parameters())
    slow = DynFocusForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    assert quick is not None
    assert quick.config.to_dict() == slow.config.to_dict()
    assert quick.generation_config.to_dict() == slow.generation_config.to_dict()
    for own, other in (
        (quick.state_dict(), slow.state_dict()),
        (dict(quick.named_buffers()), dict(slow.named_buffers())),
    ):
        assert own.keys() == other.keys()
        assert all(torch.equal(own[name], other[name]) for name in own)
        assert all(own[name].dtype == other[name].dtype for name in own)


def test_a_model_that_was_halved_is_whole_in_single_precision(
    make_model, folder, make_frames
):
    make_model().half().save_pretrained(folder)
    model = dynfocus.load(folder, dtype="float32", index_folder=False)
    weights = model.backbone.model.parameters()
    assert {weight.dtype for weight in weights} == {torch.float32}
    assert model.ask(make_frames(4), "what is red ?", max_new_tokens=2).text
