"""Every key a config file may have, table by table: reading, schema and reference are made from it.

The keys of workers and groups that are fields of spec.Policy stand flat in their tables.
"""

from __future__ import annotations

from supervisor import forms, parts, readers
from supervisor.readers import Key
from supervisor.spec import Restart, Strategy

SUPERVISOR = {
    "name": Key(forms.name(), "Name of the service and of its control socket; no two run under one name."),
    "path": Key(
        readers.several(forms.path()),
        "Folders put before sys.path in workers; default: the config file's own.",
    ),
    "starting_at_once": Key(readers.integer(1, 10_000), "How many workers may be starting at one time."),
    "recent": Key(readers.size(64 * 1024), "So many bytes of log lines are kept in memory for `logs` and `events`."),
    "control": Key(parts.control, "Who besides the owner and root may use the control socket."),
}

CHAOS = {
    "enabled": Key(readers.flag(), "Whether faults may be injected at all."),
    "max_count": Key(readers.integer(1, 10_000), "So many workers may be under a fault at one time."),
    "max_percent": Key(readers.number(0, 100), "And no larger a part of those that may be hit; one always may."),
    "abort_below": Key(readers.number(0, 1), "When a smaller share of the workers is ready, every fault is undone."),
    "parts": Key(readers.flag(), "Whether the service's own processes may be hit."),
    "protected": Key(readers.several(forms.glob()), "Names or globs of workers that are never hit."),
}

TEMPLATE = {
    "preload": Key(readers.several(forms.module()),
                   "Modules imported once, before workers are forked."),
    "env": Key(forms.environment(), "Environment during these imports."),
}  # fmt: skip

KEEPING = {
    "max_failures": Key(readers.integer(1, 1_000_000), "So many failures in a row, and it is quarantined."),
    "stable_after": Key(readers.duration(), "Ready for so long, and earlier failures are forgiven."),
    "backoff": Key(parts.backoff, "Waits between failures and next lives."),
    "on_quarantine": Key(
        parts.quarantine, "Wait for release, try again after a probation, end the service, or fail the group."
    ),
    "significant": Key(readers.flag(), "When it is given up, the service ends with code 10."),
}

WORKER = {
    "target": Key(forms.target(), "The function to run; it is given a heart if it has a parameter `heart`."),
    "command": Key(readers.command(), "The program to run, instead of a target."),
    "args": Key(forms.arguments(), "Keyword arguments of the target."),
    "replicas": Key(readers.integer(1, 10_000), "So many, called NAME-0, NAME-1 …; without it one, called NAME."),
    "template": Key(forms.name(), "The template it is forked from; `bare` has nothing preloaded."),
    "standby": Key(readers.integer(0, 100), "So many started in advance, to take over at once from any replica."),
    "restart": Key(readers.word(tuple(Restart), Restart), "Start it again always, only after failures, or never."),
    "needs": Key(readers.several(forms.need()), "Workers and groups that must have got so far before it starts."),
    "ready": Key(parts.ready, "How it shows that it is ready."),
    "ready_within": Key(readers.duration(positive=True), "Not ready after so long is a failure."),
    "beat_within": Key(
        readers.duration(positive=True), "Silent for so long is hung; without it no beats are expected."
    ),
    "grace": Key(readers.duration(), "Time between SIGTERM and SIGKILL."),
    **KEEPING,
    "success": Key(readers.several(forms.ending(), least=1), "Exit codes and signals that are a clean end."),
    "never_restart": Key(
        readers.several(forms.ending()), "Exit codes and signals after which it is quarantined at once."
    ),
    "env": Key(forms.environment(), "Environment variables; they win over those of env_files."),
    "env_files": Key(readers.several(forms.environment_file()), "Files of KEY=VALUE lines; `-path` may be missing."),
    "cwd": Key(forms.path(), "Working folder."),
    "umask": Key(forms.umask(), "File mode creation mask."),
    "user": Key(forms.account(), "User to run as."),
    "group": Key(forms.account(), "Unix group to run as."),
    "nice": Key(readers.integer(-20, 19), "Scheduling priority; 19 is the most modest."),
    "cpus": Key(forms.cpus(), "Any CPU, one CPU for each replica in turn, or these."),
    "output": Key(parts.output, "Where stdout and stderr go."),
    "chaos": Key(readers.flag(), "Whether chaos may hit it, and a hook for that is put into its heart."),
}

GROUP = {
    "members": Key(readers.several(forms.name(), least=1), "Workers and groups in start order; required."),
    "strategy": Key(
        readers.word(tuple(Strategy), Strategy),
        "Restarted when a member fails: it, all, or it and those after it.",
    ),
    "needs": Key(readers.several(forms.need()), "What must have got so far before the first member starts."),
    **KEEPING,
}
