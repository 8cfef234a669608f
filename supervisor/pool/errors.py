"""An exception on its way from a worker to the parent: it arrives, in whatever state.

An exception is pickled and unpickled in the worker first, so that one that does not come out again is found out where it can
be replaced: by a RemoteError with its name, its words and its traceback. Its cause, its context and the members of a group
are looked at one by one; those that travel do. What the parent sees at the end of the chain of causes is the
RemoteTraceback, the text of all of it.

What holds it together is not pickle but JSON, lengths and a checksum: bytes that are no error of ours are never unpickled,
for a few wrong ones can make pickle ask for all memory there is.
"""

from __future__ import annotations

import _pickle as pickle  # the C code alone: the module around it takes 1 ms of every cold start
import os
import struct
import time
from binascii import crc32

from supervisor.pool import byvalue
from workers import plain_json
from workers.hints import Any

_MAGIC = b"NLE1"
_HEAD = struct.Struct("<4sII")  # magic, checksum of what follows it, length of the JSON, which is followed by pickles
_CHAIN = 64  # exceptions of a chain of causes and contexts that are told one by one
_TEXT = 64 * 1024  # characters of a traceback
_WORDS = 4096  # characters of an exception's own
_STAMP = "_ninelives_stamp"
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_set = BaseException.__setattr__  # not the exception's own: a frozen dataclass refuses


class RemoteError(Exception):
    """Stands for an exception that could not be sent.

    type_name: its class, as module.name. words: its str(). why: what was in the way.
    """

    def __init__(self, type_name: str, words: str, why: str) -> None:
        super().__init__(type_name, words, why)
        self.type_name, self.words, self.why = type_name, words, why

    def __str__(self) -> str:
        said = f"{self.type_name}: {self.words}" if self.words else self.type_name
        return f"{said} [this exception did not travel: {self.why}]"


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in a worker: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def pack_error(error: BaseException, *, most: int | None = None) -> bytes:
    """Never raises; what does not travel becomes a RemoteError, and so does what takes more than `most` bytes (from 1,000)."""
    try:
        data = _packed(error)
        if most is None or len(data) <= most:
            return data
        room = most // 50  # a character may take 6 bytes in JSON, and the words stand there twice
        short = RemoteError(_name(error)[:room], _words(error)[:room], "it is too large")
        return _framed([_node(short)], _text(error, whole=False)[-room:])
    except BaseException as second:  # noqa: BLE001 it is told in place of what it kept from being told
        try:
            node = _node(RemoteError(_name(error), "", f"{_name(second)} while it was packed"))
            return _framed([node], f"{_name(error)}\n")
        except BaseException:  # noqa: BLE001 no memory at all, most likely
            return b""


def stamp(error: BaseException, phase: str, began_ns: int) -> None:
    """What ends a process where it is not caught (SystemExit, KeyboardInterrupt) says when it was raised: see `stamp_of`."""
    if not isinstance(error, Exception):
        vars(error)[_STAMP] = (os.getpid(), phase, (time.monotonic_ns() - began_ns) / 1e9)


def stamp_of(error: BaseException) -> tuple[int, str, float]:
    """The pid of the worker, the phase it was in, and seconds since the task was begun; empty if it has none."""
    found: tuple[int, str, float] = vars(error).pop(_STAMP, (0, "", 0.0))
    return found


def unpack_error(data: bytes | memoryview) -> BaseException:
    """The exception, its causes as they were and behind them the RemoteTraceback. Never raises, whatever the bytes."""
    try:
        nodes, text = _unframed(bytes(data))
        errors = [_revived(node) for node in nodes]
        for error, node in zip(errors, nodes, strict=True):
            _tie(error, node, errors)
        last = _end_of_causes(errors[0])
        _set(last, "__cause__", RemoteTraceback(text))
        return errors[0]
    except BaseException as error:  # noqa: BLE001 it is told in what is returned
        return RemoteError("an exception", "", f"what came of it, {len(data):,} bytes, is damaged ({_name(error)})")


def _packed(error: BaseException) -> bytes:
    chain = _chain(error)
    places = {id(one): at for at, one in enumerate(chain)}
    nodes = []
    for at, one in enumerate(chain):
        node = _node(one)
        # Ties lead forward only: a chain that bites its tail would be followed for ever.
        for tie, other in (("cause", one.__cause__), ("context", one.__context__)):
            place = places.get(id(other), 0)
            node[tie] = place if place > at else None
        node["hidden"] = one.__suppress_context__
        nodes.append(node)
    return _framed(nodes, _text(error, whole=len(chain) < _CHAIN))


