"""Robustness: pictures change as said, and the truth follows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynfocus.evaluation import write_page
from dynfocus.evaluation.benchmarks import WorldBenchmark
from dynfocus.evaluation.benchmarks.robustness import (
    CHANGES,
    RobustnessPlan,
    crop,
    grey,
    is_cut_off,
    mirror,
    open_changed_file,
    pad,
    run_robustness,
    shift,
)
from dynfocus.models import Answer
from dynfocus.video import VideoReader
from dynfocus.world import World
from dynfocus.world.wide import facts_of, make_questions, make_wide_scene

PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
NARROW = WorldBenchmark(num_videos=2, seconds=(12.0, 14.0), max_per_kind=1)
WIDE = replace(NARROW, world=World(wide=True), split="validation", seconds=(20.0, 20.0))


def test_pictures_change_as_they_are_said_to():
    moved = shift(PICTURE, 3, -2)
    assert (moved[:220, 6:] == PICTURE[4:, :-6]).all()
    assert (moved[:, :6] == moved[:, :1]).all()
    smooth = np.linspace(0, 255, 224).astype(np.uint8)[:, None, None].repeat(224, 1)
    smooth = smooth.repeat(3, 2)
    cut = crop(smooth, 0.1)
    assert cut.shape == smooth.shape
    assert abs(int(cut[0, 0, 0]) - int(smooth[11, 0, 0])) <= 2
    wide, tall = pad(PICTURE, 4 / 3), pad(PICTURE, 9 / 16)
    assert wide.shape[1] / wide.shape[0] == pytest.approx(4 / 3, abs=0.02)
    assert tall.shape[1] / tall.shape[0] == pytest.approx(9 / 16, abs=0.02)
    assert all(side % 2 == 0 for side in (*wide.shape[:2], *tall.shape[:2]))
    assert wide[:, 0].max() == tall[0].max() == 0
    assert (mirror(mirror(PICTURE)) == PICTURE).all()
    tones = grey(PICTURE)
    assert (tones[..., 0] == tones[..., 2]).all()


@pytest.mark.parametrize("benchmark", [NARROW, replace(WIDE, num_videos=8)])
def test_the_truth_follows_the_change(benchmark):
    originals, pairs = RobustnessPlan(benchmark=benchmark).rows()
    ids = {row.id for row in originals}
    swap = {"left": "right", "right": "left"}
    for name, group in pairs.items():
        assert {old.id for old, _ in group} <= ids
        for old, new in group:
            assert new.video == f"{old.video}#{name}"
            if name == "mirrored":
                assert "letter" not in old.question
                for side in swap:
                    assert (side in old.answer.split()) == (
                        swap[side] in new.answer.split()
                    )
            else:
                assert (new.question, new.answer) == (old.question, old.answer)
            if name == "grey":
                assert not {"red", "green", "blue"} & set(new.question.split())
    kinds = {name: {old.facts["kind"] for old, _ in g} for name, g in pairs.items()}
    assert "direction" in kinds["mirrored"]
    assert "needle" not in kinds["mirrored"]
    assert {"topic", "anomaly"} <= kinds["grey"]
    assert ("unseen fonts" in pairs) == benchmark.world.wide
    if benchmark.world.wide:
        assert "action" not in kinds["0.5 frames a second"]
    else:
        assert len(pairs["cropped by 10 %"]) == len(originals)


def test_what_an_edge_cuts_off_is_not_asked():
    scene = make_wide_scene(3, 60.0, "validation")
    facts = facts_of(scene)
    needles = [q for q in make_questions(facts) if q.kind == "needle"]
    for question in needles:
        spans = [
            scene.centres(stay, np.linspace(*scene.in_view(stay), 40))
            for stay in scene.stays
            if any(a < stay.end and stay.start < b for a, b in question.evidence)
        ]
        in_left = [(places[:, 0] < 0.5).mean() for places in spans]
        assert is_cut_off(scene, question, (0.5, 0, 0, 0)) == (max(in_left) > 0.2)
        assert not is_cut_off(scene, question, (0, 0, 0, 0))


def test_files_are_written_as_they_are_changed():
    short = replace(WIDE, num_videos=1, seconds=(6.0, 6.0))
    address = short.rows()[0].video
    with open_changed_file(address) as path:
        plain = VideoReader(path).sample(times=[5.0]).frames[0]
        num_bytes = path.stat().st_size
    for change in CHANGES:
        with open_changed_file(f"{address}#{change.name}") as path:
            picture = VideoReader(path).sample(times=[5.0]).frames[0]
            if change.name == "mirrored":
                assert abs(picture[:, ::-1].astype(int) - plain).mean() < 8
            if change.name == "CRF 40":
                assert path.stat().st_size < num_bytes
            if change.edit is None:
                assert picture.shape == plain.shape
            if change.unseen is not None:
                assert abs(picture.astype(int) - plain).mean() > 0


class Forgetful:
    """Knows every answer but about what is mirrored."""

    name = "forgetful"

    def __init__(self, truths):
        self.model = torch.nn.Linear(2, 2)
        self.truths = truths
        self.last = ""

    def index(self, path, *, fps, **options):
        times = torch.arange(4.0).double()
        return SimpleNamespace(
            num_frames=4, features=SimpleNamespace(pts_seconds=times), fps=fps
        )

    def ask(self, index, question, **options):
        text = self.truths.get(question, "nonsense")
        return Answer(text=text, question=question, tokens=8, frames=[], seconds=1)


def test_what_is_lost_is_measured_on_the_same_questions(tmp_path):
    plan = RobustnessPlan(
        benchmark=replace(NARROW, num_videos=1),
        changes=("mirrored", "2 frames a second"),
    )
    originals, _ = plan.rows()
    model = Forgetful({row.question: row.answer for row in originals})
    document = run_robustness(model, plan, tmp_path / "a.jsonl")
    rows = {row["change"]: row for row in document["rows"]}
    assert rows["2 frames a second"]["difference"]["value"] == 0.0
    assert rows["mirrored"]["original"]["value"] == 100.0
    sides = [r for r in originals if r.answer in ("left", "right")]
    assert (rows["mirrored"]["changed"]["value"] < 100.0) == bool(sides)
    page = write_page(tmp_path, "page", document, command="", commit="")
    assert "| mirrored | 100.0 |" in page.read_text()
    again = run_robustness(model, plan, tmp_path / "a.jsonl")
    assert again == document


def test_an_unknown_change_is_refused():
    with pytest.raises(ValueError, match="changes must be among"):
        RobustnessPlan(benchmark=NARROW, changes=("upside down",))
