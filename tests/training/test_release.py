import pytest
import torch

from dynfocus.training import release as release_module
from dynfocus.training.release import release


def test_a_release_is_half_the_size_and_answers_alike(nano_runs, tmp_path):
    import dynfocus

    source = nano_runs["nano-stage2"] / "model"
    target = tmp_path / "nano"
    target.mkdir()
    (target / "README.md").write_text("card")
    size = release(source, target)
    assert (target / "README.md").read_text() == "card"
    assert size < 1.01 * (target / "model.safetensors").stat().st_size
    before, after = dynfocus.load(source), dynfocus.load(target)
    for one, other in zip(
        before.model.state_dict().values(),
        after.model.state_dict().values(),
        strict=True,
    ):
        assert other.dtype == torch.float32
        torch.testing.assert_close(one.half().float(), other, rtol=0, atol=0)


def test_a_model_too_large_to_ship_leaves_nothing(nano_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(release_module, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="more than the 1000 that may be shipped"):
        release(nano_runs["nano-stage2"] / "model", tmp_path / "nano")
    assert not (tmp_path / "nano").exists()
