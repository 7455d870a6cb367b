"""Tables 5 to 8 of SlowFocus: every row is trained from one start and asked the same."""

from __future__ import annotations

import pytest
import torch

from dynfocus.cli import main
from dynfocus.conversion import Choices, assemble
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.experiments.plans import Plan
from dynfocus.evaluation.experiments.running import run_variants
from dynfocus.evaluation.experiments.slow_ablations import KINDS, SLOW_EXPERIMENTS
from dynfocus.evaluation.experiments.tables import lay_out, make_document
from dynfocus.focus import SlowFocusSettings
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe
from dynfocus.training.starting import ModelSettings, StageStart, start_model
from dynfocus.world.video import World
from tiny_parts import write_parts

WIDE = World(wide=True)
ROWS = {one.name: one for table in SLOW_EXPERIMENTS.values() for one in table.variants}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Write a tiny SlowFocus as the recipes leave one, after stage 1 and after stage 2."""
    folder = tmp_path_factory.mktemp("nano-slow")
    parts = write_parts(folder, num_layers=2)
    choices = Choices(
        slow=SlowFocusSettings(grid_size=2, num_positions=1000),
        qformer={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
        question_first=True,
        single_turn=True,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        dtype=torch.float32,
        seed=None,
    )
    made = assemble(*parts, choices=choices)
    for stage in ("align", "boundaries"):
        made.model.save_pretrained(folder / stage / "model")
        made.processor.save_pretrained(folder / stage / "model")
    return folder / "boundaries" / "model"


@pytest.fixture(scope="module")
def make_plan(start, tmp_path_factory):
    patches = tmp_path_factory.mktemp("patches")

    def make(**changes):
        fields = {
            "start": str(start),
            "patches": str(patches),
            "num_steps": 2,
            "batch_size": 2,
            "num_training_videos": 2,
            "training_seconds": (8.0, 9.0),
            "max_training_frames": 6,
            "kinds": KINDS,
            "wide": True,
            "sets": (
                WorldBenchmark(
                    name="short",
                    num_videos=1,
                    seconds=(10.0, 11.0),
                    kinds=("needle", "when"),
                    max_per_kind=1,
                    world=WIDE,
                ),
            ),
        }
        return Plan(**(fields | changes))

    return make


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_row_is_trained_two_steps_and_asked(make_plan, tmp_path, name):
    row = ROWS[name]
    records = run_variants((row,), make_plan(), tmp_path, lambda text: None)[name]
    assert {record["kind"] for record in records} >= {"when"}
    assert all("error" not in record for record in records)
    for record in records:
        assert (record["overlap"] is None) == (record["kind"] != "when")
        assert record["tokens"] > 0
        assert ("looks" in record) == (row.num_dense is not None)
    output = tmp_path / f"{name}-seed0-phase1"
    assert output.is_dir() == bool(row.phases)
    if row.phases:
        model, _ = load_parts(output / "model", device="cpu")
        for setting, value in row.options.items():
            assert getattr(model.settings, setting) == value
        recipe = load_recipe(output / "recipe.yaml")
        assert recipe.schedule.num_steps == 2
        assert recipe.look.num_dense == row.num_dense
        assert recipe.data.fps == (row.fps or 1.0)
        assert recipe.data.max_frames == round(6 * recipe.data.fps)


def test_a_table_is_a_page_with_overlaps_beside_the_paper(make_plan, tmp_path):
    table = SLOW_EXPERIMENTS["slow-stages"]
    plan = make_plan()
    untrained = tuple(one for one in table.variants if not one.phases)
    told: list[str] = []
    records = run_variants(untrained, plan, tmp_path, told.append)
    assert not any("training" in line for line in told)
    every = {one.name: records["slow-stage12"] for one in table.variants}
    document = make_document(table, every, plan)
    assert document["reference"] == "slow-base"
    page = "\n".join(lay_out(document).body)
    assert "| mIoU |" in page
    assert "paper: Acc | paper: mIoU |" in page
    assert "Equal in each row but those of other stages: the weights of" in page
    assert "| 53.1 | 66.68 |" in page


def test_other_settings_keep_the_weights_of_the_start(start):
    was, _ = load_parts(start, device="cpu")
    rows = was.focus_network.temporal_table.rows.weight
    own = ModelSettings(slow=SlowFocusSettings(grid_size=1, num_positions=10))
    model, processor = start_model(StageStart(model=str(start)), own)
    assert torch.equal(model.focus_network.temporal_table.rows.weight, rows[::100])
    assert model.settings == processor.settings == own.slow
    kept = was.state_dict()
    for name, tensor in model.state_dict().items():
        assert "temporal_table" in name or torch.equal(tensor, kept[name]), name
    with pytest.raises(ValueError, match="connector and tower are of a DynFocus"):
        ModelSettings(slow=own.slow, connector="llama_vid").check(
            StageStart(model=str(start))
        )


def test_another_start_is_one_sentence(make_plan, tmp_path, start, capsys):
    call = ["eval", "ablation", "slow-table", "--runs", str(tmp_path)]
    assert main([*call, "--out", str(tmp_path)]) == 1
    assert (
        "starts from a SlowFocus after its stage 2, such as recipes/nano-slow leaves in "
        "runs/nano-slow/boundaries/model, got nano, a dynfocus model"
    ) in " ".join(capsys.readouterr().err.split())
    call[2] = "ratio"
    assert main([*call, "--model", str(start)]) == 1
    assert "starts from a DynFocus such as nano, got" in capsys.readouterr().err
    alone = tmp_path / "alone" / "model"
    alone.parent.mkdir()
    alone.symlink_to(start)
    plan = make_plan(start=str(alone))
    with pytest.raises(FileNotFoundError, match="align/model, which is not there"):
        run_variants((ROWS["slow-stage1"],), plan, tmp_path, print)
