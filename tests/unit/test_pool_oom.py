"""The kernel counts whom it kills for want of memory, and does not say whom: each kill explains one death."""

from __future__ import annotations

import pytest

from supervisor.pool import oom


class Kernel:
    """A count of kills and a clock, both set by hand."""

    def __init__(self) -> None:
        self.count, self.now = 7, 100.0
        self.kills = oom.Kills(count=lambda: self.count, clock=lambda: self.now)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_a_death_without_a_kill_is_none_of_the_kernels(kernel: Kernel) -> None:
    """What was killed before the pool was there explains nothing."""
    assert not kernel.kills.claim()


def test_one_kill_explains_one_death(kernel: Kernel) -> None:
    kernel.count += 1
    assert [kernel.kills.claim() for _ in range(3)] == [True, False, False]


def test_two_who_are_killed_together_are_both_explained(kernel: Kernel) -> None:
    """Though the second is buried when both are counted already."""
    kernel.count += 2
    assert [kernel.kills.claim() for _ in range(3)] == [True, True, False]


def test_a_kill_does_not_explain_a_death_long_after_it(kernel: Kernel) -> None:
    """It will have been somebody else."""
    kernel.count += 2
    assert kernel.kills.claim()
    kernel.now += 2 * oom.RECENT
    assert not kernel.kills.claim()
    kernel.count += 1
    assert [kernel.kills.claim() for _ in range(2)] == [True, False]


def test_the_count_of_this_machine_can_be_read() -> None:
    """A number that does not fall."""
    first = oom.kills()
    assert 0 <= first <= oom.kills()
