import numpy as np
import pytest

from dynfocus.video import UnreadableVideoError, VideoReader

TIMES = np.arange(90) / 30
KEYS = {"encoder": {"g": "20", "keyint_min": "20", "sc_threshold": "0"}}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_it_takes_the_nearest_key_frames_and_says_their_times(
    name, tmp_path, write_clip, read_numbers
):
    reader = VideoReader(write_clip(tmp_path / name, TIMES, **KEYS))
    sampled = reader.sample(times=[0.0, 0.3, 0.4, 1.4, 2.9], fast=True)
    assert read_numbers(sampled.frames) == [0, 0, 20, 40, 80]
    np.testing.assert_allclose(sampled.times * 30, [0, 0, 20, 40, 80], atol=0.05)


def test_it_decodes_nothing_but_key_frames(
    tmp_path, write_clip, read_numbers, monkeypatch
):
    from dynfocus.video import decoder

    packets = []
    decode = decoder.decode
    monkeypatch.setattr(
        decoder,
        "decode",
        lambda context, packet: packets.append(packet) or decode(context, packet),
    )
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", TIMES, **KEYS))
    reader.sample(fps=10, fast=True)
    read = [packet for packet in packets if packet is not None]
    assert len(read) == 5
    assert all(packet.is_keyframe for packet in read)


def test_one_key_frame_serves_every_moment(tmp_path, write_clip, read_numbers):
    encoder = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0"}
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", TIMES, encoder=encoder))
    sampled = reader.sample(num_frames=4, fast=True)
    assert read_numbers(sampled.frames) == [0, 0, 0, 0]
    assert sampled.times.tolist() == [0, 0, 0, 0]


def test_without_key_frames_it_says_so(tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "raw.h264", TIMES, ticks=30))
    with pytest.raises(
        UnreadableVideoError,
        match=r"raw\.h264: fast mode needs key frames with times, .*without fast\.",
    ):
        reader.sample(num_frames=4, fast=True)
