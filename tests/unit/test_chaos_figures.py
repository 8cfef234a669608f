"""Figures of made records, to the millisecond; and who was hurt though nothing was meant for him."""

from __future__ import annotations

import pytest

from supervisor.chaos import blast as radius
from supervisor.chaos.figures import Spread, Times, availability, measure, percentile, spread
from supervisor.chaos.record import Member, Row, Sample
from supervisor.chaos.timeline import lay_out
from tests.unit.chaos_records import Story


def rounded(times: Times) -> tuple[float | None, ...]:
    values = (times.detect_s, times.decide_s, times.delay_s, times.startup_s, times.recovery_s, times.own_s)
    return tuple(None if value is None else round(value, 6) for value in values)


def hurts(story: Story, *expected: str, **more: object) -> list[tuple[str, float, str]]:
    found = radius.blast(lay_out(story.record(**more)), expected)
    return [(hurt.worker, round(hurt.at - 100, 3), hurt.what) for hurt in found]


def test_the_times_of_a_kill() -> None:
    """1 ms until it was told, 1 ms to decide, 0.5 s of backoff, 20 ms from spawned to ready, 532 ms in all."""
    story = Story("w-0")
    story.kill(5, "w-0", 1, delay=0.5)
    (one,) = measure(lay_out(story.record())).faults
    assert rounded(one.times) == (0.001, 0.001, 0.5, 0.02, 0.532, 0.032)


def test_every_backoff_on_the_way_up_counts_as_delay() -> None:
    """Also that of the group it brought down; not one that came after it was ready."""
    story = Story("w-0")
    story.workers = [Member(worker="w-0", group="g", chaos=True)]
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.001, "w-0", 1, chaos_id=mine)
    story.say(5.002, "worker.backed_off", worker="w-0", delay_s=0.1)
    story.born(5.11, "w-0", 2)
    story.ended(5.2, "w-0", 2)
    story.say(5.21, "group.failed", group="g", delay_s=0.3)
    story.say(5.22, "worker.backed_off", worker="w-0", delay_s=0.2)
    story.born(6, "w-0", 3, ready=6.5)
    story.say(9, "group.failed", group="g", delay_s=7.0)
    (one,) = measure(lay_out(story.record())).faults
    assert rounded(one.times) == (0.001, 0.001, 0.6, 0.5, 1.5, 0.9)


