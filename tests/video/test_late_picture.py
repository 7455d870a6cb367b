"""Videos whose picture starts after their sound are whole, and so are parts of others."""

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader, probe_video

TIMES = np.arange(60) / 30


@pytest.mark.parametrize("delay", [0.5, 4, 20])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("late.mkv", {}),
        ("late_vp8.mkv", {"codec": "libvpx"}),
        ("late.mp4", {}),
        ("late.ts", {}),
        ("late.flv", {}),
    ],
)
def test_a_late_picture_is_no_broken_file(
    name, settings, delay, tmp_path, write_clip, read_numbers, recwarn
):
    path = write_clip(
        tmp_path / name,
        TIMES + delay,
        has_audio=True,
        sound_until=delay + 3,
        **settings,
    )
    reader = VideoReader(path)
    assert not reader.timeline.is_cut
    assert reader.duration == pytest.approx(2, abs=0.05)
    sampled = reader.sample(times=np.arange(5.5, 60, 10) / 30)
    assert read_numbers(sampled.frames) == [5, 15, 25, 35, 45, 55]
    assert len(reader.sample(num_frames=8).frames) == 8
    assert len(recwarn) == 0
    probe = probe_video(reader)
    assert probe.duration == pytest.approx(2, abs=0.05)


def test_a_late_picture_of_a_file_that_breaks_off_is_measured_from_its_start(
    tmp_path, write_clip
):
    path = write_clip(
        tmp_path / "late.mkv", np.arange(300) / 30 + 4, has_audio=True, sound_until=17
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    timeline = VideoReader(path).timeline
    assert timeline.is_cut
    assert timeline.declared_duration == pytest.approx(10, abs=0.1)


def test_a_note_that_is_too_long_is_not_believed(tmp_path, write_clip):
    whole = write_clip(tmp_path / "whole.mkv", TIMES)
    path = tmp_path / "split.mkv"
    with av.open(str(whole)) as given, av.open(str(path), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        copy.metadata["DURATION"] = "00:01:00.000000000"
        for packet in given.demux(stream):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    data = path.read_bytes()
    at = data.index(b"DURATION")
    at = data.index(b"00:00:02.0", at)
    path.write_bytes(data[:at] + b"00:01:02.0" + data[at + 10 :])
    reader = VideoReader(path)
    assert not reader.timeline.is_cut
    assert reader.duration == pytest.approx(2, abs=0.05)
