import pytest
import torch

from dynfocus.models.loading import load_parts
from dynfocus.training import release as release_module
from dynfocus.training.release import release


def test_a_release_is_half_the_size_and_answers_alike(nano_runs, tmp_path):
    import dynfocus

    source = nano_runs["nano-stage2"] / "model"
    target = tmp_path / "nano"
    target.mkdir()
    (target / "README.md").write_text("card")
    size = release([source], target)
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


def test_of_several_lessons_the_mean_is_released(nano_runs, tmp_path):
    sources = [nano_runs[f"nano-stage{n}"] / "model" for n in (20, 21)]
    release(sources, tmp_path / "nano")
    states = [
        load_parts(folder, device="cpu", dtype=torch.float32)[0].state_dict()
        for folder in (*sources, tmp_path / "nano")
    ]
    changed = 0
    for name, mean in states[2].items():
        expected = (states[0][name] + states[1][name]) / 2
        torch.testing.assert_close(mean, expected.half().float(), rtol=0, atol=0)
        changed += not torch.equal(states[0][name], states[1][name])
    assert changed > 10


def test_models_of_two_courses_are_not_averaged(nano_runs, tmp_path):
    sources = [nano_runs[f"nano-stage{n}"] / "model" for n in (18, 19)]
    with pytest.raises(ValueError, match="stage18/model is another model than"):
        release(sources, tmp_path / "nano")
    with pytest.raises(ValueError, match="at least one folder"):
        release([], tmp_path / "nano")
    assert not (tmp_path / "nano").exists()


def test_a_model_too_large_to_ship_leaves_nothing(nano_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(release_module, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="more than the 1000 that may be shipped"):
        release([nano_runs["nano-stage2"] / "model"], tmp_path / "nano")
    assert not (tmp_path / "nano").exists()
