"""A host asked about a video that is still coming."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_hosts import BUILDERS, save_host

from dynfocus.cli import main
from dynfocus.defaults import RECOMMENDED_SCORER
from dynfocus.errors import UnrelatedWordsWarning
from dynfocus.methods.text_scorer import TextScorer
from dynfocus.video import SampledFrames
from dynfocus.words import TimedText
from spoken_clip import SAID, write_spoken_clip
from tiny_clip import save_tiny_clip

QUESTION = "what is red ?"
SUBTITLES = [
    TimedText(start=float(start), end=float(end), text=text, source="subtitle")
    for start, end, text in SAID
]


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_what_fits_is_answered_as_the_whole_video(plugged, make_frames, name, scorer):
    focused = plugged(name, max_video_tokens=60, scorer=scorer)
    frames, times = make_frames(7), np.linspace(3, 9, 7)
    session = focused.session(max_frames=8, window=3)
    for part in (slice(0, 2), slice(2, 7)):
        session.push(frames[part], times[part])
        answer = session.ask(QUESTION, max_new_tokens=4)
    assert answer.tokens <= 60
    assert [frame.time for frame in answer.frames] == times.tolist()
    if name.startswith("qwen"):  # which reads the frames of a file in pairs
        return
    whole = focused.ask(
        SampledFrames(frames, times), QUESTION, max_new_tokens=4, fps=1.0
    )
    assert (answer.text, answer.tokens) == (whole.text, whole.tokens)
    assert [frame.kind for frame in answer.frames] == [f.kind for f in whole.frames]
    assert answer.best_time == whole.best_time


def test_no_more_frames_are_held_than_wanted(plugged, make_frames):
    session = plugged(max_video_tokens=60).session(max_frames=6)
    session.push(make_frames(20))
    assert (session.num_frames, session.stride) == (5, 4)
    answer = session.ask(QUESTION, max_new_tokens=2)
    assert [frame.time for frame in answer.frames] == [0, 4, 8, 12, 16]
    assert session.frame_size is None


def test_words_that_were_heard_choose_frames_and_stand_in_the_prompt(
    plugged, make_frames
):
    focused = plugged(max_video_tokens=200, scorer=TextScorer())
    session = focused.session()
    session.hear(SUBTITLES[:2], SUBTITLES[2:])
    session.push(make_frames(9))
    answer = session.ask("How are aphids removed?", max_new_tokens=2, word_share=0.5)
    assert answer.best_time == 6
    assert answer.words[0].text.startswith("Aphids are washed away")
    with pytest.warns(UnrelatedWordsWarning, match="said in the video is about"):
        later = session.ask("Who signs form LX-220?", max_new_tokens=2)
    assert later.words == []  # that comes at 10 s, and 9 s were seen
    session.push(make_frames(4), np.arange(9.0, 13.0))
    later = session.ask("Who signs form LX-220?", max_new_tokens=2)
    assert "LX-220" in later.words[0].text
    session.hear((), ())
    with pytest.warns(UnrelatedWordsWarning):
        session.ask("Who signs form LX-220?", max_new_tokens=2)


@pytest.fixture
def folder(hosts, tmp_path):
    return save_host(hosts("llava_onevision"), tmp_path / "host")


def watch(capsys, video, folder, *more):
    """Watch a video on the command line; give the lines told and standard error."""
    call = ["watch", str(video), "-m", str(folder), "--ask", "How are aphids removed?"]
    assert main([*call, "--max-new-tokens", "2", "--json", *more]) == 0
    found = capsys.readouterr()
    return [json.loads(line) for line in found.out.splitlines()], found.err


def test_the_scorer_that_was_downloaded_looks_by_itself_at_what_is_watched(
    folder, tmp_path, capsys, hub
):
    video = write_spoken_clip(tmp_path)
    hub.name = RECOMMENDED_SCORER
    clip_model = save_tiny_clip(tmp_path / "clip")
    hub.files = {file.name: file.read_bytes() for file in clip_model.iterdir()}
    assert main(["download", "--scorer"]) == 0
    capsys.readouterr()
    (line,), err = watch(capsys, video, folder)
    assert err.startswith(f"Scorer: {RECOMMENDED_SCORER}, as it was downloaded")
    assert err.count("Scorer:") == 1
    assert line["best_time"] is not None
    (line,), err = watch(capsys, video, folder, "--scorer", "none")
    assert ("Scorer:" in err, line["best_time"]) == (False, None)
    row = json.dumps({"video": str(video), "question": "How are aphids removed?"})
    (tmp_path / "q.jsonl").write_text(row)
    call = ["batch", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / "a.jsonl")]
    assert main([*call, "-m", str(folder), "--max-new-tokens", "2"]) == 0
    assert capsys.readouterr().err.startswith(f"Scorer: {RECOMMENDED_SCORER}, as it")
    assert json.loads((tmp_path / "a.jsonl").read_text())["best_time"] is not None
    nano = ["watch", str(video), "--ask", "What happens?", "--max-new-tokens", "2"]
    assert main(nano) == 0
    assert "Scorer:" not in capsys.readouterr().err  # it scores frames itself


def test_what_is_said_in_a_stream_tells_where_to_look(folder, tmp_path, capsys):
    video = write_spoken_clip(tmp_path)
    words = ("--scorer", "text", "--subtitles", str(video.with_suffix(".srt")))
    told, _ = watch(capsys, video, folder, *words, "--every", "4")
    assert [line["seen_seconds"] for line in told] == [4, 8, 12, 16]
    assert [line["best_time"] for line in told[1:]] == [pytest.approx(6, abs=2)] * 3
    call = ["watch", str(video), "--ask", "What?", *words[2:]]
    assert main(call) == 2
    assert "--subtitles is for --scorer text; name it, too" in capsys.readouterr().err
