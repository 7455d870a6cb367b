"""One SQLite file with the words of any number of videos, and the search in it.

Passages are found by words (FTS5, BM25) and by meaning (a code of 256 bits each, compared
in memory), then the best of both are rated anew. Readers open the file read-only; one
process at a time writes.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import WordsLibraryError
from dynfocus.words.finding import Found, Origin, rate_passages
from dynfocus.words.meaning import (
    Meaning,
    load_meaning,
    nearest_codes,
    to_codes,
)
from dynfocus.words.moments import Passage, make_passages
from dynfocus.words.query import Query, parse_query
from dynfocus.words.ranking import QueryTerms
from dynfocus.words.spelling import has_variants, rate_spelling, spelling_codes
from dynfocus.words.terms import terms_of
from dynfocus.words.timed_text import TimedText

_FORMAT = 1
_APPLICATION_ID = 0x64796677  # "dyfw"
_BUSY_SECONDS = 5.0
_CANDIDATES = 40
_MOST_VARIANTS = 8
_MOST_VALUES = 500
_LEAST_PASSAGES = 100
"""A shorter video is taken for one of so many passages: in three, no word is rare."""
_MOST_MATCHES = 15_000
"""Passages with a query's terms that are ranked; its commonest terms are left out."""
_TABLES = """
CREATE TABLE videos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, stamp TEXT NOT NULL,
    duration REAL, num_texts INTEGER NOT NULL, first_passage INTEGER NOT NULL,
    num_passages INTEGER NOT NULL, meaning TEXT, codes BLOB);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, video INTEGER NOT NULL, start REAL NOT NULL,
    end REAL NOT NULL, first_text INTEGER NOT NULL, num_texts INTEGER NOT NULL);
CREATE TABLE texts (
    id INTEGER PRIMARY KEY, start REAL NOT NULL, end REAL NOT NULL,
    text TEXT NOT NULL, source TEXT NOT NULL, details TEXT);
CREATE VIRTUAL TABLE words USING fts5(
    terms, content='', tokenize="unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row);
CREATE TABLE known (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);
CREATE TABLE spellings (
    code INTEGER NOT NULL, term INTEGER NOT NULL, PRIMARY KEY (code, term)) WITHOUT ROWID;
CREATE VIRTUAL TABLE pieces USING fts5(
    term, content='known', content_rowid='id', tokenize='trigram');
"""
_DETAILS = ("box", "confidence", "language", "speaker")


@dataclass(frozen=True, kw_only=True)
class KnownVideo:
    """A video whose words a library holds."""

    name: str
    """Its file or address."""
    stamp: str
    """What told its version when its words were read."""
    num_texts: int
    """Texts that were read in it."""
    has_meaning: bool
    """Whether it is searched by meaning, too."""


