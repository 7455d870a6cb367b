from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynfocus.errors import UnwritableFileError
from dynfocus.focus import VideoFeatures
from dynfocus.index import VideoGroup, VideoIndex
from dynfocus.models import Answer, FrameReport, PrototypeMap
from dynfocus.report import write_report
from dynfocus.video import VideoReader


class Page(HTMLParser):
    """Collects tags and texts, and checks that tags are closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.sections = 0
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        self.sections += tag == "section"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.words.append(data.strip())


def index_of(video: Path, *, with_thumbnails: bool = True) -> VideoIndex:
    reader = VideoReader(video)
    sampled = reader.sample(fps=1.0, size=(36, 64))
    num_frames = len(sampled.times)
    return VideoIndex(
        features=VideoFeatures(
            pooled=torch.zeros(num_frames, 4, 8),
            spatial=torch.zeros(num_frames, 6, 8),
            pts_seconds=torch.from_numpy(sampled.times),
        ),
        source=str(video),
        duration=reader.duration,
        fps=1.0,
        thumbnails=sampled.frames if with_thumbnails else None,
    )


def answer_of(
    index: VideoIndex, cones: tuple[int, ...], question: str = "What?"
) -> Answer:
    frames = [
        FrameReport(
            index=i,
            time=time,
            score=0.9 if i in cones else 0.1,
            kind="cone" if i in cones else "rod",
            tokens=40 if i in cones else 2,
        )
        for i, time in enumerate(index.features.pts_seconds.tolist())
    ]
    return Answer(
        text="<b>R</b>",
        question=question,
        tokens=sum(frame.tokens for frame in frames),
        frames=frames,
        seconds=0.5,
    )


def test_dense_frames_have_times_with_tenths_in_a_long_video(scenes_video, tmp_path):
    index = replace(index_of(scenes_video), duration=100.0)
    answer = answer_of(index, cones=(1, 3))
    kinds = {"cone": "high", "rod": "low"}
    frames = [replace(frame, kind=kinds[frame.kind]) for frame in answer.frames]
    path = tmp_path / "r.html"
    write_report(path, index, [replace(answer, frames=frames)], title="T")
    alts = [image["alt"] for image in Page(path.read_text(encoding="utf-8")).images]
    assert [alt for alt in alts if "dense" in str(alt)] == [
        "dense frame at 00:01.0",
        "dense frame at 00:03.0",
    ]


def picture_of(image: dict[str, str | None]) -> np.ndarray:
    head, _, code = str(image["src"]).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(code))) as picture:
        return np.asarray(picture)


def test_one_answer_with_the_cones_pictures_and_times(scenes_video, tmp_path):
    index = index_of(scenes_video)
    assert index.thumbnails is not None
    write_report(tmp_path / "r.html", index, [answer_of(index, (1, 4))], title="T <1>")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.sections == 1
    assert [image["alt"] for image in page.images] == [
        "Cone at 00:01.0",
        "Cone at 00:04.0",
    ]
    for image, number in zip(page.images, (1, 4), strict=True):
        away = picture_of(image).astype(int) - index.thumbnails[number]
        assert np.abs(away).mean() < 6
    assert "T <1>" in page.words
    assert "<b>R</b>" in page.words
    assert text.count('class="cone-mark"') == 2


def test_the_page_needs_no_network(scenes_video, tmp_path):
    index = index_of(scenes_video)
    write_report(tmp_path / "r.html", index, [answer_of(index, (1,))], title="T")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)


def test_tokens_are_compared_with_cones_for_every_frame(scenes_video, tmp_path):
    index = index_of(scenes_video)
    write_report(tmp_path / "r.html", index, [answer_of(index, (1, 4))], title="T")
    words = Page((tmp_path / "r.html").read_text(encoding="utf-8")).words
    table = words[words.index("Video tokens") + 1 :][:12]
    assert table == [
        *("Cones", "2", "80"),
        *("Rods", "8", "16"),
        *("Read by the language model", "10", "96"),
        *("Every frame as a Cone", "10", "400"),
    ]
    assert any("24% of what Cones for every frame would take" in word for word in words)


def test_several_answers_with_truths_and_evidence(scenes_video, tmp_path):
    index = index_of(scenes_video)
    answers = [answer_of(index, (1, 4), "First?"), answer_of(index, (2,), "Second?")]
    write_report(
        tmp_path / "r.html",
        index,
        answers,
        title="T",
        truths=["<B>r</B>.", "Q"],
        verdicts=[True, False],
        evidence=[[(3.5, 5.0)], []],
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.sections == 3
    assert len(page.images) == 3
    assert page.words.count("right") == 2
    assert page.words.count("wrong") == 2
    assert "1 of 2 right." in page.words
    assert text.count("<figure class=hit>") == 1
    assert text.count('<rect class="evidence"') == 1


def test_maps_of_spatial_prototypes_stand_under_their_answer(scenes_video, tmp_path):
    index = index_of(scenes_video)
    found = PrototypeMap(
        time=4.0,
        picture=np.zeros((36, 64, 3), np.uint8),
        layers=(np.array([[0, 1], [1, 1]]), np.full((2, 2), 2)),
        attention=np.array([0.5, 0.25, 0.25]),
    )
    answers = [answer_of(index, (1, 4), "First?"), answer_of(index, (2,), "Second?")]
    write_report(tmp_path / "r.html", index, answers, title="T", maps=[[found], []])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.images) == 3 + 3
    assert page.words.count("What the spatial prototypes merged") == 1
    assert "Layer 1, 2 prototypes" in page.words
    assert "1: 1 patch, 50%" in page.words
    assert "2: 3 patches, 25%" in page.words
    assert text.index("layer 2 of the frame at 00:04.0") < text.index('id="q2"')
    with pytest.raises(ValueError, match=r"maps must have .* \(2\), got 1"):
        write_report(tmp_path / "r.html", index, answers, title="T", maps=[[]])


def test_without_thumbnails_the_pictures_come_from_the_file(scenes_video, tmp_path):
    index = index_of(scenes_video, with_thumbnails=False)
    write_report(tmp_path / "r.html", index, [answer_of(index, (0, 3))], title="T")
    images = Page((tmp_path / "r.html").read_text(encoding="utf-8")).images
    assert [picture_of(image).shape for image in images] == [(90, 160, 3)] * 2


def test_the_same_report_twice_is_the_same_file(scenes_video, tmp_path):
    index = index_of(scenes_video)
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, index, [answer_of(index, (1,))], title="T")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_wrong_arguments_are_refused_and_leave_nothing(scenes_video, tmp_path):
    index = index_of(scenes_video)
    answer = answer_of(index, (1,))
    path = tmp_path / "r.html"
    with pytest.raises(ValueError, match="at least one answer, got none"):
        write_report(path, index, [], title="T")
    with pytest.raises(
        ValueError, match=r"truths must have one entry an answer \(1\), got 2"
    ):
        write_report(path, index, [answer], title="T", truths=["a", "b"])
    with pytest.raises(ValueError, match=r"evidence must have .* \(1\), got 0"):
        write_report(path, index, [answer], title="T", evidence=[])
    with pytest.raises(UnwritableFileError, match="the report cannot be written"):
        write_report(tmp_path / "no" / "r.html", index, [answer], title="T")
    assert list(tmp_path.iterdir()) == []


def test_several_videos_have_a_timeline_each(scenes_video, tmp_path):
    index = index_of(scenes_video)
    name = str(tmp_path / "other.mp4")
    other = replace(index, source=name, thumbnails=255 - index.thumbnails)
    first, second = answer_of(index, (1,)), answer_of(other, (4, 6))
    frames = [*first.frames, *(replace(frame, video=1) for frame in second.frames)]
    answer = replace(first, frames=frames, tokens=first.tokens + second.tokens)
    found = PrototypeMap(
        time=4.0,
        picture=np.zeros((36, 64, 3), np.uint8),
        layers=(np.full((2, 2), 0),),
        attention=np.array([1.0]),
        video=1,
    )
    group = VideoGroup((index, other))
    write_report(tmp_path / "r.html", group, [answer], title="T", maps=[[found]])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert text.count("<svg") == 2
    names = [f"Video 1: {scenes_video.name}", "Video 2: other.mp4"]
    assert [word for word in page.words if word in names] == names
    assert f"{names[0]}, 00:10.0 long, 10 frames" in text
    alts = ["Cone at Video 1, 00:01.0", "Cone at Video 2, 00:04.0"]
    assert [image["alt"] for image in page.images][:2] == alts
    pictures = [picture_of(image).astype(int) for image in page.images[:3]]
    for picture, wanted in zip(
        pictures,
        (index.thumbnails[1], other.thumbnails[4], other.thumbnails[6]),
        strict=True,
    ):
        assert np.abs(picture - wanted).mean() < 6
    assert "layer 1 of the frame at Video 2, 00:04.0" in text
    table = page.words[page.words.index("Video tokens") + 1 :]
    assert table[table.index("Read by the language model") + 1] == "20"
