"""Last words: an ending comes behind all that its worker said, and repeats the end of it. And clients that come back."""

from __future__ import annotations

import json
import os
import random
from typing import Any

from supervisor.pump.followers import place_behind, seq_of
from supervisor.pump.journal import Journal
from tests.real.pump_rig import Rig  # noqa: TC001  (with the others)
from tests.real.test_pump import MAKE, assert_gapless, make, read_lines, wait_until

__all__ = ["make"]
GOODBYE = b'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: 1\n'


def ending(rig: Rig, spawn_id: str, *, level: str = "warning", **more: Any) -> None:
    rig.event("worker.ended", level=level, worker=spawn_id.split("#", maxsplit=1)[0], spawn_id=spawn_id, **more)


def until_ended(reader: int) -> list[dict[str, Any]]:
    return read_lines(reader, lambda lines: any(line["event"] == "worker.ended" for line in lines))


def test_an_ending_comes_behind_the_last_words(make: MAKE) -> None:
    """Though the event is there before the pump looked at the pipes, and though nobody has closed them yet."""
    reader, out = os.pipe()
    rig = make(out)
    for number in range(50):
        spawn = f"a#{number}"
        worker, errors = rig.add(f"{spawn}/out"), rig.add(f"{spawn}/err", stream="stderr")
        os.kill(rig.pid, 19)
        os.write(worker, b"one\ntwo\n")
        os.write(errors, GOODBYE if number % 2 else b"")
        ending(rig, spawn)
        os.kill(rig.pid, 18)
        lines = until_ended(reader)
        assert lines[-1]["event"] == "worker.ended"
        assert [line["msg"] for line in lines[:-1]] == ["one", "two"] if not number % 2 else ["KeyError: 1", "one", "two"]
        said = GOODBYE.decode().splitlines() if number % 2 else ["one", "two"]
        assert lines[-1]["last_lines"] == said
        os.close(worker)
        os.close(errors)
        rig.wait_ended(f"{spawn}/out", f"{spawn}/err")
    os.close(reader)


def test_the_last_lines_are_few_and_short_and_only_of_an_unclean_end(make: MAKE) -> None:
    """Five lines of 200 bytes at most, whatever the bytes, in an event of at most 4,096; none when the end was clean."""
    reader, out = os.pipe()
    rig = make(out)
    said: list[tuple[bytes, list[str], str]] = [
        (b"".join(b"%d\n" % number for number in range(1000)), ["995", "996", "997", "998", "999"], "warning"),
        ("é".encode() * 3000 + b"\n", ["é" * 100], "error"),
        (b"\x00\x01\xff" * 300 + b"\nx\n", [(b"\x00\x01\xff" * 300).decode("utf-8", "backslashreplace")[:200], "x"], "warning"),
        (b"\n \nhello", ["hello"], "warning"),
        (b"fine\n", [], "info"),
        (b"", [], "warning"),
    ]
    for number, (text, lines, level) in enumerate(said):
        worker = rig.add(f"a#{number}/out")
        os.write(worker, text)
        os.close(worker)
        ending(rig, f"a#{number}", level=level, stack="s" * 9000)
        ended = until_ended(reader)[-1]
        assert ended.get("last_lines", []) == lines
        assert ended["truncated"]
    os.close(reader)


def test_words_written_before_the_pump_was_killed_are_not_forgotten(make: MAKE) -> None:
    """The next pump waits for the pipe before it tells the ending, and what was read before the kill counts, too."""
    reader, out = os.pipe()
    rig = make(out)
    worker = rig.add("a#1/out")
    os.write(worker, b"before\n")
    first = read_lines(reader, bool)
    rig.kill()
    os.write(worker, b"between\n")
    ending(rig, "a#1")
    rig.start()
    lines = [*first, *until_ended(reader)]
    assert_gapless(lines)
    assert lines[-1]["last_lines"] == ["before", "between"]
    os.close(worker)
    os.close(reader)


