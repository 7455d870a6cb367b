from __future__ import annotations

import base64
import time

import httpx
import numpy as np
import openai
import pytest

from dynfocus.backends import ChatClient, Server
from dynfocus.backends.frame_answers import FrameAnswerer
from dynfocus.cli import main
from dynfocus.report.frame_sheets import encode_jpeg
from dynfocus.serving import ServerSettings, create_application
from dynfocus.serving.answerers import load_answerer
from served_language_model import ServedLanguageModel


@pytest.fixture
def client(stand_in, tmp_path, running):
    settings = ServerSettings(
        model="seer",
        backend="openai",
        url=stand_in.url,
        folder=tmp_path / "library",
        index_workers=0,
    )
    answerer = FrameAnswerer(ChatClient(Server(url=stand_in.url)), "seer")
    application = create_application(settings, answerer)
    with (
        running(application) as server,
        openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="none", max_retries=0
        ) as client,
    ):
        yield client


def test_a_server_that_takes_pictures_becomes_one_that_takes_videos(
    client, stand_in, clip
):
    file = client.files.create(file=clip, purpose="user_data")
    content = [
        {"type": "file", "file": {"file_id": file.id}},
        {"type": "text", "text": "Who comes in?"},
    ]
    asked = {"model": "seer", "messages": [{"role": "user", "content": content}]}
    told = client.chat.completions.create(**asked)
    assert told.choices[0].message.content == "an answer"
    assert told.dynfocus["cones"]
    assert stand_in.bodies[-1]["max_tokens"] == 512
    stand_in.raw, stand_in.status = b'{"error": {"message": "no room"}}', 500
    with pytest.raises(openai.InternalServerError, match="no room") as refused:
        client.chat.completions.create(**asked)
    assert refused.value.status_code == 502


def test_a_picture_goes_to_the_server_beside_a_video(client, stand_in, clip):
    file = client.files.create(file=clip, purpose="user_data")
    picture = base64.b64encode(encode_jpeg(np.zeros((48, 64, 3), np.uint8))).decode()
    content = [
        {"type": "file", "file": {"file_id": file.id}},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/jpeg;base64,{picture}"},
        },
        {"type": "text", "text": "Is this in the video?"},
    ]
    told = client.chat.completions.create(
        model="seer", messages=[{"role": "user", "content": content}]
    )
    assert told.dynfocus["cones"][-1]["video"] == 1
    first, *_ = stand_in.bodies[-1]["messages"][0]["content"]
    assert first["text"] == "A picture:"


def test_frames_are_chosen_by_what_the_command_takes_for_a_scorer(stand_in, clip):
    def load(scorer):
        return load_answerer(
            ServerSettings(
                model="seer", backend="openai", url=stand_in.url, scorer=scorer
            )
        )

    answer = load("nano").ask(clip, "What letter is on the red square?")
    assert (answer.text, answer.best_time is None) == ("an answer", False)
    assert load("text").scorer.name == "text"
    with pytest.raises(ValueError, match="a vision language model that runs here"):
        load("host")


def test_video_tokens_go_to_a_language_model_elsewhere(
    stand_in, nano, clip, tmp_path, running
):
    folder = tmp_path / "language"
    call = ["export-language-model", "nano", str(folder), "--dtype", "float32"]
    assert main(call) == 0
    language = ServedLanguageModel(folder)
    stand_in.check, stand_in.answer = language.check, language.answer
    settings = ServerSettings(
        backend="vllm",
        url=stand_in.url.removesuffix("/v1"),
        folder=tmp_path / "library",
        index_folder=tmp_path / "index",
        index_workers=0,
    )
    question = "Which room is shown most of the time?"
    with (
        running(create_application(settings)) as server,
        httpx.Client(base_url=server.url, timeout=120) as http,
    ):
        while http.get("/readyz").status_code != 200:
            time.sleep(0.1)
        with clip.open("rb") as file:
            told = http.post("/v1/files", files={"file": file}, data={"purpose": "x"})
        part = {"type": "file", "file": {"file_id": told.json()["id"]}}
        content = [part, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": content}]
        body = {"model": "nano", "messages": messages}
        answer = http.post("/v1/chat/completions", json=body).json()
    expected = nano.ask(clip, question)
    assert answer["choices"][0]["message"]["content"] == expected.text
    assert answer["dynfocus"]["video_tokens"] == expected.tokens
    assert len(language.embeds) == 1
