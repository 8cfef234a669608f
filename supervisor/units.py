"""Durations and sizes as people write them: "1h30m" is 5400.0 seconds, "64K" is 65536 bytes.

Both ways are exact: what `duration_text` and `size_text` write, `seconds` and `size` read back.
A mistake, of type too, is a ValueError whose two arguments are the sentence and a suggestion (or None).
"""

from __future__ import annotations

import re
from decimal import Decimal

LONGEST = 3650 * 86400  # seconds; more is a slip of the pen, and timers overflow not far above
LARGEST = 1 << 50  # bytes

_DURATIONS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_SIZES = {"T": 1 << 40, "G": 1 << 30, "M": 1 << 20, "K": 1 << 10}
_WORDS = {
    "milliseconds": "ms", "millisecond": "ms", "msec": "ms",
    "seconds": "s", "second": "s", "secs": "s", "sec": "s",
    "minutes": "m", "minute": "m", "mins": "m", "min": "m",
    "hours": "h", "hour": "h", "hrs": "h", "hr": "h",
    "days": "d", "day": "d",
}  # fmt: skip

DURATION = r"([0-9]{1,15}(\.[0-9]{1,9})?(ms|s|m|h|d))+"
SIZE = r"[0-9]{1,15}(\.[0-9]{1,9})?[KMGT](iB)?"
_DURATION_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE_PARTS = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGT])(?:iB)?")


def seconds(value: object) -> float:
    """A number of seconds, or a string such as "500ms", "5s", "1h30m"; 0 to ten years."""
    if isinstance(value, str):
        if len(value) > 64 or not re.fullmatch(DURATION, value):
            raise ValueError(
                f'{value[:64]!r} is not a duration such as "500ms", "5s" or "1h30m"', _meant_duration(value)
            )
        parts = _DURATION_PART.findall(value)
        value = float(sum((Decimal(number) * _DURATIONS[unit] for number, unit in parts), Decimal(0)))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError('must be a duration: a number of seconds, or a string such as "5s"', None)  # noqa: TRY004
    if not 0 <= value <= LONGEST:  # this way round it refuses nan, too
        raise ValueError("a duration lies between 0 and 3650d", None)
    return float(value)


def size(value: object) -> int:
    """A number of bytes, or a string such as "64K", "100M", "1GiB" (1024 to the step); 0 to 1024T."""
    if isinstance(value, str):
        found = _SIZE_PARTS.fullmatch(value)
        if found is None:
            raise ValueError(
                f'{value[:64]!r} is not a size such as "64K", "100M" or "1G"', _meant_size(value)
            )
        exact = Decimal(found[1]) * _SIZES[found[2]]
        if exact != int(exact):
            raise ValueError(f"{value!r} is not a whole number of bytes", None)
        value = int(exact)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('must be a size: a whole number of bytes, or a string such as "100M"', None)  # noqa: TRY004
    if not 0 <= value <= LARGEST:
        raise ValueError("a size lies between 0 and 1024T", None)
    return value


def duration_text(value: float) -> str | float:
    """The shortest way to write so many seconds; the bare number where units cannot say it exactly."""
    left, text = Decimal(repr(float(value))), ""
    for unit, length in _DURATIONS.items():
        count = left // length
        left -= count * length
        text += f"{count:f}{unit}" if count else ""
    text = text or "0s"
    return text if not left and len(text) <= 64 and seconds(text) == value else float(value)


def size_text(value: int) -> str | int:
    """The shortest way to write so many bytes."""
    for unit, length in _SIZES.items():
        if value and value % length == 0:
            return f"{value // length}{unit}"
    return value


def _meant_duration(text: str) -> str | None:
    close = re.sub(r"[a-z]+", lambda word: _WORDS.get(word[0], word[0]), text[:64].lower().replace(" ", ""))
    close += "s" if re.fullmatch(r"[0-9.]+", close) else ""
    return f'did you mean "{close}"?' if re.fullmatch(DURATION, close) else None


def _meant_size(text: str) -> str | None:
    close = text[:64].upper().replace(" ", "").removesuffix("IB").removesuffix("B")
    if re.fullmatch(r"[0-9]{1,15}", close):
        return f"did you mean {int(close)}?"
    return f'did you mean "{close}"?' if _SIZE_PARTS.fullmatch(close) else None
