"""No input makes check crash, and what show writes load reads."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor import keys
from supervisor.config import BadConfig, check, load, show
from supervisor.effective import toml
from supervisor.problems import key_text
from supervisor.spec import (
    Backoff,
    ChildSpec,
    Config,
    Control,
    GroupSpec,
    Need,
    Output,
    Policy,
    Probe,
    Quarantine,
    Ready,
    Restart,
    Strategy,
    TemplateSpec,
)


def checked(data: bytes) -> tuple[Config | None, list[str]]:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        config, problems = check(file.name)
        try:
            assert load(file.name) == config
        except BadConfig as bad:
            assert bad.problems == tuple(problems)  # noqa: PT017 - both ways are right
    return config, [str(problem) for problem in problems]


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_make_check_crash(data: bytes) -> None:
    """It gives a config or problems, never both, never neither."""
    config, problems = checked(data)
    assert (config is None) == bool(problems)


WORDS = sorted(
    {*keys.SUPERVISOR, *keys.TEMPLATE, *keys.WORKER, *keys.GROUP, "http", "max", "file", "a", "b-0", "", "é"}
)
values = st.recursive(
    st.none().map(lambda _: 0) | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([*WORDS, "5s", "1G", "a:ready", "m:f", "escalate", "spread", "0-1", "SIGTERM"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def tables(known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    table = st.dictionaries(st.sampled_from([*known, "nonsense"]), values, max_size=6)
    return st.dictionaries(st.sampled_from(["a", "b", "b-0", "g", "x y"]), table | values, max_size=4)


trees = st.fixed_dictionaries(
    {},
    optional={
        "supervisor": st.dictionaries(st.sampled_from([*keys.SUPERVISOR, "nonsense"]), values) | values,
        "templates": tables(keys.TEMPLATE) | values,
        "workers": tables(keys.WORKER) | values,
        "groups": tables(keys.GROUP) | values,
        "nonsense": values,
    },
)


@settings(deadline=None)
@given(trees)
def test_no_tree_makes_check_crash(tree: dict[str, Any]) -> None:
    """Right keys with wrong values, wrong keys, tables for numbers: problems, and nothing else."""
    lines = "\n".join(f"{key_text(key)} = {toml(value)}" for key, value in tree.items())
    config, problems = checked(lines.encode())
    assert (config is None) == bool(problems)
    assert not any("is not TOML" in problem for problem in problems if "date" not in problem)


entities = st.sampled_from(["a", "b", "c", "g", "h", "i"])
needs = st.lists(st.tuples(entities, st.sampled_from(["", ":started"])).map("".join), max_size=2, unique=True)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", "g"]), needs),
    st.dictionaries(
        st.sampled_from(["g", "h", "i"]), st.tuples(st.lists(entities, min_size=1, max_size=3), needs)
    ),
)
def test_no_web_of_groups_and_needs_makes_check_crash(
    workers: dict[str, list[str]], groups: dict[str, tuple[list[str], list[str]]]
) -> None:
    """Cycles over needs, over order, over groups in groups, and all at once."""
    tree = {
        "workers": {name: {"target": "m:f", "needs": needed} for name, needed in workers.items()},
        "groups": {name: {"members": members, "needs": needed} for name, (members, needed) in groups.items()},
    }
    checked("\n".join(f"{key} = {toml(value)}" for key, value in tree.items()).encode())


seconds = st.floats(0, 1e6)
positive = st.floats(1e-3, 1e6)
plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.]{0,8}\Z")
json = st.recursive(
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(plain, inner, max_size=2),
    max_leaves=4,
)
quarantines = st.builds(Quarantine, action=st.sampled_from(["stay", "exit"])) | st.builds(
    Quarantine, action=st.just("probation"), probation=positive
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    initial = draw(st.floats(0, 1e3))
    backoff = Backoff(
        first=draw(seconds), initial=initial, multiplier=draw(st.floats(1, 1000)),
        max=initial + draw(seconds), jitter=draw(seconds),
    )  # fmt: skip
    return Policy(
        restart=draw(st.sampled_from(Restart)),
        stable_after=draw(st.floats(2e6, 3e6)),
        backoff=backoff,
        max_failures=draw(st.integers(1, 100)),
        on_quarantine=draw(quarantines),
        significant=draw(st.booleans()),
        success=tuple(draw(st.lists(st.integers(0, 9) | st.just("SIGTERM"), min_size=1, max_size=3))),
        never_restart=tuple(draw(st.lists(st.integers(10, 255) | st.just("SIGKILL"), max_size=3))),
    )


env = st.dictionaries(
    st.from_regex(r"\A[A-MO-Z_a-z][^=\0]{0,5}\Z").filter(lambda k: k.isprintable()), plain, max_size=3
)
probes = st.builds(Probe, tcp=st.just("localhost:1"), every=positive, timeout=positive) | st.builds(
    Probe, exec=st.tuples(st.just("x"), plain)
)
outputs = st.builds(
    Output, to=st.just("file"), file=st.just("/tmp/x"), max=st.integers(4096, 1 << 40),
    keep=st.integers(0, 9), when_full=st.sampled_from(["block", "drop"]), rate=st.none() | positive,
) | st.builds(Output, when_full=st.sampled_from(["block", "drop"]), rate=st.none() | positive) | st.just(
    Output(to="inherit")
)  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> Config:
    names_ = draw(st.lists(names, unique=True, min_size=3, max_size=6))
    group, template, *workers = names_
    specs: dict[str, ChildSpec] = {}
    for index, name in enumerate(workers):
        program = draw(st.booleans())
        replicas = draw(st.none() | st.integers(1, 3))
        listed = st.just(tuple(["0-3,6"] * (replicas or 1)))
        specs[name] = ChildSpec(
            name=name,
            target=None if program else "package.module:function",
            command=("/bin/x", draw(plain)) if program else None,
            args={} if program else draw(st.dictionaries(st.sampled_from(["a", "b", "ü"]), json, max_size=2)),
            replicas=replicas,
            template="bare" if program else draw(st.sampled_from(["bare", template])),
            standby=draw(st.integers(0, 3)),
            needs=tuple(Need(name=other) for other in workers[:index]),
            ready=draw(st.sampled_from(Ready) | probes),
            ready_within=draw(positive),
            beat_within=draw(st.none() | positive),
            grace=draw(seconds),
            policy=draw(policies()),
            env=draw(env),
            cwd=draw(st.none() | st.just("/srv/ü x")),
            umask=draw(st.none() | st.integers(0, 0o777)),
            user=draw(st.none() | st.integers(0, 9) | st.just("svc")),
            group=draw(st.none() | st.integers(0, 9) | st.just("svc")),
            nice=draw(st.none() | st.integers(-20, 19)),
            cpus=draw(st.sampled_from(["symmetric", "spread", "0-3"]) | listed),
            output=draw(outputs),
        )
    # success and never_restart are keys of workers only
    kept = Policy(backoff=Backoff(max=draw(st.floats(1, 99))), on_quarantine=draw(quarantines))
    return Config(
        source="",
        name=draw(names),
        path=tuple(draw(st.lists(st.just("/opt/x"), max_size=2))),
        starting_at_once=draw(st.integers(1, 10_000)),
        recent=draw(st.integers(1 << 16, 1 << 40)),
        control=Control(
            group=draw(st.none() | st.just("ops")), group_may=draw(st.sampled_from(["read", "all"]))
        ),
        templates={template: TemplateSpec(name=template, preload=("numpy",), env=draw(env))},
        workers=specs,
        groups={
            group: GroupSpec(
                name=group, members=tuple(workers), strategy=draw(st.sampled_from(Strategy)), policy=kept
            )
        },
    )


@settings(deadline=None)
@given(configs())
def test_what_show_writes_load_reads(config: Config) -> None:
    """The effective config is a config, and the same one."""
    import msgspec  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(show(config))
        file.flush()
        found, problems = check(file.name)
        assert [str(problem) for problem in problems if "bare is always" not in str(problem)] == []
        if found is not None:
            assert msgspec.structs.replace(config, source=file.name) == found
