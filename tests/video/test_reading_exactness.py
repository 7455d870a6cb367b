"""Whatever the file, sampled frames equal those of a decode from beginning to end."""

from dataclasses import fields

import av
import numpy as np
import pytest

from dynfocus.video import VideoReader
from dynfocus.video.timeline import read_timeline
from dynfocus.video.watchdog import Pulse

TIMES = np.arange(90) / 30
VARIABLE = np.concatenate([[0.0], np.cumsum(np.tile([0.02, 0.05, 0.31, 0.04], 20))])
ONE_KEY_FRAME = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
TWO_LAYERS = "log-level=none:keyint=10:bframes=3:b-adapt=0:temporal-layers=2"

FILES = {
    "b_frames.mp4": {},
    "no_b_frames.mp4": {"encoder": {"bf": "0"}},
    "open_gop.mp4": {"encoder": {"x264-params": "open-gop=1:bframes=3"}},
    "open_gop.ts": {"encoder": {"x264-params": "open-gop=1:bframes=3"}},
    "open_gop.mkv": {"encoder": {"x264-params": "open-gop=1:bframes=3"}},
    "interlaced.mp4": {"encoder": {"x264-params": "interlaced=1:bframes=3"}},
    "interlaced.ts": {"encoder": {"x264-params": "interlaced=1:bframes=3"}},
    "mpeg2.ts": {"codec": "mpeg2video", "encoder": {"bf": "2"}, "ticks": 30},
    "mpeg4.mp4": {"codec": "mpeg4", "encoder": {"bf": "2"}, "ticks": 30},
    "mpeg4.avi": {"codec": "mpeg4", "encoder": {"bf": "2"}, "ticks": 30},
    "every_frame_key.mp4": {"encoder": {"g": "1", "bf": "0"}},
    "key_every_other.mp4": {"encoder": {"g": "2", "keyint_min": "1"}},
    "intra_refresh.mp4": {"encoder": {"intra-refresh": "1", "bf": "0"}},
    "one_key_frame.mp4": {"encoder": ONE_KEY_FRAME},
    "long_gop.mkv": {"encoder": {"g": "60", "keyint_min": "60", "sc_threshold": "0"}},
    "index_first.mov": {"muxer": {"movflags": "faststart"}},
    "negative_offsets.mp4": {"muxer": {"movflags": "negative_cts_offsets"}},
    "hevc_10_bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "hevc_10_bit.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "hevc.ts": {"codec": "libx265"},
    "hevc_layers.mp4": {"codec": "libx265", "encoder": {"x265-params": TWO_LAYERS}},
    "av1.mp4": {"codec": "libsvtav1"},
    "av1.mkv": {"codec": "libsvtav1"},
    "vp8.webm": {"codec": "libvpx", "encoder": {"g": "15"}},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "encoder": {"g": "15", "deadline": "realtime", "lag-in-frames": "10"},
    },
    "matroska.mkv": {},
    "transport.ts": {},
    "fragmented.mp4": {"muxer": FRAGMENTS},
    "variable.mp4": {"pts_seconds": VARIABLE},
    "variable.mkv": {"pts_seconds": np.round(VARIABLE, 3)},
    "portrait.mp4": {"size": (96, 64)},
    "cover_art.mp4": {"has_cover_first": True},
    "audio_first.mp4": {"is_audio_first": True},
    "audio_first.ts": {"is_audio_first": True},
    "video.avi": {"encoder": {"bf": "0"}, "ticks": 30},
    "flash.flv": {},
}


@pytest.fixture
def make_file(tmp_path, write_clip):
    def make(name):
        settings = {"pts_seconds": TIMES, **FILES[name]}
        return write_clip(tmp_path / name, settings.pop("pts_seconds"), **settings)

    return make


def check_against(everything, reader, wanted):
    """Each wanted moment has the picture, to the last bit, and the time of its frame."""
    pictures, times = everything
    sampled = reader.sample(times=wanted)
    expected = np.searchsorted(times, np.asarray(wanted) + 1e-6, "right") - 1
    np.testing.assert_allclose(sampled.times, times[expected], atol=1e-6)
    np.testing.assert_array_equal(sampled.frames, pictures[expected])


