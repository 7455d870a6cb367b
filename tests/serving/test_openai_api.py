from __future__ import annotations

import base64

import openai
import pytest

QUESTION = "Which room is shown most of the time?"


def shown_as(part):
    return [{"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}]


@pytest.fixture(scope="module")
def data_url(clip):
    content = base64.b64encode(clip.read_bytes()).decode()
    return f"data:video/mp4;base64,{content}"


@pytest.fixture
def messages(data_url):
    return shown_as({"type": "video_url", "video_url": {"url": data_url}})


def test_an_answer_is_that_of_ask_and_says_its_cones(client, messages, nano, clip):
    told = client.chat.completions.create(
        model="nano", messages=messages, extra_body={"max_video_tokens": 60}
    )
    wanted = nano.ask(clip, QUESTION, max_video_tokens=60)
    assert told.choices[0].message.content == wanted.text
    assert told.choices[0].finish_reason == "stop"
    assert told.dynfocus["video_tokens"] == wanted.tokens <= 60
    assert told.usage.prompt_tokens == wanted.prompt_tokens > wanted.tokens
    assert told.usage.completion_tokens == wanted.answer_tokens
    assert told.usage.prompt_tokens_details.video_tokens == wanted.tokens
    cones = [frame for frame in wanted.frames if frame.kind == "cone"]
    assert [cone["time"] for cone in told.dynfocus["cones"]] == [c.time for c in cones]


def test_the_pieces_of_a_stream_are_the_answer(client, messages, nano, clip):
    chunks = list(
        client.chat.completions.create(
            model="nano",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, usage = chunks
    told = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert told == nano.ask(clip, QUESTION).text
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert pieces[-1].dynfocus["cones"]
    assert usage.usage.total_tokens > usage.usage.prompt_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_an_answer_may_be_cut_by_tokens_and_by_texts(client, messages):
    whole = client.chat.completions.create(model="nano", messages=messages)
    text = whole.choices[0].message.content
    cut = client.chat.completions.create(model="nano", messages=messages, max_tokens=1)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 1
    stopped = client.chat.completions.create(
        model="nano", messages=messages, stop=[text[2:4]], seed=3
    )
    assert stopped.choices[0].message.content == text[:2].strip()
    assert stopped.choices[0].finish_reason == "stop"


def test_several_videos_pictures_and_turns_make_one_question(client, data_url):
    picture = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42"
        "mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    )
    messages = [
        {"role": "system", "content": "Be short."},
        *shown_as({"type": "input_video", "video_url": data_url}),
        {"role": "assistant", "content": "kitchen"},
        *shown_as({"type": "image_url", "image_url": {"url": picture}}),
    ]
    told = client.chat.completions.create(model="nano", messages=messages)
    assert {cone["video"] for cone in told.dynfocus["cones"]} <= {0, 1}
    assert any("one video a question" in text for text in told.dynfocus["warnings"])
    assert any("single questions" in text for text in told.dynfocus["warnings"])


def test_an_uploaded_file_is_asked_by_its_id(client, clip, nano):
    file = client.files.create(file=clip, purpose="user_data")
    assert client.files.create(file=clip, purpose="user_data").id == file.id
    assert client.files.retrieve(file.id).filename == "clip.mp4"
    assert file.id in [one.id for one in client.files.list()]
    assert client.files.content(file.id).read() == clip.read_bytes()
    messages = shown_as({"type": "file", "file": {"file_id": file.id}})
    told = client.chat.completions.create(
        model="nano", messages=messages, extra_body={"start": "0:02", "end": 8}
    )
    wanted = nano.ask(clip, QUESTION, start=2, end=8)
    assert told.choices[0].message.content == wanted.text
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="no file"):
        client.chat.completions.create(model="nano", messages=messages)


def test_a_file_may_come_in_parts(client, clip):
    content = clip.read_bytes()
    half = len(content) // 2
    upload = client.uploads.create(
        bytes=len(content),
        filename="parts.mp4",
        mime_type="video/mp4",
        purpose="user_data",
    )
    parts = [
        client.uploads.parts.create(upload_id=upload.id, data=data)
        for data in (content[:half], content[half:])
    ]
    with pytest.raises(openai.BadRequestError, match="were promised"):
        client.uploads.complete(upload.id, part_ids=[parts[0].id])
    done = client.uploads.complete(upload.id, part_ids=[one.id for one in parts])
    assert done.status == "completed"
    assert client.files.content(done.file.id).read() == content
    with pytest.raises(openai.NotFoundError):
        client.uploads.cancel(upload.id)


def test_a_response_is_the_same_answer(client, data_url, nano, clip):
    content = [
        {"type": "input_video", "video_url": data_url},
        {"type": "input_text", "text": QUESTION},
    ]
    asked = {"model": "nano", "input": [{"role": "user", "content": content}]}
    told = client.responses.create(**asked)
    assert told.output_text == nano.ask(clip, QUESTION).text
    assert told.status == "completed"
    assert told.dynfocus["cones"]
    with client.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == told.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"messages": [{"role": "user", "content": "Who?"}]}, "there is no video"),
        ({"messages": []}, "messages"),
        ({"extra_body": {"fps": -1}}, "fps must be above 0, got -1.0"),
        ({"extra_body": {"method": "best"}}, "method must be one of"),
        ({"extra_body": {"scorer": "mine"}}, "was not started with the scorer 'mine'"),
        ({"extra_body": {"max_video_tokens": 1}}, "max_video_tokens must be"),
        ({"n": 2}, "n cannot be followed"),
        ({"messages": shown_as({"type": "sound"})}, "type 'sound' cannot be read"),
        (
            {"messages": shown_as({"type": "video_url", "video_url": "file:///etc/x"})},
            "may not be read by the server",
        ),
        (
            {
                "messages": shown_as(
                    {"type": "video_url", "video_url": "data:;base64,AAAA"}
                )
            },
            "not a video",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(
    client, messages, change, reason
):
    asked = {"model": "nano", "messages": messages} | change
    with pytest.raises(openai.APIStatusError, match=reason) as refused:
        client.chat.completions.create(**asked)
    assert 400 <= refused.value.status_code < 500


def test_the_model_is_listed_and_no_other_is_asked(client, messages):
    assert [model.id for model in client.models.list()] == ["nano"]
    assert client.models.retrieve("nano").id == "nano"
    with pytest.raises(openai.NotFoundError, match="nano is served"):
        client.chat.completions.create(model="gpt", messages=messages)
