"""A config written out again, defaults and all: as plain values, and as TOML that loads to the same."""

from __future__ import annotations

from typing import Any

import msgspec

from supervisor.problems import key_text, text
from supervisor.spec import (
    ChaosRules,
    ChildSpec,
    Config,
    Control,
    GroupSpec,
    Need,
    Output,
    Policy,
    Probe,
    Quarantine,
    TemplateSpec,
    Until,
)  # fmt: skip
from supervisor.units import duration_text, size_text

Tree = dict[str, Any]


def show(config: Config) -> str:
    """The whole effective config as TOML; its paths are absolute and its env_files are in env."""
    lines = [f"# the effective config of {text(config.source)}"]
    lines += _section(["supervisor"], service_tree(config))
    lines += _section(["chaos"], chaos_tree(config.chaos))
    for kind, tables in (
        ("templates", {name: template_tree(spec) for name, spec in config.templates.items()}),
        ("workers", {name: worker_tree(spec) for name, spec in config.workers.items()}),
        ("groups", {name: group_tree(spec) for name, spec in config.groups.items()}),
    ):
        for name, tree in tables.items():
            lines += _section([kind, name], tree)
    return "\n".join(lines) + "\n"


def service_tree(config: Config) -> Tree:
    """[supervisor] as plain values."""
    control: Control = config.control
    return _without_none({
        "name": config.name,
        "path": list(config.path),
        "starting_at_once": config.starting_at_once,
        "recent": size_text(config.recent),
        "control": _without_none({"group": control.group, "group_may": control.group_may}),
    })  # fmt: skip


def chaos_tree(rules: ChaosRules) -> Tree:
    """[chaos] as plain values."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in msgspec.structs.asdict(rules).items()
    }


def template_tree(spec: TemplateSpec) -> Tree:
    """[templates.NAME] as plain values."""
    return {"preload": list(spec.preload), "env": spec.env}


def worker_tree(spec: ChildSpec) -> Tree:
    """[workers.NAME] as plain values."""
    policy = _policy_tree(spec.policy)
    return _without_none({
        "target": spec.target,
        "command": None if spec.command is None else list(spec.command),
        "args": spec.args if spec.command is None else None,
        "replicas": spec.replicas,
        "template": spec.template,
        "standby": spec.standby,
        "restart": str(spec.policy.restart),
        "needs": [_need(need) for need in spec.needs],
        "ready": _probe_tree(spec.ready) if isinstance(spec.ready, Probe) else str(spec.ready),
        "ready_within": duration_text(spec.ready_within),
        "beat_within": None if spec.beat_within is None else duration_text(spec.beat_within),
        "grace": duration_text(spec.grace),
        **policy,
        "success": list(spec.policy.success),
        "never_restart": list(spec.policy.never_restart),
        "env": spec.env,
        "cwd": spec.cwd,
        "umask": None if spec.umask is None else f"{spec.umask:03o}",
        "user": spec.user,
        "group": spec.group,
        "nice": spec.nice,
        "cpus": spec.cpus if isinstance(spec.cpus, str) else list(spec.cpus),
        "output": _output_tree(spec.output),
        "chaos": spec.chaos,
    })  # fmt: skip


def group_tree(spec: GroupSpec) -> Tree:
    """[groups.NAME] as plain values."""
    return {
        "members": list(spec.members),
        "strategy": str(spec.strategy),
        "needs": [_need(need) for need in spec.needs],
        **_policy_tree(spec.policy),
    }


def _policy_tree(policy: Policy) -> Tree:
    backoff = policy.backoff
    return {
        "max_failures": policy.max_failures,
        "stable_after": duration_text(policy.stable_after),
        "backoff": {
            "first": duration_text(backoff.first),
            "initial": duration_text(backoff.initial),
            "multiplier": backoff.multiplier,
            "max": duration_text(backoff.max),
            "jitter": duration_text(backoff.jitter),
        },
        "on_quarantine": _quarantine_tree(policy.on_quarantine),
        "significant": policy.significant,
    }


def _quarantine_tree(quarantine: Quarantine) -> str | Tree:
    if quarantine.probation is None:
        return quarantine.action
    return {"probation": duration_text(quarantine.probation)}


def _probe_tree(probe: Probe) -> Tree:
    return _without_none({
        "http": probe.http,
        "tcp": probe.tcp,
        "exec": None if probe.exec is None else list(probe.exec),
        "every": duration_text(probe.every),
        "timeout": duration_text(probe.timeout),
    })  # fmt: skip


def _output_tree(output: Output) -> str | Tree:
    if output in (Output(), Output(to="inherit")):
        return output.to
    file = {"file": output.file, "max": size_text(output.max), "keep": output.keep} if output.file else {}
    return _without_none({**file, "when_full": output.when_full, "rate": output.rate})


def _need(need: Need) -> str:
    return need.name if need.until is Until.READY else f"{need.name}:{need.until}"


def _without_none(tree: Tree) -> Tree:
    return {key: value for key, value in tree.items() if value is not None}


def _section(path: list[str], tree: Tree) -> list[str]:
    head = ".".join(key_text(part) for part in path)
    return ["", f"[{head}]", *(f"{key_text(key)} = {toml(value)}" for key, value in tree.items())]


def toml(value: Any) -> str:
    """A plain value in TOML, on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return text(value)
        case dict():
            inside = ", ".join(f"{key_text(key)} = {toml(item)}" for key, item in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case _:
            return repr(value)
