"""Faults followed through events: which ending is whose, what came of it, and when a worker was not ready."""

from __future__ import annotations

import msgspec
import pytest

from supervisor.chaos.record import Member, NoRecord, Row, Sample, as_json, read, within
from supervisor.chaos.timeline import Gap, Timeline, lay_out
from supervisor.chaos.trace import Outcome, Traced
from tests.unit.chaos_records import KINDS, Story


def traced(story: Story, **more: object) -> Traced:
    """The first fault."""
    return lay_out(story.record(**more)).faults[0]


def gaps(timeline: Timeline, worker: str) -> list[tuple[float, float, str]]:
    """In seconds after the beginning."""
    return [(round(gap.begin - 100, 3), round(gap.end - 100, 3), gap.why) for gap in timeline.lanes[worker].gaps]


def test_an_ending_with_the_name_of_a_fault_is_that_fault_s() -> None:
    """Whatever else ends at the same time."""
    story = Story("w-0", "w-1")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.001, "w-1", 1)
    story.ended(5.002, "w-0", 1, chaos_id=mine)
    story.say(5.003, "worker.backed_off", worker="w-0", delay_s=0.1)
    story.born(5.11, "w-0", 7, ready=5.13)
    found = traced(story)
    assert found.outcome is Outcome.RECOVERED
    assert found.ending is story.events[2]
    assert found.delays == (0.1,)
    assert found.spawned is not None
    assert found.spawned["spawn_id"] == "w-0#7"


def test_an_ending_without_a_name_is_found_by_its_life() -> None:
    """A supervisor that was killed before it wrote the name down: the next one tells of the ending all the same."""
    story = Story("w-0")
    story.hit(5, "kill", "w-0", 1)
    story.ended(5.4, "w-0", 1)
    story.born(5.5, "w-0", 2, ready=5.6)
    assert traced(story).outcome is Outcome.RECOVERED


def test_the_ending_of_another_life_is_not_its() -> None:
    """The life that was killed was the second; the first had ended long before."""
    story = Story("w-0")
    story.ended(1, "w-0", 1)
    story.born(1.1, "w-0", 2, ready=1.2)
    story.hit(5, "kill", "w-0", 2)
    assert traced(story).ending is None


def test_a_life_that_had_just_ended_by_itself_cannot_be_killed() -> None:
    """The fault came to nothing, and its target was not lost."""
    story = Story("w-0")
    story.ended(4.999, "w-0", 1, how="exit code 1")
    story.hit(5, "kill", "w-0", 1)
    story.born(5.1, "w-0", 2, ready=5.2)
    found = traced(story)
    assert found.ended_before
    assert found.outcome is Outcome.PASSED


def test_what_ends_after_the_undoing_is_not_the_fault_s() -> None:
    """A worker that was frozen and thawed, and fell half a minute later, fell for another reason."""
    story = Story("w-0")
    frozen = story.hit(5, "freeze", "w-0", seconds=1)
    story.say(5.01, "worker.frozen", worker="w-0", spawn_id="w-0#1", signal="SIGSTOP")
    story.undone(6, frozen)
    story.ended(40, "w-0", 1, how="exit code 1")
    found = traced(story)
    assert found.sign is story.events[1]
    assert found.ending is None
    assert found.outcome is Outcome.PASSED


def test_two_kills_of_one_life_share_its_ending() -> None:
    """It can end but once, and names the later."""
    story = Story("w-0")
    story.hit(5, "kill", "w-0", 1)
    story.hit(5.001, "kill", "w-0", 1, chaos_id="later")
    story.ended(5.002, "w-0", 1, chaos_id="later")
    story.born(5.01, "w-0", 2, ready=5.02)
    first, second = lay_out(story.record()).faults
    assert first.ending is second.ending is not None


def test_a_fault_that_need_not_end_a_life_does_not_claim_another_s_ending() -> None:
    """Frozen, and then killed: the kill ended it."""
    story = Story("w-0")
    story.hit(5, "freeze", "w-0", seconds=20)
    story.hit(6, "kill", "w-0", chaos_id="later")
    story.ended(6.002, "w-0", 1, chaos_id="later")
    story.born(6.01, "w-0", 2, ready=6.02)
    frozen, killed = lay_out(story.record()).faults
    assert frozen.ending is None
    assert killed.ending is not None


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("worker.quarantined", Outcome.QUARANTINED),
        ("worker.completed", Outcome.STOPPED),
        ("worker.spawned", Outcome.STARTING),
    ],
)
def test_what_its_policy_says_of_it_is_no_loss(what: str, outcome: Outcome) -> None:
    """It is not ready again, and it is told why."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.01, "w-0", 1, chaos_id=mine)
    story.say(5.02, what, worker="w-0", streak=1)
    assert traced(story).outcome is outcome


def test_nothing_heard_for_a_minute_after_an_ending_is_a_loss() -> None:
    """And so is a next life that was promised and never came; but not one whose time has not come yet."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.01, "w-0", 1, chaos_id=mine)
    assert traced(story).outcome is Outcome.LOST
    story.say(5.02, "worker.backed_off", worker="w-0", delay_s=1.0)
    assert traced(story).outcome is Outcome.LOST
    assert traced(story, ended=109.0).outcome is Outcome.BACKING_OFF
    story.events[-1]["delay_s"] = 100.0
    assert traced(story).outcome is Outcome.BACKING_OFF


