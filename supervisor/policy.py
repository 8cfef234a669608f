"""What follows the end of a life, as a table.

Nothing here reads a clock, sleeps, logs or touches a process; if you need that, you want keeper.py.
The words and the table are OTP's (supervisor(3erl), "Restart type"):

    how the life ended          permanent      transient      temporary
    clean                       RETRY/RENEW    DONE           DONE
    unclean                     RETRY/RENEW    RETRY/RENEW    FAILED
    unclean, in never_restart   QUARANTINE     QUARANTINE     FAILED

RENEW instead of RETRY: the life had been stable, so its failure is the first of a new streak. A permanent worker
that ends cleanly before it was stable counts as a failure all the same, for else `true` would spin for ever.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import assert_never

from supervisor.spec import Ending, Policy, Restart, Result

_SPEAKS_BY_CODE = frozenset({Result.SUCCESS, Result.EXIT_CODE, Result.SIGNAL, Result.CORE_DUMP})


class Judgement(StrEnum):
    """What is to follow an ending that nobody asked for."""

    DONE = "done"  # a clean end that is not to be restarted
    FAILED = "failed"  # a temporary worker's unclean end: not restarted, and not clean either
    RETRY = "retry"  # one more failure in a row
    RENEW = "renew"  # it had been stable: the first failure of a new streak
    QUARANTINE = "quarantine"  # restarting is known not to help


def judge(policy: Policy, ending: Ending, *, stable: bool) -> Judgement:
    """The table at the head of this file; `stable`: see `is_stable`."""
    clean = is_success(policy, ending)
    again = Judgement.RENEW if stable else Judgement.RETRY
    match policy.restart:
        case Restart.TEMPORARY:
            return Judgement.DONE if clean else Judgement.FAILED
        case Restart.TRANSIENT if clean:
            return Judgement.DONE
        case Restart.PERMANENT | Restart.TRANSIENT:
            hopeless = not clean and _code(ending) in policy.never_restart
            return Judgement.QUARANTINE if hopeless else again
        case _:
            assert_never(policy.restart)


def is_success(policy: Policy, ending: Ending) -> bool:
    """Whether a life ended cleanly: by an exit code or a signal that `success` names.

    A worker that hung, was late, spoke nonsense or could not be spawned did not, whatever code it left with when
    it was put down for it. Whether a core was written is the machine's business: SIGQUIT is SIGQUIT.
    """
    if ending.result not in _SPEAKS_BY_CODE:
        return False
    code = _code(ending)
    return ending.result is Result.SUCCESS if code is None else code in policy.success


def is_stable(policy: Policy, ending: Ending) -> bool:
    """Whether the life had been ready for `stable_after` seconds when it ended."""
    return ending.was_ready and ending.ready_s >= policy.stable_after


def unreachable(policy: Policy, beat_within: float | None, ready_within: float) -> str | None:
    """Why the quarantine of this policy could never be reached, as a sentence; None if it can be.

    The lesson is OTP's: an intensity whose period is shorter than max_failures lives never stops a loop. Durations are seconds.
    """
    if policy.restart is Restart.TEMPORARY:
        return None
    if policy.max_failures < 1:
        return f"max_failures: {policy.max_failures} is no number of failures; the least is 1"
    if not policy.stable_after > 0:
        return (
            f"stable_after: {policy.stable_after:g} s forgives every failure of a worker that got ready, "
            "so it could fail for ever"
        )
    if beat_within is not None and policy.stable_after <= beat_within:
        return (
            f"stable_after: {policy.stable_after:g} s is over before a hang is noticed "
            f"(beat_within: {beat_within:g} s), so a worker that always hangs would always be forgiven"
        )
    waits = {
        "backoff.first": policy.backoff.first,
        "backoff.max": policy.backoff.max,
        "backoff.jitter": policy.backoff.jitter,
    }
    for key, seconds in {**waits, "ready_within": ready_within}.items():
        if not math.isfinite(seconds):
            return f"{key}: a wait without end comes before failure number {policy.max_failures}"
    return None


def _code(ending: Ending) -> int | str | None:
    return ending.signal if ending.exit_code is None else ending.exit_code
