"""What should follow a fault is missed where it is not there, and nothing is missed where no fault was injected."""

from __future__ import annotations

import pytest

from supervisor.chaos import consequences
from supervisor.chaos.record import Member
from supervisor.chaos.timeline import Timeline, lay_out
from tests.unit.chaos_records import Story


def laid(story: Story, **more: object) -> Timeline:
    return lay_out(story.record(**more))


def backed_off(*delays: float, late: float = 0.0) -> Story:
    """One worker that fails in a row; `late`: seconds by which it is started too early."""
    story, at = Story("w-0"), 5.0
    for number, delay in enumerate(delays, start=1):
        story.ended(at, "w-0", number)
        story.say(at + 0.001, "worker.backed_off", worker="w-0", delay_s=delay, streak=number)
        story.born(at + 0.002 + delay - late, "w-0", number + 1, ready=at + 0.1 + delay)
        at += delay + 0.5
    return story


def test_of_a_fault_nobody_heard_of_the_target_is_named() -> None:
    """Only what comes after it counts, and only of that worker; one of several events is enough."""
    story = Story("w-0", "w-1")
    story.say(1, "worker.hung", worker="w-0", spawn_id="w-0#1")
    assert consequences.unnoticed(laid(story), ["worker.hung"]) == ()
    story.hit(5, "freeze", "w-0", seconds=5)
    story.say(6, "worker.hung", worker="w-1", spawn_id="w-1#1")
    assert [each.name for each in consequences.unnoticed(laid(story), ["worker.hung"])] == ["w-0"]
    assert consequences.unnoticed(laid(story), ["worker.hung"], kind="kill") == ()
    assert consequences.unnoticed(laid(story), ["worker.hung"], worker="w-1") == ()
    story.say(7, "worker.frozen", worker="w-0", spawn_id="w-0#1")
    assert consequences.unnoticed(laid(story), ["worker.hung", "worker.fro*"]) == ()


def test_of_a_part_any_such_event_will_do_and_a_standby_is_that_of_every_replica() -> None:
    """A supervisor has no worker's name, and standbys have the name of the spec."""
    story = Story("w-0")
    story.hit(5, "kill-supervisor", None)
    story.hit(6, "kill-standby", "w-0", spawn=None)
    found = consequences.unnoticed(laid(story), ["supervisor.resumed", "standby.ready"])
    assert [each.name for each in found] == ["the service", "w-0"]
    story.say(7, "supervisor.resumed", reason="SIGKILL", away_s=0.3)
    story.say(8, "standby.ready", worker="w", spawn_id="w#7", pid=7)
    assert consequences.unnoticed(laid(story), ["supervisor.resumed"], kind="kill-supervisor") == ()
    assert consequences.unnoticed(laid(story), ["standby.ready"], kind="kill-standby") == ()


def test_who_took_longer_or_never_came_back_is_slow() -> None:
    """By the figure asked for: the backoff counts in the one and not in the other."""
    story = Story("w-0", "w-1")
    story.kill(5, "w-0", 1, delay=2.0)
    assert consequences.slow(laid(story), 1.0) == ()
    assert [each.name for each in consequences.slow(laid(story), 1.0, figure="recovery_s")] == ["w-0"]
    chaos_id = story.hit(10, "kill", "w-1")
    story.ended(10.001, "w-1", 1, chaos_id=chaos_id)
    assert [each.name for each in consequences.slow(laid(story), 1.0)] == ["w-1"]


def test_a_member_that_does_not_restart_with_the_one_it_depends_on_is_spared() -> None:
    """And one that does is not."""
    story = Story("reader", "writer")
    story.workers = [
        Member(worker="reader", group="line", chaos=True, strategy="rest_for_one", members_after=("writer",)),
        Member(worker="writer", group="line", chaos=True, strategy="rest_for_one"),
    ]
    story.kill(5, "writer", 1)
    assert consequences.spared(laid(story)) == ()
    story.kill(10, "reader", 1)
    assert consequences.spared(laid(story)) == ("writer",)
    story.kill(30, "writer", 101)  # what befalls it later is another matter
    assert consequences.spared(laid(story)) == ("writer",)
    story.ended(10.01, "writer", 101, how="exit code 0 (asked)")
    assert consequences.spared(laid(story)) == ()


@pytest.mark.parametrize("delays", [(0.0, 0.2, 0.4), (0.0, 0.2, 0.4, 0.4), (1.0,), ()])
def test_waits_that_grow_to_a_ceiling_are_patience(delays: tuple[float, ...]) -> None:
    """The first may be nothing."""
    assert consequences.impatient(laid(backed_off(*delays))) == ()


@pytest.mark.parametrize(("delays", "late"), [((0.0, 0.0), 0.0), ((0.1, 0.4, 0.2), 0.0), ((0.0, 0.4), 0.1)])
def test_waits_that_do_not_grow_or_are_not_kept_are_told(delays: tuple[float, ...], late: float) -> None:
    """No wait at all, a shorter one than before, and a start before its time."""
    story = backed_off(*delays, late=late)
    assert consequences.impatient(laid(story)) == ("w-0",)
    assert consequences.impatient(laid(story), "w-1") == ()


def test_a_new_streak_begins_with_a_short_wait_and_a_wish_needs_none() -> None:
    """What was forgiven does not count, and whom somebody restarts does not wait."""
    story = backed_off(0.0, 0.2)
    story.ended(50, "w-0", 3)
    story.say(50.001, "worker.backed_off", worker="w-0", delay_s=0.0, streak=1)
    story.say(50.5, "worker.backed_off", worker="w-0", delay_s=9.0, streak=2)
    story.say(50.6, "worker.released", worker="w-0", reason="asked")
    story.born(50.7, "w-0", 4, ready=50.8)
    assert consequences.impatient(laid(story)) == ()
