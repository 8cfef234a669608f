"""OTP's table, cell by cell, and the policies that could never give up."""

from __future__ import annotations

import pytest

from supervisor.policy import Judgement, is_stable, is_success, judge, unreachable
from supervisor.spec import Backoff, Ending, Policy, Restart, Result

DONE, FAILED, RETRY = Judgement.DONE, Judgement.FAILED, Judgement.RETRY
RENEW, QUARANTINE = Judgement.RENEW, Judgement.QUARANTINE


def exited(code: int, result: Result | None = None) -> Ending:
    usual = Result.EXIT_CODE if code else Result.SUCCESS
    return Ending(worker="w", spawn_id="w#1", result=result or usual, exit_kind="exited", exit_code=code)


def killed(signal: str, result: Result = Result.SIGNAL) -> Ending:
    return Ending(worker="w", spawn_id="w#1", result=result, exit_kind="killed", signal=signal)


ENDINGS = {
    "clean": exited(0),
    "unclean": exited(1),
    "killed": killed("SIGKILL"),
    "crashed": killed("SIGSEGV", Result.CORE_DUMP),
    "hung": killed("SIGKILL", Result.WATCHDOG),
    "late": killed("SIGKILL", Result.TIMEOUT),
    "unborn": Ending(worker="w", spawn_id="w#1", result=Result.RESOURCES),
    "babbling": killed("SIGKILL", Result.PROTOCOL),
    "never again": exited(78),
    "never again by signal": killed("SIGABRT"),
}
FAILURES = [name for name in ENDINGS if name != "clean" and not name.startswith("never")]

TABLE = {
    **{(Restart.PERMANENT, name): (RETRY, RENEW) for name in ["clean", *FAILURES]},
    (Restart.TRANSIENT, "clean"): (DONE, DONE),
    **{(Restart.TRANSIENT, name): (RETRY, RENEW) for name in FAILURES},
    (Restart.TEMPORARY, "clean"): (DONE, DONE),
    **{(Restart.TEMPORARY, name): (FAILED, FAILED) for name in FAILURES},
    **{
        (restart, name): (FAILED, FAILED) if restart is Restart.TEMPORARY else (QUARANTINE, QUARANTINE)
        for restart in Restart
        for name in ("never again", "never again by signal")
    },
}


def test_the_table_is_total() -> None:
    """Every restart type answers every kind of ending."""
    assert set(TABLE) == {(restart, name) for restart in Restart for name in ENDINGS}


@pytest.mark.parametrize(("restart", "name"), TABLE)
def test_a_cell(restart: Restart, name: str) -> None:
    """What follows, after an unstable life and after a stable one."""
    policy = Policy(restart=restart, never_restart=(78, "SIGABRT"))
    judged = tuple(judge(policy, ENDINGS[name], stable=stable) for stable in (False, True))
    assert judged == TABLE[restart, name]


def test_success_is_what_the_policy_names() -> None:
    """Exit codes and signal names; zero only if it is one of them."""
    policy = Policy(success=(3, "SIGTERM", "SIGQUIT"))
    assert is_success(policy, exited(3))
    assert is_success(policy, killed("SIGTERM"))
    assert is_success(policy, killed("SIGQUIT", Result.CORE_DUMP))
    assert not is_success(policy, exited(0))


@pytest.mark.parametrize("result", [Result.WATCHDOG, Result.TIMEOUT, Result.PROTOCOL, Result.RESOURCES])
def test_what_had_to_be_put_down_was_no_success(result: Result) -> None:
    """Even if it then left with a zero."""
    assert not is_success(Policy(), exited(0, result))


def test_stable_is_ready_for_long_enough() -> None:
    """The bound itself counts; a life that never got ready is not stable however long it was."""
    policy = Policy(stable_after=5.0)

    def life(*, ready: bool, seconds: float) -> Ending:
        return Ending(worker="w", spawn_id="w#1", result=Result.SIGNAL, was_ready=ready, ready_s=seconds)

    assert is_stable(policy, life(ready=True, seconds=5.0))
    assert not is_stable(policy, life(ready=True, seconds=4.9))
    assert not is_stable(policy, life(ready=False, seconds=50.0))


@pytest.mark.parametrize(
    ("policy", "beat_within", "ready_within", "why"),
    [
        (Policy(), None, 10.0, None),
        (Policy(), 5.0, 10.0, None),
        (Policy(stable_after=0.0, restart=Restart.TEMPORARY), None, 10.0, None),
        (Policy(stable_after=0.0), None, 10.0, "stable_after: 0 s forgives every failure"),
        (Policy(stable_after=5.0), 5.0, 10.0, "is over before a hang is noticed"),
        (Policy(max_failures=0), None, 10.0, "max_failures: 0"),
        (Policy(backoff=Backoff(max=float("inf"))), None, 10.0, "backoff.max: a wait without end"),
        (Policy(), None, float("inf"), "ready_within: a wait without end"),
    ],
)
def test_a_quarantine_that_cannot_be_reached_is_told(
    policy: Policy, beat_within: float | None, ready_within: float, why: str | None
) -> None:
    """As a sentence with the numbers in it."""
    told = unreachable(policy, beat_within, ready_within)
    assert told is None if why is None else why in (told or "")
