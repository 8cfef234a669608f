"""Every event ninelives can log: its level, the sentence for people, and the fields it may carry.

The one table. A test holds every call against it, `docs/events.md` is made from it, and a field that is not here cannot
be logged. Sentences are rendered from the fields; nothing is ever interpolated into an event's name.
"""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """level: debug | info | warning | error | critical. message: a str.format template over the fields."""

    level: str
    message: str
    fields: tuple[str, ...] = ()


ALWAYS = ("timestamp", "level", "event", "msg", "schema", "seq", "instance_id")
STAMP = "monotonic_s"
"""CLOCK_MONOTONIC when the supervisor said it: what measures, for the wall clock may jump."""

WORKER = ("worker", "spawn_id", "pid")
ENDING = (
    "exit_kind",
    "exit_code",
    "signal",
    "result",
    "uptime_s",
    "restarts",
    "streak",
    "rusage",
    "why",
    "stack",
    "detect_s",
    "chaos_id",
    "last_lines",
    "truncated",
)

EVENTS: dict[str, Event] = {
    "supervisor.started": Event(
        "info", "{name}: supervisor started (pid {pid}, anchor {anchor_pid})", ("name", "pid", "anchor_pid", "version")
    ),
    "supervisor.ready": Event("info", "{status}", ("status", "took_s")),
    "supervisor.reloaded": Event("info", "reloaded: {changes}", ("changes", "took_s")),
    "supervisor.resumed": Event(
        "warning",
        "supervisor resumed after {reason}: {adopted} workers adopted",
        ("reason", "adopted", "resumes", "away_s", "pid", "exit_kind", "exit_code", "signal"),
    ),
    "supervisor.lagged": Event("warning", "the supervisor's loop was {lag_s:.3g} s late", ("lag_s",)),
    "supervisor.upgraded": Event("info", "upgraded to version {version}", ("version", "pid")),
    "supervisor.upgrade_failed": Event("error", "upgrade refused, the old code stays: {why}", ("why",)),
    "supervisor.stopping": Event("info", "stopping: {reason}", ("reason",)),
    "supervisor.stopped": Event("info", "stopped with exit code {code}", ("code", "took_s")),
    "config.loaded": Event(
        "info", "config {source}: {workers} workers, {groups} groups", ("source", "workers", "groups")
    ),
    "config.rejected": Event("error", "config {source} rejected, the old one stays: {errors}", ("source", "errors")),
    "template.ready": Event(
        "info", "template {template} ready after {took_s:.3g} s", ("template", "pid", "took_s", "modules", "rss_bytes")
    ),
    "template.failed": Event("error", "template {template}: {why}", ("template", "why", "stack")),
    "template.ended": Event(
        "warning",
        "template {template} ended: {how}",
        ("template", "pid", "how", "exit_kind", "exit_code", "signal", "why"),
    ),
    "pump.ready": Event("info", "pump ready (pid {pid})", ("pid",)),
    "pump.ended": Event(
        "warning", "pump ended: {how}; a new one takes over", ("pid", "how", "exit_kind", "exit_code", "signal", "why")
    ),
    "worker.spawned": Event("info", "{worker} spawned (pid {pid})", (*WORKER, "from")),
    "worker.ready": Event("info", "{worker} ready after {ready_s:.3g} s", (*WORKER, "ready_s", "status")),
    "worker.starved": Event(
        "warning",
        "{worker} silent for {silent_s:.3f} s, but it wanted CPU and did not get it: given once more time",
        (*WORKER, "silent_s", "waited_s"),
    ),
    "worker.frozen": Event("warning", "{worker} was stopped by a signal (not by us)", (*WORKER, "signal")),
    "worker.thawed": Event("info", "{worker} was continued", WORKER),
    "worker.hung": Event(
        "error",
        "{worker} hung: {why}",
        (*WORKER, "silent_s", "late_s", "why", "state", "stack", "progress", "status", "chaos_id", "truncated"),
    ),
    "worker.stopping": Event("info", "{worker} stopping: {reason}", (*WORKER, "reason")),
    "worker.killed": Event("warning", "{worker} killed after its grace of {grace_s} s", (*WORKER, "grace_s")),
    "worker.ended": Event("warning", "{worker} ended: {how} after {uptime_s:.3f} s", (*WORKER, "how", *ENDING)),
    "worker.backed_off": Event(
        "info",
        "{worker} starts again in {delay_s:.3g} s (failure {streak} in a row)",
        ("worker", "delay_s", "streak", "failures_left"),
    ),
    "worker.recovered": Event(
        "info", "{worker} recovered in {recovery_s:.3g} s", (*WORKER, "recovery_s", "detect_s", "streak", "standby")
    ),
    "worker.completed": Event("info", "{worker} completed", ("worker", "restarts")),
    "worker.quarantined": Event(
        "error",
        "{worker} quarantined after {streak} failures in a row: {action}",
        ("worker", "streak", "action", "why", "probation_s"),
    ),
    "worker.released": Event("info", "{worker} released from quarantine ({reason})", ("worker", "reason")),
    "worker.output": Event(
        "info", "{msg}", (*WORKER, "stream", "data", "part", "more", "traceback", "binary", "truncated")
    ),
    "worker.protocol_violated": Event(
        "error", "{worker} wrote nonsense on its pipe: {why}", (*WORKER, "why", "sample", "count")
    ),
    "worker.orphan_swept": Event(
        "warning", "{worker} left process {orphan_pid} ({command}) behind; swept", (*WORKER, "orphan_pid", "command")
    ),
    "group.quarantined": Event(
        "error",
        "group {group} gave up after {streak} failures in a row: {action}",
        ("group", "streak", "action", "why", "probation_s"),
    ),
    "group.failed": Event("error", "group {group} failed: {why}", ("group", "why", "streak", "delay_s")),
    "group.released": Event("info", "group {group} released from quarantine ({reason})", ("group", "reason")),
    "standby.ready": Event("info", "{worker} has a standby (pid {pid})", WORKER),
    "standby.ended": Event("warning", "a standby of {worker} ended: {how}", (*WORKER, "how", *ENDING)),
    "chaos.injected": Event(
        "warning",
        "chaos: {kind} injected into {on} ({chaos_id})",
        (*WORKER, "on", "chaos_id", "kind", "parameters", "for_s"),
    ),
    "chaos.undone": Event(
        "info",
        "chaos: {kind} of {on} undone after {lasted_s:.3f} s ({reason}): {how}",
        ("worker", "on", "chaos_id", "kind", "reason", "how", "lasted_s"),
    ),
    "chaos.refused": Event("warning", "chaos: {kind} refused: {why}", ("kind", "workers", "why")),
    "chaos.aborted": Event(
        "error",
        "chaos: only {ready} of {wanted} ready, which is below abort_below = {abort_below}: everything is undone",
        ("ready", "wanted", "abort_below"),
    ),
    "log.dropped": Event(
        "error", "{count} log lines dropped: {reason}", ("count", "reason", "worker", "since", "bytes")
    ),
    "control.denied": Event(
        "warning", "control request {verb} denied for uid {uid}: {why}", ("verb", "uid", "gid", "pid", "why")
    ),
}
"""Endings that were asked for, and clean ones, are logged at info; see `level_of_ending`."""


def level_of_ending(*, asked: bool, success: bool) -> str:
    """worker.ended is a warning only when nobody asked for it and it was not clean."""
    return "info" if asked or success else "warning"
