"""Text that comes in from files and goes out again: checked, mended, written as JSON.

JSON can hold half a character, such as half an emoji that another program cut in two
(a lone surrogate). No file, tokenizer or terminal takes it, so it is found where it
comes in; and names of files that are not UTF-8, which Python holds in the same way, can
be written down all the same.
"""

from __future__ import annotations

import codecs
import errno
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

_NUL = "\0"
_UNSEEN = ("Cc", "Cf")
"""Categories of Unicode: control characters, and what formats others."""
_TOLD_ERROR = re.compile(r"\(os error (\d+)\)")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOMENT = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)")


def check_text(text: object, what: str) -> str:
    """Refuse what is no text, or none that can be written down.

    Args:
        text: What should be a text.
        what: How to call it in the message.

    Returns:
        The text.

    Raises:
        ValueError: It is no text, nothing of it would be seen, or it holds half a
            character.
    """
    if not isinstance(text, str) or is_blank(text):
        raise ValueError(f"{what} must be a text that is not empty, got {text!r}")
    if _NUL in text:
        raise ValueError(
            f"{what} holds a NUL character at place {text.index(_NUL) + 1}; leave it out"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = _name_half(text[error.start])
        raise ValueError(
            f"{what} holds {found} at place {error.start + 1}; write the whole "
            "character or leave it out"
        ) from error
    return text


def is_blank(text: str) -> bool:
    """Tell a text of which nothing would be seen: white space, control characters."""
    return all(one.isspace() or category(one) in _UNSEEN for one in text)


def check_name(name: object, what: str) -> str:
    """Refuse what cannot name a file; see `check_text`.

    Names need not be UTF-8: Python holds their other bytes as halves of characters.

    Args:
        name: What should be the name of a file.
        what: How to call it in the message.
    """
    if isinstance(name, str) and _NUL in name:
        raise ValueError(
            f"{what} holds a NUL character, which no file has in its name, got {name!r}"
        )
    try:
        os.fsencode(name if isinstance(name, str) and name.strip() else "\ud800")
    except UnicodeEncodeError:
        return check_text(name, what)  # says what is wrong
    return str(name)


def check_choice(
    value: object, what: str, accepted: Iterable[str], remedy: str = ""
) -> None:
    """Refuse a value that is not one of some.

    Args:
        value: The value.
        what: How to call it in the message.
        accepted: The values that it may have.
        remedy: How the message ends.

    Raises:
        ValueError: Naming those.
    """
    names = [*accepted]
    if value not in names:
        raise ValueError(
            f"{what} must be one of {', '.join(names)}, got {value!r}{remedy}"
        )


def read_moment(moment: object, what: str) -> float:
    """Read a moment of a video as people write it.

    Args:
        moment: Seconds, or a text: seconds, ``m:ss`` or ``h:mm:ss``.
        what: How to call it in the message.

    Returns:
        Seconds from the beginning of the video.

    Raises:
        ValueError: It is none of these.
    """
    found = _MOMENT.fullmatch(moment.strip()) if isinstance(moment, str) else None
    if found is not None:
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        is_carried = (found[2] and seconds >= 60) or (found[1] and minutes >= 60)
        if not is_carried:
            return 3600 * hours + 60 * minutes + seconds
    is_number = isinstance(moment, int | float) and not isinstance(moment, bool)
    if is_number and 0 <= moment < math.inf:  # type: ignore[operator]
        return float(moment)  # type: ignore[arg-type]
    raise ValueError(f"{what} must be seconds from 0, m:ss or h:mm:ss, got {moment!r}")


def check_excerpt(
    start: float | str | None, end: float | str | None
) -> tuple[float, float | None]:
    """Read where an excerpt begins and ends, and refuse one that is empty.

    Args:
        start: As `read_moment` takes it; None for the beginning.
        end: As `read_moment` takes it; None for the end.

    Returns:
        Both in seconds.

    Raises:
        ValueError: One is no moment, or the end is not after the start.
    """
    begin = 0.0 if start is None else read_moment(start, "start")
    stop = None if end is None else read_moment(end, "end")
    if stop is not None and stop <= begin:
        raise ValueError(f"end must be after start ({begin:g} s), got {stop:g} s")
    return begin, stop


def _name_half(character: str) -> str:
    """Say what a lone surrogate is; Python reads a strange byte as one of some."""
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"a byte that is not UTF-8, 0x{byte:02x},"
    return f"half a character, {character!a},"


def mend_text(text: str) -> str:
    """Join halves of characters that were cut apart; one alone becomes a mark.

    Args:
        text: A text that others wrote.

    Returns:
        A text that can be written down.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_text(path: str | Path) -> str:
    """Read a text file, with or without a byte order mark.

    Args:
        path: The file, in UTF-8, or in UTF-16 with its mark.

    Raises:
        ValueError: It is in another encoding; the line is named.
    """
    return decode_text(Path(path).read_bytes(), str(path))


def decode_text(data: bytes, where: str) -> str:
    """Turn the bytes of a file into text; see `read_text`.

    Args:
        data: The bytes.
        where: What to call the file in the message.
    """
    is_utf16 = data.startswith(_UTF16_MARKS)
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{where}: line {line} is not UTF-{16 if is_utf16 else 8} (byte "
            f"0x{data[error.start]:02x}); save the file as UTF-8"
        ) from error


def is_full_disk(error: BaseException) -> bool:
    """Tell whether a file could not be written for want of space.

    Libraries that are written in Rust tell the system's number in words alone.
    """
    told = _TOLD_ERROR.search(str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    return number in _NO_SPACE


def sentence(error: BaseException) -> str:
    """Say in one line what went wrong, in which file, and what helps if that is known."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        helps = "; free some space there" if is_full_disk(error) else ""
        return f"{where}{error.strerror}{helps}"
    return " ".join(str(error).split()) or type(error).__name__


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 frame``, ``2 frames``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def round_floats(value: Any) -> Any:
    """Take the noise of computing out of data that is shown: 47.48, not 47.480000000000004.

    Args:
        value: What `json.dumps` takes.

    Returns:
        The same with floats of six decimals, or six digits where these begin later.
    """
    if isinstance(value, float):
        return round(value, 6) if abs(value) >= 0.1 else float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: round_floats(part) for key, part in value.items()}
    return [*map(round_floats, value)] if isinstance(value, list | tuple) else value


def to_json(value: Any, **options: Any) -> str:
    r"""Write JSON that any file takes: readable, or with ``\u`` where it must be.

    Args:
        value: What to write.
        options: As for `json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, **options)
    return text


def mean_probability(log_probabilities: Sequence[float]) -> float | None:
    """Give the geometric mean of probabilities; of none, None.

    Args:
        log_probabilities: The natural logarithm of each.
    """
    if not log_probabilities:
        return None
    return math.exp(min(0.0, math.fsum(log_probabilities) / len(log_probabilities)))


def label_media(count: int, noun: str = "Video") -> list[str]:
    """Write what stands before each of several media; before a single one nothing.

    Args:
        count: How many there are.
        noun: What one is called.
    """
    if count == 1:
        return [""]
    return [f"{noun} {number}: " for number in range(1, count + 1)]