class WordsLibrary:
    """Hold the words of videos in one file, or in memory, and find what is asked.

    Threads may share a library; their searches follow one another.

    Args:
        path: The file; None for a library in memory.
        is_writable: Open it for writing, and make it where it is not there.

    Raises:
        WordsLibraryError: It is not there, no library, damaged, or held by another.
    """

    def __init__(self, path: str | Path | None, *, is_writable: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.RLock()
        self._codes: tuple[NDArray[np.int64], NDArray[np.uint64]] | None = None
        self._version = -1
        self._frequencies: dict[str, int] = {}
        with self._naming_errors():
            self._database = self._connect(is_writable or path is None)
            self._check_format(is_writable or path is None)

    @classmethod
    def of(cls, texts: Sequence[TimedText], name: str = "video") -> Self:
        """Make a library in memory of the texts of one video."""
        library = cls(None)
        library.put(name, texts)
        return library

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def videos(self) -> list[KnownVideo]:
        """List the videos, in the order in which they came."""
        rows = self._ask(
            "SELECT name, stamp, num_texts, meaning IS NOT NULL FROM videos ORDER BY id"
        )
        return [
            KnownVideo(name=name, stamp=stamp, num_texts=count, has_meaning=bool(known))
            for name, stamp, count, known in rows
        ]

    def stamp(self, name: str) -> str | None:
        """Tell the version of a video whose words are held; None for an unknown one."""
        rows = self._ask("SELECT stamp FROM videos WHERE name = ?", name)
        return rows[0][0] if rows else None

    def put(
        self,
        name: str,
        texts: Sequence[TimedText],
        *,
        stamp: str = "",
        duration: float | None = None,
    ) -> None:
        """Add the words of a video, or put them in the place of those it had.

        Args:
            name: Its file or address.
            texts: Its texts, in any order.
            stamp: What tells this version of the file from others.
            duration: Its length in seconds, for queries such as "in the last minute".

        Raises:
            WordsLibraryError: It cannot be written, or another process holds it.
        """
        passages = make_passages(texts)
        meaning = load_meaning()
        codes = _encode(passages, meaning)
        with self._writing():
            self._remove(name)
            first = self._next_id("passages")
            number = self._database.execute(
                "INSERT INTO videos (name, stamp, duration, num_texts, first_passage, "
                "num_passages, meaning, codes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (name, stamp, duration, len(texts), first, len(passages))
                + ((None, None) if codes is None else (Meaning.name, codes.tobytes())),
            ).lastrowid
            self._insert(passages, number or 0, first)

    def remove(self, name: str) -> bool:
        """Forget a video; tell whether it was there."""
        with self._writing():
            return self._remove(name)

    def texts(self, name: str) -> list[TimedText]:
        """Give the texts of a video, passage by passage."""
        rows = self._ask(
            "SELECT p.id FROM passages p JOIN videos v ON p.video = v.id "
            "WHERE v.name = ? ORDER BY p.id",
            name,
        )
        found = self._load([row[0] for row in rows])
        return [text for _, passage in found.values() for text in passage.texts]

    def search(
        self,
        query: str | Query,
        *,
        limit: int | None = 20,
        videos: Iterable[str] | None = None,
    ) -> list[Found]:
        """Find where something is shown or said.

        Args:
            query: A question, words, a "phrase in quotes"; times such as "after 10:00".
            limit: At most so many places; None for all that were rated.
            videos: Only in these; by default in all.

        Returns:
            Places, the best first; of equals the earlier. Those that are not about what
            was asked say so.

        Raises:
            ValueError: The query is empty or its times exclude each other.
            WordsLibraryError: The file cannot be read.
        """
        asked = query if isinstance(query, Query) else parse_query(query)
        with self._lock, self._naming_errors():
            (version,) = self._rows("PRAGMA data_version")[0]
            if version != self._version:
                self._forget()
                self._version = version
            within = None if videos is None else self._numbers(videos)
            terms = self._spell(asked)
            meaning = load_meaning()
            ids = self._by_words(asked, terms, within)
            if meaning is not None and asked.words:
                (vector,) = meaning.embed([" ".join(asked.words)])
                ids |= self._by_meaning(vector, within)
            if asked.is_timed and not asked.words:
                ids = self._in_interval(asked, within)
            passages = self._load(sorted(ids))
        return rate_passages(passages, asked, terms, meaning)[:limit]

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._database.execute(sql, values).fetchall()

    def _ask(self, sql: str, *values: Any) -> list[Any]:
        with self._lock, self._naming_errors():
            return self._rows(sql, *values)

    def _connect(self, is_writable: bool) -> sqlite3.Connection:
        options: dict[str, Any] = {
            "timeout": _BUSY_SECONDS,
            "check_same_thread": False,
            "isolation_level": None,
        }
        if self.path is None:
            return sqlite3.connect(":memory:", **options)
        mode = "rwc" if is_writable else "ro"
        if not is_writable and not self.path.is_file():
            raise WordsLibraryError(
                f"there is no library of words at {self.path}; name videos, so that one "
                "is made"
            )
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(address, uri=True, **options)

    def _check_format(self, is_writable: bool) -> None:
        (owner,) = self._rows("PRAGMA application_id")[0]
        (version,) = self._rows("PRAGMA user_version")[0]
        is_empty = not self._rows("SELECT 1 FROM sqlite_master LIMIT 1")
        if is_empty and is_writable:
            with self._writing():
                for statement in _TABLES.strip().split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        elif (owner, version) != (_APPLICATION_ID, _FORMAT):
            raise WordsLibraryError(
                f"{self.path} is no library of words of this version; name another file, "
                "or delete it to have it made anew"
            )

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Turn what SQLite raises into a sentence that names the file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise WordsLibraryError(
                    f"{self.path} is held by another process for more than "
                    f"{_BUSY_SECONDS:g} s; try again when it is done"
                ) from error
            raise WordsLibraryError(
                f"{self.path} cannot be used ({error}); check the folder and its rights"
            ) from error
        except sqlite3.DatabaseError as error:
            raise WordsLibraryError(
                f"{self.path} is no library of words, or damaged ({error}); delete it, "
                "and it is made anew from the videos"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Make changes that are there together or not at all."""
        with self._lock, self._naming_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            self._forget()

    def _forget(self) -> None:
        """Drop what was read of a file that has changed since."""
        self._codes = None
        self._frequencies = {}

    def _next_id(self, table: str) -> int:
        (last,) = self._rows(f"SELECT max(id) FROM {table}")[0]
        return (last or 0) + 1

    def _insert(self, passages: Sequence[Passage], video: int, first: int) -> None:
        text_id = self._next_id("texts")
        rows, texts, terms = [], [], []
        for number, passage in enumerate(passages, first):
            rows.append((number, video, passage.start, passage.end, text_id, len(passage.texts)))  # fmt: skip
            for one in passage.texts:
                texts.append((text_id, one.start, one.end, one.text, one.source, _details(one)))  # fmt: skip
                text_id += 1
            terms.append((number, " ".join(terms_of(passage.text))))
        run = self._database.executemany
        run("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", rows)
        run("INSERT INTO texts VALUES (?, ?, ?, ?, ?, ?)", texts)
        run("INSERT INTO words (rowid, terms) VALUES (?, ?)", terms)
        self._learn({one for _, line in terms for one in line.split()})

    def _learn(self, terms: set[str]) -> None:
        """Note how terms that are new may be misspelt."""
        last = self._next_id("known")
        run = self._database.executemany
        rows = [(one,) for one in sorted(terms)]
        run("INSERT OR IGNORE INTO known (term) VALUES (?)", rows)
        new = self._rows("SELECT id, term FROM known WHERE id >= ?", last)
        run("INSERT INTO pieces (rowid, term) VALUES (?, ?)", new)
        codes = [(code, i) for i, term in new for code in spelling_codes(term)]
        run("INSERT OR IGNORE INTO spellings VALUES (?, ?)", codes)

    def _remove(self, name: str) -> bool:
        rows = self._rows("SELECT id FROM videos WHERE name = ?", name)
        if not rows:
            return False
        (number,) = rows[0]
        ids = [r[0] for r in self._rows("SELECT id FROM passages WHERE video = ?", number)]  # fmt: skip
        run = self._database.execute
        for passage_id, (_, passage) in self._load(ids).items():
            terms = " ".join(terms_of(passage.text))
            run("INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)", (passage_id, terms))  # fmt: skip
            first, count = self._rows("SELECT first_text, num_texts FROM passages WHERE id = ?", passage_id)[0]  # fmt: skip
            run("DELETE FROM texts WHERE id >= ? AND id < ?", (first, first + count))
        run("DELETE FROM passages WHERE video = ?", (number,))
        run("DELETE FROM videos WHERE id = ?", (number,))
        return True

    def _numbers(self, videos: Iterable[str]) -> list[int]:
        wanted = set(videos)
        return [i for i, name in self._rows("SELECT id, name FROM videos") if name in wanted]  # fmt: skip

    def _spell(self, query: Query) -> QueryTerms:
        """Find how the texts spell the terms of a query, and how rare each is."""
        (count,) = self._rows("SELECT coalesce(sum(num_passages), 0) FROM videos")[0]
        variants: dict[str, dict[str, float]] = {}
        weights: dict[str, float] = {}
        joined = {first + second for first, second in pairwise(query.terms)}
        for term in query.terms:
            spellings = self._spellings(term)
            spellings |= {
                one: 1.0 for one in joined if term in one and self._frequency(one)
            }
            variants[term] = spellings
            frequency = min(count, max([0, *map(self._frequency, spellings)]))
            seen = max(count, _LEAST_PASSAGES)
            weights[term] = math.log(1 + (seen - frequency + 0.5) / (frequency + 0.5))
        return QueryTerms(variants=variants, weights=weights)

    def _spellings(self, term: str) -> dict[str, float]:
        found = {term: 1.0} if self._frequency(term) else {}
        if not has_variants(term):
            return found
        codes = spelling_codes(term)
        marks = ", ".join("?" * len(codes))
        others = self._rows(
            f"SELECT DISTINCT k.term FROM spellings s JOIN known k ON k.id = s.term WHERE s.code IN ({marks})",
            *codes,
        )
        alike = {
            one: like for (one,) in others if (like := rate_spelling(term, one)) > 0
        }
        if not found and not alike:
            alike = self._parts(term)
        best = sorted(alike.items(), key=lambda one: (-one[1], one[0]))
        return found | dict(best[:_MOST_VARIANTS])

    def _parts(self, term: str) -> dict[str, float]:
        """Find terms that a term is a part of: OCR leaves out spaces."""
        rows = self._rows(
            "SELECT term FROM pieces WHERE pieces MATCH ? LIMIT 50", f'"{term}"'
        )
        return {one: len(term) / len(one) for (one,) in rows}

    def _frequency(self, term: str) -> int:
        """Count the passages with a term; remembered until the file changes."""
        if term not in self._frequencies:
            rows = self._rows("SELECT doc FROM vocabulary WHERE term = ?", term)
            self._frequencies[term] = int(rows[0][0]) if rows else 0
        return self._frequencies[term]

    def _by_words(
        self, query: Query, terms: QueryTerms, within: Sequence[int] | None
    ) -> set[int]:
        """Find the passages that BM25 ranks first, by the rarest terms of a query."""
        spellings = {one for found in terms.variants.values() for one in found}
        frequencies = sorted((self._frequency(one), one) for one in spellings)
        chosen: list[str] = []
        matches = 0
        for frequency, one in frequencies:
            matches += frequency
            if chosen and matches > _MOST_MATCHES:
                break
            chosen.append(f'"{one}"')
        if not chosen:
            return set()
        conditions, values = _conditions(query, within)
        rows = self._rows(
            "SELECT words.rowid FROM words "
            + (
                "JOIN passages p ON p.id = words.rowid JOIN videos v ON v.id = p.video "
                if conditions
                else ""
            )  # fmt: skip
            + f"WHERE words MATCH ? {conditions} ORDER BY rank LIMIT {_CANDIDATES}",
            " OR ".join(chosen),
            *values,
        )
        return {row[0] for row in rows}

    def _by_meaning(
        self, vector: NDArray[np.float32], within: Sequence[int] | None
    ) -> set[int]:
        """Find the passages whose codes are nearest to that of a query."""
        ids, codes = self._all_codes()
        if within is not None:
            inside = np.zeros(len(ids), bool)
            for number in within:
                (first, count) = self._rows("SELECT first_passage, num_passages FROM videos WHERE id = ?", number)[0]  # fmt: skip
                inside[slice(*np.searchsorted(ids, (first, first + count)))] = True
            ids, codes = ids[inside], codes[:, inside]
        (code,) = to_codes(vector[None])
        return set(ids[nearest_codes(codes, code, _CANDIDATES)].tolist())

    def _all_codes(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Give the codes of all passages, ``[W, n]``, and their numbers, ``[n]``."""
        if self._codes is None:
            rows = self._rows(
                "SELECT first_passage, num_passages, codes FROM videos "
                "WHERE meaning = ? AND num_passages > 0 ORDER BY first_passage",
                Meaning.name,
            )
            ids = [np.arange(first, first + count) for first, count, _ in rows]
            codes = [np.frombuffer(blob, np.uint64) for _, _, blob in rows]
            self._codes = (
                np.concatenate([np.empty(0, np.int64), *ids]),
                np.ascontiguousarray(
                    np.concatenate([np.empty(0, np.uint64), *codes]).reshape(-1, 4).T
                ),
            )
        return self._codes

    def _in_interval(self, query: Query, within: Sequence[int] | None) -> set[int]:
        conditions, values = _conditions(query, within)
        rows = self._rows(
            "SELECT p.id FROM passages p JOIN videos v ON v.id = p.video "
            f"WHERE 1 {conditions} ORDER BY p.video, p.start LIMIT {_CANDIDATES}",
            *values,
        )
        return {row[0] for row in rows}

    def _load(self, ids: Sequence[int]) -> dict[int, tuple[Origin, Passage]]:
        """Read passages, in the order of their numbers."""
        texts: dict[int, list[TimedText]] = {}
        names: dict[int, Origin] = {}
        for begin in range(0, len(ids), _MOST_VALUES):
            part = ids[begin : begin + _MOST_VALUES]
            marks = ", ".join("?" * len(part))
            rows = self._rows(
                "SELECT p.id, v.name, v.duration, t.start, t.end, t.text, t.source, t.details "
                "FROM passages p JOIN videos v ON v.id = p.video JOIN texts t "
                "ON t.id >= p.first_text AND t.id < p.first_text + p.num_texts "
                f"WHERE p.id IN ({marks}) ORDER BY t.id",
                *part,
            )
            for number, name, duration, *text in rows:
                names[number] = Origin(name, duration)
                texts.setdefault(number, []).append(_timed_text(*text))
        return {i: (names[i], Passage(tuple(texts[i]))) for i in ids if i in texts}


def _conditions(query: Query, within: Sequence[int] | None) -> tuple[str, list[Any]]:
    """Write what limits a search to videos and times, for SQL."""
    conditions = ""
    values: list[Any] = []
    if within is not None:
        conditions += f" AND p.video IN ({', '.join('?' * len(within))})"
        values += within
    if query.start > 0:
        conditions, values = f"{conditions} AND p.end >= ?", [*values, query.start]
    if query.end < math.inf:
        conditions, values = f"{conditions} AND p.start < ?", [*values, query.end]
    if query.last is not None:
        conditions += " AND p.end >= coalesce(v.duration, 0) - ?"
        values.append(query.last)
    return conditions, values


def _encode(
    passages: Sequence[Passage], meaning: Meaning | None
) -> NDArray[np.uint64] | None:
    if meaning is None:
        return None
    return to_codes(meaning.embed([one.text.replace("\n", " ") for one in passages]))


def _details(text: TimedText) -> str | None:
    known = {k: v for k in _DETAILS if (v := getattr(text, k)) is not None}
    return json.dumps(known, ensure_ascii=False) if known else None


def _timed_text(
    start: float, end: float, text: str, source: Any, details: str | None
) -> TimedText:
    more = json.loads(details) if details else {}
    if "box" in more:
        more["box"] = tuple(more["box"])
    return TimedText(start=start, end=end, text=text, source=source, **more)
