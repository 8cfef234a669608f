"""What is asked of a template, well or badly, and what becomes of it when it or the anchor dies; with real processes."""

from __future__ import annotations

import json
import os
import select
import signal
import socket

import pytest

from supervisor import kernel
from tests.real.template_world import PATIENCE, World, end_branded, ended, told


def test_a_standby_waits_for_its_go(world: World, folder: str) -> None:
    """A standby has run prepare; the go tells it who it is, and it runs."""
    life = world.ask(target="prepared:main", standby=True, path=[folder], args={"word": "hi"})
    life.until("prepared")
    life.say_go(name="it-2", replica=2, cpus=[0], env={"ADDED": "yes"})
    life.until("ready")
    assert life.ended() == 0
    assert life.read(life.out) == "['it'] it-2 2 it-2 yes hi\n"


def test_a_program_can_stand_by(world: World) -> None:
    """A standby that is a program is executed after the go."""
    life = world.ask(command=["sh", "-c", "echo $NINELIVES_NAME"], standby=True)
    life.until("prepared")
    life.say_go(name="it-1", replica=1)
    assert life.ended() == 0
    assert life.read(life.out) == "it-1\n"


def test_a_standby_without_a_go_leaves(world: World) -> None:
    """When the pipe ends without a go the standby ends, well; SIGTERM ends it at once."""
    for end in ("close", "term"):
        life = world.ask(target="odd:plain", standby=True)
        life.until("prepared")
        if end == "close":
            os.close(life.go)
            life.go = -1
        else:
            os.kill(life.pid, signal.SIGTERM)
        assert life.ended() == (0 if end == "close" else -signal.SIGTERM)


def test_twenty_requests_are_twenty_workers(world: World) -> None:
    """Requests that wait together are all answered, each on its own pipe, and draw other random numbers."""
    lives = [world.ask(target="odd:tell") for _ in range(20)]
    seen = [told(life) for life in lives]
    assert len({life.pid for life in lives}) == 20
    assert {one["rttime"] for one in seen} == {kernel.brand(world.nonce, number) for number in range(1, 21)}
    assert len({one["random"] for one in seen}) == 20


@pytest.mark.numpy
def test_siblings_draw_different_numbers(folder: str) -> None:
    """NumPy's global generator, preloaded and so shared, is reseeded in every worker."""
    pytest.importorskip("numpy")
    with World("numpy.random", "random", path=(folder,)) as world:
        seen = [told(world.ask(target="odd:tell", path=[folder])) for _ in range(4)]
        assert len({one["drawn"][0] for one in seen}) == 4
        assert len({one["random"] for one in seen}) == 4


def test_a_failed_preload_is_said_and_the_worker_runs(folder: str) -> None:
    """A module that cannot be imported is named with its error; the template goes on without it."""
    with World("broken", "odd", path=(folder,)) as world:
        failed = world.said.until("failed").fields
        assert (failed["what"], failed["module"]) == ("preload", "broken")
        assert "ZeroDivisionError" in failed["error"]
        world.ready()
        assert ended(world.ask(target="odd:plain")) == 0


def test_a_template_with_threads_refuses(folder: str) -> None:
    """A fork with a second thread is refused, request by request; a --once process takes the job."""
    with World("threaded", "odd", path=(folder,)) as world:
        world.ready()
        for _ in range(2):
            life = world.ask(target="odd:plain")
            assert "2 threads" in life.until("refused").fields["why"]
            assert life.next() is None
    with World("threaded", "odd", path=(folder,), once=True) as world:  # which says nothing of itself
        life = world.ask(target="odd:plain")
        assert ended(life) == 0
        assert life.pid == world.pid


def test_garbage_is_refused_and_costs_nothing(world: World) -> None:
    """Packets that are no requests are refused where possible, and the next request is served."""
    world.ready()
    for data in (b"", b"\xff", b"[]", b'{"kind":"dance"}', b'{"kind":"spawn"}', b"[" * 100_000):
        world.channel.send(data)
        read, write = os.pipe()
        socket.send_fds(world.channel, [data or b"{}"], [write] * 5)
        os.close(write)
        assert select.select([read], [], [], PATIENCE)[0]
        assert b"refused" in os.read(read, 4096)
        assert os.read(read, 4096) == b""
        os.close(read)
    life = world.ask(target="odd:plain", command=["true"])
    assert "exactly one" in life.until("refused").fields["why"]
    assert ended(world.ask(target="odd:plain", a_field_of_tomorrow=1)) == 0


