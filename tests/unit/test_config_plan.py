"""What a reload does: the difference of two configs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from supervisor.config import difference, fingerprint
from supervisor.plan import FIXED
from supervisor.spec import (
    Backoff,
    ChildSpec,
    Config,
    GroupSpec,
    Need,
    Output,
    Policy,
    Probe,
    Ready,
    Strategy,
    TemplateSpec,
)

WORKER = ChildSpec(name="a", target="m:f", replicas=2)
OTHER: dict[str, Any] = {
    "target": "m:g", "command": ("x",), "args": {"a": 1}, "template": "t", "ready": Ready.NOTIFY,
    "beat_within": 1.0, "env": {"A": "1"},
    "cwd": "/", "umask": 0, "user": "u", "group": "g", "nice": 1, "cpus": "spread",
    "output": Output(to="inherit"),
    "replicas": 3, "standby": 1, "needs": (Need(name="b"),), "ready_within": 1.0, "grace": 1.0,
    "policy": Policy(max_failures=1), "chaos": True,
}  # fmt: skip


def of(*workers: ChildSpec, **more: Any) -> Config:
    return Config(source="x", workers={worker.name: worker for worker in workers}, **more)


@pytest.mark.parametrize("key", [key for key in ChildSpec.__struct_fields__ if key != "name"])
def test_a_fingerprint_changes_with_what_a_life_was_started_with(key: str) -> None:
    """And with nothing else: every field of the spec is tried."""
    changed = replace(WORKER, **{key: OTHER[key]})
    assert (fingerprint(changed) != fingerprint(WORKER)) == (key in FIXED)


def test_a_fingerprint_knows_the_folders_of_functions_only() -> None:
    """A program does not import."""
    program = replace(WORKER, target=None, command=("x",))
    assert fingerprint(WORKER, ("/a",)) != fingerprint(WORKER, ("/b",))
    assert fingerprint(program, ("/a",)) == fingerprint(program, ("/b",))


def test_a_probe_may_change_under_a_running_worker() -> None:
    """It is asked from outside."""
    one, two = (replace(WORKER, ready=Probe(tcp=address)) for address in ("a:1", "b:2"))
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one) != fingerprint(WORKER)


def test_the_same_config_is_an_empty_plan() -> None:
    """Nothing to do is false and says so."""
    plan = difference(of(WORKER), of(WORKER))
    assert not plan
    assert str(plan) == "nothing changes"


def test_each_worker_is_touched_only_as_far_as_it_changed() -> None:
    """Added, removed, restarted, updated, scaled."""
    b, c, d, e = (replace(WORKER, name=name) for name in "bcde")
    plan = difference(
        of(WORKER, b, c, d),
        of(
            replace(WORKER, args={"x": 1}, grace=1.0),
            replace(b, policy=Policy(backoff=Backoff(max=9.0), max_failures=2)),
            replace(c, replicas=5),
            e,
        ),
    )
    assert plan.added == ("e",)
    assert plan.removed == ("d",)
    assert plan.restarted == {"a": ("args", "grace")}
    assert plan.updated == {"b": ("backoff", "max_failures")}
    assert plan.scaled == {"c": (2, 5)}
    assert str(plan).splitlines() == [
        "+ worker e",
        "- worker d",
        "! worker a restarts (args, grace)",
        "~ worker b goes on (backoff, max_failures)",
        "~ worker c scales from 2 to 5 replicas",
    ]


def test_scaling_with_a_cpu_list_restarts_no_sibling() -> None:
    """The list grows with the replicas; whose entry is the same goes on."""
    old = of(replace(WORKER, cpus=("0", "1")))
    assert difference(old, of(replace(WORKER, replicas=3, cpus=("0", "1", "2")))).restarted == {}
    assert difference(old, of(replace(WORKER, cpus=("0", "2")))).restarted == {"a": ("cpus",)}


def test_one_worker_that_gets_replicas_starts_anew() -> None:
    """Its name becomes another."""
    plan = difference(of(replace(WORKER, replicas=None)), of(WORKER))
    assert plan.restarted == {"a": ("replicas",)}
    assert plan.scaled == {}


def test_groups_templates_and_the_service_are_in_the_plan() -> None:
    """Restructured only for members and strategy; the name of a running service stays."""
    group = GroupSpec(name="g", members=("a",))
    template = TemplateSpec(name="t")
    plan = difference(
        of(
            groups={"g": group, "h": replace(group, name="h"), "i": group},
            templates={"t": template},
            starting_at_once=1,
        ),
        of(
            groups={
                "g": replace(group, strategy=Strategy.ONE_FOR_ALL),
                "h": replace(group, name="h", policy=Policy(max_failures=1)),
                "j": group,
            },
            templates={"t": replace(template, preload=("json",))},
            name="new",
        ),
    )
    assert plan.groups_restructured == ("g",)
    assert plan.groups_updated == {"h": ("max_failures",)}
    assert (plan.groups_added, plan.groups_removed) == (("j",), ("i",))
    assert plan.rebuilt == ("t",)
    assert (plan.service, plan.later) == (("starting_at_once",), ("name",))