def test_what_is_not_ready_again_has_no_recovery_time() -> None:
    """It was noticed, and that is all that is said."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.25, "w-0", 1, chaos_id=mine)
    figures = measure(lay_out(story.record()))
    assert rounded(figures.faults[0].times) == (0.25, None, None, None, None, None)
    assert "recovery_s" not in figures.total


def test_the_supervisor_s_recovery_is_its_resuming() -> None:
    """Nobody is there to notice before that."""
    story = Story("w-0")
    story.hit(5, "kill-supervisor", None)
    story.say(5.2, "supervisor.resumed", reason="SIGKILL", away_s=0.2)
    (one,) = measure(lay_out(story.record())).faults
    assert rounded(one.times) == (0.2, None, None, None, 0.2, 0.2)


@pytest.mark.parametrize(
    ("count", "p50", "p95", "p99"),
    [
        (1, 1, 1, 1),
        (2, 1, 2, 2),
        (3, 2, 3, 3),
        (20, 10, 19, 20),
        (100, 50, 95, 99),
        (101, 51, 96, 100),
        (1000, 500, 950, 990),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(count: int, p50: int, p95: int, p99: int) -> None:
    """The ceil(q * n)-th of n; in binary 0.95 * 20 is more than 19, and that must not count."""
    assert spread(range(count, 0, -1)) == Spread(count, 1, p50, p95, p99, count)


def test_no_values_have_no_percentile() -> None:
    """Nothing is made up."""
    assert spread([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_kinds_are_told_apart_and_together() -> None:
    """Two kills and a freeze: three in the total."""
    story = Story("w-0", "w-1")
    story.kill(5, "w-0", 1)
    story.kill(10, "w-1", 1, delay=1.0)
    mine = story.hit(20, "freeze", "w-0", 101, seconds=5)
    story.ended(23, "w-0", 101, chaos_id=mine)
    story.born(23.1, "w-0", 3, ready=23.5)
    figures = measure(lay_out(story.record()))
    assert figures.kinds["kill"]["recovery_s"].n == 2
    assert round(figures.kinds["kill"]["recovery_s"].max, 6) == 1.032
    assert round(figures.kinds["freeze"]["detect_s"].p50, 6) == 3.0
    assert figures.total["recovery_s"].n == 3


def test_availability_is_the_share_of_the_time_it_should_have_been_ready() -> None:
    """6 of 60 s are missed; the 30 s it was stopped by wish count for neither."""
    story = Story("w-0", "w-1", "w-2")
    story.ended(10, "w-0", 1)
    story.born(15, "w-0", 2, ready=16)
    story.say(30, "worker.stopping", worker="w-1", spawn_id="w-1#1", reason="asked")
    story.ended(30, "w-1", 1, how="exit code 0 (asked)")
    timeline = lay_out(story.record())
    figures = measure(timeline)
    assert figures.availability == {"w-0": pytest.approx(0.9), "w-1": 1.0, "w-2": 1.0}
    assert figures.available == pytest.approx(144 / 150)
    assert availability(timeline, ["w-0"]) == pytest.approx(0.9)
    assert availability(timeline, ["nobody"]) is None


def test_a_fault_hurts_its_target_only() -> None:
    """Nobody else is in the blast radius."""
    story = Story("w-0", "w-1")
    story.kill(5, "w-0", 1)
    assert hurts(story) == []


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ("worker.hung", "missed its beat (hung)"),
        ("worker.starved", "missed its beat (starved)"),
        ("worker.frozen", "was stopped by a signal"),
        ("worker.protocol_violated", "wrote nonsense on its pipe"),
    ],
)
def test_a_bystander_that_suffers_is_found(event: str, what: str) -> None:
    """By every sign there is of it."""
    story = Story("w-0", "w-1")
    story.kill(5, "w-0", 1)
    story.say(5.5, event, worker="w-1", spawn_id="w-1#1")
    assert hurts(story) == [("w-1", 5.5, what)]
    assert hurts(story, "w-*") == []


def test_a_sibling_that_is_restarted_is_found_unless_its_group_says_so() -> None:
    """A supervisor that restarts siblings of a one_for_one group does not isolate."""
    story = Story("a", "b")
    story.kill(5, "a", 1)
    story.say(5.004, "worker.stopping", worker="b", spawn_id="b#1", reason="another member of its group failed")
    story.ended(5.1, "b", 1, how="exit code 0 (asked)")
    story.born(5.2, "b", 2, ready=5.3)
    assert hurts(story) == [("b", 5.1, "was stopped: another member of its group failed")]
    rest = (Member(worker="a", group="g", members_after=("b",)), Member(worker="b", group="g"))
    assert hurts(story, workers=rest) == []


def test_a_group_that_gives_up_after_a_fault_restarts_as_a_whole() -> None:
    """Whatever its strategy; but not a group that nothing was done to."""
    story = Story("a", "b")
    mine = story.hit(5, "kill", "a")
    story.ended(5.001, "a", 1, chaos_id=mine)
    story.say(5.01, "group.failed", group="g", delay_s=1.0)
    story.say(5.02, "worker.stopping", worker="b", spawn_id="b#1", reason="another member of its group failed")
    story.ended(5.1, "b", 1, how="exit code 0 (asked)")
    story.born(6.2, "a", 3, ready=6.25)
    story.born(6.3, "b", 2, ready=6.4)
    assert hurts(story, workers=(Member(worker="a", group="g"), Member(worker="b", group="g"))) == []
    assert len(hurts(story, workers=(Member(worker="a", group="g"), Member(worker="b", group="other")))) == 1


def test_who_was_hit_once_must_explain_the_next_ending() -> None:
    """It had recovered a minute ago: this one is nobody's."""
    story = Story("w-0")
    story.kill(5, "w-0", 1)
    story.ended(40, "w-0", 101, how="SIGSEGV")
    assert hurts(story) == [("w-0", 40, "ended: SIGSEGV")]


