"""Experiments as documents and pages: what is averaged, compared and said of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dynfocus.cli import experiments as command
from dynfocus.evaluation import write_page
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.experiments.ablations import ABLATIONS, EXPERIMENTS
from dynfocus.evaluation.experiments.plans import Experiment, Plan, Variant
from dynfocus.evaluation.experiments.tables import (
    agreement,
    describe,
    evidence_recall,
    make_document,
)
from dynfocus.focus import FocusSettings
from dynfocus.methods import ConnectorSizes, build_network

EXPERIMENT = Experiment(
    name="tiny",
    title="A tiny table",
    source="nowhere",
    paper_columns=("QA",),
    variants=(
        Variant(name="base", label="DynFocus", x=4, paper=(2.0,)),
        Variant(name="fewer", label="L = 2", x=2, paper=(1.0,)),
    ),
    expects="more is better",
)
PLAN = Plan(
    kinds=("needle", "count"),
    sets=(WorldBenchmark(name="short", num_videos=20, seconds=(8.0, 9.0)),),
)


def answers(share, num_videos=20, kinds=("needle", "count"), seed=0, title="short"):
    """Answer one question of each kind about each video, the first ``share`` right."""
    return [
        {
            "set": title,
            "training_seed": seed,
            "video": video,
            "kind": kind,
            "question": f"{kind} of {video}?",
            "truth": "2",
            "right": video < share * num_videos,
            "tokens": 20,
            "seconds": 0.5,
            "prepare_seconds": 1.0,
            "evidence_seen": None,
            "fine_share": 0.0,
        }
        for video in range(num_videos)
        for kind in kinds
    ]


def document_of(base, fewer, experiment=EXPERIMENT, plan=PLAN):
    return make_document(experiment, {"base": base, "fewer": fewer}, plan)


def test_the_direction_agrees_only_where_the_interval_over_videos_allows():
    clear = document_of(answers(1.0), answers(0.5))
    assert clear["order"] == {"same": 1, "opposite": 0, "undecided": 0}
    assert agreement(clear).endswith("The direction agrees.")
    against = document_of(answers(0.5), answers(1.0))
    assert agreement(against).endswith("The direction does not agree.")
    close = document_of(answers(0.55), answers(0.5))  # one video of twenty
    assert close["order"] == {"same": 0, "opposite": 0, "undecided": 1}
    assert agreement(close).endswith("The direction is undecided.")


def test_few_videos_decide_nothing():
    found = document_of(answers(1.0, 4), answers(0.0, 4))
    assert agreement(found).endswith("The direction is undecided.")
    assert found["variants"]["fewer"]["results"]["short"]["difference"] == {
        "value": -100.0,
        "low": None,
        "high": None,
    }


def test_without_figures_of_the_paper_the_highest_row_is_named():
    variants = tuple(replace(v, paper=()) for v in EXPERIMENT.variants)
    experiment = replace(EXPERIMENT, variants=variants)
    clear = document_of(answers(1.0), answers(0.5), experiment)
    assert agreement(clear).endswith("Highest mean here: DynFocus: short.")
    close = document_of(answers(0.5), answers(0.55), experiment)
    assert agreement(close).endswith("Highest mean here: L = 2: short (undecided).")


def test_the_mean_is_over_kinds_and_the_spread_over_seeds():
    few = answers(0.5, kinds=("needle",)) * 3 + answers(1.0, kinds=("count",))
    other = [{**record, "training_seed": 1, "right": True} for record in few]
    found = document_of(few + other, few + other)["variants"]["base"]
    result = found["results"]["short"]
    assert result["kinds"]["needle"]["value"] == 75
    assert result["mean"]["value"] == pytest.approx((75 + 100) / 2)
    assert result["spread"] == pytest.approx(12.5 * 2**0.5)


def test_recall_counts_questions_with_evidence_alone():
    seen = {"evidence_seen": True, "fine_share": 0.1}
    missed = {"evidence_seen": False, "fine_share": 0.3}
    unknown = {"evidence_seen": None, "fine_share": 0.0}
    assert evidence_recall([seen, missed, unknown]) == pytest.approx((50, 20))
    assert evidence_recall([unknown]) is None


@pytest.mark.parametrize("axis", ["", "prototypes"])
def test_a_table_a_picture_and_what_made_them_are_written(tmp_path, axis):
    experiment = replace(EXPERIMENT, axis=axis)
    found = document_of(answers(1.0), answers(0.5), experiment)
    page = write_page(tmp_path, "tiny", found, command="dynfocus x", commit="c" * 40)
    text = page.read_text()
    assert "`dynfocus x`, commit cccccccccccc" in text
    assert (
        "| DynFocus | 20 | 100.0 | 100.0 | 100.0 (83.9 to 100.0) | - | 0.50 | 1.50 | - | 2 |"
        in text
    )
    assert "| L = 2 | 20 | 50.0 | 50.0 | 50.0 (" in text
    assert "): worse | 0.50 |" in text
    assert "| best constant answer | 0 | 100.0 | 100.0 |" in text
    document = json.loads((tmp_path / "tiny.json").read_text())
    assert document["variants"]["base"]["results"]["short"]["video_tokens"] == 20
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")


def test_budgets_share_a_panel_of_their_length(tmp_path):
    fitted = replace(PLAN.sets[0], max_video_tokens=10)
    plan = replace(PLAN, sets=(*PLAN.sets, fitted))
    base = answers(1.0) + answers(0.9, title=fitted.title)
    found = document_of(base, base, plan=plan)
    page = write_page(tmp_path, "tiny", found, command="x", commit="c")
    assert "| short, at most 10 tokens | tokens |" in page.read_text()


def test_rows_that_were_taught_more_are_named():
    taught = Variant(name="fewer", label="taught", options={"scores": "start"})
    experiment = replace(EXPERIMENT, variants=(EXPERIMENT.variants[0], taught))
    said = describe(document_of(answers(1.0), answers(1.0), experiment))
    assert "taught with the times of the evidence: taught. No other row was." in said
    plain = describe(document_of(answers(1.0), answers(1.0)))
    assert "Begun with a score network" not in plain
    assert "Told which frames" not in plain
    assert "a row inherits the start's projectors" in plain
    oracle = Variant(name="fewer", label="oracle", shown="evidence")
    experiment = replace(EXPERIMENT, variants=(EXPERIMENT.variants[0], oracle))
    said = describe(document_of(answers(1.0), answers(1.0), experiment))
    assert "to be read as a bound: oracle." in said


def test_an_oracle_is_never_the_best_row_and_the_blind_is_not_drawn(tmp_path):
    base, fewer = (replace(v, paper=()) for v in EXPERIMENT.variants)
    oracle = replace(EXPERIMENT, variants=(base, replace(fewer, shown="evidence")))
    found = document_of(answers(0.5), answers(1.0), oracle)
    assert agreement(found).endswith("Highest mean here: DynFocus: short.")
    blind = replace(EXPERIMENT, variants=(base, replace(fewer, shown="nothing")))
    nothing = [{**record, "tokens": 0} for record in answers(0.2)]
    plan = replace(PLAN, sets=(*PLAN.sets, replace(PLAN.sets[0], max_video_tokens=9)))
    both = [
        [{**one, "set": test.title} for test in plan.sets for one in asked]
        for asked in (answers(0.5), nothing)
    ]
    found = document_of(*both, blind, plan)
    page = write_page(tmp_path, "tiny", found, command="x", commit="c").read_text()
    assert "| L = 2 | 0 |" in page


def test_the_program_knows_every_ablation():
    assert command.ABLATIONS == ABLATIONS
    assert set(EXPERIMENTS) == {*ABLATIONS, "methods"}


def test_variants_of_one_name_are_one_variant():
    found = {}
    for experiment in EXPERIMENTS.values():
        for one in experiment.variants:
            what = (one.connector, json.dumps(dict(one.options)), one.phases)
            assert found.setdefault(one.name, what) == what


def test_systems_of_the_comparison_differ_in_one_thing():
    variants = {one.name: one for one in EXPERIMENTS["methods"].variants}
    assert len(variants) == 13
    rated = variants["rated"].options["focus"]
    asked = {"use_question_scores": True}
    assert rated == variants["question"].options["focus"] | {
        "question": asked
        | {"use_ratings": True, "use_visit_counts": True, "use_best_frames": True}
    }
    question = variants["question"].options["focus"]
    assert question == variants["base"].options["focus"] | {"question": asked}


def tokens_of(name, num_frames, budget=None):
    """Count the tokens that an arm of the comparison may have on nano's patches."""
    (arm,) = [one for one in EXPERIMENTS["methods"].variants if one.name == name]
    sizes = ConnectorSizes(num_patches=64, dim=4, text_dim=4, hidden_size=4)
    options = dict(arm.options)
    focus = FocusSettings.from_dict(options.pop("focus", {}))
    network = build_network(arm.connector, sizes, focus, options)
    return network.budget(budget).plan(num_frames).num_tokens


@pytest.mark.parametrize("name", ["flash-vstream", "longvu"])
def test_memories_have_as_many_tokens_as_dynfocus_of_the_same_frames(name):
    for num_frames in (5, 8, 32, 60, 108, 540):
        most = tokens_of("base", num_frames)
        assert 0.6 * most <= tokens_of(name, num_frames) <= most
    assert tokens_of(name, 108) > 0.98 * tokens_of("base", 108)


@pytest.mark.parametrize("name", ["flash-vstream", "longvu", "storm"])
@pytest.mark.parametrize("budget", [160, 320])
def test_a_budget_is_spent_alike(name, budget):
    for num_frames in (180, 540, 3600):
        assert 0.98 * budget < tokens_of(name, num_frames, budget) <= budget
