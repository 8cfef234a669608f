"""How much memory segments may take, and what becomes of what nobody uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from supervisor.pool import arena, memory
from supervisor.pool.arena import COPIED_BELOW, Store
from tests.unit.readers import descriptors

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 2 * COPIED_BELOW
MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_too_little_memory_is_a_sentence_and_costs_no_segment(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there can still be used."""
    place = store.put([b"1" * LARGE])
    store.release(place.segment)
    (tmp_path / "meminfo").write_text("MemAvailable: 40000 kB\n")
    monkeypatch.setattr(memory, "PROC", str(tmp_path))
    before = descriptors()
    with pytest.raises(MemoryError, match=r"^20,000,000 bytes are needed, and 40,960,000 are left"):
        store.put([bytes(20_000_000)])
    assert descriptors() == before
    assert store.put([b"2" * LARGE]).segment == place.segment


def test_small_segments_add_up_to_a_look_at_what_is_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is too small to ask for; all of them are not."""
    (tmp_path / "meminfo").write_text("MemAvailable: 0 kB\n")
    monkeypatch.setattr(memory, "PROC", str(tmp_path))
    with pytest.raises(MemoryError):  # noqa: PT012 which of them it is does not matter
        for _ in range(40):
            store.put([bytes(MIB)])


def test_idle_memory_is_bounded_by_a_figure_or_by_what_was_in_use_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst may come again at once; later its memory is given back."""
    monkeypatch.setattr(arena, "IDLE_MOST", 2 * MIB)
    clock = Clock()
    store = Store(clock=clock)
    numbers = [store.put([bytes(MIB)]).segment for _ in range(6)]
    clock.now += 60
    for number in numbers:
        store.release(number)
    assert store.trim() == []  # all of it was in use a moment ago
    clock.now += arena.RECENT_S + 1
    assert sorted(store.trim()) == numbers[:4]  # those used longest ago
    clock.now += arena.IDLE_S + 1
    assert sorted(store.trim()) == numbers[4:]
    assert "0 idle, 0 bytes" in repr(store)


def test_a_trimmed_segment_has_no_memory_though_a_reader_has_not_forgotten_it_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader may be busy for an hour."""
    monkeypatch.setattr(arena, "IDLE_MOST", 0)
    clock = Clock()
    store = Store(clock=clock)
    place = store.put([os.urandom(MIB)])
    theirs = os.dup(store.fd(place.segment))
    try:
        assert os.fstat(theirs).st_blocks * 512 == MIB
        store.release(place.segment)
        clock.now += arena.RECENT_S + 1
        assert store.trim() == [place.segment]
        assert os.fstat(theirs).st_blocks == 0
    finally:
        os.close(theirs)


def test_what_is_in_use_is_never_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its reader's word frees it."""
    monkeypatch.setattr(arena, "IDLE_MOST", 0)
    clock = Clock()
    store = Store(clock=clock)
    place = store.put([bytes(MIB)])
    clock.now += 1000
    assert store.trim() == []
    store.release(place.segment)
    clock.now += 1000
    assert store.trim() == [place.segment]
