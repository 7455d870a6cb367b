from __future__ import annotations

import base64

import openai
import pytest

QUESTION = "Which room is shown most of the time?"


@pytest.fixture
def messages(clip):
    content = base64.b64encode(clip.read_bytes()).decode()
    url = f"data:video/mp4;base64,{content}"
    return [
        {
            "role": "user",
            "content": [
                {"type": "video_url", "video_url": {"url": url}},
                {"type": "text", "text": QUESTION},
            ],
        }
    ]


def test_an_answer_is_that_of_ask_and_says_its_cones(client, messages, nano, clip):
    told = client.chat.completions.create(
        model="nano", messages=messages, extra_body={"max_video_tokens": 60}
    )
    wanted = nano.ask(clip, QUESTION, max_video_tokens=60)
    assert told.choices[0].message.content == wanted.text
    assert told.dynfocus["video_tokens"] == wanted.tokens <= 60
    cones = [frame for frame in wanted.frames if frame.kind == "cone"]
    assert [cone["time"] for cone in told.dynfocus["cones"]] == [c.time for c in cones]


def test_the_pieces_of_a_stream_are_the_answer(client, messages, nano, clip):
    chunks = list(
        client.chat.completions.create(model="nano", messages=messages, stream=True)
    )
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert told.strip() == nano.ask(clip, QUESTION).text
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_request_without_a_video_is_refused_in_a_sentence(client):
    with pytest.raises(openai.BadRequestError, match="there is no video"):
        client.chat.completions.create(
            model="nano", messages=[{"role": "user", "content": "Who comes in?"}]
        )


def test_the_model_is_listed(client):
    assert [model.id for model in client.models.list()] == ["nano"]
