from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dynfocus.world import find_questions, make_dataset


def test_two_questions_become_one_picture(run, models, clip):
    outcome = run("timeline", clip, "Which bar?", "What else?", "-m", "other")
    assert outcome.code == 0
    assert outcome.out == "clip-timeline.png\n"
    assert outcome.err_lines == [
        "Which bar? Cones: 2 of 6 frames, 88 tokens",
        "What else? Cones: 2 of 6 frames, 88 tokens",
    ]
    with Image.open("clip-timeline.png") as picture:
        assert picture.width > 1500
    assert models[0].num_indexed == 1


def test_json_holds_frames_and_evidence_of_each_question(run, models, clip):
    rows = [
        {"video": str(clip), "question": "Which bar?", "evidence": [[1, 2.5]]},
        {"video": "other.mp4", "question": "What else?", "evidence": [[0, 1]]},
    ]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = run(
        *("timeline", clip, " Which bar?", "What else?", "-m", "other"),
        *("--evidence", "q.jsonl", "--out", "t.png", "--fps", 2, "--json"),
    ).document
    assert document["file"] == "t.png"
    first, second = document["questions"]
    assert first["evidence"] == [[1, 2.5]]
    assert second["evidence"] == []
    assert [len(one["frames"]) for one in (first, second)] == [12, 12]
    assert Path("t.png").is_file()


def test_a_world_video_brings_its_evidence(run, models, tmp_path):
    folder = make_dataset(tmp_path / "w", 1, 20, seed=3, size=112)
    (video,) = (folder / "videos").glob("*.mp4")
    asked = next(one for one in find_questions(video) if one.evidence)
    outcome = run("timeline", video, asked.question, "What else?", "--json")
    assert outcome.code == 0
    assert "warning" not in outcome.err
    first, second = outcome.document["questions"]
    spans = [pytest.approx(interval, abs=1e-5) for interval in asked.evidence]
    assert first["evidence"] == spans
    assert second["evidence"] == []


def test_what_the_scores_cannot_say_is_a_warning(run, models, clip):
    outcome = run("timeline", clip, "One?", "Two?", "-m", "blind")
    assert outcome.code == 0
    assert "the scores of blind do not see the question" in outcome.err_lines[0]
    assert "warning" not in run("timeline", clip, "One?", "-m", "blind").err
    Path("q.jsonl").write_text('{"video": "other.mp4", "question": "One?"}\n')
    outcome = run("timeline", clip, "One?", "-m", "other", "--evidence", "q.jsonl")
    assert "q.jsonl has no question about " in outcome.err_lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "t.jpg"), "a file of timelines must end in .png, got t.jpg"),
        (("--out", "no/t.png"), "the timelines cannot be written to no/t.png"),
        (("--evidence", "no.jsonl"), "questions file no.jsonl does not exist"),
    ],
)
def test_what_cannot_be_drawn_fails_before_the_model_is_loaded(
    run, models, clip, options, message
):
    outcome = run("timeline", clip, "One?", "Two?", *options)
    assert outcome.code == 1
    (line,) = outcome.err_lines
    assert message in line
    assert models == []
