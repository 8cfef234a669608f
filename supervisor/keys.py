"""Every key a config file may have, table by table: the one place from which reading, schema and reference are made.

The keys of workers and groups that are fields of spec.Policy stand flat in their tables.
"""

from __future__ import annotations

from supervisor import forms, readers
from supervisor.readers import Key
from supervisor.spec import Restart, Strategy

SUPERVISOR = {
    "name": Key(forms.name(), "Name of the service: names the control socket, and no two may run under one name."),
    "path": Key(readers.several(forms.path()), "Folders put before sys.path in workers; by default the config file's own."),
    "starting_at_once": Key(readers.integer(1, 10_000), "How many workers may be starting at one time."),
    "recent": Key(readers.size(64 * 1024), "How many bytes of log lines are kept in memory for `logs` and `events`."),
    "control": Key(forms.control, "Who besides the owner and root may use the control socket."),
}

TEMPLATE = {
    "preload": Key(readers.several(readers.string(r"[^\W\d]\w*(\.[^\W\d]\w*)*", "the name of a module", "module")),
                   "Modules imported once, before workers are forked."),
    "env": Key(forms.environment(), "Environment during these imports."),
}  # fmt: skip

KEEPING = {
    "max_failures": Key(readers.integer(1, 1_000_000), "So many failures in a row, and it is quarantined."),
    "stable_after": Key(readers.duration(), "Ready for so long, and earlier failures are forgiven."),
    "backoff": Key(forms.backoff, "Waits between failures and next lives."),
    "on_quarantine": Key(forms.quarantine, "Stay until released, try again after a probation, end the service (code 10), or fail the group."),
    "significant": Key(readers.flag(), "When it is given up, the service ends with code 10."),
}

WORKER = {
    "target": Key(forms.target(), "The function to run; it is given a heart if it has a parameter `heart`."),
    "command": Key(readers.command(), "The program to run, instead of a target."),
    "args": Key(forms.arguments(), "Keyword arguments of the target."),
    "replicas": Key(readers.integer(1, 10_000), "So many of it, called NAME-0, NAME-1 …; by default one, called NAME."),
    "template": Key(forms.name(), "The template the worker is forked from; `bare` has nothing preloaded."),
    "standby": Key(readers.integer(0, 100), "So many started in advance to take over at once, shared by the replicas."),
    "restart": Key(readers.word(tuple(Restart), Restart), "Start it again always, only after failures, or never."),
    "needs": Key(readers.several(forms.need()), "Workers and groups that must have got so far before this one starts."),
    "ready": Key(forms.ready, "How it shows that it is ready."),
    "ready_within": Key(readers.duration(positive=True), "Not ready after so long is a failure."),
    "beat_within": Key(readers.duration(positive=True), "Silent for so long means hung; without it no beats are expected."),
    "grace": Key(readers.duration(), "Time between SIGTERM and SIGKILL."),
    **KEEPING,
    "success": Key(readers.several(forms.ending(), least=1), "Exit codes and signals that are a clean end."),
    "never_restart": Key(readers.several(forms.ending()), "Exit codes and signals after which it is not started again."),
    "env": Key(forms.environment(), "Environment variables; they win over those of env_files."),
    "env_files": Key(readers.several(forms.environment_file()), "Files of KEY=VALUE lines; `-path` may be missing."),
    "cwd": Key(forms.path(), "Working folder."),
    "umask": Key(forms.umask(), "File mode creation mask."),
    "user": Key(forms.account(), "User to run as."),
    "group": Key(forms.account(), "Unix group to run as."),
    "nice": Key(readers.integer(-20, 19), "Scheduling priority; 19 is the most modest."),
    "cpus": Key(forms.cpus(), "Any CPU, one CPU for each replica in turn, or these."),
    "output": Key(forms.output, "Where stdout and stderr go."),
}

GROUP = {
    "members": Key(readers.several(forms.name(), least=1), "Workers and groups in start order; required."),
    "strategy": Key(readers.word(tuple(Strategy), Strategy), "Who is restarted when a member fails: it alone, all, or it and those after it."),
    "needs": Key(readers.several(forms.need()), "Workers and groups that must have got so far before the first member starts."),
    **KEEPING,
}
