from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dynfocus.errors import UnreadWordsWarning
from dynfocus.video import VideoReader, VideoWriter
from dynfocus.words import read_words
from dynfocus.words.reading import words_from

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there\n\n2\n00:00:03,000 --> 00:00:04,000\nGoodbye\n"


def said(texts):
    return [(one.start, one.end, one.text) for one in texts]


@pytest.fixture
def video(tmp_path):
    """Five seconds of grey."""
    path = tmp_path / "talk.mp4"
    with VideoWriter(path, fps=2, size=(64, 64)) as writer:
        for _ in range(10):
            writer.write(np.full((64, 64, 3), 128, np.uint8))
    return path


def with_stream(path: Path, subtitles: str) -> Path:
    """Write two seconds of black with a stream of text."""
    file = path.with_suffix(".srt.txt")
    file.write_text(subtitles)
    with av.open(str(path), "w") as out, av.open(str(file), format="srt") as text:
        video = out.add_stream("libx264", rate=5)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        stream = out.add_stream_from_template(text.streams.subtitles[0])
        stream.metadata["language"] = "eng"
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        for packet in text.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def test_subtitles_beside_are_found_and_cut_to_an_excerpt(video):
    video.with_suffix(".en.srt").write_text(SRT)
    texts = read_words(video, screen=False)
    assert said(texts) == [(1.0, 2.5, "Hello there"), (3.0, 4.0, "Goodbye")]
    assert texts[0].language == "en"
    part = read_words(VideoReader(video, start=2.6), screen=False)
    assert said(part) == [(3.0, 4.0, "Goodbye")]


def test_named_subtitles_stand_in_place_of_those_beside(video, tmp_path):
    video.with_suffix(".srt").write_text(SRT)
    other = tmp_path / "other.vtt"
    other.write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nOther\n")
    assert said(read_words(video, subtitles=other, screen=False)) == [(0, 1, "Other")]
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_words(video, subtitles=tmp_path / "missing.srt", screen=False)


def test_file_beside_that_is_no_subtitles_is_told_and_passed_by(video):
    video.with_suffix(".srt").write_text("once upon a time")
    video.with_suffix(".en.json").write_text('{"anything": 1}')
    with pytest.warns(UnreadWordsWarning, match="holds no subtitles") as caught:
        assert read_words(video, screen=False) == []
    assert len(caught) == 1


def test_subtitles_inside_are_read_with_their_language(tmp_path):
    video = with_stream(tmp_path / "inside.mkv", SRT)
    texts = read_words(video, screen=False)
    assert said(texts) == [(1.0, 2.5, "Hello there"), (3.0, 4.0, "Goodbye")]
    assert {one.language for one in texts} == {"eng"}


def test_subtitles_of_another_video_are_told(video):
    video.with_suffix(".srt").write_text(SRT.replace("00:00:03", "01:00:03"))
    with pytest.warns(UnreadWordsWarning, match="1 of 2 cues begin after the end"):
        assert len(read_words(video, screen=False)) == 1


def test_where_words_come_from_is_settled_for_all_that_is_called(video, tmp_path):
    video.with_suffix(".srt").write_text(SRT)
    other = tmp_path / "other.vtt"
    other.write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nOther\n")
    with words_from([other], screen=False):
        assert said(read_words(video)) == [(0, 1, "Other")]
    assert len(read_words(video, screen=False)) == 2
