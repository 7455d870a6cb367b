import json
import time
import warnings

import pytest

from dynfocus.errors import UnreadWordsWarning
from dynfocus.words.subtitles import find_subtitles, read_subtitles

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> there\n\n2\n00:01:00,0 --> 00:01:02,0\nTwo\nlines\n"
VTT = (
    "WEBVTT\nKind: captions\n\nNOTE not\nshown\n\nfirst\n00:01.000 --> 00:02.500 align:start\n"
    "<v Anna>Hello <00:00:01.500><c>there</c>\n\nsecond\n01:00.000 --> 01:02.000\nTwo\nlines\n"
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not shown\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,Anna,0,0,0,,{\\an8}Hello there\n"
    "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}\n"
    "Dialogue: 0,0:01:00.00,0:01:02.00,Default,,0,0,0,,Two\\Nlines\n"
)
SBV = "0:00:01.000,0:00:02.500\nHello there\n\n0:01:00.000,0:01:02.000\nTwo\nlines\n"
TTML = (
    '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
    '<p begin="00:00:01.000" end="00:00:02.500">Hello there</p>'
    '<p begin="00:01:00.000" end="00:01:02.000">Two<br/>lines</p></div></body></tt>'
)
SEGMENTS = [
    {"start": 1.0, "end": 2.5, "text": " Hello there", "speaker": "Anna"},
    {"start": 60.0, "end": 62.0, "text": "Two\nlines"},
]
WHISPERX = json.dumps({"segments": SEGMENTS, "language": "en"})
WHISPER_CPP = json.dumps(
    {
        "result": {"language": "en"},
        "transcription": [
            {"offsets": {"from": 1000, "to": 2500}, "text": "Hello there"},
            {"offsets": {"from": 60000, "to": 62000}, "text": "Two\nlines"},
        ],
    }
)
JSON3 = json.dumps(
    {
        "events": [
            {"tStartMs": 0, "dDurationMs": 9000},
            {
                "tStartMs": 1000,
                "dDurationMs": 1500,
                "segs": [{"utf8": "Hello"}, {"utf8": " there"}],
            },
            {
                "tStartMs": 60000,
                "dDurationMs": 2000,
                "segs": [{"utf8": "Two\nlines"}],
            },
        ]
    }
)
PAGE_ROWS = json.dumps(
    [
        {"text": "Hello there", "start": 1.0, "duration": 1.5},
        {"text": "Two\nlines", "start": 60.0, "duration": 2},
    ]
)
SRV1 = (
    '<?xml version="1.0"?><transcript><text start="1" dur="1.5">Hello there</text>'
    '<text start="60" dur="2">Two\nlines</text></transcript>'
)


def said(texts):
    return [(one.start, one.end, one.text) for one in texts]


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (SRT, "subtitle"),
        (SRT.replace("\n", "\r\n"), "subtitle"),
        (VTT, "subtitle"),
        (ASS, "subtitle"),
        (SBV, "subtitle"),
        (TTML, "subtitle"),
        (SRV1, "subtitle"),
        (WHISPERX, "transcript"),
        (WHISPER_CPP, "transcript"),
        (JSON3, "transcript"),
        (PAGE_ROWS, "transcript"),
    ],
    ids=[
        *("srt", "windows srt", "vtt", "ass", "sbv", "ttml", "youtube xml", "whisperx"),
        *("whisper.cpp", "youtube json", "rows"),
    ],
)
def test_every_kind_says_the_same(tmp_path, content, source):
    file = tmp_path / "any.txt"  # the content tells what it is, not the name
    file.write_bytes(content.encode())
    texts = read_subtitles(file)
    assert said(texts) == [(1.0, 2.5, "Hello there"), (60.0, 62.0, "Two\nlines")]
    assert {one.source for one in texts} == {source}
    speakers = {one.speaker for one in texts}
    assert speakers == ({"Anna", None} if "Anna" in content else {None})


def test_transcript_copied_from_a_page_lasts_until_the_next_moment(tmp_path):
    file = tmp_path / "copied.txt"
    file.write_text("0:01\nHello there\n1:00 Two\nlines\n1:02:05\nlast\n")
    assert said(read_subtitles(file)) == [
        (1.0, 60.0, "Hello there"),
        (60.0, 3725.0, "Two\nlines"),
        (3725.0, 3730.0, "last"),
    ]


def test_files_beside_are_found_once_a_language(tmp_path):
    names = (
        *("talk.mp4", "talk.srt", "talk.vtt", "talk.en.vtt", "talk.pt-BR.forced.srt"),
        *("talk.mp4.de.ass", "talk.json", "talk.2.srt", "talks.srt", "talk.part.srt"),
    )
    for name in names:
        (tmp_path / name).touch()
    found = {path.name for path in find_subtitles(tmp_path / "talk.mp4")}
    assert found == {
        *("talk.srt", "talk.en.vtt", "talk.pt-BR.forced.srt", "talk.mp4.de.ass")
    }