def test_failures_on_the_way_up_belong_to_the_fault() -> None:
    """It was not ready again yet."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.001, "w-0", 1, chaos_id=mine)
    story.born(5.1, "w-0", 2)
    story.ended(30, "w-0", 2, how="exit code 1")
    story.born(31, "w-0", 3, ready=32)
    assert hurts(story) == []


def test_what_an_operator_asks_for_is_no_harm() -> None:
    """A stop and a restart by hand while chaos is about; nor is what was before it all began."""
    story = Story("w-0")
    story.ended(-2, "w-0", 0, how="exit code 1")
    story.say(5, "worker.stopping", worker="w-0", spawn_id="w-0#1", reason="asked")
    story.ended(6, "w-0", 1, how="SIGTERM (asked)")
    story.born(6.5, "w-0", 2, ready=7)
    assert hurts(story) == []


def test_a_fault_in_a_part_excuses_no_worker() -> None:
    """The death of the supervisor must not be felt."""
    story = Story("w-0")
    story.hit(5, "kill-supervisor", None)
    story.say(5.2, "supervisor.resumed", reason="SIGKILL", away_s=0.2)
    story.ended(5.3, "w-0", 1, how="SIGKILL")
    assert hurts(story) == [("w-0", 5.3, "ended: SIGKILL")]


def test_another_life_that_nobody_told_of_is_found_in_the_samples() -> None:
    """Unless lines of the service's own are missing."""
    story = Story("w-0")
    seen = tuple(
        Sample(at=100.0 + at, workers=(Row(worker="w-0", phase="ready", spawn_id=f"w-0#{spawn}"),))
        for at, spawn in ((0, 1), (10, 2))
    )
    story.say(1, "config.loaded", source="x")
    assert hurts(story, samples=seen) == [("w-0", 10, "became w-0#2 (it was w-0#1), and no event says so")]
    story.events.append({"event": "log.dropped", "msg": "5 lines missed: this client was away", "count": 5})
    assert hurts(story, samples=seen) == []


def progress(*values: float) -> tuple[Sample, ...]:
    rows = ((at, Row(worker="w-0", phase="ready", spawn_id="w-0#1", progress=value)) for at, value in enumerate(values))
    return tuple(Sample(at=100.0 + at, workers=(row,)) for at, row in rows)


def test_work_that_stands_still_is_found() -> None:
    """It went on every second, and then not for twenty; nobody said a word."""
    assert hurts(Story("w-0"), samples=progress(*range(12), *[11] * 20, *range(12, 20))) == [
        ("w-0", 21.0, "its progress stood still for 20.0 s")
    ]
    assert len(hurts(Story("w-0"), samples=progress(*range(12), *[11] * 20))) == 1  # and to the very end


def test_nobody_looked_is_not_that_it_stood_still() -> None:
    """A supervisor that was frozen answered nothing for 20 s, in which the worker went on."""
    samples = progress(*range(12), *[11] * 20, 40, *range(41, 50))
    assert hurts(Story("w-0"), samples=(*samples[:13], *samples[32:])) == []


def test_work_that_comes_in_long_steps_does_not_stand_still() -> None:
    """One that changes every ten seconds, one that hardly ever did, one that was not asked to."""
    assert hurts(Story("w-0"), samples=progress(*[at // 10 for at in range(100)])) == []
    assert hurts(Story("w-0"), samples=progress(1, 2, 3, *[3] * 90)) == []
    assert hurts(Story("w-0"), samples=progress(*[7] * 100)) == []


def test_nothing_stands_still_while_nobody_looks() -> None:
    """The supervisor was frozen, and there was no sample for twenty seconds: the value after it is another."""
    before, after = progress(*range(12)), progress(*range(100, 112))
    later = tuple(Sample(at=sample.at + 32, workers=sample.workers) for sample in after)
    assert hurts(Story("w-0"), samples=(*before, *later)) == []
