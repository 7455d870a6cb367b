"""Which option a reply names: our reading, and those of the published scripts.

Each reader takes a reply and the options and gives a letter, or None where it finds none.
The published ones are kept to their oddities, which are said with each. None guesses: who
guesses for them does so in `choice`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Reader = Callable[[str, Sequence[str]], str | None]
"""Finds a letter in a reply, given the texts of the options."""

LETTERS = "ABCDEFGH"
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Ha-h])\b")
_ALONE = re.compile(r"[\s\W_]*([A-Ha-h])[\s\W_]*")
_AT_HEAD = re.compile(r"\W*(?:\(([A-Ha-h])\)|([A-H])(?=[.):,\n])|([a-h])\))")
_CUE = re.compile(
    r"(?:answer|option|choice|choose|select|pick|respuesta|r[eé]ponse|antwort|risposta|"
    r"resposta|opci[oó]n|ответ)(?:\s+(?:is|es|est|ist|lautet|would be|should be|correcta|"
    r"richtige|option|the|la|die|l'option|option|opci[oó]n))*\s*[:：=-]?\s*"
    r"[\"'*(\[]*([A-Ha-h])(?![\w'])[\"'*)\].]*(?P<after>\s*\S*)",
    re.IGNORECASE,
)
_CUE_OF_OTHERS = re.compile(
    r"(?:答案|选项?|正解|答え|정답|답|옵션)\s*(?:是|为|は|은|:|：)?\s*[(（]?([A-H])(?![A-Za-z])"
)
_BRACKETED = re.compile(r"[(\[（]([A-H])[)\]）]")
_CAPITAL = re.compile(r"(?<![\w'’])([A-H])(?![\w'’])(?!\s+[a-z])")
_SEVERAL = re.compile(
    r"(?<!\w)\(?[A-H]\)?(?:\s*(?:,|/|&|and|or|und|oder|y|o)\s*\(?[A-H]\)?)+(?!\w)"
)
_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]


def read_strictly(reply: str, choices: Sequence[str]) -> str | None:
    """Find the one option that a reply names without doubt.

    A letter alone, at the head with a bracket or stop, after words such as "the answer
    is", or in brackets; else the text of exactly one option, numbers in words or digits.
    A leading article "A " is no letter, and two letters are none.

    Args:
        reply: The reply.
        choices: The texts of the options.
    """
    text = _THINKING.sub("", reply).replace("**", "").strip()
    allowed = LETTERS[: len(choices)]
    for found in (_letters(text), [_by_text(text, choices)]):
        named = {one.upper() for one in found if one}
        if named:
            return named.pop() if len(named) == 1 and named <= set(allowed) else None
    return None


def _letters(text: str) -> list[str]:
    """List the letters of the first form that a reply has; two of them name nothing."""
    alone = _BOXED.findall(text) or [m[1] for m in [_ALONE.fullmatch(text)] if m]
    if alone:
        return [alone[-1]]
    cued = [m[1] for m in _CUE.finditer(text) if not _is_article(m[1], m["after"])]
    cued += _CUE_OF_OTHERS.findall(text)
    head = _AT_HEAD.match(text)
    if _SEVERAL.search(text):
        return list(LETTERS)
    if cued:
        return [cued[-1]]
    if head:
        return [head[1] or head[2] or head[3]]
    return _BRACKETED.findall(text) or _CAPITAL.findall(text)


def _is_article(letter: str, after: str) -> bool:
    """Tell "the answer is a cat" from "the answer is a"."""
    return letter in "aA" and after[:1].isspace() and after.strip()[:1].islower()


def _by_text(text: str, choices: Sequence[str]) -> str | None:
    """Find the option whose text a reply is, and no other's."""
    said = _plain(text)
    places = [place for place, choice in enumerate(choices) if _plain(choice) == said]
    return LETTERS[places[0]] if said and len(places) == 1 else None


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(str(_NUMBERS.index(w)) if w in _NUMBERS else w for w in words)


_LEADS = ("The best answer is", "The correct answer is", "The answer is", "The answer")
_FUSED = (
    *_LEADS,
    # two commas are missing in the published list, which fuses three of its entries
    "The best option is" + "The correct option is",
    "Best answer:" + "Best option:",
)
_WHOLE = (
    *_LEADS,
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)


