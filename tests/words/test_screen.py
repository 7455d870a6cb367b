import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dynfocus.errors import UnreadWordsWarning, UnusableEntryWarning
from dynfocus.video import VideoReader, VideoWriter
from dynfocus.words import WordStore, picture_text, read_words, screen

for name in ("cv2", "onnxruntime", "rapidocr"):
    pytest.importorskip(name)

FONT = f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
TITLES = ("Gate B22 opens", "Boarding now")


def drawn(text, turn=0):
    """Draw a text on a small grey picture."""
    image = Image.new("RGB", (320, 192), (90, 110, 120))
    pen = ImageDraw.Draw(image)
    pen.text((30, 80), text, font=ImageFont.truetype(FONT, 24), fill="white")
    return np.asarray(image.rotate(turn))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Two titles of three seconds each, with nothing before, between and after."""
    path = tmp_path_factory.mktemp("titles") / "titles.mp4"
    with VideoWriter(path, fps=4, size=(192, 320)) as writer:
        for text in ("", TITLES[0], "", TITLES[1], ""):
            for _ in range(12):
                writer.write(drawn(text))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return WordStore(tmp_path_factory.mktemp("index"))


def said(texts):
    return [(one.start, one.end, one.text) for one in texts]


def test_titles_are_read_with_times_and_boxes_and_once_a_file(
    video, store, tmp_path, monkeypatch
):
    steps = []
    texts = read_words(
        video, screen=True, store=store, progress=lambda *step: steps.append(step)
    )
    assert said(texts) == [(3.0, 6.0, TITLES[0]), (9.0, 12.0, TITLES[1])]
    left, top, right, bottom = texts[0].box
    assert (left, top) == pytest.approx((30 / 320, 84 / 192), abs=0.04)
    assert (right, bottom) == pytest.approx((0.68, 0.56), abs=0.06)
    assert texts[0].confidence > 0.9
    assert steps[-1] == (14, 15)
    copy = shutil.copy(video, tmp_path / "copy.mp4")
    monkeypatch.setattr(screen, "ScreenReader", None)  # nothing is read again
    assert read_words(copy, store=store) == texts
    part = read_words(VideoReader(copy, start=7.0), store=store)
    assert said(part) == [(9.0, 12.0, TITLES[1])]


def test_reading_that_was_stopped_goes_on(video, tmp_path, monkeypatch):
    monkeypatch.setattr(screen, "_NOTE_SECONDS", 0.0)
    store, reads = WordStore(tmp_path), []

    class Reader:
        """Sees one title all the time and stops after some pictures."""

        def __init__(self, num_threads):
            pass

        def find(self, picture, longer_side):
            return np.array([[[9, 9], [99, 9], [99, 29], [9, 29]]], np.float32)

        def read(self, lines):
            reads.append(len(lines))
            if len(reads) == 7:
                raise KeyboardInterrupt
            return [picture_text.Reading("Title", 0.9) for _ in lines]

    monkeypatch.setattr(screen, "PictureReader", Reader)
    monkeypatch.setattr(screen.ChangeDetector, "is_due", lambda *_: True)
    monkeypatch.setattr(screen.ChangeDetector, "mark_read", lambda *_: None)
    monkeypatch.setattr(screen.LineMemory, "recall", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        read_words(video, store=store)
    moments = []
    texts = read_words(video, store=store, progress=lambda n, _: moments.append(n))
    assert moments[0] > 0
    assert said(texts) == [(0.0, 15.0, "Title")]


def test_slanted_and_overturned_text_is_read():
    for turn in (8, 180):
        reader = screen.ScreenReader(1)
        reader.push(drawn(TITLES[0], turn), 0.0)
        assert [one.text for one in reader.close(1.0)] == [TITLES[0]]


def test_missing_package_names_the_extra(video, monkeypatch):
    monkeypatch.setattr(picture_text, "_NEEDED", ("no_such_package",))
    with pytest.raises(ImportError, match=r"needs no_such_package.*dynfocus\[text\]"):
        read_words(video, screen=True)
    with pytest.warns(UnreadWordsWarning, match="picture is not read"):
        assert read_words(video) == []


def test_damaged_model_is_named(tmp_path, monkeypatch):
    finder, _ = picture_text._model_files()
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(finder.parents[1] / "default_models.yaml", tmp_path)
    damaged = folder / finder.name
    damaged.write_bytes(finder.read_bytes()[:-1] + b"\0")
    with pytest.raises(OSError, match=r"damaged.*--force-reinstall"):
        picture_text._open_model(damaged, 1)
    monkeypatch.setattr(picture_text.importlib.util, "find_spec", _nowhere(tmp_path))
    with pytest.raises(FileNotFoundError, match="models of rapidocr are not there"):
        picture_text._model_files()


def _nowhere(folder: Path):
    class Spec:
        origin = str(folder / "none" / "__init__.py")

    return lambda name: Spec


def test_reading_that_cannot_be_kept_is_given_all_the_same(
    video, tmp_path, monkeypatch
):
    (tmp_path / "words").write_text("no folder")
    monkeypatch.setattr(screen, "_read_all", lambda *_: [])
    with pytest.warns(UnusableEntryWarning, match="cannot be kept"):
        assert read_words(video, store=WordStore(tmp_path)) == []


@pytest.mark.parametrize(("height", "sides"), [(25, [640, 960]), (45, [640])])
def test_many_small_lines_are_looked_at_closer(monkeypatch, height, sides):
    looked = []

    class Reader:
        def __init__(self, num_threads):
            pass

        def find(self, picture, longer_side):
            looked.append(longer_side)
            box = np.array([[9, 9], [99, 9], [99, 9 + height], [9, 9 + height]])
            return np.array([box] * 20, np.float32)

        def read(self, lines):
            return [picture_text.Reading("Title", 0.9) for _ in lines]

    monkeypatch.setattr(screen, "PictureReader", Reader)
    screen.ScreenReader().push(np.zeros((720, 1280, 3), np.uint8), 0.0)
    assert looked == sides