def test_an_ending_taken_by_a_dead_pump_does_not_cost_the_next_what_waits_in_its_channel(make: MAKE) -> None:
    """To tell it, the next pump looks for new pipes before it has done anything else; and reads those it finds."""
    reader, out = os.pipe()
    rig = make(out)
    rig.event("worker.ready")
    read_lines(reader, bool)
    rig.kill()
    rig.event("worker.ended", spawn_id="a#1")
    Journal(rig.journal, rig.inbox, 1 << 20).receive(0, rig.events_r, 1 << 16)  # and here the last pump was killed
    worker = rig.add("b#1/out")
    os.write(worker, b"hello\n")
    os.close(worker)
    rig.start()
    lines = read_lines(reader, lambda lines: len(lines) == 2)
    assert [line.get("event") for line in lines] == ["worker.ended", "worker.output"]
    rig.wait_ended("b#1/out")
    os.close(reader)


def test_what_is_not_in_the_log_is_still_in_the_ending(make: MAKE, tmp_path: Any) -> None:
    """Raw output in a file, and lines dropped over a rate."""
    reader, out = os.pipe()
    rig = make(out)
    outputs: list[dict[str, Any]] = [{"to": "file", "file": str(tmp_path / "raw")}, {"when_full": "drop", "rate": 1.0}]
    for number, output in enumerate(outputs):
        worker = rig.add(f"a#{number}/out", **output)
        os.write(worker, b"1\n2\n3\n4\n5\n6\n")
        os.close(worker)
        ending(rig, f"a#{number}")
        assert until_ended(reader)[-1]["last_lines"] == ["2", "3", "4", "5", "6"]
    os.close(reader)


# -- clients


def test_a_client_that_comes_back_gets_what_it_has_not_seen(make: MAKE) -> None:
    """Behind `after`, of this service; numbers of another service mean nothing; `output: false` is events only."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), recent=1 << 20)
    worker = rig.add("a#1/out")
    for number in range(1, 101):
        os.write(worker, b"line %d\n" % number)
    os.close(worker)
    rig.wait_ended("a#1/out")
    rig.event("worker.ready", worker="a")

    def history(**wanted: Any) -> list[Any]:
        with rig.follow(**wanted) as client, client.makefile("rb") as file:
            return [json.loads(line).get("seq", "missed") for line in file]

    wait_until(lambda: history(after=100, instance="test") == [101])
    assert history(after=97, instance="test") == [98, 99, 100, 101]
    assert history(after=97, instance="test", grep="0$") == [100]
    assert history(after=97, instance="other", last=1) == [101]
    assert len(history(after=97, instance="other")) == 101
    assert history(output=False) == [101]
    assert history(output=True, last=2) == [100, 101]


def test_a_client_that_was_away_too_long_is_told_what_it_missed(make: MAKE) -> None:
    """The ring has moved on: one line says how many are gone."""
    rig = make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), recent=1 << 20)
    worker = rig.add("a#1/out")
    for _ in range(100):
        os.write(worker, b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 99)
    os.close(worker)
    rig.wait_ended("a#1/out")
    with rig.follow(after=10, instance="test") as client, client.makefile("rb") as file:
        missed, *lines = [json.loads(line) for line in file]
    assert (missed["event"], missed["count"]) == ("log.dropped", lines[0]["seq"] - 11)
    assert [line["seq"] for line in lines] == list(range(lines[0]["seq"], 10_001))


def test_the_place_behind_any_line_is_found() -> None:
    """In rings of any filling, for lines short and long."""
    chance = random.Random(5)
    journal_fd, inbox_fd = os.memfd_create("journal"), os.memfd_create("inbox")
    journal = Journal(journal_fd, inbox_fd, 1 << 20)
    for number in range(5000):
        journal.append(b'{"seq":%d,"m":"%s"}\n' % (journal.seq, b"x" * chance.choice([1, 50, 200, 3900])))
        journal.seq += 1
        if number in (0, 1, 10, 100, 1000, 4999):
            first = seq_of(journal.whole_lines(journal.oldest(), 4096))
            for after in {1, first, journal.seq - 1, *(chance.randrange(first, journal.seq) for _ in range(30))}:
                at = place_behind(journal, after)
                found = seq_of(journal.whole_lines(at, 4096)) if at < journal.head else journal.seq
                assert found == max(after + 1, first)
    os.close(journal_fd)
    os.close(inbox_fd)
