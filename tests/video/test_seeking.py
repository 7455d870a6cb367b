import logging
from dataclasses import replace

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader, decoder, packets
from dynfocus.video.seeking import PacketSource
from dynfocus.video.structure import SampleTimes

TIMES = np.arange(90) / 30
needs_index = pytest.mark.skipif(
    int(av.__version__.split(".")[0]) < 17, reason="PyAV shows the index from 17 on"
)


@pytest.fixture
def work(monkeypatch):
    """Count jumps and decoded frames."""
    done = {"jumps": 0, "frames": 0, "packets": 0}
    seek, decode = PacketSource._seek, decoder.decode

    def counted_seek(self, pts):
        done["jumps"] += 1
        seek(self, pts)

    def counted_decode(context, packet):
        frames, succeeded = decode(context, packet)
        done["frames"] += len(frames)
        done["packets"] += packet is not None
        return frames, succeeded

    monkeypatch.setattr(PacketSource, "_seek", counted_seek)
    monkeypatch.setattr(decoder, "decode", counted_decode)
    return done


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
def test_it_jumps_only_to_a_key_frame_that_lies_between(
    name, tmp_path, write_clip, work, read_numbers
):
    reader = VideoReader(write_clip(tmp_path / name, TIMES), num_threads=1)
    assert read_numbers(reader.sample(times=[0.1, 0.2, 0.3]).frames) == [3, 6, 9]
    assert work["jumps"] == 0
    assert read_numbers(reader.sample(times=[0.1, 0.4, 0.5, 2.7]).frames) == [
        *(3, 12, 15),
        81,
    ]
    # Frame 12 begins at the key frame after the one of frame 3, 81 at a later one.
    assert 1 <= work["jumps"] <= 2


def test_a_transport_stream_is_read_in_order(tmp_path, write_clip, work, read_numbers):
    reader = VideoReader(write_clip(tmp_path / "clip.ts", TIMES), num_threads=2)
    assert read_numbers(reader.sample(times=[0.1, 2.7]).frames) == [3, 81]
    assert work["jumps"] == 0
    assert work["packets"] <= 20


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip.mp4", {"encoder": {"g": "90", "sc_threshold": "0"}}),
        (
            "hevc.mp4",
            {
                "codec": "libx265",
                "encoder": {
                    "x265-params": "log-level=none:keyint=90:bframes=3:b-adapt=0"
                    ":b-pyramid=0"
                },
            },
        ),
    ],
)
def test_frames_that_nobody_needs_are_not_decoded(
    name, settings, tmp_path, write_clip, work, read_numbers
):
    path = write_clip(tmp_path / name, TIMES, **settings)
    reader = VideoReader(path, num_threads=1)
    assert read_numbers(reader.sample(times=[2.0, 2.5]).frames) == [60, 75]
    assert work["packets"] >= 70
    assert work["frames"] <= 0.6 * work["packets"]


@pytest.mark.parametrize("name", ["vp8.webm", "layers.mp4"])
def test_where_the_need_for_a_frame_is_unknown_all_are_decoded(
    name, tmp_path, write_clip
):
    params = "log-level=none:keyint=10:temporal-layers=2"
    settings = (
        {"codec": "libvpx"}
        if name == "vp8.webm"
        else {"codec": "libx265", "encoder": {"x265-params": params}}
    )
    reader = VideoReader(write_clip(tmp_path / name, TIMES[:20], **settings))
    assert not reader._timeline.marks_unreferenced


def test_a_key_frame_that_begins_a_refresh_gets_a_run_up(
    tmp_path, write_clip, work, read_numbers
):
    encoder = {"intra-refresh": "1", "bf": "0"}
    path = write_clip(tmp_path / "clip.mp4", TIMES, encoder=encoder)
    reader = VideoReader(path, num_threads=1)
    assert len(reader._timeline.key_packets) == 9
    assert read_numbers(reader.sample(times=[2.8]).frames) == [84]
    assert work["packets"] == 5 + 15


@needs_index
@pytest.mark.parametrize("wrong_from", [0, 20, 80])
def test_an_index_that_is_wrong_is_not_believed(
    wrong_from, tmp_path, write_clip, read_numbers, monkeypatch, caplog
):
    path = write_clip(tmp_path / "clip.mp4", TIMES)
    read = packets.read_sample_times

    def read_wrongly(*arguments):
        times = read(*arguments)
        offsets = times.offsets.copy()
        offsets[wrong_from:] += 6000
        return SampleTimes(offsets, times.last_duration)

    monkeypatch.setattr(packets, "read_sample_times", read_wrongly)
    reader = VideoReader(path)
    assert reader._timeline.is_from_index == (wrong_from > 0)
    with caplog.at_level(logging.INFO):
        assert read_numbers(reader.sample(times=[0.5, 2.8]).frames) == [15, 84]
    assert reader.frame_count == 90
    assert not reader._timeline.is_from_index
    assert ("the index is wrong" in caplog.text) == (wrong_from > 0)


def test_a_jump_that_ends_elsewhere_is_not_believed(
    tmp_path, write_clip, read_numbers, monkeypatch
):
    reader = VideoReader(write_clip(tmp_path / "clip.mkv", TIMES))
    timeline = reader._timeline
    assert timeline.is_seekable
    keys = timeline.packet_pts.copy()
    keys[timeline.key_packets[1:]] += 7
    reader._timeline = replace(timeline, packet_pts=keys)
    assert read_numbers(reader.sample(times=[0.5, 2.8]).frames) == [15, 84]
    assert not reader._timeline.is_seekable
