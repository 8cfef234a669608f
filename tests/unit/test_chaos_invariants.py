"""Invariants: each is held by a sound service, broken by a defect made for it, and unknown where nobody can tell."""

from __future__ import annotations

import msgspec
import pytest

from supervisor.chaos import allowances
from supervisor.chaos.findings import find
from supervisor.chaos.invariants import Invariant, State
from supervisor.chaos.record import Inspection, Member, Process, Service, Settings
from supervisor.chaos.timeline import lay_out
from supervisor.chaos.verdict import Word
from tests.unit.chaos_records import LOOK, Story


def checked(story: Story, name: str, **more: object) -> Invariant:
    return next(each for each in allowances.check(lay_out(story.record(**more))) if each.name == name)


def state(story: Story, name: str, **more: object) -> str:
    return str(checked(story, name, **more).state)


def sound() -> Story:
    story = Story("w-0", "w-1", "w-2", "w-3")
    story.kill(5, "w-0", 1)
    frozen = story.hit(20, "freeze", "w-1", seconds=5)
    story.say(20.01, "worker.frozen", worker="w-1", spawn_id="w-1#1", signal="SIGSTOP")
    story.undone(25, frozen)
    story.hit(40, "kill-supervisor", None)
    story.say(40.3, "supervisor.resumed", reason="SIGKILL", away_s=0.3)
    return story


def dropped(story: Story, count: int = 3, reason: str = "the ring of lines is full", **fields: object) -> None:
    """As the pump says it: without a stamp of the supervisor's."""
    story.events.append(
        {"event": "log.dropped", "level": "error", "msg": reason, "count": count, "reason": reason, **fields}
    )


def test_a_sound_service_holds_all_of_them() -> None:
    """And the verdict says so, with nothing left open."""
    found = find(sound().record())
    assert {each.name: str(each.state) for each in found.invariants} == {each.name: "held" for each in found.invariants}
    assert len(found.invariants) == 12
    assert (found.verdict.word, found.verdict.reasons, found.verdict.beside) == (Word.HELD, (), ())


def test_an_ending_that_never_came_is_missed() -> None:
    """A supervisor that loses an ending; it is not said of one who may still tell, or whose telling was lost on the way."""
    story = Story("w-0")
    story.hit(5, "kill", "w-0")
    found = checked(story, "one_ending")
    assert (found.state, found.sentence) == (State.BROKEN, "no ending was ever told of kill of w-0 (c1)")
    assert state(story, "one_ending", ended=108.0) == "unknown"
    dropped(story)
    assert state(story, "one_ending") == "unknown"


def test_lines_of_output_that_were_dropped_explain_no_missing_ending() -> None:
    """Nor does what only stdout did not take."""
    story = Story("w-0")
    story.hit(5, "kill", "w-0")
    dropped(story, worker="w-0")
    dropped(story, reason="cannot write to stdout: No space left on device")
    assert state(story, "one_ending") == "broken"


def test_a_supervisor_that_was_away_has_so_much_more_time_to_tell() -> None:
    """It was killed right after the worker, and for seconds nobody was there."""
    story = Story("w-0")
    story.hit(5, "kill", "w-0")
    story.say(14, "supervisor.resumed", reason="SIGKILL", away_s=8.0)
    assert state(story, "one_ending", ended=115.0) == "unknown"
    assert state(story, "one_ending", ended=119.0) == "broken"


def test_a_life_ends_once() -> None:
    """A supervisor that tells of one ending twice."""
    story = sound()
    story.ended(5.001, "w-0", 1)
    assert checked(story, "one_ending").sentence == "ended more than once: w-0#1 2 times"


def test_a_next_life_after_one_that_never_ended_is_a_lost_ending() -> None:
    """Whatever was done to it."""
    story = sound()
    story.born(10, "w-3", 4, ready=10.1)
    story.born(20, "w-3", 5, ready=20.1)
    assert checked(story, "one_ending").sentence == "a next life began, and no ending was told of w-3#4"


def test_two_lives_at_once_are_seen_in_events_and_in_processes() -> None:
    """A next life that begins before the last has ended; two processes of one worker."""
    story = sound()
    story.born(10, "w-3", 4, ready=10.1)
    story.born(20, "w-3", 5, ready=20.1)
    story.ended(20.5, "w-3", 4)
    assert checked(story, "one_life").sentence == "w-3#5 began 0.500 s before w-3#4 ended"
    twice = msgspec.structs.replace(LOOK, doubles=("w-2",))
    assert checked(sound(), "one_life", after=twice).sentence == "two processes of w-2 were alive"


