"""Judges: their verdicts read, their servers waited for, their refusals counted."""

from __future__ import annotations

import pytest

from dynfocus.backends import ChatClient, Server
from dynfocus.errors import BackendError, BusyBackendError, RefusedAnswerError
from dynfocus.evaluation.benchmarks.benchmark import JudgeTask
from dynfocus.evaluation.judges import (
    PROMPTS,
    ServerJudge,
    grade,
    judge_yes,
    open_judge,
    read_as_mlvu,
    read_verdict,
    round_score,
)
from stand_in_server import RefusedRequestError, StandInServer


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("{'pred': 'yes', 'score': 4}", {"score": 4, "pred": "yes"}),
        ('{"pred": "No.", "score": 1.5}', {"score": 1.5, "pred": "no"}),
        ("{'predicted': 'yes', 'score': '3'}", {"score": 3, "pred": "yes"}),
        ("Sure! ```{'pred': 'yes', 'score': 5}```", {"score": 5, "pred": "yes"}),
        ("{'a': 1} then {'pred': 'no', 'score': 0}", {"score": 0, "pred": "no"}),
        ("{'pred': True, 'score': 2}", {"score": 2, "pred": "yes"}),
        ("{'pred': 'maybe', 'score': 2}", None),
        ("{'pred': 'yes', 'score': 9}", None),
        ("{'pred': 'yes'}", None),
        ("{'pred': 'yes', 'score': True}", None),
        ("yes, 4", None),
        ("", None),
    ],
)
def test_verdicts(reply, expected):
    assert read_verdict(reply, PROMPTS["agreement"]) == expected


def test_the_doubled_quote_of_the_published_example_is_mended():
    assert read_verdict("{''score': 4.8}", PROMPTS["detail"]) == {"score": 4.8}
    assert round_score(4.8, "rounded") == round_score(4.5, "rounded") == 5
    assert round_score(4.8, "truncated") == 4
    assert judge_yes("Yes, indeed") == "yes"
    assert judge_yes("none of it") == "no"  # as the published scripts read it
    assert judge_yes("?") is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("{'score_accuracy': 3, 'score_relevance': 4, 'total_score': 7}", [3, 4]),
        (
            "'score_accuracy': 1, I think. {'score_accuracy': 5, 'score_relevance': 4, }",
            [1, 4],
        ),
        ("{'score_relevance': 4, 'total_score': 4}", [4]),  # only its partner is added
        ("score_accuracy is high", None),
        ("", None),
    ],
)
def test_mlvu_takes_the_first_place_of_each_key(reply, expected):
    assert read_as_mlvu(reply, ("score_accuracy", "score_relevance")) == expected


def test_rubrics_hold_what_they_are_filled_with_and_nothing_else_is():
    fields = {"question": "{answer}?", "answer": "a cat", "pred": "{question}"}
    user = PROMPTS["agreement"].fill(fields)[1]["content"]
    assert "Question: {answer}?\n" in user  # braces of a question are left alone
    assert "Predicted answer: {question}\n" in user
    hashes = {prompt.prompt_hash for prompt in PROMPTS.values()}
    assert len(hashes) == len(PROMPTS)


def _task(text: str) -> JudgeTask:
    fields = {"question": text, "answer": "x", "pred": "y"}
    return JudgeTask(aspect="correctness", fields=fields)


def test_a_busy_server_is_waited_for_as_long_as_it_says():
    asked = []

    def check(body):
        asked.append(body)
        if len(asked) < 3:
            raise RefusedRequestError("too many requests", 429)

    waits: list[float] = []
    answer = lambda body: iter(["{'score': 3}"])  # noqa: E731
    with StandInServer(check=check, answer=answer) as server:
        judge = ServerJudge(ChatClient(Server(url=server.url)), "served")
        grades = grade([_task("one")], judge, workers=1, sleep=waits.append)
    assert grades.verdicts[0].values == {"score": 3}
    assert waits == [2.0, 4.0]
    assert (grades.num_calls, grades.num_waits) == (3, 2)


def test_a_server_that_stays_busy_or_refuses(tmp_path):
    def busy(body):
        raise RefusedRequestError("too many requests", 429)

    with StandInServer(check=busy) as server:
        client = ChatClient(Server(url=server.url))
        with pytest.raises(BusyBackendError, match="HTTP 429: too many requests; wait"):
            client.complete({"model": "m", "messages": []})
        judge = ServerJudge(client, "m")
        with pytest.raises(BackendError, match="too many"):
            grade([_task("one")], judge, workers=1, sleep=lambda seconds: None)
    with StandInServer(finish_reason="content_filter") as server:
        client = ChatClient(Server(url=server.url))
        with pytest.raises(RefusedAnswerError, match="filtered the answer"):
            client.complete({"model": "m", "messages": []})
        kept = tmp_path / "kept.jsonl"
        for calls in (1, 0):  # the second time nothing is asked
            grades = grade([_task("one")], ServerJudge(client, "m"), kept)
            assert grades.counts == {"judged": 0, "malformed": 0, "refused": 1}
            assert grades.num_calls == calls


def test_no_judge_is_an_error_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="no judge is named; give --judge-url"):
        open_judge(None, None)
    with pytest.raises(ValueError, match="the judge .* cannot be loaded"):
        open_judge(None, str(tmp_path))


@pytest.mark.slow
def test_a_model_on_this_machine_judges(tmp_path):
    import dynfocus
    from dynfocus.conversion import export_language_model

    folder = export_language_model(dynfocus.load("nano"), tmp_path / "judge")
    grades = grade([_task("one")], open_judge(None, str(folder)))
    assert grades.counts["malformed"] == 1  # nano's language model says no numbers
    assert grades.judge == str(folder)
