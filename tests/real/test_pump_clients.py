"""Clients of a pump that follow a flood: whoever asks for little of it misses nothing."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.pump.followers import lines_with
from supervisor.pump.journal import waiting_in
from tests.real.test_pump import MAKE, make, read_lines, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.pump_rig import Rig

__all__ = ["make"]
FLOODS = 40  # what they bring in one turn overwrites a ring of 1 MiB several times


class Floods:
    """Many workers whose pipes are full when the pump looks at them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.pipes = [rig.add(f"loud#{number}/out") for number in range(FLOODS)]

    def rise(self, *more: tuple[int, bytes]) -> None:
        """All of it is there at once, and `more` for other pipes."""
        wait_until(self.are_over)
        os.kill(self.rig.pid, signal.SIGSTOP)
        for pipe in self.pipes:
            os.write(pipe, (b"y" * 99 + b"\n") * 600)
        for fd, text in more:
            os.write(fd, text)
        os.kill(self.rig.pid, signal.SIGCONT)

    def are_over(self) -> bool:
        return not any(waiting_in(pipe) for pipe in self.pipes)


@pytest.fixture
def rig(make: MAKE) -> Rig:
    return make(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC), recent=1 << 20)


@pytest.fixture
def floods(rig: Rig) -> Iterator[Floods]:
    """They are closed in the end."""
    them = Floods(rig)
    yield them
    for pipe in them.pipes:
        os.close(pipe)


@pytest.mark.parametrize("wanted", [{"worker": "quiet"}, {"worker": "qui*"}, {"grep": "needle 1"}, {"output": False}])
def test_who_asks_for_little_misses_nothing_in_a_flood(rig: Rig, floods: Floods, wanted: dict[str, Any]) -> None:
    """Floods that overwrite all of the history in one turn cost none of the lines of a client that wants others."""
    quiet = rig.add("quiet#1/out")
    with rig.follow(follow=True, **wanted) as client:
        for number in range(10, 16):
            rig.event("worker.progress", worker="quiet", msg=f"needle {number}")
            floods.rise((quiet, b"needle %d\n" % number))
        kinds = ["worker.progress"] if "output" in wanted else ["worker.progress", "worker.output"]
        lines = read_lines(client.fileno(), lambda lines: len(lines) >= 6 * len(kinds))
    os.close(quiet)
    for kind in kinds:
        said = [line["msg"] for line in lines if line["event"] == kind]
        assert said == [f"needle {number}" for number in range(10, 16)]


def test_a_pattern_that_cannot_keep_up_is_not_blamed_on_its_client(rig: Rig, floods: Floods) -> None:
    """For a pattern every line must be looked at: who falls behind for that is told so, and how far."""
    with rig.follow(follow=True, grep="nothing (like|of) it") as client:
        rig.event("nothing", msg="nothing of it")
        assert read_lines(client.fileno(), bool)[0]["event"] == "nothing"
        floods.rise()
        said = read_lines(client.fileno(), bool)[0]
    assert said["msg"] == f"{said['count']} lines missed: the filter takes longer than the lines take to come"


def test_who_wants_the_last_lines_is_not_told_of_those_before_them(rig: Rig, floods: Floods) -> None:
    """What was overwritten while they were looked for is nothing that was asked for."""
    floods.rise()
    with rig.follow(follow=True, last=3, grep="(y|z)y") as client:
        floods.rise()
        lines = read_lines(client.fileno(), lambda lines: len(lines) >= 3)
    assert [line["event"] for line in lines[:3]] == ["worker.output"] * 3


@given(text=st.text("ab\n", max_size=60), needles=st.lists(st.text("ab", min_size=1, max_size=2), max_size=3))
def test_the_lines_with_some_words_are_those_and_no_others(text: str, needles: list[str]) -> None:
    """Found without cutting out every line, they are the same lines in the same order."""
    chunk, words = text.encode() + b"\n", [needle.encode() for needle in needles]
    expected = [line for line in chunk.splitlines(keepends=True) if all(word in line for word in words)]
    assert list(lines_with(words, chunk)) == expected


def kept(rig: Rig) -> list[bytes]:
    with rig.follow(events="worker.progress") as client, client.makefile("rb") as file:
        return file.readlines()


def test_a_clock_that_was_set_back_makes_no_hole_for_who_asks_since(rig: Rig) -> None:
    """`since` is a place in the log: from there on every line comes, with whatever stamp, and so does every new one."""
    for number, hour in enumerate(("10", "13", "11")):
        rig.event("worker.progress", msg=str(number), timestamp=f"2026-01-01T{hour}:00:00.000000Z")
    wait_until(lambda: len(kept(rig)) == 3)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
    with rig.follow(follow=True, since=noon) as client:
        found = read_lines(client.fileno(), lambda lines: len(lines) >= 2)
        assert [line["msg"] for line in found if line["event"] == "worker.progress"] == ["1", "2"]
    evening = datetime(2026, 1, 1, 18, tzinfo=UTC).timestamp()
    with rig.follow(follow=True, since=evening, events="worker.progress") as client:
        rig.event("worker.progress", msg="3", timestamp="2026-01-01T19:00:00.000000Z")
        assert [line["msg"] for line in read_lines(client.fileno(), bool)] == ["3"]  # whichever of the two came first
        rig.event("worker.progress", msg="4", timestamp="2026-01-01T09:00:00.000000Z")
        assert [line["msg"] for line in read_lines(client.fileno(), bool)] == ["4"]