def test_nobody_is_lost() -> None:
    """What was hit is ready again; the record may end before that can be said."""
    story = Story("w-0")
    mine = story.hit(5, "kill", "w-0")
    story.ended(5.001, "w-0", 1, chaos_id=mine)
    assert state(story, "none_lost") == "broken"
    assert state(story, "none_lost", ended=107.0) == "unknown"
    story.say(5.01, "worker.quarantined", worker="w-0", streak=8, action="stay")
    assert checked(story, "none_lost").sentence == "1 quarantined"


def test_a_lasting_fault_is_undone_at_its_time() -> None:
    """Not later, not never; a record that ends before tells nothing, and an ended life needs no undoing."""
    story = Story("w-0")
    mine = story.hit(5, "freeze", "w-0", seconds=10)
    assert state(story, "all_undone") == "broken"
    assert state(story, "all_undone", ended=112.0) == "unknown"
    story.undone(19, mine)
    assert checked(story, "all_undone").sentence == "undone late: freeze of w-0 (c1), 4.0 s late"
    story.events[-1]["monotonic_s"] = 115.5
    assert state(story, "all_undone") == "held"
    story.events[-1]["how"] = "could not be undone: No such process"
    assert state(story, "all_undone") == "broken"
    story.events.pop()
    story.say(8, "worker.ended", worker="w-0", spawn_id="w-0#1", chaos_id=mine, how="SIGKILL")
    assert state(story, "all_undone") == "held"


def test_what_fell_due_while_nobody_was_there_is_undone_by_the_next_supervisor() -> None:
    """As soon as it is back."""
    story = Story("w-0")
    mine = story.hit(5, "freeze", "w-0", seconds=10)
    story.say(20, "supervisor.resumed", reason="SIGKILL", away_s=6.0)
    story.undone(20.1, mine)
    assert state(story, "all_undone") == "held"


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("no_orphan", msgspec.structs.replace(LOOK, strangers=(77,))),
        ("no_zombie", msgspec.structs.replace(LOOK, zombies=(78,))),
        (
            "descriptors",
            msgspec.structs.replace(LOOK, supervisor=Process(pid=11, fds=52, threads=1, rss_bytes=40 << 20)),
        ),
        ("threads", msgspec.structs.replace(LOOK, pump=Process(pid=12, fds=20, threads=3, rss_bytes=20 << 20))),
        ("memory", msgspec.structs.replace(LOOK, anchor=Process(pid=10, fds=50, threads=1, rss_bytes=36 << 20))),
    ],
)
def test_what_is_left_at_the_end_is_seen(name: str, after: Inspection) -> None:
    """Each in a service that leaks just that; and unknown where nobody looked."""
    found = {each.name: str(each.state) for each in allowances.check(lay_out(sound().record(after=after)))}
    assert [each for each, word in found.items() if word != "held"] == [name]
    assert state(sound(), name, after=None) == "unknown"


def test_what_grows_within_its_slack_is_back_to_where_it_was() -> None:
    """And a service with more lives than before may hold more for them: 8 for each."""
    grown = msgspec.structs.replace(LOOK, supervisor=Process(pid=11, fds=47, threads=2, rss_bytes=65 << 20))
    assert {str(each.state) for each in allowances.check(lay_out(sound().record(after=grown)))} == {"held"}
    more = msgspec.structs.replace(LOOK, supervisor=Process(pid=11, fds=72, threads=1, rss_bytes=1), workers=6)
    assert state(sound(), "descriptors", after=more) == "held"
    assert state(sound(), "descriptors", after=msgspec.structs.replace(more, workers=5)) == "broken"


def test_a_process_that_could_not_be_read_is_unknown() -> None:
    """Another user's: the sentence says which."""
    dark = msgspec.structs.replace(LOOK, pump=Process(pid=12))
    assert checked(sound(), "descriptors", after=dark).sentence.startswith(
        "could not be read at both ends: pump; supervisor 40 -> 40"
    )


def test_a_stranger_who_was_there_before_is_not_our_doing() -> None:
    """Somebody had looked at the beginning as well."""
    stranger = msgspec.structs.replace(LOOK, strangers=(77,))
    assert state(sound(), "no_orphan", before=stranger, after=stranger) == "held"


def test_more_faults_at_once_than_allowed_break_the_budget() -> None:
    """Two frozen at once where one is allowed; the share of those that may be hit counts as well."""
    story = Story("w-0", "w-1", "w-2")
    for at, worker in ((5, "w-0"), (8, "w-1")):
        story.undone(at + 10, story.hit(at, "freeze", worker, seconds=10))
    found = checked(story, "budgets")
    assert found.state is State.BROKEN
    assert (
        found.sentence
        == "at most 2 workers at once; allowed: 1 (max_count 1, max_percent 50 of 3); 8.0 s after the beginning"
    )
    assert state(story, "budgets", settings=Settings(max_count=5, max_percent=67)) == "held"
    assert state(story, "budgets", settings=Settings(max_count=5, max_percent=66)) == "broken"
    assert state(story, "budgets", settings=None) == "unknown"


