"""Our readers of replies against those inside lmms-eval 0.7.3, on thousands of replies.

lmms-eval lives in an environment of its own; ``LMMS_EVAL_PYTHON`` names its Python.
"""

from __future__ import annotations

import ast
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dynfocus.evaluation.benchmarks import letters
from dynfocus.evaluation.benchmarks.charades_sta import read_as_published
from dynfocus.evaluation.benchmarks.video_mme_v2 import score_group
from dynfocus.evaluation.judges import PROMPTS, judge_yes, read_verdict

pytestmark = pytest.mark.slow
NUM_REPLIES = 5000
OPTIONS = ("a red car", "Two", "the man in the hat", "no", "yes", "a cat", "Bern", "7")
_UGLY = (
    *("", " ", "A", "a", "A.", "(A)", "A)", "(b)", "B:", "[C]", "**D**", "AB", "A B"),
    *("The answer is a", "The answer is C.", "Answer: D", "Best option: C", "Option B"),
    *("A or B", "(A) or (B)", "Both A and C", "neither", "None of the above", "E"),
    *(
        "答案是C",
        "选B",
        "정답은 B입니다",
        "答えはDです",
        "Antwort: B",
        "La respuesta es C",
    ),
    *("two", "Two.", "a red car", "It is the man in the hat, I am quite sure of it"),
    *("A man is shown, so the answer is B", "Based on the video, the answer is D."),
    *(
        "I choose C because B is wrong",
        "The correct option is B, not A.",
        "\nB\n",
        "C!",
    ),
    *("Final Answer: H", "**F.** since it rains", "G) 7", "1,000 Birds; C", "it's 'D'"),
    *("a. something\nmore of it", "B. Two", "(C", "Best Option: (", "A. yes\nB. no"),
)
_WORDS = (
    "the",
    "answer",
    "is",
    "A",
    "B",
    "(C)",
    "D.",
    "E",
    "a",
    "car",
    "so",
    "option:",
    "I",
)


def _replies() -> list[str]:
    """Make replies: the ugly ones, wrapped and joined, and sentences of loose words."""
    rng = random.Random(7)
    made = list(_UGLY)
    while len(made) < NUM_REPLIES:
        if rng.random() < 0.5:
            joint = rng.choice((" ", "\n", ". ", ", "))
            made.append(joint.join(rng.choices(_UGLY, k=rng.choice((1, 2, 3)))))
        else:
            made.append(" ".join(rng.choices(_WORDS, k=rng.randint(1, 14))))
    return made


_TIMES = (
    *("24.3", "-", "30.4", "seconds", "from", "to", "3", "12", "0:24", "00:00:18", "."),
    *("starts at", "ends at", "\n", "!", "start time:", "end time:", "5s", "today"),
    *("7.", "..", "person", "and", "8.5.", "1..2", "The event happens in the"),
)


def _verdicts() -> list[str]:
    """Make what judges may write: the ugly ones, then dictionaries that are odd somewhere."""
    rng = random.Random(5)
    made = list(VERDICTS)
    while len(made) < NUM_REPLIES:
        pred = rng.choice(("yes", "no", "Yes", "NO", "yes.", "maybe", "no, not it"))
        score = rng.choice((*"012345", "4.8", "'3'", "9", "-1", "True", "five", "None"))
        quote = rng.choice(("'", "'", '"', "''"))
        parts = [f"{quote}pred{quote}: '{pred}'", f"{quote}score{quote}: {score}"]
        if rng.random() < 0.2:
            parts.pop(rng.randrange(2))
        rng.shuffle(parts)
        around = rng.choice(
            ("{}", "{}", "Sure: {}", "{}.", "```\n{}\n```", "{} and so")
        )
        made.append(around.replace("{}", f"{{{', '.join(parts)}}}"))
    return made


def _intervals() -> list[str]:
    """Make replies that tell an interval, or nearly."""
    rng = random.Random(3)
    made = []
    for _ in range(NUM_REPLIES):
        words = rng.choices(_TIMES, k=rng.randint(0, 9))
        if rng.random() < 0.5:
            words[2:2] = [rng.choice(_TIMES), rng.choice(("-", "to")), "41.5"]
        made.append(rng.choice((" ", "")).join(words))
    return made


