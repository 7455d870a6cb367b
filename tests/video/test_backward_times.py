"""Times that fall back do not put pictures into another order."""

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader

TIMES = np.arange(90) / 30


def swap(packets):
    """Let some pictures change times with the next of the file."""
    for packet in packets:
        packet.dts -= 3 * packet.duration
    for one, other in zip(packets[5:-5:7], packets[6:-5:7], strict=False):
        one.pts, other.pts = other.pts, one.pts


def show_as_decoded(packets):
    """Give pictures the times of decoding, as careless writers do."""
    for packet in packets:
        packet.pts = packet.dts


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize(
    ("change", "num_b_frames"), [(swap, 0), (swap, 3), (show_as_decoded, 3)]
)
def test_pictures_come_in_the_order_of_the_decoder(
    change, num_b_frames, name, tmp_path, write_clip, read_numbers
):
    encoder = {"bf": str(num_b_frames)}
    whole = write_clip(tmp_path / "whole.mp4", TIMES, encoder=encoder)
    path = tmp_path / name
    with av.open(str(whole)) as given, av.open(str(path), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.size]
        change(packets)
        for packet in packets:
            packet.stream = copy
            out.mux(packet)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        unit = float(container.streams.video[0].time_base)
    ticks = np.array([frame.pts for frame in frames])
    assert (np.diff(ticks) < 0).any()
    shown = read_numbers([frame.to_ndarray(format="rgb24") for frame in frames])
    times = np.sort(ticks - ticks.min()) * unit
    reader = VideoReader(path)
    sampled = reader.sample(times=np.append((times[1:] + times[:-1]) / 2, times[-1]))
    assert read_numbers(sampled.frames) == shown
    np.testing.assert_allclose(sampled.times, times, atol=0.002)
