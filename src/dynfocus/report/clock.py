"""Times as people write them."""

from __future__ import annotations

_NUM_TICKS = 8
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def format_time(seconds: float, *, with_tenths: bool = False) -> str:
    """Write seconds as ``mm:ss`` or, from one hour on, ``h:mm:ss``.

    Args:
        seconds: Time from the start, not negative.
        with_tenths: Add tenths of a second, for videos shorter than a minute.
    """
    tenths = int(seconds * 10 + 1e-6)
    whole, tenth = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = (
        f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"
    )
    return f"{text}.{tenth}" if with_tenths else text


def choose_ticks(duration: float) -> list[float]:
    """Choose round times for the marks of a time axis."""
    step = next(
        (s for s in _STEPS if duration / s <= _NUM_TICKS), duration / _NUM_TICKS
    )
    count = int(duration / step * 0.985) + 1  # none at the very end: no room for it
    return [number * step for number in range(count)]