def test_who_was_stopped_or_has_ended_for_good_is_not_lost() -> None:
    """A worker that is not restarted by its policy is down, with a verdict; one that somebody stopped is not wanted."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.01, "w-0", 1, chaos_id=mine)
    for row, outcome in (
        (Row(worker="w-0", phase="down", want="up", verdict="failed"), Outcome.STOPPED),
        (Row(worker="w-0", phase="down", want="down"), Outcome.STOPPED),
        (Row(worker="w-0", phase="down", want="up"), Outcome.LOST),
    ):
        assert traced(story, samples=(Sample(at=159.0, workers=(row,)),)).outcome is outcome


def test_a_service_that_stops_loses_nobody() -> None:
    """Unless it began to stop long after the worker should have been back."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.01, "w-0", 1, chaos_id=mine)
    story.say(6, "supervisor.stopping", reason="SIGTERM")
    assert traced(story).outcome is Outcome.STOPPED
    story.events[-1]["monotonic_s"] = 150.0
    assert traced(story).outcome is Outcome.LOST


def test_a_part_has_pairs_of_its_own() -> None:
    """Of supervisor, pump and template: when its end was noticed, and when another one was there."""
    story = Story("w-0")
    story.hit(1, "kill-supervisor", None)
    story.say(1.2, "supervisor.resumed", reason="SIGKILL", away_s=0.2)
    story.hit(2, "kill-pump", None, pid=12)
    story.say(2.1, "pump.ended", pid=99)
    story.say(2.2, "pump.ended", pid=12)
    story.say(2.3, "pump.ready", pid=13)
    story.hit(3, "kill-template", None, pid=14)
    story.say(3.1, "template.ended", template="bare", pid=14)
    story.say(3.2, "template.ready", template="other", pid=20)
    story.say(3.3, "template.ready", template="bare", pid=21)
    supervisor, pump, template = lay_out(story.record()).faults
    assert (supervisor.sign, supervisor.ready) == (story.events[1], story.events[1])
    assert (pump.sign, pump.ready) == (story.events[4], story.events[5])
    assert (template.sign, template.ready) == (story.events[7], story.events[9])


