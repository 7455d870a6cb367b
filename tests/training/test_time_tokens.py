"""Times in conversations become digits, and say when answers are shown."""

from __future__ import annotations

import pytest

from dynfocus.training.samples import check_sample
from dynfocus.training.time_tokens import read_time_tokens


def make(*turns, **fields):
    conversation = [
        {"from": "gpt" if number % 2 else "human", "value": text}
        for number, text in enumerate(turns)
    ]
    return {"id": "x", "conversations": conversation, **fields}


META = {"duration": 100, "token": {"<s0>": 5, "<e0>": 7.2, "<s1>": 50, "<e1>": 99.9}}


def texts(sample):
    return [turn["value"] for turn in sample["conversations"]]


def test_tokens_are_written_in_thousandths_of_the_video():
    sample = make("What is from <s0> to <e0>?", "A throw.", meta=META)
    read = read_time_tokens(sample)
    assert texts(read)[0] == "What is from 050 to 072?"
    assert read["duration"] == 100
    assert "meta" not in read
    assert texts(sample)[0] == "What is from <s0> to <e0>?"  # a second epoch finds it


def test_a_question_that_names_an_interval_is_shown_it():
    sample = make(
        *("What is from <s0> to <e0>?", "A throw."),
        *("When does he fall?", "From <s1> to <e1>."),
        *("Who is it?", "A child."),
        meta=META,
    )
    assert read_time_tokens(sample)["evidence"] == [[[5, 7.2]], [], []]


def test_answer_segments_are_evidence_but_where_the_answer_is_a_time():
    sample = make(
        *("What is after <s0>?", "A fall."),
        *("When does he fall?", "From <s1> to <e1>."),
        *("Who is it?", "A child."),
        meta=META,
        answer_segment=[[8, 200], [50, 99.9], None],
    )
    assert read_time_tokens(sample)["evidence"] == [[[8, 100]], [], []]


def test_long_tokens_are_not_taken_for_short_ones():
    tokens = {"<s1>": 10, "<s10>": 20}
    sample = make("<s10> and <s1>", "Yes.", meta={"duration": 100, "token": tokens})
    assert texts(read_time_tokens(sample))[0] == "200 and 100"


def test_a_sample_without_times_is_the_same():
    sample = make("Who?", "He.")
    assert read_time_tokens(sample) is sample


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta": {"duration": 0}}, "meta.duration must be the seconds"),
        ({"meta": {"token": {}}}, "meta.duration must be the seconds"),
        ({"meta": {"duration": 9, "token": [1]}}, "meta.token must be a mapping"),
        (
            {"meta": {"duration": 4, "token": {"<s0>": 5}}},
            "<s0> must be from 0 to the 4",
        ),
        ({"meta": {"duration": 9, "token": {}}}, "<s0> has no time"),
        ({"meta": META, "answer_segment": [[1, 2], [3, 4]]}, "a question .1., got"),
        ({"meta": META, "answer_segment": [[4, 2]]}, "start before end, got .4, 2."),
        (
            {"meta": META, "answer_segment": [[120, 130]]},
            "begins after the 100 seconds",
        ),
        (
            {"answer_segment": [[1, 2]], "evidence": [[[1, 2]]]},
            "both say when answers are shown",
        ),
    ],
)
def test_what_is_malformed_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        check_sample(make("What is at <s0>?", "A throw.", **changes), tmp_path)
