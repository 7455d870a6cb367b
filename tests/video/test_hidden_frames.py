"""Packets that show nothing are no frames, in the codecs that have them."""

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader
from dynfocus.video.bitstream import shows_picture

TIMES = np.arange(72) / 24


@pytest.fixture
def hidden(tmp_path, write_clip):
    """Write VP9 with hidden pictures in packets of their own, as old encoders did."""
    encoder = {"g": "12", "deadline": "realtime"}
    whole = write_clip(tmp_path / "a.webm", TIMES, codec="libvpx-vp9", encoder=encoder)
    path = tmp_path / "hidden.webm"
    with av.open(str(whole)) as given, av.open(str(path), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.size]
        doubled = [bytes(p) for p in packets if p.is_keyframe and p.pts]
        for packet in packets:
            data = bytes(packet)
            for early in (1, 0) if data in doubled else (0,):
                again = av.Packet(data)
                again.stream, again.time_base = copy, packet.time_base
                again.pts = again.dts = packet.pts - early
                again.is_keyframe = packet.is_keyframe
                out.mux(again)
    content = bytearray(path.read_bytes())
    for data in doubled:  # the muxer would join what is hidden with what follows
        content[content.index(data)] &= ~2  # the bit that says "shown"
    path.write_bytes(content)
    return path


def test_hidden_frames_of_vp9_are_not_counted(hidden, read_numbers):
    reader = VideoReader(hidden)
    assert len(reader.timeline.packet_pts) == 77
    assert reader.frame_count == 72
    assert reader.fps == pytest.approx(24, abs=0.05)
    assert read_numbers(reader.sample(times=TIMES + 0.02).frames) == list(range(72))


@pytest.mark.parametrize(
    ("codec", "data", "is_shown"),
    [
        ("vp8", b"\x10", True),
        ("vp8", b"\x00", False),
        ("vp9", b"\x82\x49\x83", True),
        ("vp9", b"\x84\x00\x00", False),
        ("vp9", b"\x86\x00\x00", True),
        ("vp9", b"\x88\x00\x00", True),
        ("vp9", b"\x84\x00\xc1", True),
        ("vp9", b"\xb1\x00\x00", True),
        ("h264", b"", True),
    ],
)
def test_the_first_bits_of_a_packet_tell(codec, data, is_shown):
    assert shows_picture(codec, data) == is_shown