def test_language_comes_from_the_name(tmp_path):
    file = tmp_path / "talk.pt-BR.srt"
    file.write_text(SRT)
    texts = read_subtitles(file, video=tmp_path / "talk.mp4")
    assert {one.language for one in texts} == {"pt-BR"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_name_are_read(tmp_path, encoding):
    file = tmp_path / "a.srt"
    file.write_bytes(
        SRT.replace("Hello", "Gr\u00fc\u00dfe \u4f60\u597d").encode(encoding)
    )
    assert read_subtitles(file)[0].text == "Gr\u00fc\u00dfe \u4f60\u597d there"


FRENCH = (
    "Bonjour \u00e0 tous et bienvenue, o\u00f9 \u00eates-vous all\u00e9s cet \u00e9t\u00e9 ? "
    "Nous avons pass\u00e9 nos vacances \u00e0 la mer. Le gar\u00e7on a d\u00e9j\u00e0 mang\u00e9."
)
RUSSIAN = (
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435, \u0434\u043e\u0440\u043e\u0433\u0438\u0435 \u0434\u0440\u0443\u0437\u044c\u044f. "
    "\u0421\u0435\u0433\u043e\u0434\u043d\u044f \u043c\u044b \u0433\u043e\u0432\u043e\u0440\u0438\u043c \u043e \u043f\u043e\u0433\u043e\u0434\u0435. "
    "\u0417\u0430\u0432\u0442\u0440\u0430 \u0432 \u041c\u043e\u0441\u043a\u0432\u0435 \u0431\u0443\u0434\u0435\u0442 \u0441\u043d\u0435\u0433."
)


@pytest.mark.parametrize(
    ("words", "encoding"), [(FRENCH, "cp1252"), (RUSSIAN, "cp1251")]
)
def test_other_encodings_are_guessed_and_told(tmp_path, words, encoding):
    file = tmp_path / "a.srt"
    file.write_bytes(f"1\n00:00:01,000 --> 00:00:09,000\n{words}\n".encode(encoding))
    with pytest.warns(UnreadWordsWarning, match="not in UTF-8 and is read as"):
        texts = read_subtitles(file)
    assert texts[0].text == words


def test_damaged_characters_do_not_change_the_encoding(tmp_path):
    file = tmp_path / "a.srt"
    good = SRT.replace("Hello", "\u00e9" * 40).encode()
    file.write_bytes(good.replace(b"lines", b"li\xffnes"))
    with pytest.warns(UnreadWordsWarning, match="1 character of it are damaged"):
        texts = read_subtitles(file)
    assert texts[0].text.startswith("\u00e9\u00e9")


def test_subtitles_of_another_video_are_told(tmp_path):
    file = tmp_path / "a.srt"
    file.write_text(SRT)
    with pytest.warns(
        UnreadWordsWarning, match=r"1 of 2 cues begin after the end .* 35"
    ):
        texts = read_subtitles(file, duration=35.0)
    assert said(texts) == [(1.0, 2.5, "Hello there")]


def test_picture_that_starts_late_moves_the_times(tmp_path):
    file = tmp_path / "a.srt"
    file.write_text(SRT)
    texts = read_subtitles(file, late_seconds=2.0)
    assert [(one.start, one.end) for one in texts] == [(0.0, 0.5), (58.0, 60.0)]


def test_captions_that_roll_up_say_each_line_once(tmp_path):
    file = tmp_path / "a.vtt"
    file.write_text(
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nso today\n\n00:02.000 --> 00:02.010\nso today\n\n"
        "00:02.010 --> 00:04.000\nso today\nwe begin\n\n00:04.000 --> 00:06.000\nwe begin\nwith maps\n"
    )
    assert said(read_subtitles(file)) == [
        (0.0, 4.0, "so today"),
        (2.01, 6.0, "we begin"),
        (4.0, 6.0, "with maps"),
    ]


def test_overlapping_and_unsorted_cues_all_stay(tmp_path):
    file = tmp_path / "a.srt"
    file.write_text(
        "2\n00:00:05,000 --> 00:00:03,000\nbackwards\n\n1\n00:00:01,000 --> 00:00:09,000\nlong\n"
    )
    assert said(read_subtitles(file)) == [(1.0, 9.0, "long"), (5.0, 5.0, "backwards")]


def test_file_without_end_is_read_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("dynfocus.words.cues.MAX_CUES", 50)
    file = tmp_path / "a.srt"
    cue = "00:00:01,000 --> 00:00:02,000\nword\n\n00:00:02,000 --> 00:00:03,000\nother\n\n"
    file.write_text(cue * 20_000 + "x" * 3_000_000)
    started = time.perf_counter()
    with pytest.warns(UnreadWordsWarning, match="only its first 50 cues are read"):
        assert len(read_subtitles(file)) <= 50
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"once upon a time\n", "holds no subtitles and no transcript"),
        (b'{"title": "x"}', "no segments, transcription or events"),
        (b'{"segments": [', "it is no JSON"),
        (b"[\n" + b"[" * 100_000, "it is no JSON"),
        (bytes(range(256)) * 8, "holds no subtitles and no transcript"),
        (b"<html><body>404</body></html>", "no kind that is known"),
    ],
)
def test_what_is_no_subtitles_is_refused_in_one_sentence(tmp_path, content, reason):
    file = tmp_path / "a.srt"
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadWordsWarning)
        with pytest.raises(ValueError, match=reason) as caught:
            read_subtitles(file)
    assert str(caught.value).startswith(str(file))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_subtitles(tmp_path / "no.srt")
