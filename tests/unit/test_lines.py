"""Any bytes in, valid JSON lines of at most 4,096 bytes out."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.pump import notices
from supervisor.pump.lines import LIMIT, LONGEST, Batch, Envelope, Reader, traceback_end

STAMP = "2026-01-01T00:00:00.000000Z"
OUT = Envelope("i", {"worker": "w", "spawn_id": "w#1", "pid": 1, "stream": "stdout"})
ERR = Envelope("i", {"worker": "w", "spawn_id": "w#1", "pid": 1, "stream": "stderr"})
TRACE = (
    'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    1/0\n'
    "ZeroDivisionError: division by zero\n"
)
CHAIN = "\nDuring handling of the above exception, another exception occurred:\n\n"


def read(data: bytes, *, envelope: Envelope = OUT, part: int = 0, room: int = 1 << 30, **flags: bool) -> Batch:
    return Reader(envelope, STAMP, 1, room, 1 << 30).lines(data, part, **flags)


def values(batch: Batch) -> list[dict[str, Any]]:
    lines = batch.out.split(b"\n")[:-1]
    assert all(len(line) < LIMIT for line in lines)
    found = [json.loads(line) for line in lines]
    assert [value["seq"] for value in found] == list(range(1, len(found) + 1))
    assert batch.made == len(found)
    return found


ANYTHING = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(str.encode),
        st.sampled_from(
            [b"\n", b"\n\n", b"{}", b'{"level":"warn","msg":"m"}', b"\xe2\x82", b"x" * 5000, b"\x01" * 3000]
        ),
        st.sampled_from(["€" * 3000, "é" * 5000, TRACE, CHAIN]).map(str.encode),
    ),
    max_size=12,
).map(b"".join)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(deadline=None)
@given(data=ANYTHING, cuts=st.lists(st.integers(0, 20_000), max_size=4), rooms=st.sampled_from([1 << 20, 65536]))
def test_whatever_a_worker_writes_can_be_read_back(data: bytes, cuts: list[int], rooms: int) -> None:
    """However it arrives: the lines are valid, and the pieces put together are the text."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pending, part, said, open_ = b"", 0, [], False
    texts: list[str] = []
    for start, end in pairwise(places):
        pending += data[start:end]
        while True:
            batch = read(pending, part=part, room=rooms, final=end == len(data))
            pending, part = batch.rest, batch.part
            said += values(batch)
            if not batch.full:
                break
            assert batch.out
    assert pending == b""
    for value in said:
        text = json.dumps(value["data"]) if "data" in value else value["msg"]
        if open_:
            texts[-1] += text
        else:
            texts.append(text)
        open_ = value.get("more", False)
    wanted = [line.decode("utf-8", "backslashreplace") for line in data.split(b"\n")]
    if wanted[-1] == "" and not open_:
        wanted.pop()
    wanted = [json.dumps(json.loads(line)) if line in ("{}", '{"level":"warn","msg":"m"}') else line for line in wanted]
    assert texts == wanted


@pytest.mark.parametrize(
    ("line", "level", "msg"),
    [
        ('{"level":"warn","msg":"m"}', "warning", "m"),
        ('{"level":"ERROR","message":"m"}', "error", "m"),
        ('{"level":7,"event":"e"}', "info", "e"),
        ("{}", "info", ""),
    ],
)
def test_json_of_a_worker_stays_json(line: str, level: str, msg: str) -> None:
    """A JSON object goes on as data; its level and message become ours where we know them."""
    (value,) = values(read(line.encode() + b"\n"))
    assert (value["level"], value["msg"], value["data"]) == (level, msg, json.loads(line))


@pytest.mark.parametrize("line", ['{"a":NaN}', "{a}", '{"a":' * 5000 + "1" + "}" * 5000, '{"a":1' + "0" * 5000 + "}"])
def test_what_only_looks_like_json_is_text(line: str) -> None:
    """NaN, nonsense, depth without end and numbers without end are text, not a crash and not invalid output."""
    found = values(read(line.encode() + b"\n"))
    assert "".join(value["msg"] for value in found) == line


