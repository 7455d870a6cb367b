from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from PIL import Image

import dynfocus
from dynfocus.models import VideoModel
from dynfocus.serving.agent_settings import AgentSettings
from dynfocus.serving.agents import create_agent_server
from dynfocus.video import VideoWriter
from dynfocus.world import make_video
from word_scorer import WordScorer


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a tool answered."""

    is_error: bool
    text: str
    labels: list[str]
    pictures: list[Image.Image]
    num_bytes: int
    progress: list[float]

    @property
    def document(self) -> Any:
        assert not self.is_error, self.text
        return json.loads(self.text)


Call = Callable[..., Told]
QUESTION = "What letter is on the purple triangle?"
ANSWER, SHOWN = "M", (5.45, 11.36)
"""What is asked of the FocusWorld video, and what is true there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a FocusWorld video, a folder below with another, and links."""
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "world.mp4", 12, 4)
    (folder / "below").mkdir()
    with VideoWriter(folder / "below" / "colours.mp4", fps=8, size=(72, 96)) as writer:
        for colour in ((200, 30, 30), (30, 160, 40), (30, 40, 200)):
            for _ in range(16):
                writer.write(np.full((72, 96, 3), colour, np.uint8))
    secret = tmp_path_factory.mktemp("secret") / "secret.mp4"
    secret.write_bytes((folder / "below" / "colours.mp4").read_bytes())
    (folder / "way out.mp4").symlink_to(secret)
    (folder / "way out").symlink_to(secret.parent)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "inside.mp4").symlink_to(folder / "below" / "colours.mp4")
    return folder


def ask_server(server: Any, *calls: tuple[str, dict[str, Any]]) -> list[Told]:
    """Call tools of one server, one after the other."""

    async def talk() -> list[Told]:
        async with Client(server) as client:
            return [await _call(client, *one) for one in calls]

    return anyio.run(talk)


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> Told:
    progress: list[float] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        assert total == 1.0
        progress.append(done)

    result = await client.call_tool(name, arguments, progress_callback=note)
    first, *others = result.content
    files = [base64.b64decode(one.data) for one in others if one.type == "image"]
    return Told(
        is_error=bool(result.is_error),
        text=first.text,
        labels=[one.text for one in others if one.type == "text"],
        pictures=[Image.open(io.BytesIO(file)) for file in files],
        num_bytes=sum(len(one.data) for one in others if one.type == "image"),
        progress=progress,
    )


@pytest.fixture
def call(folder: Path) -> Call:
    """Call one tool of a server with some settings."""

    def one(name: str, *, settings: dict[str, Any] | None = None, **given: Any) -> Told:
        server = create_agent_server(
            AgentSettings(folders=(folder,), **(settings or {}))
        )
        return ask_server(server, (name, given))[0]

    return one


@pytest.fixture(scope="module")
def by_nano(folder: Path, nano: VideoModel) -> dict[str, Told]:
    """What one server, with nano, says about the FocusWorld video."""
    given = {"video": "world.mp4", "question": QUESTION}
    calls = {
        "find_frames": ("find_frames", {**given, "budget": 2}),
        "when": ("when", given),
        "slowfocus": ("when", {**given, "source": "slowfocus"}),
        "ask": ("ask", given),
    }
    server = create_agent_server(AgentSettings(folders=(folder,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynfocus, "load", lambda name: nano)
        return dict(zip(calls, ask_server(server, *calls.values()), strict=True))


def test_tools_are_listed_with_schemas_and_marked_as_reading_only(folder: Path) -> None:
    async def listed() -> Any:
        server = create_agent_server(AgentSettings(folders=(folder,)))
        async with Client(server) as client:
            assert str(folder) in (client.instructions or "")
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in anyio.run(listed)}
    names = {"probe", "storyboard", "find_frames", "find_words", "when", "ask"}
    assert names <= set(tools)
    for tool in tools.values():
        assert tool.description
        assert tool.annotations.read_only_hint
        assert "context" not in tool.input_schema["properties"]


def test_probe_tells_what_a_file_is_and_what_a_folder_holds(
    call: Call, folder: Path
) -> None:
    assert call("probe", video="world.mp4").document["duration"] == 12.0
    listed = call("probe", video=str(folder)).document["videos"]
    below = str(folder / "below" / "colours.mp4")
    assert listed == [below, str(folder / "world.mp4")]
    assert call("probe", video="inside.mp4").document["frame_count"] == 48
    assert call("probe", video=below).document["frame_count"] == 48


def test_storyboard_is_a_picture_with_the_times_of_its_tiles(call: Call) -> None:
    told = call("storyboard", video="below/colours.mp4", start="0:02")
    times = [one["time"] for one in told.document["prototypes"]]
    assert len(times) == 2
    assert times[0] >= 2.0
    (picture,) = told.pictures
    assert picture.format == "JPEG"


def test_find_frames_without_a_model_shows_what_happens_and_says_so(call: Call) -> None:
    told = call("find_frames", video="below/colours.mp4", question="Who?", budget=6)
    assert [one["relevance"] for one in told.document["frames"]] == [None] * 6
    assert "no scorer looked" in told.document["note"]
    assert told.labels[0].startswith("Frame at 00:0")
    assert told.labels[-1].startswith("Contact sheet")
    assert len(told.pictures) == 5  # four Cones, and the Rods on a sheet


def test_nano_rates_the_frames_of_its_world(by_nano: dict[str, Told]) -> None:
    document = by_nano["find_frames"].document
    assert document["scorer"] == "nano"
    assert max(one["relevance"] for one in document["frames"]) == 1.0


def test_when_gives_the_interval_in_which_the_answer_is_shown(
    by_nano: dict[str, Told],
) -> None:
    told = by_nano["when"]
    document = told.document
    assert (document["source"], document["by"]) == ("rating", "nano")
    sure = [one["confidence"] for one in document["intervals"]]
    assert sure == sorted(sure, reverse=True)
    assert 0 < sum(sure) <= 1.000001
    first = document["intervals"][0]
    assert SHOWN[0] <= first["start"] <= first["best_time"] <= first["end"] <= SHOWN[1]
    assert len(told.pictures) == len(sure)


def test_when_asks_slowfocus_where_that_is_wanted(by_nano: dict[str, Told]) -> None:
    document = by_nano["slowfocus"].document
    assert (document["source"], document["by"]) == ("slowfocus", "nano")
    assert document["answer"]


def test_ask_answers_and_shows_the_frames_that_weighed_most(
    by_nano: dict[str, Told],
) -> None:
    told = by_nano["ask"]
    document = told.document
    assert document["text"] == ANSWER
    assert document["model"] == "nano"
    assert document["confidence"] > 0.5
    assert len(told.pictures) == len(document["frames"]) > 0
    assert told.progress == sorted(told.progress)


def test_words_are_found_in_the_subtitles_beside_a_video(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subtitles = folder / "below" / "colours.srt"
    subtitles.write_text(
        "1\n00:00:02,500 --> 00:00:03,500\nThe harbour pilot comes aboard\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("dynfocus.words.reading.is_screen_read", lambda screen: False)
    video, query = "below/colours.mp4", "harbour pilot"
    told = call("find_words", video=video, query=query)
    (place,) = told.document["places"]
    assert (place["start"], place["source"]) == (2.5, "subtitle")
    assert len(told.pictures) == 1
    for source in ("words", "auto"):  # nothing else here can tell
        document = call("when", video=video, question=query, source=source).document
        assert document["source"] == "words"
        assert document["intervals"][0]["confidence"] == 1.0
    subtitles.unlink()


def test_without_a_model_it_is_said_that_none_was_asked(call: Call) -> None:
    video = "below/colours.mp4"
    asked = call("ask", video=video, question="Who comes in?")
    assert "No model was asked." in asked.text
    when = call("when", video=video, question="Who comes in?", source="rating")
    assert when.is_error
    assert "nothing here rates frames" in when.text


def test_a_named_model_warns_within_the_answer(
    call: Call, nano: VideoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynfocus, "load", lambda name: nano)
    told = call(
        "ask",
        settings={"model": "nano"},
        video="below/colours.mp4",
        question="What letter is on the red square?",
    )
    (warning,) = told.document["warnings"]
    assert "FocusWorld" in warning


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("way out.mp4", "outside what may be read"),
        ("way out/secret.mp4", "outside what may be read"),
        ("below/../../secret/secret.mp4", "outside what may be read"),
        ("/etc/passwd", "outside what may be read"),
        ("/etc/there is no such file", "outside what may be read"),
        ("circle", "outside what may be read"),
        ("none.mp4", "there is no file none.mp4"),
        ("a\0b.mp4", "a NUL character"),
        (" ", "must be a text that is not empty"),
        ("http://127.0.0.1/a.mp4", "addresses are not opened here"),
        ("file:///etc/passwd", "addresses are not opened here"),
        ("below", "is a folder"),
    ],
)
def test_only_what_lies_in_the_folders_is_opened(
    call: Call, name: str, message: str
) -> None:
    told = call("storyboard", video=name)
    assert told.is_error
    assert message in told.text
    assert "\n" not in told.text


def test_private_addresses_are_refused_where_addresses_are_allowed(call: Call) -> None:
    settings = {"allows_web": True}
    told = call("probe", settings=settings, video="http://127.0.0.1:9/a.mp4")
    assert told.is_error
    assert "127.0.0.1" in told.text
    told = call("probe", settings=settings, video="ftp://example.org/a.mp4")
    assert "only those of http and https" in told.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"video": "world.mp4", "question": ""}, "must be a text that is not empty"),
        ({"video": "world.mp4", "question": "\ud83d"}, "half a character"),
        ({"video": "world.mp4", "question": "x", "budget": 65}, "budget"),
        ({"video": "world.mp4", "question": "x", "budget": "lots"}, "valid integer"),
        ({"video": "world.mp4", "question": "x", "start": "1:99"}, "m:ss or h:mm:ss"),
        ({"video": "world.mp4", "question": "x", "start": 99}, "before the end"),
        ({"question": "x"}, "video Field required"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    call: Call, given: dict[str, Any], message: str
) -> None:
    told = call("find_frames", **given)
    assert told.is_error
    assert message in told.text
    assert "\n" not in told.text


def test_no_answer_is_longer_than_its_budget(call: Call) -> None:
    video, question = "below/colours.mp4", "Who comes in?"
    whole = call("find_frames", video=video, question=question, budget=40)
    settings = {"max_characters": 1000, "max_picture_bytes": 4000}
    short = call(
        "find_frames", settings=settings, video=video, question=question, budget=40
    )
    assert "left_out" not in whole.document
    assert len(short.text) + sum(map(len, short.labels)) <= 1000
    assert short.num_bytes <= 4000 < whole.num_bytes
    document = short.document
    assert len(document["frames"]) + document["left_out"]["frames"] == 40
    assert "4,000 bytes" in document["pictures"]


def test_what_nobody_foresaw_is_not_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of the code")

    monkeypatch.setattr("dynfocus.serving.agent_access.probe_video", fail)
    told = call("probe", video="world.mp4")
    assert told.is_error
    assert "secret" not in told.text
    assert "ZeroDivisionError" in caplog.text


def test_a_call_that_is_given_up_ends_its_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    def go_on(*_: Any, progress: Callable[[int, int], None], **__: Any) -> None:
        import time

        try:
            for step in range(1000):
                time.sleep(0.01)
                progress(step, 1000)
        except BaseException:
            ended.append(True)
            raise

    monkeypatch.setattr("dynfocus.serving.agent_access.probe_video", go_on)

    async def give_up() -> None:
        server = create_agent_server(AgentSettings(folders=(folder,)))
        async with Client(server) as client:
            with anyio.move_on_after(0.3):
                await client.call_tool("probe", {"video": "world.mp4"})
            with anyio.fail_after(5):
                while not ended:
                    await anyio.sleep(0.02)

    anyio.run(give_up)
    assert ended


def test_a_scorer_that_is_named_rates_frames(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dynfocus.methods.scorers.DualEncoder", lambda name: WordScorer()
    )
    told = call(
        "when",
        settings={"scorer": "somebody/encoder"},
        video="below/colours.mp4",
        question="green",
    )
    (interval, *_) = told.document["intervals"]
    assert (interval["start"], interval["end"]) == pytest.approx((2.0, 4.0), abs=0.3)


def test_the_command_talks_over_standard_streams(folder: Path) -> None:
    command = ["-m", "dynfocus", "mcp", str(folder)]
    server = StdioServerParameters(
        command=sys.executable, args=command, env=dict(os.environ)
    )
    (told,) = ask_server(server, ("probe", {"video": "world.mp4"}))
    assert told.document["duration"] == 12.0