def _first_capital(reply: str, leads: Sequence[str], letters: str) -> str | None:
    text = reply.strip()
    for lead in leads:
        text = text.replace(lead, "")
    found = re.search(f"[{letters}]", text)
    return found[0] if found else None


def read_as_video_mme(reply: str, choices: Sequence[str]) -> str | None:
    """Take the first capital A to D anywhere, after known lead-ins are cut out.

    So "Best option: C" is B, for the lead-in that should match it is fused with another.
    """
    return _first_capital(reply, _FUSED, "ABCD")


def read_as_longvideobench(reply: str, choices: Sequence[str]) -> str | None:
    """Take the first capital A to E anywhere, after known lead-ins are cut out."""
    return _first_capital(reply, _WHOLE, "ABCDE")


def read_as_mlvu(reply: str, choices: Sequence[str]) -> str | None:
    """Take the character before the first ``)``; without one the whole reply."""
    head, bracket, _ = reply.partition(")")
    said = head[-1:] if bracket else reply
    return said or None


def read_as_lvbench(reply: str, choices: Sequence[str]) -> str | None:
    """Take the first character of the first word between the first brackets.

    What follows the first ``)`` is cut off, then what precedes the first ``(``; lower
    case stays lower, and "Answer: D" is A.
    """
    text = reply.split(")")[0]
    text = text.split("(", 1)[1] if "(" in text else text
    words = text.split()
    return words[0][0] if words else None


def is_mvbench_hit(reply: str, key: str, choices: Sequence[str]) -> bool:
    """Tell whether MVBench's own check takes a reply for right: a substring test.

    The first word of the reply is looked for in "(a)", the first word of the key, and the
    key in it; so an empty reply, "(" or the word "a" is right where the key is A.

    Args:
        reply: The reply.
        key: The letter of the true option.
        choices: The texts of the options.
    """
    said, wanted = reply.lower().split(" ")[0], f"({key.lower()})"
    return said.replace(".", "") in wanted or wanted in said


_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"(\d)(\,)(\d)")
_STOP = re.compile(r"(?!<=\d)(\.)(?!\d)")


def read_as_lmms_eval_mvbench(reply: str, choices: Sequence[str]) -> str | None:
    """Read as lmms-eval 0.7.3 reads MVBench.

    A letter with a stop before the rest of the only line; else the first letter A to E
    that stands alone once marks are gone, an article "a" among them.
    """
    text = reply.strip()
    head = re.match(r"^([A-E])\.\s*(.+)$", text, re.IGNORECASE)
    if head:
        return head[1].upper()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    cleaned = text
    for mark in _MARKS:
        is_spaced = f"{mark} " in text or f" {mark}" in text
        is_spaced = is_spaced or _COMMA_IN_NUMBER.search(text) is not None
        cleaned = cleaned.replace(mark, "" if is_spaced else " ")
    cleaned = _STOP.sub("", cleaned, count=re.UNICODE)
    cleaned = cleaned.strip("'").strip('"').strip(")").strip("(").strip().lower()
    found = re.search(r"\b([A-E])\b", cleaned, re.IGNORECASE)
    return found[1].upper() if found else None


def read_as_egoschema(reply: str, choices: Sequence[str]) -> str | None:
    """Read as MMMU does: letters in brackets, before a space, before a stop; the first.

    Replies of more than five words without any are searched for the options' texts.
    """
    text = _trim(reply)
    letters = LETTERS[: len(choices)]
    forms = [(form, one) for form in ("({})", "{} ", "{}.") for one in letters]
    found = [
        (text.rfind(form.format(one)), number, one)
        for number, (form, one) in enumerate(forms)
        if form.format(one) in text
    ]
    if not found:
        found = _options_named(text, choices)
    return min(found)[2] if found else None


def read_as_next_qa(reply: str, choices: Sequence[str]) -> str | None:
    """Read as MMMU does, form after form, and take the last of several.

    Of letters before a space or stop, only those between spaces have a place; where none
    has, the first letter counts.
    """
    text = _trim(reply)
    letters = LETTERS[: len(choices)]
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        named = [one for one in letters if form.format(one) in text]
        if named:
            return max(named, key=lambda one: text.rfind(place.format(one)))
    found = _options_named(text, choices)
    return max(found, key=lambda one: one[0])[2] if found else None


def _trim(reply: str) -> str:
    for mark in ",.!?;:'":
        reply = reply.strip(mark)
    return f" {reply} "


