"""Positions with gaps: short samples that are as long as long ones."""

import numpy as np
import pytest
import torch

from dynfocus.training import load_recipe
from dynfocus.training.connectors import make_connector_job
from dynfocus.training.dataset import Layout
from dynfocus.training.positions import spread_positions


def test_positions_rise_from_zero_and_stay_below_the_limit():
    rng = np.random.default_rng(0)
    ends = []
    for _ in range(200):
        places = spread_positions(50, 400, rng)
        steps = places.diff()
        assert places[0] == 0
        assert steps.min() >= 1
        assert 0 <= (steps > 1).sum() <= 8
        assert places[-1] < 400
        ends.append(int(places[-1]))
    assert min(ends) < 80
    assert max(ends) > 380


@pytest.mark.parametrize(("length", "limit"), [(0, 9), (1, 9), (9, 9), (12, 9)])
def test_what_has_no_room_has_no_gap(length, limit):
    places = spread_positions(length, limit, np.random.default_rng(0))
    assert places.tolist() == list(range(length))


def test_packed_rows_and_gaps_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        Layout(packed_tokens=100, spread_positions=100)


@pytest.fixture
def job(make_tiny, write_recipe, tmp_path):
    model, processor = make_tiny()
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    source = {"num_videos": 2, "seconds": [5, 8], "turns_per_sample": 1}

    def make(**data):
        path = write_recipe(
            task="connector",
            start={"model": str(tmp_path / "start")},
            model={"connector": "llava_onevision"},
            data={"cache": str(tmp_path / "patches"), **data}
            | {"sources": [{"world_videos": source}]},
        )
        return make_connector_job(load_recipe(path))

    return make


def test_a_sample_has_the_same_gaps_every_time(job):
    dataset = job(spread_positions=500).dataset
    places = [dataset[number]["position_ids"] for number in (0, 1, 0)]
    assert torch.equal(places[0], places[2])
    assert len(places[0]) == len(dataset[0]["input_ids"])
    assert places[0].max() > len(places[0]) or places[1].max() > len(places[1])


def test_the_language_model_sees_across_a_gap(job):
    made = job(spread_positions=500)
    model = made.model.eval()
    batch = made.collator([made.dataset[0]])
    del batch["facts"]
    assert (batch["position_ids"].diff() > 1).any()
    with torch.no_grad():
        before = model(**batch).logits[0, -1]
        batch["video_features"] = [
            type(video)(
                patches=video.patches.flip(0) * 2, pts_seconds=video.pts_seconds
            )
            for video in batch["video_features"]
        ]
        after = model(**batch).logits[0, -1]
    assert not torch.allclose(before, after, atol=1e-4)


def test_gaps_change_what_is_predicted(job):
    plain, spread = job(), job(spread_positions=500)
    batches = [made.collator([made.dataset[0]]) for made in (plain, spread)]
    for batch in batches:
        del batch["facts"]
    assert "position_ids" not in batches[0]
    with torch.no_grad():
        logits = [
            made.model.eval()(**batch).logits
            for made, batch in zip((plain, spread), batches, strict=True)
        ]
    assert not torch.allclose(*logits, atol=1e-4)