@pytest.mark.parametrize("name", FILES)
def test_sampled_frames_equal_a_full_decode(name, make_file, decode_everything):
    path = make_file(name)
    everything = decode_everything(path)
    reader = VideoReader(path, num_threads=2)
    random = np.random.default_rng(0)
    end = everything[1][-1]
    for wanted in (
        everything[1],
        random.uniform(0, end, 7),
        [0.0],
        [end],
        [end, 0.4 * end, 0.4 * end, 0.0],
    ):
        check_against(everything, reader, wanted)


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "hevc_10_bit.mkv", "transport.ts", "one_key_frame.mp4"]
)
@pytest.mark.parametrize("num_threads", [1, 3, 16])
def test_the_number_of_threads_changes_nothing(
    name, num_threads, make_file, decode_everything
):
    path = make_file(name)
    everything = decode_everything(path)
    reader = VideoReader(path, num_threads=num_threads)
    for wanted in (everything[1], [0.5, 1.7, 2.9], [1.3]):
        check_against(everything, reader, wanted)


@pytest.mark.parametrize("start", [0.34, 0.8, 1.0])
def test_frames_hidden_by_an_edit_list_are_not_sampled(
    start, tmp_path, make_file, cut_without_encoding, decode_everything
):
    whole = make_file("b_frames.mp4")
    path = cut_without_encoding(whole, tmp_path / "cut.mp4", start)
    pictures, times = decode_everything(path)
    reader = VideoReader(path)
    assert reader.frame_count == len(times)
    check_against((pictures, times), reader, times)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_frames_equal_a_full_decode(
    rotation, tmp_path, write_clip, decode_everything
):
    path = write_clip(tmp_path / "turned.mp4", TIMES, rotation=rotation)
    everything = decode_everything(path, turns=-rotation // 90)
    check_against(everything, VideoReader(path), [0.1, 1.6, 2.4])


def test_a_file_without_a_declared_duration_equals_a_full_decode(
    tmp_path, write_clip, decode_everything
):
    class Pipe:
        def __init__(self, file):
            self.write = file.write

    path = tmp_path / "live.mkv"
    with path.open("wb") as file:
        write_clip(Pipe(file), TIMES, container_format="matroska")
    with av.open(str(path)) as container:
        assert not container.duration
    check_against(decode_everything(path), VideoReader(path), [0.05, 1.51, 2.8])


SAME_TIMELINE = [
    "b_frames.mp4",
    "open_gop.mp4",
    "one_key_frame.mp4",
    "index_first.mov",
    "negative_offsets.mp4",
    "hevc_10_bit.mp4",
    "av1.mp4",
    "variable.mp4",
    "audio_first.mp4",
    "cut.mp4",
]


@pytest.mark.skipif(
    int(av.__version__.split(".")[0]) < 17, reason="PyAV shows the index from 17 on"
)
@pytest.mark.parametrize("name", SAME_TIMELINE)
def test_the_index_of_a_file_says_what_reading_it_says(
    name, tmp_path, make_file, cut_without_encoding
):
    if name == "cut.mp4":
        whole = make_file("b_frames.mp4")
        path = cut_without_encoding(whole, tmp_path / name, 0.8)
    else:
        path = make_file(name)
    indexed = read_timeline(path, Pulse())
    read = read_timeline(path, Pulse(), trusts_index=False)
    assert indexed.is_from_index
    assert not read.is_from_index
    for field in fields(indexed):
        if field.name not in {"is_from_index", "duration", "decoded_seconds"}:
            np.testing.assert_array_equal(
                getattr(indexed, field.name), getattr(read, field.name), field.name
            )
    assert indexed.duration == pytest.approx(read.duration, abs=0.05)


@pytest.mark.parametrize("name", ["fragmented.mp4", "matroska.mkv", "transport.ts"])
def test_other_files_are_read_to_learn_their_packets(name, make_file):
    assert not read_timeline(make_file(name), Pulse()).is_from_index
