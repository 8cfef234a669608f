"""JSON as our own packets need it: `json` without its package, whose import takes 1.5 ms of every start.

What is said and read here is what `json` says and reads, for it is the same C code; but no NaN, and no infinity.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

from workers.hints import Any, NoReturn


def dumps(value: object) -> str:
    """As json.dumps, without spaces, other letters than ASCII as they are. Raises TypeError, ValueError (NaN)."""
    return "".join(_encode(value, 0))


def dumps_ascii(value: object) -> str:
    """As `dumps`, in ASCII: so half a surrogate pair, as in the name of a file, travels too."""
    return "".join(_encode_ascii(value, 0))


def loads(text: str) -> Any:
    """As json.loads. Raises ValueError, RecursionError."""
    try:
        text = text.strip(" \t\n\r")
        value, end = _scan(text, 0)
    except StopIteration as nothing:
        raise ValueError(f"no JSON at {nothing.value}") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: {text[end : end + 20]!r} at {end}")
    return value


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class _How:
    """What the scanner asks json.JSONDecoder for."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, staticmethod(_refuse_constant)


_HOW = (None, ":", ",", False, False, False)  # indent, separators, sort keys, skip keys, allow NaN
_encode = make_encoder(None, _refuse, encode_basestring, *_HOW)
_encode_ascii = make_encoder(None, _refuse, encode_basestring_ascii, *_HOW)
_scan = make_scanner(_How)  # type: ignore[arg-type]  # whatever has these attributes