def test_what_was_never_born_is_seen_as_such(world: World) -> None:
    """kill -9 of the template midway: each worker asked for says hello and lives, or its pipe just ends."""
    world.ready()
    lives = [world.ask(target="odd:hearty") for _ in range(20)]
    assert lives[0].until("hello")
    os.kill(world.pid, signal.SIGKILL)
    world.channel.close()
    born = 0
    for life in lives:
        message = life.next()
        if message is None:
            assert life.pid == 0
            continue
        born += 1
        life.until("ready")
        os.kill(life.pid, signal.SIGTERM)
        assert life.ended() == 0
    assert born >= 1


def test_what_an_embryo_is_asked_for_is_done_though_its_template_is_dead(world: World) -> None:
    """It sees both at once, the request and the death: nobody else can do it any more."""
    world.ready()
    pids = world.settled("template test", "embryo test")
    (embryo,) = set(pids) - {world.pid}
    os.kill(embryo, signal.SIGSTOP)
    os.kill(world.pid, signal.SIGKILL)
    os.waitpid(world.pid, 0)
    lives = [world.ask(target="odd:hearty") for _ in range(2)]
    os.kill(embryo, signal.SIGCONT)
    for life in lives:
        life.until("ready")
    assert lives[0].pid == embryo


def test_grandchildren_carry_the_brand(world: World) -> None:
    """A cleared environment and a new session do not hide what a worker started."""
    script = "env -i setsid sh -c 'echo $$; exec sleep 60' & echo $$; exec sleep 60"
    life = world.ask(command=["sh", "-c", script])
    life.until("hello")
    with os.fdopen(os.dup(life.out)) as output:
        pids = [int(output.readline()), int(output.readline())]
    assert life.pid in pids
    assert {kernel.read_brand(pid) for pid in pids} == {kernel.brand(world.nonce, 1)}


def test_a_closed_channel_ends_the_template_and_no_worker(world: World) -> None:
    """When the supervisor is gone the template leaves; its workers are the anchor's and live on."""
    life = world.ask(target="odd:hearty")
    life.until("ready")
    world.channel.close()
    assert os.waitstatus_to_exitcode(os.waitpid(world.pid, 0)[1]) == 0
    assert world.branded() == [life.pid]


@pytest.mark.parametrize("user", [None, pytest.param("nobody", marks=pytest.mark.root)])
def test_nothing_outlives_the_anchor(folder: str, user: str | None) -> None:
    """kill -9 of the anchor: template, worker (of another user too) and a daemonised grandchild are gone."""
    if user is not None and os.geteuid() != 0:
        pytest.skip("changing users takes root")
    nonce = int.from_bytes(os.urandom(3), "big") | 1
    kernel.become_subreaper()
    read, write = os.pipe()
    anchor = os.fork()
    if anchor == 0:
        try:
            os.write(write, json.dumps(everybody(folder, user, nonce)).encode())
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(write)
        # Not one of them can go unseen: what ends before its parent does is a zombie until then, and still has its number.
        pidfds = [os.pidfd_open(pid) for pid in json.loads(os.read(read, 4096))]
        os.kill(anchor, signal.SIGKILL)
        ended = [bool(select.select([pidfd], [], [], PATIENCE)[0]) for pidfd in pidfds]
        for pidfd in pidfds:
            os.close(pidfd)
    finally:
        os.close(read)
        os.kill(anchor, signal.SIGKILL)
        left = kernel.kill_branded(nonce)
        end_branded(nonce)
    assert ended == [True] * 5
    assert left == 0


def everybody(folder: str, user: str | None, nonce: int) -> list[int]:
    """A template with its embryo, a worker and two of a program, one of them daemonised."""
    world = World("odd", path=(folder,), nonce=nonce)
    worker = world.ask(target="odd:hearty", user=user, cwd="/")
    worker.until("ready")
    program = world.ask(command=["sh", "-c", "setsid sh -c 'echo; exec sleep 60' & exec sleep 61"])
    program.until("hello")
    os.read(program.out, 1)
    pids = world.settled("template test", "embryo test", "it", "sleep", "sleep")
    assert {world.pid, worker.pid, program.pid} < set(pids)
    return pids