def test_a_hit_that_the_next_supervisor_cannot_know_of_is_none_any_more() -> None:
    """What is over at once counts for a second, for the supervisor that did it."""
    story = Story("w-0", "w-1", "w-2")
    story.hit(30.0, "pipe-garbage", "w-1")
    story.say(30.3, "supervisor.resumed", reason="SIGKILL", away_s=0.1)
    story.hit(30.5, "pipe-garbage", "w-2")
    assert state(story, "budgets") == "held"


def test_one_after_another_keeps_the_budget() -> None:
    """An end is told of a moment after it has come; and a fault that does not last is over with its life, or in a second."""
    story = Story("w-0", "w-1", "w-2")
    story.undone(15.05, story.hit(5, "freeze", "w-0", seconds=10))
    story.hit(15.01, "freeze", "w-1", seconds=10)
    story.undone(25, "c2")
    story.kill(30, "w-0", 1)
    story.hit(30.02, "pipe-garbage", "w-1")
    story.hit(31.03, "pipe-garbage", "w-2")
    assert state(story, "budgets") == "held"
    story.hit(31.5, "pipe-garbage", "w-0")
    assert state(story, "budgets") == "broken"


def test_who_may_not_be_hit_is_not() -> None:
    """Protected, or never opted in."""
    story = Story("w-0", "db")
    story.kill(5, "db", 1)
    settings = Settings(max_count=1, max_percent=50, protected=("d*",))
    assert checked(story, "budgets", settings=settings).sentence == "hit, though it may not be: db"
    quiet = (Member(worker="w-0", chaos=True), Member(worker="db"))
    assert state(story, "budgets", workers=quiet) == "broken"
    nobody = (Member(worker="w-0"), Member(worker="db"))
    assert state(story, "budgets", workers=nobody) == "broken"


def test_a_number_that_is_missing_or_given_twice_is_a_gap() -> None:
    """Unless log.dropped tells of as many; where output was not followed, nobody can say."""
    story = sound()
    assert (
        checked(story, "no_gap", missing=((4, 5), (9, 9))).sentence
        == "never came: 4 to 5, 9; log.dropped tells of no line"
    )
    assert state(story, "no_gap", missing=None) == "unknown"
    dropped(story, count=3)
    assert state(story, "no_gap", missing=((4, 5), (9, 9))) == "held"
    assert state(story, "no_gap", missing=((4, 7),)) == "broken"
    story.events[2]["seq"] = 1
    assert checked(story, "no_gap").sentence == "given twice: 1"
    assert state(Story("w-0"), "no_gap") == "unknown"


def test_another_anchor_is_another_service() -> None:
    """By its pid, or by the instance its events name."""
    other = Service(name="rig", instance_id="1" * 32, anchor_pid_before=10, anchor_pid_after=99)
    same = Service(name="rig", anchor_pid_before=10, anchor_pid_after=99)
    assert state(sound(), "same_anchor", service=other) == "broken"
    assert checked(sound(), "same_anchor", service=same).sentence == "anchor 10 at the beginning, 99 at the end"
    assert state(sound(), "same_anchor", service=Service(name="rig", anchor_pid_before=10)) == "unknown"


def test_the_verdict_says_why() -> None:
    """Everything that went wrong is a reason; what is unknown is none, but is told."""
    story = sound()
    story.ended(50, "w-3", 1, how="SIGSEGV")
    found = find(story.record(missing=None, after=msgspec.structs.replace(LOOK, zombies=(78,))))
    assert found.verdict.word is Word.DEVIATED
    assert found.verdict.reasons == (
        "blast radius of 1 worker: w-3 ended: SIGSEGV",
        "no zombie is left: broken (not reaped: pid 78)",
    )
    assert len(found.verdict.beside) == 1
    assert found.verdict.beside[0].startswith("no gap in the numbers of the log")


@pytest.mark.parametrize("word", ["aborted", "interrupted"])
def test_who_ran_it_may_have_cut_it_short(word: str) -> None:
    """That is the verdict then, and what was seen stands beside it."""
    assert find(sound().record(), status=word).verdict.word == word


def test_an_activity_that_failed_deviates() -> None:
    """The runner says no more than that it failed."""
    assert find(sound().record(), status="failed").verdict.reasons == ("an activity of the experiment failed",)
