"""Pages: made from the JSON of a result alone, notes of people kept."""

import json
import re
import shutil
from pathlib import Path

import pytest

from dynfocus.evaluation import render_page, write_page
from dynfocus.evaluation.pages import KINDS, read_document, table

RESULTS = Path(__file__).parents[2] / "docs/results"


SET = {"name": "short", "num_videos": 2, "seed": 0, "seconds": [8.0, 9.0], "fps": 1.0}
PUBLISHED = [
    path
    for path in sorted(RESULTS.glob("*.json"))
    if json.loads(path.read_text()).get("kind") in KINDS
]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_pages_are_what_their_documents_say(path, tmp_path):
    shutil.copy(path, tmp_path)
    page = render_page(tmp_path / path.name)
    assert page.read_text() == path.with_suffix(".md").read_text()


def test_the_index_names_every_page_and_its_links_lead_somewhere():
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([^)#]+)", text))
    pages = {path.name for path in RESULTS.glob("*.md")} - {"README.md"}
    assert pages <= links
    assert all((RESULTS / link).exists() for link in links)


def test_notes_stay_when_a_result_is_measured_again(tmp_path):
    found = {
        "kind": "recall",
        "title": "Recall",
        "plan": {"sets": [SET], "num_cones": [1]},
        "rows": [row(50.0)],
    }
    made = {"command": "dynfocus eval recall", "commit": "a" * 40}
    page = write_page(tmp_path, "recall", found, **made)
    document = read_document(tmp_path / "recall.json")
    document["notes"] = ["A note."]
    (tmp_path / "recall.json").write_text(json.dumps(document))
    again = {**found, "rows": [row(60.0)]}
    write_page(tmp_path, "recall", again, **made)
    text = page.read_text()
    assert "| nano | 4 | 60.0 |" in text
    assert "\nA note.\n" in text
    assert text.endswith("![Recall](recall.png)\n")


def row(value):
    return {
        "set": "short",
        "selection": "nano",
        "num_prototypes": 4,
        "questions": 3,
        "recall": [{"value": value, "low": None, "high": None}],
        "share": [10.0],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is no result of dynfocus eval"),
        ("[]", "is no result of dynfocus eval"),
        (
            '{"kind": "else"}',
            "kind must be one of benchmark, focusworld, .* got 'else'",
        ),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        render_page(path)


def test_tables_are_aligned():
    assert table(["a", "b"], [["1", "2"]]) == [
        "| a | b |",
        "| --- | ---: |",
        "| 1 | 2 |",
        "",
    ]
