from __future__ import annotations

import os
from dataclasses import replace

import pytest

from dynfocus.serving.library import Library


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "library", passing_bytes=25)
    library.open()
    yield library
    library.close()


def put(library, content, **options):
    with library.incoming() as incoming:
        incoming.write(content)
        return library.add(incoming, "a/../b\\my clip.mp4", **options)


def test_equal_files_are_there_once(library):
    video = put(library, b"content")
    assert put(library, b"content") == video
    assert video.name == "my clip.mp4"
    assert library.content(video).read_bytes() == b"content"
    assert library.videos() == [video]


def test_what_is_whole_is_there_after_a_restart_and_nothing_else(library, tmp_path):
    video = put(library, b"content")
    library.note_question(video, {"text": "yes"})
    with (library.folder_of(video) / "questions.jsonl").open("a") as file:
        file.write('{"text": "half a li')
    half = library.folder / "videos" / "video-half"
    half.mkdir()
    (half / "content").write_bytes(b"x")
    (library.folder / "incoming" / "some.part").write_bytes(b"x")
    again = Library(tmp_path / "library", passing_bytes=25)
    assert again.open() == [video]  # whoever read it may be gone
    assert half.exists()  # the first one has it open, and may be writing
    library.close()
    again.close()
    assert again.open() == again.videos() == [video]
    again.close()
    assert again.questions(video) == [{"text": "yes"}]
    assert not half.exists()
    assert not list((library.folder / "incoming").iterdir())


def test_an_upload_that_breaks_off_leaves_nothing(library):
    def upload():
        with library.incoming() as incoming:
            incoming.write(b"some")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        upload()
    assert not list((library.folder / "incoming").iterdir())
    assert library.videos() == []


def test_what_came_with_questions_goes_when_there_is_no_room(library):
    kept = put(library, b"k" * 50)
    old, new = (put(library, bytes([n]) * 10, is_kept=False) for n in (1, 2))
    for video, seconds in ((old, 10), (new, 5)):
        os.utime(library.folder_of(video), (seconds, seconds))
    library.touch(old)
    newest = put(library, b"3" * 10, is_kept=False)
    assert {video.id for video in library.videos()} == {kept.id, old.id, newest.id}
    assert put(library, bytes([1]) * 10).is_kept


def test_a_deleted_video_is_not_written_again(library):
    video = put(library, b"content")
    library.delete(video)
    library.save(replace(video, state="ready"))
    library.note_question(video, {})
    assert library.find(video.id) is None
    assert library.videos() == []


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "video-\n", "x" * 300])
def test_no_id_leads_out_of_the_library(library, name):
    assert library.find(name) is None
