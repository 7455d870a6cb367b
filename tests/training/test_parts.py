"""Groups of parameters: every one has a group, and the stages train theirs."""

from __future__ import annotations

import pytest

from dynfocus.training.parts import GROUPS, check_groups, group_of, set_trainable
from dynfocus.training.stages import TRAINS

PROJECTORS = {
    "focus_network.cooperative_encoding.multi_modal_projector",
    "focus_network.cooperative_encoding.query_projector",
    "focus_network.cooperative_encoding.key_projector",
    "focus_network.cooperative_encoding.context_projector",
    "focus_network.question_head.clock",
}


def test_stage_1_trains_the_projectors_alone(make_tiny):
    model, _ = make_tiny()
    names = set_trainable(model, TRAINS["stage1"])
    assert names == [n for n, p in model.named_parameters() if p.requires_grad]
    assert {".".join(name.split(".")[:3]) for name in names} == PROJECTORS
    mine = [n for n, _ in model.named_parameters() if n.startswith(tuple(PROJECTORS))]
    assert names == mine


def test_stage_2_trains_all_but_the_vision_tower(make_tiny):
    model, _ = make_tiny()
    set_trainable(model, TRAINS["stage1"])
    names = set_trainable(model, TRAINS["stage2"])
    assert names == [n for n, p in model.named_parameters() if p.requires_grad]
    assert {name.removeprefix("focus_network.").split(".")[0] for name in names} == {
        "text_encoder",
        "event_prototypes",
        "cooperative_encoding",
        "question_head",
        "language_model",
    }
    frozen = {n.split(".")[0] for n, p in model.named_parameters() if n not in names}
    assert frozen == {"vision_tower"}


def test_every_parameter_belongs_to_a_group(make_tiny, make_tiny_slow):
    model, _ = make_tiny(question={"use_ratings": True, "use_clock": True})
    groups = {group_of(name) for name, _ in model.named_parameters()}
    others = {"connector", "mixing", "tower_method"}  # other models have these
    assert groups == set(GROUPS) - others
    slow, _ = make_tiny_slow()
    groups = {group_of(name) for name, _ in slow.named_parameters()}
    assert groups == set(GROUPS) - {"connector", "rating", "scores", "tower_method"}


def test_stage_1_trains_the_adapters_and_the_table_of_slowfocus(make_tiny_slow):
    model, _ = make_tiny_slow()
    names = set_trainable(model, TRAINS["stage1"])
    assert {".".join(name.split(".")[1:-1]).removesuffix(".0") for name in names} == {
        "cooperative_encoding.multi_modal_projector",
        "cooperative_encoding.multi_modal_projector.2",
        "cooperative_encoding.context_projector",
        "cooperative_encoding.query_projector",
        "cooperative_encoding.key_projector",
        "temporal_table.rows",
    }


def test_groups_that_do_not_exist_are_refused():
    check_groups(GROUPS, "trains")
    with pytest.raises(ValueError, match="trains must name some of tower_.* got 'x'"):
        check_groups(["projectors", "x"], "trains")
