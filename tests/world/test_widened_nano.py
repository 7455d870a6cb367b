"""The weights that the course of the widened world has reached, in the repository alone."""

from __future__ import annotations

from pathlib import Path

import dynfocus
from dynfocus.world import make_video
from dynfocus.world.video import World

WEIGHTS = Path(__file__).parents[2] / "weights" / "nano-wide"


def test_the_weights_answer_what_their_card_says(tmp_path):
    video = make_video(
        tmp_path / "v.mp4", 40.0, seed=12, split="validation", world=World(wide=True)
    )
    asked = [q for q in video.questions if q.kind in ("presence", "needle")]
    model = dynfocus.load(WEIGHTS, index_folder=False)
    index = model.index(video.path)
    right = [model.ask(index, q.question).text == q.answer for q in asked]
    assert len(right) >= 18
    assert sum(right) >= 0.9 * len(right)
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 30e6