def test_the_order_is_that_of_the_stamps() -> None:
    """The pump lets an ending wait for the last words of who has died: the next life may stand before it."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.born(5.01, "w-0", 2, ready=5.02)
    story.ended(5.001, "w-0", 1, chaos_id=mine)
    timeline = lay_out(story.record())
    assert gaps(timeline, "w-0") == [(5.001, 5.02, "ended")]
    assert timeline.faults[0].outcome is Outcome.RECOVERED


def test_a_gap_runs_from_no_longer_ready_to_ready_again() -> None:
    """Crashes on the way up are part of it."""
    story = Story("w-0")
    story.ended(5, "w-0", 1)
    story.born(6, "w-0", 2)
    story.ended(7, "w-0", 2)
    story.born(8, "w-0", 3, ready=9)
    story.say(58, "worker.stopping", worker="w-0", spawn_id="w-0#3", reason="its beat is late")
    assert gaps(lay_out(story.record()), "w-0") == [(5, 9, "ended"), (58, 60, "stopping")]


def test_a_stop_that_was_asked_for_is_no_gap_that_counts_but_a_restart_is() -> None:
    """The one is wished down; the other is wanted up all the time."""
    story = Story("w-0", "w-1")
    for worker in ("w-0", "w-1"):
        story.say(5, "worker.stopping", worker=worker, spawn_id=f"{worker}#1", reason="asked")
        story.ended(6, worker, 1, how="exit code 0 (asked)")
    story.born(6.5, "w-0", 2, ready=7)
    timeline = lay_out(story.record())
    assert [(gap.why, gap.counts) for gap in timeline.lanes["w-0"].gaps] == [("stopping", True)]
    assert [(gap.why, gap.counts) for gap in timeline.lanes["w-1"].gaps] == [("asked", False)]
    story.born(20, "w-1", 3, ready=21)
    seen = (story.sample(0, w_0="ready", w_1="ready"), story.sample(10, w_0="ready", w_1="down"))
    assert lay_out(story.record(samples=seen)).lanes["w-1"].gaps == (Gap(105.0, 121.0, "asked"),)


def test_a_worker_of_which_nothing_is_known_is_not_taken_to_be_ready() -> None:
    """Neither sample nor event."""
    timeline = lay_out(Story("w-0").record(samples=()))
    assert not timeline.lanes["w-0"].known


def test_the_supervisor_was_away_from_its_death_until_the_next_one_resumed() -> None:
    """As long as the next one says."""
    story = Story("w-0")
    story.say(9, "supervisor.resumed", reason="SIGKILL", away_s=0.25)
    (away,) = lay_out(story.record()).aways
    assert (away.begin, away.end, away.reason) == (108.75, 109.0, "SIGKILL")


def test_a_frozen_supervisor_was_away_from_the_freezing_on() -> None:
    """The next one knows only since when the last was dead."""
    story = Story("w-0")
    story.say(5, "chaos.injected", kind="freeze-supervisor", chaos_id="c1")
    story.say(8, "supervisor.resumed", reason="SIGKILL", away_s=0.5)
    story.say(8.1, "chaos.undone", kind="freeze-supervisor", chaos_id="c1")
    assert [(away.begin, away.reason) for away in lay_out(story.record()).aways] == [
        (107.5, "SIGKILL"),
        (105.0, "frozen"),
    ]


def test_a_record_goes_through_a_journal_and_is_the_same() -> None:
    """JSON there and back."""
    story = Story("w-0")
    story.kill(5, "w-0", 1)
    record = story.record(workers=(Member(worker="w-0", group="g", members_after=("w-1",)),), expected=("x*",))
    journal = {"extensions": [{"name": "other"}, {"name": "ninelives", "record": as_json(record)}]}
    assert within(msgspec.json.decode(msgspec.json.encode(journal))) == record
    assert record.kinds == KINDS


@pytest.mark.parametrize("journal", [{}, {"extensions": [{"name": "other"}]}, [], {"extensions": {"a": 1}}])
def test_a_journal_without_a_record_is_refused_with_a_sentence(journal: object) -> None:
    """And no traceback."""
    with pytest.raises(NoRecord, match="no record in this journal"):
        within(journal)


def test_a_record_with_a_wrong_field_is_refused_with_its_place() -> None:
    """So that somebody can look there."""
    tree = as_json(Story("w-0").record())
    tree["faults"] = [{"chaos_id": "a", "kind": "kill", "at": "soon"}]
    with pytest.raises(NoRecord, match=r"faults\[0\]\.at"):
        read(tree)


def test_a_part_that_was_killed_and_never_came_back_is_lost() -> None:
    """Nobody told of its end, or of the next one; a record that ends soon after cannot say."""
    story = Story("w-0")
    story.hit(5, "kill-pump", None)
    assert traced(story).outcome is Outcome.LOST
    assert traced(story, ended=115.0).outcome is Outcome.STARTING
    story.say(5.1, "pump.ended", pid=12)
    assert traced(story).outcome is Outcome.LOST
    story.say(5.2, "pump.ready", pid=13)
    assert traced(story).outcome is Outcome.RECOVERED


def test_who_was_asked_to_stop_did_not_end_of_what_was_done_to_it_before() -> None:
    """Its ending carries the name of what was last done to that life, which was undone long ago."""
    story = Story("w-0")
    busy = story.hit(5, "cpu", "w-0", seconds=3)
    story.undone(8, busy)
    story.say(30, "worker.stopping", worker="w-0", spawn_id="w-0#1", reason="another member of its group failed")
    story.ended(30.5, "w-0", 1, how="SIGKILL (asked)", chaos_id=busy)
    story.born(31, "w-0", 2, ready=31.1)
    found = traced(story)
    assert (found.ending, found.sign, found.outcome) == (None, None, Outcome.PASSED)


def test_a_sign_is_of_the_fault_before_it_and_of_no_older_one() -> None:
    """A fault without effect does not take the effect of the next; nor one that comes long after."""
    story = Story("w-0")
    story.hit(5, "pipe-garbage", "w-0")
    story.hit(8, "pipe-garbage", "w-0")
    story.say(8.5, "worker.protocol_violated", worker="w-0", spawn_id="w-0#1", why="nonsense")
    story.hit(20, "pipe-garbage", "w-0")
    story.say(50, "worker.starved", worker="w-0", spawn_id="w-0#1")
    first, second, third = lay_out(story.record()).faults
    assert (first.sign, third.sign) == (None, None)
    assert second.sign is not None
