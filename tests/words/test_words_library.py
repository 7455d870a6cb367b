import sqlite3
import threading
from importlib.util import find_spec

import pytest

from dynfocus.errors import WordsLibraryError
from dynfocus.words import TimedText, WordsLibrary
from dynfocus.words import library as library_module

TALK = {
    0: "The dividend is 0.62 euros per share.",
    10: "Form LX-220 needs two signatures.",
    20: "Aphids are washed away with a sharp jet.",
    30: "WETOOK A ROADTRIP to the coast.",
    40: "Ether older than 12 months: do not open.",
}


def texts(talk=TALK, source="subtitle"):
    return [
        TimedText(start=float(t), end=t + 8.0, text=words, source=source)
        for t, words in talk.items()
    ]


@pytest.fixture
def library():
    return WordsLibrary.of(texts())


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("How large is the dividend?", 0),
        ("divdend per shrae", 0),
        ("LX-220", 10),
        ("two signature", 10),
        ("road trip", 30),
        ("took", 30),
        ("who opens old ether", 40),
        ('"months do not open"', 40),
        ("after 0:39", 40),
    ],
)
def test_words_are_found_however_they_are_spelt(library, query, start):
    best = library.search(query)[0]
    assert (best.start, best.is_related) == (start, True)


@pytest.mark.skipif(find_spec("wordllama") is None, reason="needs the extra meaning")
def test_what_is_said_in_other_words_is_found_by_meaning(library):
    best = library.search("How do I get rid of plant lice?")[0]
    assert best.start == 20
    assert best.meaning > 0


def test_without_embeddings_words_are_found_all_the_same(monkeypatch):
    monkeypatch.setattr(library_module, "load_meaning", lambda: None)
    found = WordsLibrary.of(texts()).search("aphids")
    assert [one.start for one in found] == [20]
    assert found[0].meaning is None


def test_times_limit_what_is_found(library):
    assert {one.start for one in library.search("open after 0:19")} <= {20, 30, 40}
    assert library.search("dividend after 1:00") == []


def test_nothing_that_is_not_there_is_related(library):
    assert not any(one.is_related for one in library.search("quantum chromodynamics"))


def test_a_file_is_opened_again_and_follows_changes(tmp_path):
    path = tmp_path / "words.db"
    with WordsLibrary(path, is_writable=True) as writer:
        writer.put("a.mp4", texts(), stamp="1", duration=50)
        reader = WordsLibrary(path)
        assert reader.search("dividend")[0].video == "a.mp4"
        writer.put("b.mp4", texts({5: "A dividend of nothing."}))
        assert {one.video for one in reader.search("dividend")} >= {"a.mp4", "b.mp4"}
        only = reader.search("dividend", videos=["b.mp4"])
        assert {one.video for one in only} == {"b.mp4"}
        writer.put("a.mp4", texts({3: "No payment this year."}), stamp="2")
        assert reader.stamp("a.mp4") == "2"
        assert [one.text for one in reader.texts("a.mp4")] == ["No payment this year."]
        best = reader.search("dividend")[0]
        assert best.video == "b.mp4"
        assert writer.remove("b.mp4")
        assert not writer.remove("b.mp4")
        assert [one.name for one in reader.videos()] == ["a.mp4"]
        assert not reader.search("dividend")[0].is_related


def test_the_index_holds_nothing_of_what_was_removed(tmp_path):
    path = tmp_path / "words.db"
    with WordsLibrary(path, is_writable=True) as library:
        library.put("a.mp4", texts())
        library.put("a.mp4", texts({0: "one"}))
    with sqlite3.connect(path) as database:
        for table in ("passages", "texts", "videos"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
        database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    database.close()


def test_details_of_a_text_are_kept(tmp_path):
    one = TimedText(
        start=0.0,
        end=1.0,
        text="Zürich\nHB",
        source="screen",
        box=(0.1, 0.2, 0.3, 0.4),
        confidence=0.9,
        language="de",
        speaker="A",
    )
    with WordsLibrary(tmp_path / "words.db", is_writable=True) as library:
        library.put("a", [one])
        assert library.search("zurich")[0].passage == (one,)


def test_threads_share_a_library(library):
    found = [None] * 8

    def ask(number):
        found[number] = library.search("dividend")[0].start

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [0] * 8


def test_what_is_no_library_is_named(tmp_path):
    other = tmp_path / "notes.db"
    with pytest.raises(WordsLibraryError, match="there is no library of words at"):
        WordsLibrary(other)
    other.write_bytes(b"something else, of some length" * 40)
    with pytest.raises(WordsLibraryError, match=r"notes\.db is no library of words"):
        WordsLibrary(other)
    other.unlink()
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE recipes (name)")
    database.close()
    with pytest.raises(WordsLibraryError, match="no library of words of this version"):
        WordsLibrary(other, is_writable=True)


def test_a_library_that_another_process_holds_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(library_module, "_BUSY_SECONDS", 0.05)
    path = tmp_path / "words.db"
    WordsLibrary(path, is_writable=True).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WordsLibraryError, match="is held by another process"):
        WordsLibrary(path, is_writable=True).put("a", texts())
    other.execute("ROLLBACK")
    other.close()
