"""Frames between a parent and a worker: cut anywhere, they arrive whole; with them their descriptors, in order."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.pool import frames
from supervisor.pool.arena import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 10), st.binary(max_size=200) | st.integers() | st.none()), min_size=1, max_size=4
    ),
    max_size=6,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@given(MESSAGES, st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_frames_cut_anywhere_arrive_whole(batches: list[list[tuple[Any, ...]]], cuts: list[int]) -> None:
    """Each message once, in order, as soon as its last byte is there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        inbox = frames.Inbox(theirs)
        data = b"".join(map(frames.frame, batches))
        found = []
        at = 0
        while at < len(data):
            size = cuts[at % len(cuts)]
            ours.send(data[at : at + size])
            at += size
            try:
                while True:
                    found.append(inbox.next())
            except BlockingIOError:
                pass
        assert found == [message for batch in batches for message in batch]


def test_the_end_of_the_socket_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    """Also in the middle of a frame."""
    ours, theirs = ends
    ours.send(frames.frame([(frames.QUIT,)])[:-1])
    ours.close()
    with pytest.raises(frames.Closed):
        frames.Inbox(theirs).next()


def test_who_waits_for_one_kind_keeps_the_others(ends: tuple[socket.socket, socket.socket]) -> None:
    """In their order."""
    ours, theirs = ends
    ours.send(frames.frame([(1, "a"), (2, "b"), (frames.GO_ON,), (3, "c")]))
    inbox = frames.Inbox(theirs)
    inbox.wait_for(frames.GO_ON)
    assert [inbox.next() for _ in range(3)] == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 100])
def test_descriptors_arrive_in_order_however_many(ends: tuple[socket.socket, socket.socket], count: int) -> None:
    """More than one message of the kernel's can carry: they go along with several. What is sent is closed here."""
    ours, theirs = ends
    pipes = [os.pipe() for _ in range(count)]
    for number, (_, writer) in enumerate(pipes):
        os.write(writer, bytes([number]))
    outbox = frames.Outbox(ours)
    outbox.send(
        frames.frame([(frames.SEGMENT, n) for n in range(count)] + [(frames.QUIT,)]),
        frames.duplicates([pipe[0] for pipe in pipes]),
    )
    assert not outbox
    inbox = frames.Inbox(theirs)
    while inbox.next() != (frames.QUIT,):
        pass
    assert [os.read(fd, 2) for fd in inbox.fds] == [bytes([number]) for number in range(count)]
    for fd in (*inbox.fds, *(fd for pipe in pipes for fd in pipe)):
        os.close(fd)


def test_what_a_socket_does_not_take_waits_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    """And goes on when there is room; nothing blocks the sender."""
    ours, theirs = ends
    ours.setblocking(False)
    outbox, inbox = frames.Outbox(ours), frames.Inbox(theirs)
    sent = [(frames.TASK, number, b"x" * 100_000) for number in range(40)]
    for message in sent:
        outbox.send(frames.frame([message]))
    assert outbox
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(inbox.next() for _ in sent))
    reader.start()
    while outbox:
        outbox.flush()
    reader.join()
    assert found == sent


def test_an_outbox_that_is_closed_keeps_no_descriptor(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    ours.setblocking(False)
    before = len(os.listdir("/proc/self/fd"))
    outbox = frames.Outbox(ours)
    outbox.send(b"x" * 4_000_000)
    outbox.send(b"y" * 100, frames.duplicates([ours.fileno()] * 50))
    assert len(os.listdir("/proc/self/fd")) == before + 50
    outbox.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_frame_is_too_long_for_its_length() -> None:
    """2 GiB and 4 GiB are no borders: the length has 64 bits."""
    assert frames.HEAD.unpack(frames.HEAD.pack(5 << 30)) == (5 << 30,)
    assert frames.HEAD.pack(2**64 - 1)


@given(
    st.integers(0, 2**63),
    st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=20),
    st.none() | st.binary(max_size=300),
    st.booleans(),
)
def test_a_place_arrives_as_it_was(
    segment: int, layout: list[tuple[int, int]], data: bytes | None, is_error: bool
) -> None:
    """With its data, or without; empty data is data."""
    place = Place(segment, tuple(layout))
    assert frames.decode_place(frames.encode_place(place, data, is_error=is_error)) == (place, data, is_error)
