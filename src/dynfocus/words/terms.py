"""Words of a text as they are compared: folded, without endings, CJK sign by sign.

The same rules make the terms of an index and of a question, so that both meet whatever
wrote them. Endings are English; words of other languages lose an ending on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_TERM = re.compile(r"[^\W_]+")
_PLAIN_TERM = re.compile(r"[a-z0-9]+")
_SIGNS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana, Han
)
_PIECE = re.compile(rf"[{_SIGNS}]|[^{_SIGNS}]+")
_PLAIN = re.compile(r"[a-z]+")
_SHORTEST_STEM = 3
_VOWELS = frozenset("aeiouy")

_FUNCTION_WORDS = frozenset(
    _TERM.findall(
        """
        a about above after again all also am an and any anyone anybody anything are as at
        be became because been before being below between both but by can cannot could did
        do does doing down during each else ever every for from further get gets got had has
        have having he her here hers him his how i if in into is it its itself just let like
        may me might mine more most must my no nor not now of off on once one only or other
        our ours out over own per please quite rather said same say says shall she should
        show showed shown shows so some somebody someone something still such tell tells
        than that the their theirs them then there these they this those through to too
        under until up upon us very was we were what whatever when where which while who
        whom whose why will with would yet you your yours s t re ve ll d m don doesn
        video clip film speaker written mention mentioned mentions talk
        talks talked called many much
        """
    )
)


def fold(text: str) -> str:
    """Write text without marks, wide forms and capitals."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in plain if not unicodedata.combining(one))


def words_of(text: str) -> list[str]:
    """Split a text into folded words; what is written without spaces, sign by sign."""
    if text.isascii():
        return _PLAIN_TERM.findall(text.lower())
    return [
        piece
        for word in _TERM.findall(unicodedata.normalize("NFC", fold(text)))
        for piece in _PIECE.findall(word)
    ]


def terms_of(text: str) -> list[str]:
    """Split a text into the terms by which it is found, in order."""
    return [stem(word) for word in words_of(text)]


def content_words(words: Sequence[str]) -> list[str]:
    """Leave out of folded words those that only ask; all stay where none would be left."""
    return [word for word in words if word not in _FUNCTION_WORDS] or list(words)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Take an English ending off a folded word: plural, -ing, -ed, -ly, a last -e."""
    if not _PLAIN.fullmatch(word) or len(word) <= _SHORTEST_STEM:
        return word
    word = _singular(word)
    for ending in ("ing", "edly", "ed", "ly"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= _SHORTEST_STEM and _VOWELS & set(root):
            word = root[:-1] if root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    if word.endswith("i"):
        word = f"{word[:-1]}y"
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


def _singular(word: str) -> str:
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word.removesuffix("s")
