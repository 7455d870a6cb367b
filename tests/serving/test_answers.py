"""Videos that are held open beside the model, for a model that keeps no index on disk."""

from __future__ import annotations

import pytest

import dynfocus
from dynfocus.models.options import AskOptions
from dynfocus.serving import answers as room
from dynfocus.serving.answers import Answers, VideoFile

QUESTION = "Which room is shown most of the time?"


@pytest.fixture
def model(monkeypatch):
    """Give nano without an index on disk, which counts what it reads."""
    model = dynfocus.load("nano", index_folder=False)
    read = model.index

    def index(video, **options):
        model.num_read += 1
        return read(video, **options)

    model.num_read = 0
    monkeypatch.setattr(model, "index", index)
    return model


def ask(answers, clip, **options):
    told, _ = answers.answer(
        QUESTION,
        [VideoFile(clip, "clip.mp4")],
        AskOptions(**options),
        (),
        False,
        lambda text: None,
    )
    return told.text


def test_pieces_are_told_to_who_wants_them(model, clip):
    answers, video = Answers(model), [VideoFile(clip, "clip.mp4")]
    for is_streamed in (True, False):
        pieces = []
        told, _ = answers.answer(
            QUESTION, video, AskOptions(), (), is_streamed, pieces.append
        )
        assert len(pieces) > 1  # so that an answer nobody wants can end
        assert "".join(pieces).strip() == (told.text if is_streamed else "")


def test_a_second_question_reads_nothing(model, clip, nano):
    answers = Answers(model)
    assert not answers.facts().has_store
    wanted = nano.ask(clip, QUESTION).text
    assert [ask(answers, clip) for _ in range(3)] == [wanted] * 3
    assert model.num_read == 1
    ask(answers, clip, max_video_tokens=60)  # another budget, the same frames
    assert model.num_read == 1
    ask(answers, clip, fps=2.0)
    assert model.num_read == 2
    answers.forget(VideoFile(clip, "clip.mp4"))
    ask(answers, clip)
    assert model.num_read == 3


def test_what_is_too_large_is_not_held(model, clip, nano, monkeypatch):
    monkeypatch.setattr(room, "_MOST_BYTES", 1000)
    answers = Answers(model)
    wanted = nano.ask(clip, QUESTION).text
    assert [ask(answers, clip) for _ in range(2)] == [wanted] * 2
    assert model.num_read == 1  # the second time it is asked about the file itself
