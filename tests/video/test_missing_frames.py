import re

import av
import numpy as np
import pytest

from dynfocus.video import DamagedVideoWarning, UnreadableVideoError, VideoReader

TEN_SECONDS = np.arange(300) / 30


def check_kept(sampled, read_numbers):
    """Every frame that is kept without doubt is the true one of its time."""
    numbers = np.array(read_numbers(sampled.frames))
    is_sure = np.ones(len(numbers), dtype=bool)
    if sampled.is_doubtful is not None:
        is_sure = ~sampled.is_doubtful
        assert not is_sure.all()
    np.testing.assert_allclose(sampled.times[is_sure] * 30, numbers[is_sure], atol=0.1)
    return numbers.tolist()


def sample_with_one_warning(path, **plan):
    with pytest.warns(DamagedVideoWarning) as caught:
        sampled = VideoReader(path).sample(**plan)
    assert len(caught) == 1
    return sampled, str(caught[0].message)


CUT = {
    "clip.mkv": {},
    "clip_with_sound.mkv": {"has_audio": True},
    "clip.webm": {"codec": "libvpx"},
    "index_first.mp4": {"muxer": {"movflags": "faststart"}},
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_gives_what_is_left(name, tmp_path, write_clip, read_numbers):
    path = write_clip(tmp_path / name, TEN_SECONDS, **CUT[name])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    reader = VideoReader(path)
    assert 3 <= reader.duration <= 8
    assert reader.timeline.declared_duration == pytest.approx(10, abs=0.1)
    sampled, message = sample_with_one_warning(path, fps=5)
    numbers = check_kept(sampled, read_numbers)
    num_wanted = len(reader.plan_times(fps=5))
    assert 5 * reader.duration - 2 <= len(numbers) <= num_wanted
    assert re.fullmatch(
        rf"{name}: the file breaks off after {reader.duration:.1f} s of the 10\.0 s that "
        rf"it declares; (frames .* could not be decoded; )?"
        rf"{len(numbers)} of {num_wanted} wanted frames were kept\.",
        message,
    )
    sampled, message = sample_with_one_warning(path, times=np.arange(50) / 5)
    assert check_kept(sampled, read_numbers) == numbers
    assert f"frames after {reader.duration:.1f} s could not be decoded" in message


@pytest.mark.parametrize("name", ["fragmented.mp4", "transport.ts"])
def test_a_cut_file_of_undeclared_length_says_where_it_breaks_off(
    name, tmp_path, write_clip, read_numbers
):
    muxer = {"movflags": "frag_keyframe+empty_moov"} if "mp4" in name else {}
    path = write_clip(tmp_path / name, TEN_SECONDS, muxer=muxer)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10 // 188 * 188 + 77])
    sampled, message = sample_with_one_warning(path, fps=5)
    check_kept(sampled, read_numbers)
    assert re.match(rf"{name}: the file breaks off after [56]\.\d s; ", message)
    assert 25 <= len(sampled.times) <= 30


def test_given_times_before_the_end_of_a_cut_file_raise_no_warning(
    tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / "clip.mkv", TEN_SECONDS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert read_numbers(VideoReader(path).sample(times=[1.01]).frames) == [30]
    with pytest.raises(
        UnreadableVideoError, match="none of 1 wanted frame could be decoded"
    ):
        VideoReader(path).sample(times=[9.0])


@pytest.mark.parametrize("damage", ["zeros", "noise", "hole"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "libx264"),
        ("clip.mkv", "libx264"),
        ("clip.ts", "libx264"),
        ("vp8.webm", "libvpx"),
        ("vp9.webm", "libvpx-vp9"),
    ],
)
def test_damage_in_the_middle_costs_only_the_frames_it_touches(
    name, codec, damage, tmp_path, write_clip, read_numbers
):
    if (name, damage) == ("clip.mp4", "hole"):
        pytest.skip("an MP4 file with missing bytes has no readable index")
    encoder = {} if codec == "libx264" else {"g": "30", "deadline": "realtime"}
    path = write_clip(tmp_path / name, TEN_SECONDS, codec=codec, encoder=encoder)
    data = bytearray(path.read_bytes())
    start, stop = len(data) * 40 // 100, len(data) * 45 // 100
    if damage == "zeros":
        data[start:stop] = bytes(stop - start)
    elif damage == "noise":
        data[start:stop] = np.random.default_rng(0).bytes(stop - start)
    else:
        del data[start:stop]
    path.write_bytes(data)
    sampled, message = sample_with_one_warning(path, fps=5)
    numbers = check_kept(sampled, read_numbers)
    assert {0, 294} <= set(numbers)
    assert len(numbers) >= 25
    doubt = ""
    if sampled.is_doubtful is not None:
        num_doubtful = int(sampled.is_doubtful.sum())
        assert num_doubtful <= 2
        doubt = f", {num_doubtful} of them may show damage"
    assert re.fullmatch(
        rf"{name}: frames from \d\.\d s to \d\.\d s of 10\.0 s could not be decoded; "
        rf"(frames (at|from) .* follow a damaged place; )?"
        rf"{len(numbers)} of 50 wanted frames were kept{doubt}\.",
        message,
    )


def test_untouched_parts_of_a_damaged_file_raise_no_warning(
    tmp_path, write_clip, read_numbers
):
    path = write_clip(tmp_path / "clip.mp4", TEN_SECONDS)
    data = bytearray(path.read_bytes())
    data[len(data) * 4 // 10 : len(data) * 45 // 100] = bytes(len(data) // 20)
    path.write_bytes(data)
    assert read_numbers(VideoReader(path).sample(times=[0.51, 9.51]).frames) == [
        15,
        285,
    ]


def test_several_damaged_places_make_one_warning(tmp_path, write_clip, read_numbers):
    path = write_clip(tmp_path / "clip.mp4", TEN_SECONDS)
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat")
    length = int.from_bytes(data[first - 4 : first], "big")
    for percent in (15, 30, 45, 60, 80):
        start = first + length * percent // 100
        data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    sampled, message = sample_with_one_warning(path, fps=30)
    check_kept(sampled, read_numbers)
    assert re.match(
        r"clip\.mp4: frames .* and in \d more "
        r"stretches of 10\.0 s could not be decoded; frames .* and in \d more stretches "
        r"follow a damaged place; \d+ of 300 wanted frames were kept, \d+ of them may",
        message,
    )


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_frames_after_a_damaged_spot_are_given_with_a_warning(
    name, tmp_path, write_clip, read_numbers
):
    encoder = {"g": "300", "keyint_min": "300", "sc_threshold": "0", "bf": "0"}
    path = write_clip(tmp_path / name, TEN_SECONDS, encoder=encoder, size=(128, 192))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    large = max(packets[140:160], key=len)
    start = data.index(large[12:40])
    data[start : start + 28] = bytes(28)
    path.write_bytes(data)
    sampled, message = sample_with_one_warning(path, fps=5)
    numbers = check_kept(sampled, read_numbers)
    assert len(numbers) >= 47
    doubtful = np.flatnonzero(sampled.is_doubtful)
    assert 15 <= len(doubtful) <= 35
    assert doubtful[-1] == len(numbers) - 1
    assert message.endswith(f"kept, {len(doubtful)} of them may show damage.")
    # What follows the spot is readable all the same.
    times = np.round(sampled.times[doubtful] * 30)
    assert np.mean(times == np.array(numbers)[doubtful]) > 0.8


def test_one_long_damaged_stretch_is_shown_as_far_as_it_can_be(
    tmp_path, write_clip, read_numbers
):
    encoder = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0"}
    path = write_clip(tmp_path / "clip.mp4", TEN_SECONDS, encoder=encoder)
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 3000
    data[place : place + 300] = bytes(300)
    path.write_bytes(data)
    sampled, message = sample_with_one_warning(path, fps=5)
    assert len(sampled.times) > 25
    pattern = r"wanted frames were kept, (\d+) of them may show damage\."
    num_damaged = int(re.search(pattern, message)[1])
    assert 25 < num_damaged <= len(sampled.times)
    numbers = read_numbers(sampled.frames)[: len(sampled.times) - num_damaged]
    assert numbers == list(range(0, 6 * len(numbers), 6))


def test_unusable_files_are_named_in_one_sentence(tmp_path, write_clip, write_sound):
    whole = write_clip(tmp_path / "whole.mp4", TEN_SECONDS).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("This is no film.\n" * 100)
    (tmp_path / "notes.txt").write_text("This is no film.\n" * 100)
    (tmp_path / "zeros.mp4").write_bytes(bytes(5000))
    (tmp_path / "folder.mp4").mkdir()
    write_sound(tmp_path / "sound.mp4")
    for name, sentence in {
        "cut.mp4": "not a video that FFmpeg can open, or its index is missing",
        "empty.mp4": "the file is empty; copy it again",
        "text.mp4": "not a video that FFmpeg can open",
        "notes.txt": "this is a text file, not a video|not a video that FFmpeg can",
        "zeros.mp4": "not a video that FFmpeg can open",
        "folder.mp4": "this is a folder; give the path of a video file",
        "sound.mp4": "the file holds no video stream, only audio",
    }.items():
        with pytest.raises(UnreadableVideoError, match=sentence) as caught:
            VideoReader(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere\.mp4: there is no such file; check the path"
    ):
        VideoReader(tmp_path / "nowhere.mp4")


def test_a_stream_without_frames_is_unreadable(tmp_path, write_clip):
    path = write_clip(tmp_path / "clip.mp4", TEN_SECONDS[:30])
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 4
    length = int.from_bytes(data[place - 8 : place - 4], "big") - 8
    data[place : place + length] = b"\xff" * length
    path.write_bytes(data)
    with pytest.raises(UnreadableVideoError, match="no frame of it can be decoded"):
        VideoReader(path)


def test_nothing_is_printed(tmp_path, write_clip, capfd):
    path = write_clip(tmp_path / "clip.mp4", TEN_SECONDS)
    data = bytearray(path.read_bytes())
    data[3000:4000] = bytes(1000)
    path.write_bytes(data)
    capfd.readouterr()
    sample_with_one_warning(path, fps=5)
    assert capfd.readouterr() == ("", "")
