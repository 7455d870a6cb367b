"""What only the beginning of a file tells a decoder holds after a jump as well."""

import re
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader, decoder

TIMES = np.arange(60) / 30
FRAME = Fraction(1, 30)


@pytest.fixture
def make_old(tmp_path, write_clip):
    """Write 4:4:4 H.264 that says it comes from an x264 of 2014."""

    def make(name):
        path = write_clip(tmp_path / name, TIMES, pix_fmt="yuv444p")
        old = re.sub(rb"(x264 - core )\d+", rb"\g<1>142", path.read_bytes(), count=1)
        path.write_bytes(old)
        return path

    return make


@pytest.mark.parametrize("name", ["old.mp4", "old.mkv", "old.ts"])
def test_a_decoder_reads_who_made_a_file_before_it_jumps(name, make_old, monkeypatch):
    fed = []
    decode = decoder.decode
    monkeypatch.setattr(
        decoder,
        "decode",
        lambda context, packet: (
            fed.append((context.skip_frame, packet and packet.pts))
            or decode(context, packet)
        ),
    )
    reader = VideoReader(make_old(name), num_threads=1)
    assert reader.timeline.has_old_faults
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.sample(times=[1.5])
    first = int(reader.timeline.packet_pts[0])
    assert fed[0] == ("ALL", first)
    assert fed[2][0] != "ALL"
    assert fed[2][1] > first


@pytest.mark.parametrize("name", ["old.mp4", "old.mkv", "old.ts"])
def test_faults_that_are_undone_depend_on_the_beginning_alone(
    name, make_old, decode_everything
):
    # The encoder here has no fault, so undoing it makes damage; that is the same, too.
    path = make_old(name)
    pictures, times = decode_everything(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampled = VideoReader(path).sample(times=np.arange(2, 60, 7) / 30 + 0.01)
    shown = np.searchsorted(times, sampled.times + 1e-3, "right") - 1
    np.testing.assert_array_equal(sampled.frames, pictures[shown])


def test_new_files_are_entered_directly(tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "new.mp4", TIMES, pix_fmt="yuv444p"))
    assert not reader.timeline.has_old_faults


def units_of(stream):
    """Split a stream with start codes into units."""
    return [unit for unit in re.split(rb"\x00*\x00\x00\x01", stream) if unit]


def is_parameter_set(unit, path):
    if path.suffix == ".h264":
        return unit[0] & 31 in (7, 8)
    return unit[0] >> 1 & 63 in (32, 33, 34)


def join_with_sets_once(path, parts):
    """Join two raw streams; each tells its parameter sets in its first packet alone."""
    number = 0
    with av.open(str(parts[0])) as template, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(template.streams.video[0])
        for part in parts:
            with av.open(str(part)) as given:
                packets = [p for p in given.demux(given.streams.video[0]) if p.size]
            for place, packet in enumerate(packets):
                units = units_of(bytes(packet))
                if place:
                    units = [unit for unit in units if not is_parameter_set(unit, part)]
                again = av.Packet(b"".join(b"\0\0\0\1" + unit for unit in units))
                again.stream, again.time_base = copy, FRAME
                again.pts = again.dts = number
                again.is_keyframe = packet.is_keyframe
                out.mux(again)
                number += 1
    if path.suffix == ".ts":
        # This muxer puts the first sets before every key packet; make filler of them.
        data = path.read_bytes()
        for header in (b"\0\0\1\x67", b"\0\0\1\x68"):
            pieces = data.split(header)
            assert len(pieces) == 13
            kept = [header if n in (0, 6) else b"\0\0\1\x0c" for n in range(12)] + [b""]
            data = b"".join(map(bytes.__add__, pieces, kept))
        path.write_bytes(data)


X265 = "log-level=none:keyint=10:bframes=0"
JOINED = {
    "h264": ({"bf": "0"}, {"bf": "0", "coder": "0", "x264-params": "ref=5"}),
    "hevc": ({"x265-params": X265}, {"x265-params": f"{X265}:ctu=16:no-sao=1"}),
}


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("h264", "joined.ts"),
        ("h264", "joined.mkv"),
        ("h264", "joined.mp4"),
        ("hevc", "joined.mkv"),
        ("hevc", "joined.mp4"),
    ],
)
def test_parameter_sets_that_are_told_once_hold_for_all_that_follow(
    codec, name, tmp_path, write_clip, decode_everything, read_numbers
):
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    parts = [
        write_clip(
            tmp_path / f"{number}.{codec}",
            TIMES,
            codec=encoder,
            encoder=settings,
            first_number=60 * number,
        )
        for number, settings in enumerate(JOINED[codec])
    ]
    path = tmp_path / name
    join_with_sets_once(path, parts)
    pictures, times = decode_everything(path)
    assert read_numbers(pictures) == list(range(120))
    reader = VideoReader(path)
    for wanted in ([3.9], [0.5, 2.5, 3.2], [1.99, 2.01]):
        sampled = reader.sample(times=wanted)
        shown = np.searchsorted(times, sampled.times + 1e-3, "right") - 1
        np.testing.assert_array_equal(sampled.frames, pictures[shown])
    assert reader.timeline.setups.tolist() == [0, 60]