def _options_named(text: str, choices: Sequence[str]) -> list[tuple[int, int, str]]:
    """Find which options' texts stand in a reply of more than five words, and where."""
    if len(text.split()) <= 5:
        return []
    lower = text.lower()
    return [
        (lower.rfind(choice.lower()), number, LETTERS[number])
        for number, choice in enumerate(choices)
        if choice.lower() in lower
    ]


_PHRASES = (
    *(f"{head}answer is" for head in ("", "the ", "the correct ", "correct ")),
    *("the best answer is", "best answer is", "my answer is"),
    *(
        f"{head}option is"
        for head in ("the correct ", "correct ", "the best ", "best ")
    ),
    *(f"{head}choice is" for head in ("", "the ", "the correct ", "correct ", "my ")),
    *("i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
_AT_START, _AT_END, _AFTER_PHRASE = 10, 9, 7
_FOUR = "ABCD"


def read_as_lmms_eval(reply: str, choices: Sequence[str]) -> str | None:
    """Read as the extractor of lmms-eval 0.7.3: the form ranks, then the last place.

    A letter that begins the reply before anything but a letter ranks first, so "A man is
    shown, so the answer is B" is A.

    Args:
        reply: The reply.
        choices: The options; A to D are looked for, whatever there is.
    """
    if not reply.strip():
        return None
    text = reply.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    core, text = text.strip(), f" {text} "
    found: list[tuple[int, int, str]] = []  # rank, place, letter
    for form, rank in _FORMS:
        found += [
            (rank, text.rfind(form.format(one)), one)
            for one in _FOUR
            if form.format(one) in text
        ]
    lower = text.lower()
    for phrase in _PHRASES:
        place = lower.find(phrase)
        if place >= 0:
            begin = place + len(phrase)
            places = [(text.find(one, begin), one) for one in _FOUR]
            found += [(_AFTER_PHRASE, at, one) for at, one in places if at >= 0]
    for one in _FOUR:
        if core.startswith(one) and (len(core) == 1 or not core[1].isalpha()):
            found.append((_AT_START, 0, one))
        if core.endswith(one) and (len(core) == 1 or not core[-2].isalpha()):
            found.append((_AT_END, len(text) - 1, one))
    if not found:
        found = [(0, text.rfind(one), one) for one in _FOUR if one in text]
    return max(found, key=lambda one: one[:2])[2] if found else None


_V2_LEADS = (
    *(f"the {kind} answer is" for kind in ("best", "correct")),
    *("the answer is", "the answer", "the best option is", "the correct option is"),
    *("final answer:", "best answer:", "best option:", "answer:", "option:"),
)
_V2_LINE_END = re.compile(
    r"(?:^|\n)[ \t]*(?:\*\*[ \t]*)?([A-H])(?:[ \t]*\*\*)?[ \t]*[.)]?[ \t]*$",
    re.IGNORECASE,
)
_V2_HEAD = re.compile(
    r"^[ \t]*(?:\*\*[ \t]*)?([A-H])(?:[ \t]*\*\*)?[ \t]*(?:[.)]|\r?\n|$)", re.IGNORECASE
)
_V2_CUE = re.compile(
    rf"(?:{'|'.join(map(re.escape, _V2_LEADS))}"
    r"|\b(?:answer|option)(?:\s+(?:is|would\s+be)|\s*:))[\s:*]*([A-H])\b",
    re.IGNORECASE,
)
_V2_BOLD = re.compile(r"\*\*\s*([A-H])(?=\s*\*\*|[.)])", re.IGNORECASE)


def read_as_video_mme_v2(reply: str, choices: Sequence[str]) -> str | None:
    """Read as lmms-eval 0.7.3 reads Video-MME-v2.

    A letter alone on the last line, at the head, after a cue (the last one), the only
    one in bold; else the option whose text is the only one in the reply.
    """
    text = reply.strip()
    found = _V2_LINE_END.search(text) or _V2_HEAD.match(text)
    if found:
        return found[1].upper()
    cued = _V2_CUE.findall(text)
    if cued:
        return str(cued[-1]).upper()
    bold = {one.upper() for one in _V2_BOLD.findall(text)}
    if len(bold) == 1:
        return str(bold.pop())
    lower = reply.lower()
    named = [
        LETTERS[n] for n, c in enumerate(choices) if c.strip(". \n").lower() in lower
    ]
    return named[0] if len(named) == 1 else None