_THEIRS = """
import importlib, json, random, sys, types
# One task imports this reader of videos, which nothing here uses.
sys.modules.setdefault("decord", types.SimpleNamespace(VideoReader=None, cpu=None))
asked = json.load(open(sys.argv[1]))
replies, options = asked["replies"], asked["options"]
task = lambda name: importlib.import_module(f"lmms_eval.tasks.{name}.utils")
told = {}
for name in ("videomme", "mlvu", "lvbench"):
    told[name] = [task(name).extract_characters_regex(one) for one in replies]
v2 = task("videomme_v2")
text = "\\n".join(f"{'ABCDEFGH'[n]}. {one}" for n, one in enumerate(options))
told["videomme_v2"] = [
    v2.extract_characters_regex(one) or v2.extract_option(one, text) for one in replies
]
told["groups"] = [
    v2.cal_relevance(right) if kind == "relevance" else v2.cal_logic(right, structure)
    for kind, structure, right in asked["groups"]
]
random.choice = lambda some: ""
five = dict(zip("ABCDE", options))
for name in ("longvideobench", "egoschema", "nextqa"):
    found = [task(name).parse_multi_choice_response(one, list("ABCDE"), five) for one in replies]
    told[name] = [one[0] if isinstance(one, tuple) else one for one in found]
told["mvbench"] = [[task("mvbench").mcq_acc(key, one) for key in "ABCDE"] for one in replies]
told["activitynetqa"] = [task("activitynetqa").parse_score(one) for one in asked["ugly"]]
told["moviechat"] = [
    [task("moviechat").parse_score(one), task("moviechat").parse_acc(one)]
    for one in asked["verdicts"]
]
told["videochatgpt"] = [task("videochatgpt").parse_score(one) for one in asked["verdicts"]]
def interval(reply):
    try:
        return (grounding.extract_time(reply) or [None])[0]
    except (UnboundLocalError, ValueError):
        return None  # "1..2" and times of day, at which the script falls over
try:
    grounding = importlib.import_module("lmms_eval.tasks.charades_sta.eval_tvg")
    told["charades_sta"] = [interval(one) for one in asked["intervals"]]
except ImportError:
    told["charades_sta"] = None
json.dump(told, open(sys.argv[2], "w"))
"""
VERDICTS = (
    "{'pred': 'yes', 'score': 4}",
    "{'pred': 'no', 'score': 0}",
    "{'pred': 'yes', 'score': 4.8}",
    "Sure: {'pred': 'Yes', 'score': 5} as you see",
    "{'pred': 'no', 'score': '3'}",
    "{''score': 4.8}",
    "I cannot say",
    "{'pred': 'maybe', 'score': 2}",
    "{'score': 2}",
    "",
)
GROUPS = [
    [kind, structure, [bool(number >> place & 1) for place in range(4)]]
    for kind, structure in (
        ("relevance", ""),
        ("logic", "[1, 2, 3, 4]"),
        ("logic", "[1, [2, 3], 4]"),
        ("logic", "[[1, 2], 3, 4]"),
    )
    for number in range(16)
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    python = os.environ.get("LMMS_EVAL_PYTHON")
    if python is None or not Path(python).is_file():
        pytest.skip("LMMS_EVAL_PYTHON names no Python with lmms-eval 0.7.3")
    folder = tmp_path_factory.mktemp("lmms")
    asked = {
        "replies": _replies(),
        "options": OPTIONS,
        "ugly": VERDICTS,
        "verdicts": _verdicts(),
        "groups": GROUPS,
        "intervals": _intervals(),
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    program = [python, "-c", _THEIRS, folder / "asked.json", folder / "told.json"]
    environment = {**os.environ, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "told.json").read_text())


FIVE, EIGHT = OPTIONS[:5], OPTIONS
READERS: dict[str, Callable[[str], str | None]] = {
    "videomme": lambda reply: letters.read_as_lmms_eval(reply, FIVE),
    "mlvu": lambda reply: letters.read_as_lmms_eval(reply, FIVE),
    "lvbench": lambda reply: letters.read_as_lmms_eval(reply, FIVE),
    "videomme_v2": lambda reply: letters.read_as_video_mme_v2(reply, EIGHT),
    "longvideobench": lambda reply: letters.read_as_longvideobench(reply, FIVE),
    "egoschema": lambda reply: letters.read_as_egoschema(reply, FIVE),
    "nextqa": lambda reply: letters.read_as_next_qa(reply, FIVE),
}
_NOTHING = ("", "Z")


@pytest.mark.parametrize("task", READERS)
def test_letters_agree(theirs, task):
    differ = [
        (reply, READERS[task](reply), found)
        for reply, found in zip(_replies(), theirs[task], strict=True)
        if READERS[task](reply) != (None if found in _NOTHING else found)
    ]
    assert differ == []


def test_mvbench_agrees(theirs):
    ours = [letters.read_as_lmms_eval_mvbench(one, FIVE) for one in _replies()]
    differ = [
        (reply, mine, scores)
        for reply, mine, scores in zip(_replies(), ours, theirs["mvbench"], strict=True)
        if scores != [int(mine == key) for key in "ABCDE"]
    ]
    assert differ == []


def test_groups_agree(theirs):
    ours = [score_group(*group) for group in GROUPS]
    assert ours == pytest.approx(theirs["groups"])


def test_intervals_agree(theirs):
    if theirs["charades_sta"] is None:
        pytest.skip("this lmms-eval has no script of Charades-STA")
    ours = [read_as_published(one) for one in _intervals()]
    differ = [
        (reply, mine, found)
        for reply, mine, found in zip(
            _intervals(), ours, theirs["charades_sta"], strict=True
        )
        if (None if mine is None else list(mine)) != found
    ]
    assert differ == []


EXPLAINED = {
    "{''score': 4.8}": "ours mends the doubled quote of the published example",
    "{'pred': 'no', 'score': '3'}": "the same number, though quoted",
    "{'pred': 'maybe', 'score': 2}": "neither yes nor no: ours is malformed, theirs keeps it",
    "Sure: {'pred': 'Yes', 'score': 5} as you see": "theirs takes the whole reply or 0",
}


def test_verdicts_agree_or_are_explained(theirs):
    for place, verdict in enumerate(VERDICTS):
        if verdict in EXPLAINED:
            continue
        ours = read_verdict(verdict, PROMPTS["agreement"])
        found = theirs["activitynetqa"][place]
        if found is None:
            assert ours is None
        else:
            assert ours is not None
            assert [ours["pred"], int(ours["score"])] == found


IN_OTHER_WORDS = "ours takes a dictionary out of other words, or mends its quotes"
ODD = "ours has no verdict where a value is missing or none, theirs keeps what there is"


def _differ(verdict: str, score: int, accuracy: str | None) -> str | None:
    """Say why ours reads another verdict than theirs; None where it does not."""
    prompt = PROMPTS["correctness" if accuracy is None else "agreement"]
    ours = read_verdict(verdict, prompt)
    if ours is None:
        return None if (score, accuracy or "no") == (0, "no") else ODD
    is_same = accuracy is None or ours["pred"] == judge_yes(accuracy)
    if is_same and int(ours["score"]) == score:
        return None
    try:
        is_whole = isinstance(ast.literal_eval(verdict), dict)
    except (SyntaxError, ValueError):
        is_whole = False
    return "unexplained" if is_whole else IN_OTHER_WORDS


def test_verdicts_of_thousands_differ_for_two_reasons(theirs):
    verdicts = _verdicts()
    reasons = set()
    for verdict, (score, accuracy), alone in zip(
        verdicts, theirs["moviechat"], theirs["videochatgpt"], strict=True
    ):
        told = {_differ(verdict, score, accuracy), _differ(verdict, alone, None)}
        assert "unexplained" not in told, (verdict, score, accuracy, alone)
        reasons |= told
    assert reasons == {None, IN_OTHER_WORDS, ODD}


def test_replies_are_what_they_should_be():
    assert min(len(_replies()), len(_verdicts())) >= NUM_REPLIES
    assert {"", "A.", "(A)", "The answer is a", "AB", "答案是C", "two"} <= set(
        _replies()
    )
    assert ast.literal_eval(VERDICTS[0])["score"] == 4
