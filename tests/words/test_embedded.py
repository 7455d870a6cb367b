from __future__ import annotations

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader
from dynfocus.video.confinement import confining
from dynfocus.video.decode_limits import DecodeLimits
from dynfocus.words.embedded import read_embedded

SUBTITLES = """\
1
00:00:00,000 --> 00:00:01,000
hello there

2
00:00:01,200 --> 00:00:01,900
goodbye
"""


@pytest.fixture
def video(tmp_path):
    path, texts = tmp_path / "video.mkv", tmp_path / "texts.srt"
    texts.write_text(SUBTITLES)
    with av.open(str(texts)) as given, av.open(str(path), "w") as out:
        film = out.add_stream("libx264", rate=10)
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        stream = out.add_stream_from_template(given.streams[0])
        picture = np.zeros((64, 96, 3), np.uint8)
        for _ in range(20):
            out.mux(film.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(film.encode(None))
        for packet in given.demux(given.streams[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def test_texts_of_a_strangers_file_are_the_same_and_not_read_here(video, monkeypatch):
    expected = read_embedded(VideoReader(video))
    assert [one.text for one in expected] == ["hello there", "goodbye"]
    with confining(DecodeLimits()):
        monkeypatch.setattr(av, "open", None)  # here, not in the other process
        assert read_embedded(VideoReader(video)) == expected