def test_a_long_line_comes_in_pieces() -> None:
    """Pieces are numbered, and all but the last say that there is more."""
    found = values(read(b"x" * 20_000 + b"\n"))
    assert [value["part"] for value in found] == list(range(1, len(found) + 1))
    assert [value.get("more", False) for value in found] == [True] * (len(found) - 1) + [False]


def test_bytes_that_are_no_text_are_marked() -> None:
    """Invalid UTF-8 is shown escaped, and said to be binary."""
    (value,) = values(read(b"a\xffb\n"))
    assert (value["msg"], value["binary"]) == ("a\\xffb", True)


@pytest.mark.parametrize("chained", [False, True])
def test_a_traceback_is_one_event(chained: bool) -> None:
    """A Python traceback on stderr, chained or not, is one line: the exception as msg, all of it as traceback."""
    text = TRACE + CHAIN + TRACE if chained else TRACE
    first, second = values(read(f"{text}after\n".encode(), envelope=ERR))
    assert first["msg"] == "ZeroDivisionError: division by zero"
    assert first["traceback"] == text.rstrip("\n")
    assert second["msg"] == "after"


def test_an_unfinished_traceback_waits() -> None:
    """Until it is finished, or late; a chained one may still follow the last line."""
    for cut in range(1, len(TRACE)):
        batch = read(TRACE[:cut].encode(), envelope=ERR)
        assert batch.out == b""
        assert batch.rest == TRACE[:cut].encode()
    assert traceback_end(TRACE.encode(), 0, flush=False) is None
    (value,) = values(read(TRACE.encode(), envelope=ERR, late=True))
    assert "traceback" in value


def test_a_huge_traceback_is_cut_in_its_middle() -> None:
    """Its beginning and its end stay, and it says that it is truncated."""
    text = TRACE.replace("    1/0\n", "    1/0\n" * 2000)
    (value,) = values(read(text.encode(), envelope=ERR, late=True))
    assert value["truncated"]
    assert value["traceback"].startswith("Traceback")
    assert value["traceback"].endswith("division by zero")


def test_little_room_means_a_later_rest() -> None:
    """What does not fit is handed back, line by line, and nothing of it is lost."""
    data = b"".join(b"line %d\n" % number for number in range(1000))
    batch = read(data, room=65536)
    assert batch.full
    assert batch.out.count(b"\n") + batch.rest.count(b"\n") == 1000
    assert data.endswith(batch.rest)


def test_a_line_without_end_does_not_grow_the_memory() -> None:
    """Of a line that never ends only the last few bytes are kept."""
    batch = read(b"\x01" * 60_000)
    assert len(batch.rest) < LONGEST
    assert values(batch)[-1]["more"]


def test_an_event_gets_its_place_in_the_order() -> None:
    """schema, seq and instance_id are put in; the rest stays as it was."""
    line = notices.finished(b'{"timestamp":"t","level":"info","event":"e","msg":"m","worker":"w"}', 7, "i")
    assert line is not None
    assert json.loads(line) == {
        "timestamp": "t", "level": "info", "event": "e", "msg": "m",
        "worker": "w", "schema": 1, "seq": 7, "instance_id": "i",
    }  # fmt: skip


@given(
    value=st.dictionaries(st.text(max_size=20), st.one_of(st.text(), st.integers(), st.lists(st.text())), min_size=1),
    extra=st.sampled_from(["", "x" * 9000, "€\x00" * 3000]),
)
@settings(deadline=None)
def test_every_event_fits(value: dict[str, Any], extra: str) -> None:
    """However long its fields are, an event's line is valid and at most 4,096 bytes long."""
    line = notices.finished(json.dumps({**value, "stack": extra, "msg": extra}).encode(), 1, "i")
    assert line is not None
    assert len(line) <= LIMIT
    assert json.loads(line)["seq"] == 1


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[1]", b"{}", b'{"a":' * 100_000])
def test_no_event_no_line(line: bytes) -> None:
    """What is no JSON object is not passed on."""
    assert notices.finished(line, 1, "i") is None
