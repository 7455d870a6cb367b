"""``--start``, ``--end`` and ``--stream``: one way to say them in every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dynfocus.cli.application import app
from dynfocus.world import make_video
from two_streams import write_two_streams

PART = ("--start", "0:02", "--end", 4)
EVERYWHERE = ("ask", "chat", "frames", "storyboard", "timeline", "index")


@pytest.fixture
def two_streams(tmp_path) -> Path:
    return write_two_streams(tmp_path / "two.mp4")


def call(command: str, video: Path) -> list[object]:
    """Give the words that a command needs besides."""
    words = {
        "ask": ("What?", "-m", "other"),
        "chat": ("-m", "other"),
        "frames": ("What?", "--budget", 2),
        "timeline": ("What?", "-m", "other"),
    }
    return [command, video, *words.get(command, ())]


def test_every_command_that_reads_frames_takes_all_three():
    from typer.main import get_command

    for name in EVERYWHERE:
        options = {param.name for param in get_command(app).commands[name].params}
        assert {"start", "end", "stream"} <= options, name


def test_an_answer_is_about_the_excerpt_with_the_times_of_the_file(run, models, clip):
    outcome = run("ask", clip, "What?", "-m", "other", "--json", *PART)
    document = outcome.document
    assert [frame["time"] for frame in document["frames"]] == [2, 3]
    assert (document["start"], document["end"], document["stream"]) == (2, 4, 0)
    whole = run("ask", clip, "What?", "-m", "other", "--json").document
    assert (whole["start"], whole["end"], len(whole["frames"])) == (0, 6, 6)


def test_the_report_shows_the_excerpt(run, models, clip):
    run("ask", clip, "What?", "-m", "other", *PART, "--report", "r.html")
    page = Path("r.html").read_text()
    assert "clip.mp4, 00:02.0 to 00:04.0 of 00:06.0, 2 frames" in page
    ticks = [f">00:0{second}<" for second in ("2.0", "3.0", "3.5")]
    assert all(tick in page for tick in ticks)
    assert ">00:01.0<" not in page
    assert '<text x="8.0" y="174" text-anchor="start"' in page
    run("timeline", clip, "What?", "-m", "other", *PART)
    with Image.open("clip-timeline.png") as picture:
        assert picture.width > 500


def test_chat_is_about_the_excerpt(run, models, clip):
    outcome = run("chat", clip, "-m", "other", *PART, stdin="What is it?\n")
    assert outcome.code == 0
    assert "2 frames" in outcome.err


def test_frames_are_chosen_in_the_excerpt(run, clip):
    document = run("frames", clip, "What?", "--budget", 5, "--json", *PART).document
    times = [frame["time"] for frame in document["frames"]]
    assert len(times) == 5
    assert all(2 <= time < 4 for time in times)
    assert (document["start"], document["end"], document["stream"]) == (2, 4, 0)
    outcome = run("frames", clip, "What?", "--budget", 20, *PART)
    assert outcome.code == 1
    assert "more than the 16 that clip.mp4 shows from 2 s to 4 s; ask" in outcome.err


def test_chosen_frames_are_written_and_requested_with_their_times(run, clip):
    words = ("frames", clip, "What?", "--budget", 2, "--start", 2.06, "--end", 4)
    run(*words, "--out", "chosen", "--served-model", "m", "--request", "r.json")
    names = sorted(path.name for path in Path("chosen").iterdir())
    times = [float(name.split("m")[1].split("s")[0]) for name in names]
    assert len(times) == 2
    assert all(2.06 <= time < 4 for time in times)
    text = json.loads(Path("r.json").read_text())["messages"][0]["content"][0]["text"]
    assert "2 frames of 00:02.0 to 00:04.0 of a video of 00:06.0, chosen" in text


def test_a_server_is_sent_the_frames_of_the_excerpt(run, stand_in, clip):
    url = ("--backend", "openai", "--url", stand_in.url, "--model", "m")
    document = run("ask", clip, "What?", *url, "--budget", 2, "--json", *PART).document
    assert all(2 <= frame["time"] < 4 for frame in document["frames"])
    assert (document["start"], document["end"], document["stream"]) == (2, 4, 0)


def test_of_several_videos_each_has_its_excerpt(run, models, stand_in, clip):
    url = ("--backend", "openai", "--url", stand_in.url, "--model", "m")
    words = ("ask", clip, "--also", clip, "What?", "--json", *PART)
    document = run(*words, *url, "--budget", 4).document
    assert all(2 <= frame["time"] < 4 for frame in document["frames"])
    assert document["video"] == [str(clip), str(clip)]
    assert document["start"] == [2, 2]
    assert document["end"] == [4, 4]
    assert document["stream"] == [0, 0]


def test_a_storyboard_shows_the_excerpt(run, clip):
    document = run("storyboard", clip, "--json", "--start", 1, "--end", 3).document
    assert (document["start"], document["end"], document["duration"]) == (1, 3, 6)
    stretches = [s for one in document["prototypes"] for s in one["stretches"]]
    assert sorted(stretches) == [[1.0, 2.0], [2.0, 3.0]]
    run("storyboard", clip, "--start", 1, "--end", 3, "--out", "s.html")
    page = Path("s.html").read_text()
    assert "00:01.0 to 00:03.0 of 00:06.0" in page
    assert '<rect x="0.00" y="0" height="30" width="500.00"' in page


def test_an_index_of_an_excerpt_is_predicted(run, clip):
    whole = run("index", clip, "--dry-run", "--json").document
    part = run("index", clip, "--dry-run", "--json", *PART).document
    assert (whole["videos"][0]["num_frames"], part["videos"][0]["num_frames"]) == (6, 2)


def test_a_short_excerpt_of_its_world_is_answered_by_nano(run, tmp_path):
    made = make_video(tmp_path / "world.mp4", 12, seed=3)
    outcome = run("ask", made.path, "What?", "--start", 5.3, "--end", 5.8)
    assert outcome.code == 0
    assert "nano" in outcome.err_lines[0]
    assert "warning" not in outcome.err


def test_nano_answers_from_the_index_of_the_whole(run, clip):
    run("index", clip, *("--start", 2.5, "--end", 5))
    run("index", clip)
    listed = run("index", "--list").out
    assert "clip.mp4\t6 frames, nano" in listed
    assert "clip.mp4\t3 frames from 2.5 s to 5 s, nano" in listed
    outcome = run("index", clip, *PART, "--json")
    (video,) = outcome.document["videos"]
    assert (video["state"], video["num_frames"]) == ("done", 2)
    document = run("ask", clip, "What?", "-m", "nano", "--json", *PART).document
    assert document["from_index"] is True
    assert [frame["time"] for frame in document["frames"]] == [2, 3]


def test_rows_have_excerpts_as_fields(run, models, clip):
    rows = [
        {"video": str(clip), "question": "What?", "start": "0:02", "end": 4, "id": "a"},
        {"video": str(clip), "question": "What?", "start": 9, "id": "b"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    outcome = run("batch", "-", "--out", "a.jsonl", stdin=text)
    assert outcome.code == 1
    told = {
        r["id"]: r for r in map(json.loads, Path("a.jsonl").read_text().splitlines())
    }
    assert (told["a"]["start"], told["a"]["end"]) == (2.0, 4.0)
    assert told["a"]["tokens"] == 42
    assert "start must lie before the end of the video at 6.000 s" in told["b"]["error"]
    rows[0]["end"] = "0:01"
    outcome = run("batch", "-", "--out", "b.jsonl", stdin=json.dumps(rows[0]))
    assert "line 1: end must be after start (2 s), got 1 s" in outcome.err


@pytest.mark.parametrize("command", EVERYWHERE)
def test_a_stream_is_chosen_everywhere(run, models, two_streams, command):
    words = call(command, two_streams)
    wrong = run(*words, "--stream", 7, *(["--dry-run"] if command == "index" else []))
    assert wrong.code == 1
    assert "there is no video stream 7; the file has 0, 1." in wrong.err
    if command in ("ask", "frames", "storyboard", "timeline"):
        document = run(*words, "--stream", 1, "--json").document
        assert document["stream"] == 1


def test_probe_reads_the_stream_asked_for(run, two_streams):
    document = run("probe", two_streams, "--stream", 1, "--json").document
    assert (document["stream"], document["size"]) == (1, [32, 48])
    assert document["video_stream_numbers"] == [0, 1]
    assert run("probe", two_streams, "--stream", 7).code == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("--start", "3", "--end", "0:03"),
            2,
            "--end must be after start (3 s), got 3 s",
        ),
        (("--start", "1:75"), 2, "must be seconds from 0, m:ss or h:mm:ss, got '1:75'"),
        (("--end", "soon"), 2, "must be seconds from 0, m:ss or h:mm:ss, got 'soon'"),
        (("--stream", "-1"), 2, "-1 is below 0"),
        (("--start", "6"), 1, "start must lie before the end of the video at 6.000 s"),
        (("--end", "7"), 1, "end must not lie beyond the end of the video at 6.000 s"),
    ],
)
def test_an_impossible_excerpt_is_one_sentence(run, models, clip, words, code, message):
    outcome = run("ask", clip, "What?", "-m", "other", *words)
    assert outcome.code == code
    (line,) = outcome.err_lines
    assert message in line
    assert models == []
