"""What Open WebUI asks of a server of this protocol, in our words, and what it reads."""

from __future__ import annotations

import json

import httpx
import pytest

import busy_model
from dynfocus.serving import ServerSettings, create_application
from dynfocus.serving.protection import Protection

KEY = "a-key-of-the-settings-page"
OF_CHAT = {
    "chat_id": "8b1c", "id": "77aa", "session_id": "x", "user": "somebody",
    "stream": True, "stream_options": {"include_usage": True},
    "metadata": {"variables": {"{{USER_NAME}}": "Ada"}}, "params": {}, "tool_ids": [],
    "tools": [], "features": {"web_search": False, "code_interpreter": False},
    "background_tasks": {"title_generation": True, "tags_generation": True},
    "temperature": 0.7, "max_tokens": 64,
}  # fmt: skip
"""Fields of a chat beside the model and the messages."""
TASKS = {
    "title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing "
    'the chat history.\n### Output:\nJSON format: { "title": "your title" }\n### Chat '
    "History:\n<chat_history>\nUSER: pid\nASSISTANT: 1\n</chat_history>",
    "tags": "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the "
    'chat history.\n### Output:\nJSON format: { "tags": ["tag1"] }',
}


@pytest.fixture(scope="module")
def api(running, tmp_path_factory):
    settings = ServerSettings(
        folder=tmp_path_factory.mktemp("library"),
        model="busy",
        index_workers=0,
        protection=Protection(api_keys=(KEY,)),
    )
    headers = {"Authorization": f"Bearer {KEY}", "X-OpenWebUI-User-Name": "Ada"}
    application = create_application(settings, busy_model.BusyModel())
    with (
        running(application) as server,
        httpx.Client(base_url=f"{server.url}/v1", headers=headers) as client,
    ):
        yield client


def chunks_of(lines):
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    return [json.loads(one) for one in data]


def test_the_connection_is_verified_and_its_models_are_listed(api):
    told = api.get("/models").json()
    assert told["object"] == "list"
    (model,) = told["data"]
    assert (model["id"], model["object"]) == ("busy", "model")
    assert {"created", "owned_by"} <= set(model)
    wrong = api.get("/models", headers={"Authorization": "Bearer another"})
    assert (wrong.status_code, "message" in wrong.json()["error"]) == (401, True)


def test_a_chat_is_streamed_whatever_fields_come_with_it(api):
    body = busy_model.request("pid", **OF_CHAT)
    with api.stream("POST", "/chat/completions", json=body) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        chunks = chunks_of(stream.iter_lines())
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert len({one["id"] for one in chunks}) == 1
    deltas = [one["choices"][0] for one in chunks if one["choices"]]
    assert deltas[0]["delta"]["role"] == "assistant"
    assert deltas[-1]["finish_reason"] == "stop"
    assert "".join(one["delta"].get("content") or "" for one in deltas).isdigit()
    assert {"prompt_tokens", "completion_tokens"} <= set(chunks[-1]["usage"])


def test_a_chat_goes_on_with_what_was_shown_before(api):
    body = busy_model.request("pid", **OF_CHAT)
    body["messages"] = [
        {"role": "system", "content": "Be brief."},
        *body["messages"],
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "pid"},
    ]
    told = api.post("/chat/completions", json=body | {"stream": False})
    assert told.json()["choices"][0]["message"]["content"].isdigit()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_title_is_refused_in_the_shape_that_it_passes_over(api, task, is_streamed):
    message = {"role": "user", "content": TASKS[task]}
    body = {"model": "busy", "messages": [message], "stream": is_streamed}
    body |= {"max_completion_tokens": 1000, "metadata": {"task": f"{task}_generation"}}
    told = api.post("/chat/completions", json=body)
    assert told.status_code == 400
    assert "there is no video" in told.json()["error"]["message"]


def test_files_are_taken_listed_given_and_deleted(api, clip):
    content = clip.read_bytes()
    form = {"file": ("film.mp4", content, "video/mp4")}
    told = api.post("/files", files=form, data={"purpose": "user_data"})
    file = told.json()
    assert (file["object"], file["filename"], file["bytes"]) == (
        "file",
        "film.mp4",
        len(content),
    )
    assert [one["id"] for one in api.get("/files").json()["data"]] == [file["id"]]
    assert api.get(f"/files/{file['id']}/content").content == content
    assert api.delete(f"/files/{file['id']}").json()["deleted"]
    assert api.get("/files").json()["data"] == []
