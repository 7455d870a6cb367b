import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest

from dynfocus.video import (
    UnreadableVideoError,
    VideoReader,
    VideoWriter,
    probe_video,
    timeline,
)
from dynfocus.video.scan import scan_file

CONSTANT = np.arange(60) / 30


def expected_numbers(pts_seconds, wanted):
    return [int(np.flatnonzero(pts_seconds <= time + 1e-6)[-1]) for time in wanted]


def true_times(path):
    """Decode everything in order: the times of the frames as FFmpeg shows them."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        times = [float(f.pts * stream.time_base) for f in container.decode(stream)]
    return np.array(times) - times[0]


CASES = {
    "b_frames.mp4": {},
    "matroska.mkv": {},
    "transport.ts": {},
    "vp8.webm": {"codec": "libvpx"},
    "vp8_hidden_frames.webm": {
        "codec": "libvpx",
        "encoder": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"},
    },
    "vp9.webm": {"codec": "libvpx-vp9", "encoder": {"deadline": "realtime"}},
    "fragmented.mp4": {"muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "long_audio.mp4": {"has_audio": True},
    "long_audio.mkv": {"has_audio": True},
    "open_gop.mp4": {"encoder": {"x264-params": "open-gop=1:bframes=3"}},
    "intra_refresh.mp4": {"encoder": {"intra-refresh": "1", "bf": "0"}},
    "flash.flv": {},
}


@pytest.mark.parametrize("name", CASES)
def test_each_wanted_time_gets_the_frame_on_display(
    name, tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / name, CONSTANT, **CASES[name])
    reader = VideoReader(path)
    shown = true_times(path)
    assert reader.frame_count == len(shown) == 60
    assert reader.duration == pytest.approx(2.0, abs=0.01)
    assert reader.fps == pytest.approx(30, rel=0.01)
    assert reader.size == (64, 96)
    wanted = np.random.default_rng(0).uniform(0, reader.duration, 40)
    for times in (wanted, wanted[:3], [0.0], [reader.duration]):
        sampled = reader.sample(times=times)
        numbers = expected_numbers(shown, times)
        assert read_numbers(sampled.frames) == numbers
        np.testing.assert_allclose(sampled.times, shown[numbers], atol=1e-9)


def test_variable_frame_rate_is_addressed_by_time(tmp_path, write_clip, read_numbers):
    steps = np.random.default_rng(1).choice([0.02, 0.05, 0.4, 1.3], 50)
    shown = np.round(np.concatenate([[0], np.cumsum(steps)]), 4)
    reader = VideoReader(write_clip(tmp_path / "variable.mp4", shown))
    wanted = np.arange(0, shown[-1], 0.3)
    sampled = reader.sample(fps=1 / 0.3)
    numbers = expected_numbers(shown, wanted)
    assert read_numbers(sampled.frames)[: len(wanted)] == numbers
    np.testing.assert_allclose(sampled.times[: len(wanted)], shown[numbers], atol=1e-4)
    assert reader.frame_count == 51


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_long_still_picture_is_no_hole(suffix, tmp_path, write_clip, read_numbers):
    shown = np.concatenate([CONSTANT, 9 + CONSTANT * 1.37])
    reader = VideoReader(write_clip(tmp_path / f"still.{suffix}", shown))
    assert read_numbers(reader.sample(times=[5.0, 8.9]).frames) == [59, 59]


def test_times_begin_at_the_first_frame(tmp_path, write_clip, read_numbers):
    path = write_clip(tmp_path / "late.ts", CONSTANT + 7.25)
    sampled = VideoReader(path).sample(times=[0.0, 0.5])
    assert read_numbers(sampled.frames) == [0, 15]
    np.testing.assert_allclose(sampled.times, [0.0, 0.5], atol=1e-6)


def test_an_edit_list_hides_the_frames_before_the_cut(
    tmp_path, write_clip, read_numbers
):
    """A cut without re-encoding: packets from the key frame on, shown from later."""
    source = write_clip(tmp_path / "whole.mp4", CONSTANT)
    path = tmp_path / "cut.mp4"
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.size and packet.pts * packet.time_base >= Fraction(2, 3):
                # Times below 0 become an edit list: frames 20 to 24 stay hidden.
                shift = int(Fraction(25, 30) / packet.time_base)
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = copy
                out.mux(packet)
    shown = true_times(path)
    reader = VideoReader(path)
    sampled = reader.sample(times=shown)
    assert read_numbers(sampled.frames)[0] == 25
    assert read_numbers(sampled.frames) == list(range(25, 60))
    assert reader.frame_count == 35
    assert reader.duration == pytest.approx(35 / 30, abs=1e-3)
    assert sampled.times[0] == 0


def test_a_stream_that_begins_between_key_frames_begins_at_its_first_picture(
    tmp_path, write_clip, read_numbers
):
    data = write_clip(tmp_path / "whole.ts", np.arange(90) / 30).read_bytes()
    path = tmp_path / "joined_late.ts"
    path.write_bytes(data[188 * (len(data) // 188 // 4) :])
    sampled = VideoReader(path).sample(times=[0.0, 0.5, 1.0])
    numbers = read_numbers(sampled.frames)
    assert numbers[0] % 10 == 0
    assert [number - numbers[0] for number in numbers] == [0, 15, 30]


class Pipe:
    """A file that cannot be wound back, as standard output is."""

    def __init__(self, path):
        self.file = path.open("wb")

    def write(self, data):
        return self.file.write(data)


@pytest.mark.parametrize("container_format", ["matroska", "webm"])
def test_a_missing_duration_is_counted(
    container_format, tmp_path, write_clip, read_numbers
):
    path = tmp_path / "live.mkv"
    pipe = Pipe(path)
    codec = "libx264" if container_format == "matroska" else "libvpx"
    write_clip(pipe, CONSTANT, container_format=container_format, codec=codec)
    pipe.file.close()
    with av.open(str(path)) as container:
        assert not container.duration
    reader = VideoReader(path)
    assert reader.duration == pytest.approx(2.0, abs=0.01)
    assert read_numbers(reader.sample(num_frames=4).frames) == [7, 22, 37, 52]


@pytest.mark.parametrize("name", ["raw.h264", "b_frames.avi"])
def test_packets_without_times_are_decoded_to_be_counted(
    name, tmp_path, write_clip, read_numbers
):
    reader = VideoReader(write_clip(tmp_path / name, CONSTANT, ticks=30))
    assert (reader.frame_count, reader.duration) == (60, pytest.approx(2.0))
    sampled = reader.sample(times=[0.01, 0.99, 1.5, 0.5])
    assert read_numbers(sampled.frames) == [0, 29, 45, 15]
    np.testing.assert_allclose(sampled.times, [0, 29 / 30, 1.5, 0.5])


def test_joined_transport_streams_go_on_where_the_clock_is_set_back(
    tmp_path, write_clip, read_numbers
):
    first = write_clip(tmp_path / "first.ts", CONSTANT).read_bytes()
    second = write_clip(tmp_path / "second.ts", CONSTANT, first_number=60)
    path = tmp_path / "joined.ts"
    path.write_bytes(first + second.read_bytes())
    reader = VideoReader(path)
    assert reader.duration == pytest.approx(4.0, abs=0.1)
    assert read_numbers(reader.sample(times=[1.01, 3.01]).frames) == [30, 90]


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_frames_are_turned_as_displayed(
    rotation, is_mirrored, tmp_path, write_clip, read_numbers
):
    path = write_clip(
        tmp_path / "turned.mp4",
        CONSTANT[:12],
        rotation=rotation,
        is_mirrored=is_mirrored,
    )
    reader = VideoReader(path)
    assert reader.size == (64, 96)
    assert read_numbers(reader.sample(fps=30).frames) == list(range(12))
    small = reader.sample(fps=30, size=(32, 80)).frames
    assert small.shape == (12, 32, 80, 3)
    assert read_numbers(small) == list(range(12))


def test_a_display_matrix_written_by_hand_turns_clockwise(
    tmp_path, write_clip, draw_number
):
    """The matrix of a phone held upright: stored x axis shown downwards."""
    path = write_clip(tmp_path / "phone.mp4", [0.0, 0.1], first_number=6)
    data = bytearray(path.read_bytes())
    identity = b"".join(
        value.to_bytes(4, "big")
        for value in (65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)
    )
    place = data.index(identity, data.index(b"tkhd"))
    turned = (0, 65536, 0, -65536, 0, 0, 0, 0, 0x40000000)
    data[place : place + 36] = b"".join(
        v.to_bytes(4, "big", signed=True) for v in turned
    )
    path.write_bytes(data)
    reader = VideoReader(path)
    assert reader.size == (96, 64)
    picture = reader.sample(times=[0.0]).frames[0].astype(int)
    clockwise = np.rot90(draw_number(6, 64, 96), -1).astype(int)
    assert np.abs(picture - clockwise).mean() < 12


def test_the_best_of_several_video_streams_is_read_and_cover_art_is_not(
    tmp_path, write_clip, read_numbers, draw_number
):
    small = write_clip(tmp_path / "small.mp4", CONSTANT[:20], first_number=500)
    large = write_clip(tmp_path / "large.mp4", CONSTANT, size=(128, 192))
    path = tmp_path / "several.mkv"
    with av.open(str(path), "w") as out:
        sources = [av.open(str(source)) for source in (small, large)]
        copies = [out.add_stream_from_template(s.streams.video[0]) for s in sources]
        for source, copy in zip(sources, copies, strict=True):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
            source.close()
    reader = VideoReader(path)
    assert reader.size == (128, 192)
    assert read_numbers(reader.sample(times=[1.0]).frames) == [30]


def test_cover_art_is_not_a_video(tmp_path, write_sound):
    path = write_sound(tmp_path / "song.mp4")
    covered = tmp_path / "covered.mp4"
    with av.open(str(path)) as given, av.open(str(covered), "w") as out:
        sound = out.add_stream_from_template(given.streams.audio[0])
        cover = out.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24")
        out.mux(cover.encode(picture.reformat(format="yuvj420p")))
        out.mux(cover.encode(None))
        for packet in given.demux(audio=0):
            if packet.size:
                packet.stream = sound
                out.mux(packet)
    with pytest.raises(UnreadableVideoError, match="holds no video stream, only audio"):
        VideoReader(covered)


def test_a_single_frame_is_a_video(tmp_path, write_clip, read_numbers):
    reader = VideoReader(write_clip(tmp_path / "one.mp4", [0.0], first_number=9))
    assert reader.frame_count == 1
    assert reader.duration > 0
    assert read_numbers(reader.sample().frames) == [9]
    assert read_numbers(reader.sample(num_frames=3).frames) == [9, 9, 9]


@pytest.mark.parametrize(
    "name", ["with space.mp4", "видео-影片.mp4", "12:30 100%03d.mp4"]
)
def test_unusual_names_work(name, tmp_path, write_clip):
    path = write_clip(tmp_path / name, CONSTANT[:5])
    assert VideoReader(str(path)).frame_count == VideoReader(path).frame_count == 5


def test_order_and_repetition_of_wanted_times_are_kept(
    tmp_path, write_clip, read_numbers
):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", CONSTANT))
    sampled = reader.sample(times=[1.5, 0.0, 1.5, 0.701])
    assert read_numbers(sampled.frames) == [45, 0, 45, 21]
    assert sampled.frames.dtype == np.uint8
    assert sampled.times.dtype == np.float64
    again = reader.sample(times=sampled.times)
    np.testing.assert_array_equal(again.frames, sampled.frames)


def test_default_is_one_frame_a_second(tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", np.arange(75) / 30))
    np.testing.assert_allclose(reader.sample().times, [0, 1, 2])


def test_progress_counts_up_to_the_total(tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", CONSTANT))
    seen = []
    reader.sample(num_frames=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 7) for done in range(1, 8)]


@pytest.mark.parametrize(
    "size", [(0, 10), (10,), (10, -1), (9.5, 10), 224, (1, 40_000)]
)
def test_a_bad_size_is_refused(size, tmp_path, write_clip):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4", CONSTANT[:3]))
    message = "size must be a height and a width, whole numbers from 1 to 32768, got "
    with pytest.raises(ValueError, match=re.escape(f"{message}{size!r}.")):
        reader.sample(size=size)


def test_a_reader_is_opened_once_and_asked_by_many_threads(
    tmp_path, write_clip, read_numbers, monkeypatch
):
    scans = []
    monkeypatch.setattr(
        timeline,
        "scan_file",
        lambda *given, **plan: scans.append(given) or scan_file(*given, **plan),
    )
    reader = VideoReader(write_clip(tmp_path / "clip.mkv", np.arange(90) / 30))
    times = [[0.5, 2.5], [1.01, 1.51, 0.01], [2.0]] * 4
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda t: reader.sample(times=t).frames, times))
    assert list(map(read_numbers, numbers)) == [[15, 75], [30, 45, 0], [60]] * 4
    assert probe_video(reader).frame_count == 90
    np.testing.assert_array_equal(reader.plan_times(fps=2), np.arange(6) / 2)
    assert len(scans) == 1


def test_a_reader_knows_the_notes_of_its_file(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", fps=8, size=(32, 32), comment="mine") as out:
        out.write(np.zeros((32, 32, 3), np.uint8))
    assert VideoReader(tmp_path / "a.mp4").metadata["comment"] == "mine"
