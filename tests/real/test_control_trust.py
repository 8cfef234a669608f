"""The control socket: who may what, and whose a connection is when the service is someone else or gone."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.control_world import Client, Host


@pytest.mark.root
def test_strangers_are_denied_and_it_is_an_event(host: Host, connect: Callable[[], Client]) -> None:
    """Neither owner nor member: nothing is done, code 3, and control.denied says who it was."""
    host.serve()
    os.chmod(host.path, 0o777)
    answer = _as(4321, [], lambda: host.client().ask({"id": 1, "verb": "status"}))
    assert (answer["ok"], answer["code"]) == (False, 3)
    denied = connect().ask({"verb": "status"})["result"]["denied"]
    assert [(event["verb"], event["uid"]) for event in denied] == [("status", 4321)]


@pytest.mark.root
@pytest.mark.parametrize(("may", "reads", "writes"), [("read", True, False), ("all", True, True)])
def test_members_of_the_group_may_what_the_config_says(
    host: Host, may: str, *, reads: bool, writes: bool
) -> None:
    """A supplementary group counts; `reload --diff` is reading, `reload` is not."""
    host.serve(env={"FAKE_GROUP": "7654", "FAKE_GROUP_MAY": may})
    os.chmod(host.path, 0o777)

    def all_of_them() -> list[bool]:
        requests: list[dict[str, Any]] = [
            {"verb": "status"},
            {"verb": "reload", "diff": True},
            {"verb": "reload"},
        ]
        client = host.client()
        return [client.ask(request)["ok"] for request in requests]

    assert _as(4321, [7654], all_of_them) == [reads, reads, writes]


def test_a_follower_s_socket_is_handed_over(host: Host, connect: Callable[[], Client]) -> None:
    """After its answer the connection belongs to the pump; what was asked before was answered."""
    host.serve()
    client = connect()
    client.send(b'{"id":1,"verb":"status"}\n{"id":2,"verb":"follow","filter":{"worker":"web-*"}}\n')
    assert client.read()["id"] == 1
    assert client.read() == {"id": 2, "ok": True, "result": {"following": False}}
    assert client.read()["filter"] == {"worker": "web-*"}
    assert [client.read()["seq"], client.read()["seq"], client.read()] == [2, 3, None]


def test_shutdown_is_answered_before_it_happens(host: Host, connect: Callable[[], Client]) -> None:
    """The answer comes first; then the service stops, and its listener is as it was."""
    host.serve()
    assert connect().ask({"id": 1, "verb": "shutdown"}) == {"id": 1, "ok": True, "result": {"stopping": True}}
    assert host.process is not None
    assert host.process.wait(10) == 0
    host.client().close()


def test_who_connects_while_nobody_serves_is_served_late(host: Host, connect: Callable[[], Client]) -> None:
    """The listener outlives the supervisor: a request sent in between is answered by the next one."""
    host.serve()
    assert connect().ask({"verb": "status"})["ok"]
    assert host.process is not None
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait()
    late = connect()
    late.send({"id": "late", "verb": "status"})
    host.serve()
    assert late.read()["id"] == "late"


def _as(uid: int, groups: list[int], work: Callable[[], Any]) -> Any:
    """Run `work` in a child with another identity; its result comes back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said)
