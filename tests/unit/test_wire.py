"""The line protocol: what is said comes back, and nothing a worker writes can hurt its reader."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import wire

BEAT = b'{"kind":"beat","at":12.5,"progress":3}\n'
GOOD = (
    wire.encode("hello", pid=7, start=99, spawn="it#1", heart=True, stacks=False),
    wire.encode("ready", at=1.0, status="grüß dich"),
    wire.encode("busy", at=2.0, **{"for": 30}),
    wire.encode("leaving", at=2.5),
    BEAT,
)
BAD = (
    b'{"kind":"beat","at":NaN}\n', b'{"kind":"beat","at":1e999}\n',
    b'{"kind":"beat","at":true}\n',
    b'{"kind":"beat","at":"1"}\n', b'{"kind":"beat","at":-1}\n', b'{"kind":"beat"}\n',
    b'{"kind":"dance","at":1}\n',
    b'{"kind":["beat"],"at":1}\n', b'{"at":1}\n', b"[1]\n", b"\n", b"\xff\xfe\n", b"[" * 505 + b"\n",
    b'{"kind":"ready","at":1,"status":"\\ud800"}\n', b'{"kind":"beat","at":1,"progress":1e400}\n',
    b'{"kind":"beat","at":007}\n', b'{"kind":"beat","at":1' + b" " * 600 + b"}\n",
)  # fmt: skip


def flat(found: list[wire.Message | wire.Violation]) -> list[object]:
    """Beats as they would be without the run-length: how many, and the last one."""
    told: list[object] = []
    for one in found:
        last = told[-1] if told else None
        if isinstance(one, wire.Message) and one.kind == "beat" and "status" not in one.fields:
            if isinstance(last, list):
                last[0] += one.times
                last[1] = one.fields
            else:
                told.append([one.times, one.fields])
        else:
            told.append(one)
    return told


def read(data: bytes) -> list[wire.Message | wire.Violation]:
    return wire.Decoder().feed(data)


@pytest.mark.parametrize("line", GOOD)
def test_what_is_said_comes_back(line: bytes) -> None:
    """A good line is one message with the fields it was made of."""
    (message,) = read(line)
    assert isinstance(message, wire.Message)
    assert {"kind": message.kind, **message.fields} == json.loads(line)


@pytest.mark.parametrize("line", BAD)
def test_a_broken_rule_costs_one_line(line: bytes) -> None:
    """A bad line is one violation with its beginning, and the next line is read all the same."""
    violation, message = read(line + GOOD[0])
    assert isinstance(violation, wire.Violation)
    assert line.startswith(violation.sample)
    assert isinstance(message, wire.Message)


def test_a_run_of_beats_is_its_last() -> None:
    """A thousand plain beats in one chunk are told as the last one, and how many it stands for."""
    lines = b"".join(wire.encode("beat", at=float(at), progress=at) for at in range(1000))
    assert read(lines) == [wire.Message("beat", {"at": 999.0, "progress": 999}, 1000)]


def test_a_status_is_not_lost_in_a_run() -> None:
    """Beats with a status are told one by one."""
    lines = BEAT * 3 + wire.encode("beat", at=13.0, status="half") + BEAT * 2
    assert [m.fields.get("status") for m in read(lines) if isinstance(m, wire.Message)].count("half") == 1
    assert sum(m.times for m in read(lines) if isinstance(m, wire.Message)) == 6


def test_unknown_fields_are_left_out() -> None:
    """What a newer heart says beyond what we know is ignored."""
    assert read(b'{"kind":"leaving","at":1,"mood":{"deep":[]}}\n') == [wire.Message("leaving", {"at": 1})]


@given(st.binary(max_size=3000))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever is written, feeding it returns."""
    decoder = wire.Decoder()
    decoder.feed(data)
    decoder.feed(b"\n")
    assert isinstance(decoder.feed(GOOD[0])[-1], wire.Message)


lines = st.lists(st.sampled_from((*GOOD, *BAD, BEAT, BEAT)) | st.binary(max_size=700), max_size=12)


@given(lines, st.data())
def test_slices_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    """The same bytes in other slices tell the same, and never more than one line is kept."""
    whole = b"".join(parts)
    decoder = wire.Decoder()
    found: list[wire.Message | wire.Violation] = []
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, 600))
        found += decoder.feed(whole[at : at + size])
        at += size
        assert len(decoder._rest) < wire.LIMIT
    assert flat(found) == flat(read(whole))


def test_a_line_too_long_is_told_once() -> None:
    """A megabyte without a newline is one violation, and is not kept."""
    decoder = wire.Decoder()
    found = [one for _ in range(256) for one in decoder.feed(b"x" * 4096)]
    assert len(found) == 1
    assert decoder.feed(b"x\n" + BEAT) == [wire.Message("beat", {"at": 12.5, "progress": 3})]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("dance", {}), ("beat", {}), ("beat", {"at": float("nan")}), ("ready", {"at": 1, "status": "x" * 600})],
)
def test_we_never_write_what_we_would_refuse(kind: str, fields: dict[str, object]) -> None:
    """encode refuses what a decoder would."""
    with pytest.raises(ValueError, match=kind):
        wire.encode(kind, **fields)


@given(st.text())
def test_a_long_text_is_cut_to_fit(text: str) -> None:
    """encode_fitting always gives a line that is read again."""
    (message,) = read(wire.encode_fitting("refused", "why", why=text * 50))
    assert isinstance(message, wire.Message)


def test_half_a_go_is_none() -> None:
    """A go that was cut short, or is something else, is no go."""
    go = wire.Go("it-2", 2, [1], {"KEY": os.sep * 5000})
    line = wire.encode_go(go)
    assert wire.decode_go(line) == go
    for data in (b"", line[:-9], b"[]", b'{"kind":"go"}', b'{"kind":"stop"}', b"3"):
        assert wire.decode_go(data) is None
