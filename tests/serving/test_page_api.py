from __future__ import annotations

import time

import httpx
import pytest

from dynfocus.models.conversation import Answer, FrameReport, LookReport
from dynfocus.serving.page_api import read_answer


@pytest.fixture(scope="module")
def http(served):
    with httpx.Client(
        base_url=f"{served.url}/dynfocus", verify=False, timeout=120
    ) as client:
        yield client


@pytest.fixture(scope="module")
def example(http):
    """The path of the example, ready."""
    path = f"/videos/{http.post('/example').json()['id']}"
    while (told := http.get(path).json())["state"] != "ready":
        assert told["state"] != "failed", told["problem"]
        time.sleep(0.05)
    return path


def ask(http, path, question):
    return http.post(f"{path}/ask", json={"question": question}).json()


def test_the_page_is_told_what_answers(http, nano):
    about = http.get("/about").json()
    assert about == {
        "model": "nano",
        "problem": None,
        "methods": list(nano.methods),
        "remembers_turns": False,
    }


def test_the_example_is_there_once(http, example):
    again = http.post("/example").json()
    assert f"/videos/{again['id']}" == example
    assert again["name"] == "FocusWorld example.mp4"


def test_the_example_comes_with_questions_of_every_kind_and_their_answers(
    http, example
):
    suggestions = http.get(f"{example}/suggestions").json()["suggestions"]
    first = suggestions[0]
    assert first["question"].startswith("What letter is on the")
    assert ask(http, example, first["question"])["text"] == first["truth"]
    assert first["evidence"]
    words = {one["question"].split()[0] for one in suggestions[:6]}
    assert len(words) >= 4


def test_of_a_video_without_a_note_nothing_is_suggested(http, clip):
    with clip.open("rb") as file:
        added = http.post("/videos", files={"file": ("clip.mp4", file)}).json()
    told = http.get(f"/videos/{added['id']}/suggestions").json()
    assert told == {"suggestions": []}
    refused = http.get(f"/videos/{added['id']}/report")
    assert refused.status_code == 409
    assert "nothing was asked" in refused.json()["error"]["message"]


def test_the_report_shows_answers_beside_the_truth(http, example):
    question = http.get(f"{example}/suggestions").json()["suggestions"][0]
    ask(http, example, question["question"])
    told = http.get(f"{example}/report")
    assert told.headers["Content-Disposition"].startswith("attachment")
    assert "<h1>FocusWorld example.mp4</h1>" in told.text
    assert (
        "FocusWorld example.mp4, 01:00 long, 60 frames sampled at 1 a second"
        in told.text
    )
    assert f"Truth: {question['truth']}" in told.text


def test_a_question_is_forgotten_by_when_it_was_asked(http, example):
    asked = ask(http, example, "Describe the video.")["asked"]
    path = f"{example}/questions"
    before = [one["asked"] for one in http.get(path).json()["questions"]]
    assert http.delete(f"{path}/{asked}").status_code == 200
    after = [one["asked"] for one in http.get(path).json()["questions"]]
    assert after == [one for one in before if one != asked]
    assert http.delete(f"{path}/{asked}").status_code == 404


def test_an_answer_is_read_back_as_it_was():
    frame = FrameReport(index=0, time=1.5, score=0.5, kind="high", tokens=12)
    looks = LookReport(intervals=[(1.0, 2.0)], replies=["from 1 to 2"], note=None)
    answer = Answer(
        text="a",
        question="q",
        tokens=12,
        frames=[frame],
        seconds=0.5,
        confidence=0.9,
        looks=looks,
    )
    record = {**answer.to_dict(), "asked": 1.0, "warnings": []}
    assert read_answer(record) == answer