def _chain(error: BaseException) -> list[BaseException]:
    """It, its causes and contexts and theirs, each once; the first _CHAIN of them."""
    found, seen = [error], {id(error)}
    for one in found:  # grows while we walk it
        for other in (one.__cause__, one.__context__):
            if other is not None and id(other) not in seen and len(found) < _CHAIN:
                seen.add(id(other))
                found.append(other)
    return found


def _node(error: BaseException) -> dict[str, Any]:
    data, why = _verified(error)
    if why and isinstance(error, BaseExceptionGroup):
        data, _ = _verified(_without_the_stuck(error))
    return {"name": _name(error), "words": _words(error), "why": why, "pickle": data}


def _verified(error: BaseException) -> tuple[bytes, str]:
    """Its pickle, or nothing and why; whatever its class does when it is pickled, SystemExit included."""
    try:
        data = _pickled(error)
        back = pickle.loads(data)  # we have made it just now
    except BaseException as second:  # noqa: BLE001 it is told beside the exception it stopped
        return b"", f"{_name(second)}: {_words(second)}"
    if not isinstance(back, BaseException):
        return b"", f"it is unpickled as a {type(back).__name__}"
    return data, ""


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error, 5)
    except (pickle.PicklingError, AttributeError, TypeError):
        if not byvalue.is_possible():
            raise
        return byvalue.dumps(error)


def _without_the_stuck(group: BaseExceptionGroup[Any]) -> BaseException:
    """The group, with a RemoteError for each member that does not travel."""
    members: list[BaseException] = []
    for member in group.exceptions:
        _, why = _verified(member)
        if not why:
            members.append(member)
        elif isinstance(member, BaseExceptionGroup):
            members.append(_without_the_stuck(member))
        else:
            members.append(RemoteError(_name(member), _words(member), why))
    new = BaseExceptionGroup(group.message, members)
    new.__notes__ = list(getattr(group, "__notes__", ()))
    return new


def _framed(nodes: list[dict[str, Any]], text: str) -> bytes:
    pickles = [node["pickle"] for node in nodes]
    told = [{**node, "pickle": len(data)} for node, data in zip(nodes, pickles, strict=True)]
    head = plain_json.dumps_ascii({"nodes": told, "text": text}).encode()
    body = b"".join((head, *pickles))
    return _HEAD.pack(_MAGIC, crc32(body), len(head)) + body


def _unframed(data: bytes) -> tuple[list[dict[str, Any]], str]:
    magic, checksum, length = _HEAD.unpack_from(data)
    if (magic, checksum) != (_MAGIC, crc32(memoryview(data)[_HEAD.size :])):
        raise ValueError("its checksum is wrong")
    at = _HEAD.size + length
    head = plain_json.loads(data[_HEAD.size : at].decode())
    for node in head["nodes"]:
        length = node["pickle"]
        node["pickle"], at = data[at : at + length], at + length
    return head["nodes"], head["text"]


def _revived(node: dict[str, Any]) -> BaseException:
    why = node["why"]
    if node["pickle"]:
        try:
            error = pickle.loads(node["pickle"])  # of our worker, which runs what the user gives it
        except BaseException as second:  # noqa: BLE001 it is told beside the exception it stopped
            why = f"{_name(second)}: {_words(second)}"
        else:
            if isinstance(error, BaseException):
                return error
    return RemoteError(node["name"], node["words"], why)


def _tie(error: BaseException, node: dict[str, Any], errors: list[BaseException]) -> None:
    if node.get("context") is not None:
        _set(error, "__context__", errors[node["context"]])
    if node.get("cause") is not None:
        _set(error, "__cause__", errors[node["cause"]])
    _set(error, "__suppress_context__", bool(node.get("hidden")))


def _end_of_causes(error: BaseException) -> BaseException:
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def _text(error: BaseException, *, whole: bool) -> str:
    """Its traceback as Python prints it, without our own frames; of a long one the beginning and the end."""
    try:
        import traceback  # noqa: PLC0415 3 ms of every cold start
    except Exception:  # noqa: BLE001 a task may have used up all descriptors
        return f"{_name(error)}: {_words(error)}\n"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    if whole:
        text = "".join(traceback.format_exception(type(error), error, trace))
    else:
        text = "".join([*traceback.format_tb(trace), f"{_name(error)}: {_words(error)}\n"])
    if len(text) > _TEXT:
        text = f"{text[: _TEXT // 4]}\n[... {len(text) - _TEXT:,} characters ...]\n{text[-_TEXT * 3 // 4 :]}"
    return text


def _name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _words(error: BaseException) -> str:
    try:
        return str(error)[:_WORDS]
    except BaseException:  # noqa: BLE001 an exception without words; its traceback says as much
        return ""
