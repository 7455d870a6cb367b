"""BLEU-4, METEOR, ROUGE-L and CIDEr: the way to pycocoevalcap, and itself where it is there."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from dynfocus.evaluation.benchmarks import captions
from dynfocus.evaluation.benchmarks.captions import (
    caption_figures,
    missing_tools,
    score_captions,
)

SAID = [
    "A man throws a ball over the high fence.",
    "Two dogs run along the wet beach.",
    "She cuts the onions, then stirs the soup.",
]


class _Tokenizer:
    def tokenize(self, captions):
        sys.stdout.write("as the real one does\n")
        return {n: [one["caption"].lower()] for n, (one,) in captions.items()}


def _scorer(name, score):
    """Make the stand-in of a scorer; all of theirs take the truth first."""

    class Scorer:
        def __init__(self, *arguments):
            self.arguments = arguments

        def compute_score(self, true, said):
            assert list(true) == list(said)
            same = sum(true[n] == said[n] for n in true) / len(true)
            return ([same] * self.arguments[0], None) if name == "Bleu" else score(same)

    return Scorer


@pytest.fixture
def stand_in(monkeypatch):
    """Put something in place of the package and of java."""
    places = {
        "bleu.bleu": {"Bleu": _scorer("Bleu", None)},
        "cider.cider": {"Cider": _scorer("Cider", lambda same: (10 * same, None))},
        "meteor.meteor": {"Meteor": _scorer("Meteor", lambda same: (same / 2, None))},
        "rouge.rouge": {"Rouge": _scorer("Rouge", lambda same: (same, None))},
        "tokenizer.ptbtokenizer": {"PTBTokenizer": _Tokenizer},
    }
    parents = {one.split(".")[0] for one in places}
    for name in ("", *(f".{one}" for one in (*parents, *places))):
        module = ModuleType(f"pycocoevalcap{name}")
        module.__path__ = []
        vars(module).update(places.get(name[1:], {}))
        monkeypatch.setitem(sys.modules, f"pycocoevalcap{name}", module)
    monkeypatch.setattr(captions.shutil, "which", lambda name: f"/usr/bin/{name}")


def test_the_four_figures_come_from_tokens(stand_in, capsys):
    replies = [SAID[0].upper(), "Something else.", SAID[2], None]
    records = [
        {"answer": reply, "truth": truth}
        for reply, truth in zip(replies, [*SAID, "It rains."], strict=True)
    ]
    figures = caption_figures(records, "captioning")
    assert {f.label: f.estimate.value for f in figures} == {
        "B@4, captioning": 0.5,
        "M, captioning": 0.25,
        "R, captioning": 0.5,
        "C, captioning": 5.0,
    }
    assert {(f.num_questions, f.unit) for f in figures} == {(4, "of 1")}
    assert capsys.readouterr().out == ""  # the document stands alone there


@pytest.mark.parametrize(
    ("has_java", "message"),
    [(False, "they need java"), (True, r"pip install 'dynfocus[eval]'")],
)
def test_what_is_missing_is_said_and_there_is_no_figure(
    monkeypatch, caplog, has_java, message
):
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)
    monkeypatch.setattr(
        captions.shutil, "which", lambda name: "/usr/bin/java" if has_java else None
    )
    assert caption_figures([{"answer": "a", "truth": "a"}], "captioning") == []
    assert message in caplog.text


@pytest.mark.slow
def test_the_real_scorers_know_what_is_the_same():
    missing = missing_tools()
    if missing is not None:
        pytest.skip(f"the figures of captions: {missing}")
    same = score_captions(SAID, SAID)
    assert same["B@4"] == pytest.approx(1, abs=1e-6)
    assert same["R"] == pytest.approx(1)
    assert same["M"] == pytest.approx(1, abs=1e-6)
    assert same["C"] == pytest.approx(10)
    other = score_captions([*SAID[:2], "A train leaves."], SAID)
    assert all(other[name] < same[name] for name in same)
    assert other["B@4"] > 0.3
