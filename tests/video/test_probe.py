import json
import re

import av
import numpy as np
import pytest

from dynfocus.errors import ChangedSizeWarning
from dynfocus.video import VideoReader, probe_video

TIMES = np.arange(90) / 30
ONE_KEY_FRAME = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0"}


def test_an_easy_file_has_no_difficulties(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mp4", TIMES, has_audio=True)
    probe = probe_video(path)
    assert (probe.facts.codec, probe.facts.pixel_format, probe.facts.bit_depth) == (
        "h264",
        "yuv420p",
        8,
    )
    assert (probe.size, probe.frame_count, probe.key_frame_count) == ((64, 96), 90, 9)
    assert probe.duration == pytest.approx(3.0, abs=0.01)
    assert probe.fps == pytest.approx(30, abs=0.1)
    assert probe.longest_key_gap_seconds == pytest.approx(1 / 3, abs=0.01)
    facts = probe.facts
    assert (facts.video_streams, facts.audio_streams, facts.cover_pictures) == (1, 1, 0)
    assert (probe.learned_by, probe.is_seekable) == ("index", True)
    assert probe.leaves_out_unneeded
    assert not probe.is_variable_rate
    assert probe.difficulties == []
    assert (probe.tried_frame_count, probe.damage) == (8, None)
    assert (probe.is_interlaced, probe.stored_sizes) == (False, [(64, 96)])
    assert json.loads(json.dumps(probe.to_dict()))["frame_count"] == 90


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("clip.ts", {}, "no index that can be trusted (mpegts)"),
        ("clip.mkv", {}, "no index of all frames: opening reads 0.0 MB once"),
        ("raw.h264", {"ticks": 30}, "no usable times: opening decodes the whole file"),
        ("one.mp4", {"encoder": ONE_KEY_FRAME}, "It has one key frame: every frame"),
        (
            "slow.mp4",
            {"pts_seconds": np.arange(40) * 1.5},
            "key frames are up to 15.0 s apart: a single frame may need that much "
            "decoded, and fast mode may be 7.5 s off.",
        ),
        (
            "variable.mp4",
            {"pts_seconds": np.cumsum(np.tile([0.02, 0.3], 20))},
            "frame rate varies, 20 to 300 ms a frame",
        ),
        ("turned.mp4", {"rotation": 90}, "90 degrees clockwise make it upright"),
        ("mirrored.mp4", {"is_mirrored": True}, "stored mirrored"),
        (
            "deep.mp4",
            {"codec": "libx265", "pix_fmt": "yuv420p10le"},
            "It has 10 bits a colour; frames have 8.",
        ),
        (
            "fields.mp4",
            {"encoder": {"x264-params": "tff=1"}},
            "Its pictures are interlaced; frames hold both fields",
        ),
        (
            "late.mkv",
            {"pts_seconds": TIMES + 4, "has_audio": True, "sound_until": 8},
            "Its picture starts 4.0 s after the file does: players count from there, so "
            "their times are 4.0 s more",
        ),
    ],
)
def test_each_difficulty_is_a_sentence(name, settings, sentence, tmp_path, write_clip):
    settings = {"pts_seconds": TIMES, **settings}
    path = write_clip(tmp_path / name, settings.pop("pts_seconds"), **settings)
    found = [text for text in probe_video(path).difficulties if sentence in text]
    assert len(found) == 1
    assert found[0].endswith(".")


def test_hidden_frames_are_told(tmp_path, write_clip, cut_without_encoding):
    whole = write_clip(tmp_path / "whole.mp4", TIMES)
    probe = probe_video(cut_without_encoding(whole, tmp_path / "cut.mp4", 0.8))
    assert probe.hidden_frame_count == 4
    assert "It has 4 packets without a frame to show." in probe.difficulties


def test_a_cut_file_is_told(tmp_path, write_clip):
    path = write_clip(tmp_path / "cut.mkv", np.arange(300) / 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert any("breaks off after" in text for text in probe_video(path).difficulties)


def test_the_work_for_64_frames_is_counted(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mp4", np.arange(1000) / 10)
    probe = probe_video(path)
    assert 64 <= probe.packets_for_64_frames <= 640


@pytest.mark.parametrize("is_full", [False, True])
def test_a_change_of_size_is_told(is_full, tmp_path, write_clip):
    large = write_clip(tmp_path / "large.ts", TIMES).read_bytes()
    small = write_clip(tmp_path / "small.ts", TIMES, size=(48, 128)).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(large + small)
    probe = probe_video(path, is_full=is_full)
    assert probe.stored_sizes == [(64, 96), (48, 128)]
    reader = VideoReader(path)
    with pytest.warns(ChangedSizeWarning, match=r"changes \(128x48, 96x64\); all are"):
        reader.sample(fps=1.0)
    reader.excerpt(0).sample(fps=1.0)  # told once
    assert (
        "The size of its pictures changes (96x64, 128x48); all frames are stretched to "
        "that of the first." in probe.difficulties
    )


def test_damage_between_key_frames_is_found_when_all_frames_are_decoded(
    tmp_path, write_clip, recwarn
):
    path = write_clip(tmp_path / "clip.mp4", TIMES, encoder=ONE_KEY_FRAME)
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat")
    middle = first + int.from_bytes(data[first - 4 : first], "big") // 2
    data[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(data)
    probe = probe_video(path)
    assert (probe.tried_frame_count, probe.damage) == (1, None)
    seen = []
    probe = probe_video(
        path, is_full=True, progress=lambda done, total: seen.append((done, total))
    )
    assert probe.tried_frame_count == 90
    assert re.match(r"clip\.mp4: frames .* of them may show damage\.$", probe.damage)
    assert seen[-1][1] == 90
    assert len(recwarn) == 0


def test_a_file_that_loses_all_but_its_first_frame_says_so(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mkv", np.arange(20) / 30)
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    data = path.read_bytes()
    for packet in packets[1:]:
        data = data.replace(packet, packet[:4] + b"\xff" * (len(packet) - 4))
    path.write_bytes(data)
    probe = probe_video(path, is_full=True)
    assert "could not be decoded" in probe.damage or "may show damage" in probe.damage
