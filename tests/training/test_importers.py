"""Published instruction data, entry by entry, in LLaVA's format."""

from __future__ import annotations

import json

import pytest

from dynfocus.training.importers import (
    CAPTION_PROMPTS,
    import_data,
    parse_duration,
)

VIDEO_CHATGPT = [
    {"q": "What is done?", "a": "Skiing.", "video_id": "v_a"},
    {"q": " Where? ", "a": "On a hill.", "video_id": "v_b"},
]
VIDEOCHAT2 = [
    {
        "video": "1/2.mp4",
        "QA": [
            {"i": "Choose an answer.", "q": "Why? (A) x (B) y", "a": "(A) x"},
            {"i": "", "q": "How?", "a": "So."},
        ],
    },
    {"video": "3.webm", "QA": [{"i": "Describe it.", "q": "", "a": "A dog."}]},
    {"video": "4.webm", "QA": [{"q": "", "a": "A cat."}]},
]
WEBVID = """videoid,contentUrl,duration,page_dir,name
12,http://x/12,PT00H01M16S,000001_000050,"A dog, running"
13,http://x/13,,000051_000100,Ein Läufer
"""


@pytest.fixture
def bring(tmp_path):
    def bring(kind, content, target="out.json", **settings):
        source = tmp_path / "source"
        text = content if isinstance(content, str) else json.dumps(content)
        source.write_text(text, "utf-8")
        report = import_data(kind, source, tmp_path / target, **settings)
        text = (tmp_path / target).read_text("utf-8")
        if target.endswith(".json"):
            return report, json.loads(text)
        return report, [json.loads(line) for line in text.splitlines()]

    return bring


def turns(sample):
    return [turn["value"] for turn in sample["conversations"]]


@pytest.mark.parametrize("target", ["out.json", "new/folder/out.jsonl"])
def test_video_chatgpt_becomes_a_sample_a_question(bring, target):
    report, samples = bring("video-chatgpt", VIDEO_CHATGPT, target)
    assert report.num_samples == 2
    assert [sample["video"] for sample in samples] == ["v_a.mp4", "v_b.mp4"]
    assert turns(samples[1]) == ["<image>\nWhere?", "On a hill."]
    assert len({sample["id"] for sample in samples}) == 2


def test_videochat2_becomes_conversations(bring):
    _, samples = bring("videochat2", VIDEOCHAT2)
    assert [sample["video"] for sample in samples] == ["1/2.mp4", "3.webm", "4.webm"]
    assert turns(samples[0]) == [
        "<image>\nChoose an answer. Why? (A) x (B) y",
        "(A) x",
        "How?",
        "So.",
    ]
    assert turns(samples[1]) == ["<image>\nDescribe it.", "A dog."]
    asked = turns(samples[2])[0].removeprefix("<image>\n")
    assert asked in CAPTION_PROMPTS


def test_webvid_becomes_captions_with_their_durations(bring):
    _, samples = bring("webvid", WEBVID, "out.jsonl")
    first, second = samples
    assert first["video"] == "000001_000050/12.mp4"
    assert first["duration"] == 76
    assert "duration" not in second
    asked, caption = turns(first)
    assert caption == "A dog, running"
    assert asked.startswith("<image>\n")
    assert asked.removeprefix("<image>\n") in CAPTION_PROMPTS
    assert turns(second)[1] == "Ein Läufer"


def test_what_is_imported_can_be_trained_on(bring, load, tmp_path):
    (tmp_path / "media" / "1").mkdir(parents=True)
    for name in ("1/2.mp4", "3.webm", "4.webm"):
        (tmp_path / "media" / name).touch()
    bring("videochat2", VIDEOCHAT2)
    source = {"json": str(tmp_path / "out.json"), "root": str(tmp_path / "media")}
    assert len(load([source])) == 3


def test_samples_without_their_video_are_left_out_and_counted(bring, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "v_b.mkv").touch()
    report, samples = bring("video-chatgpt", VIDEO_CHATGPT, media=tmp_path / "media")
    assert (report.num_samples, report.num_without_video) == (1, 1)
    assert [sample["video"] for sample in samples] == ["v_b.mkv"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT00H00M16S", 16),
        ("PT1H2M3.5S", 3723.5),
        ("PT5M", 300),
        ("PT", None),
        ("", None),
    ],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (
            "llava",
            [],
            "kind must be one of video-chatgpt, webvid, videochat2, got 'llava'",
        ),
        ("video-chatgpt", "{", "source is not valid JSON: "),
        ("video-chatgpt", {}, "source must be a list of entries, as it is published"),
        ("video-chatgpt", [{"q": "a"}], "source, entry 0: 'a' must be a text"),
        ("videochat2", [{"video": "a", "QA": []}], "entry 0: 'QA' must be a list of"),
        (
            "videochat2",
            [{"video": "a", "start": 1, "QA": [{"q": "", "a": "b"}]}],
            "entry 0: cuts of a video .* cannot be imported; cut the files first",
        ),
        (
            "webvid",
            "id,name\n1,a\n",
            "is no WebVid CSV: the column 'videoid' is missing",
        ),
        ("webvid", "videoid,name\n1,\n", "source, line 2: videoid or name is empty"),
    ],
)
def test_files_of_another_kind_are_refused_and_nothing_is_written(
    bring, tmp_path, kind, content, message
):
    with pytest.raises(ValueError, match=message):
        bring(kind, content)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_files_and_folders_that_are_missing_are_named(bring, tmp_path):
    with pytest.raises(FileNotFoundError, match="no.csv does not exist; give the publ"):
        import_data("webvid", tmp_path / "no.csv", tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="the folder of videos .*no does not"):
        bring("webvid", WEBVID, media=tmp_path / "no")
    with pytest.raises(
        ValueError, match=r"the target must end in .json or .jsonl, got"
    ):
        bring("webvid", WEBVID, "out.csv")
