"""From TOML to specs, and every mistake with its place, a sentence and a suggestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.config import BadConfig, check, load
from supervisor.spec import Backoff, Config, Need, Output, Probe, Quarantine, Ready, Restart, Strategy, Until

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, text: str) -> Config:
    path = folder / "x.toml"
    path.write_text(text)
    return load(str(path))


def problems(folder: Path, text: str) -> list[str]:
    """The problems, each without the name of the file."""
    path = folder / "x.toml"
    path.write_text(text)
    config, found = check(str(path))
    assert (config is None) == bool(found)
    return [str(problem).removeprefix(f"{path}: ") for problem in found]


def of_worker(folder: Path, line: str) -> list[str]:
    return problems(folder, f'[workers.a]\ntarget = "m:f"\n{line}\n')


def test_every_key_of_the_design_arrives_in_the_spec(tmp_path: Path) -> None:
    """One worker with everything, one group, one template, and the service."""
    (tmp_path / "a.env").write_text('# a comment\nA=1\nB = "two \\"words\\""\nC=\'$x\'\nMODE=test\n')
    config = read(tmp_path, """
        [supervisor]
        name = "demo"
        path = ["lib", "/opt/lib"]
        starting_at_once = 4
        recent = "1M"
        control = { group = "ops", group_may = "all" }
        [templates.science]
        preload = ["numpy", "sklearn.linear_model"]
        env = { X = "1" }
        [workers.feed]
        command = ["sleep", "1"]
        restart = "transient"
        [workers.forecast]
        target = "workers.forecast:main"
        args = { rows = 100_000 }
        template = "science"
        replicas = 2
        standby = 1
        restart = "transient"
        needs = ["feed:completed", "pipeline:started"]
        ready = { http = "http://127.0.0.1:8080/healthz", every = "2s", timeout = "500ms" }
        ready_within = "20s"
        beat_within = "5s"
        grace = 3
        stable_after = "1m"
        backoff = { first = "1s", initial = "200ms", multiplier = 3, max = "1m", jitter = 0 }
        max_failures = 3
        on_quarantine = { probation = "5m" }
        significant = true
        success = [0, 3, "SIGTERM"]
        never_restart = [78]
        cpus = ["0-3,6", "7"]
        user = "svc"
        group = 33
        cwd = "srv"
        umask = "027"
        nice = 5
        env = { MODE = "prod" }
        env_files = ["a.env", "-none.env"]
        output = { file = "log/out", max = "1M", keep = 2, when_full = "drop", rate = 10 }
        [groups.pipeline]
        strategy = "rest_for_one"
        members = ["feed"]
        max_failures = 2
        """)  # fmt: skip
    forecast = config.workers["forecast"]
    assert config.path == (f"{tmp_path}/lib", "/opt/lib")
    assert (config.name, config.starting_at_once, config.recent) == ("demo", 4, 1 << 20)
    assert (config.control.group, config.control.group_may) == ("ops", "all")
    assert config.templates["science"].preload == ("numpy", "sklearn.linear_model")
    assert config.workers["feed"].command == ("sleep", "1")
    assert config.groups["pipeline"].strategy is Strategy.REST_FOR_ONE
    assert config.groups["pipeline"].policy.max_failures == 2
    assert forecast.needs == (
        Need(name="feed", until=Until.COMPLETED),
        Need(name="pipeline", until=Until.STARTED),
    )
    assert forecast.ready == Probe(http="http://127.0.0.1:8080/healthz", every=2, timeout=0.5)
    assert (forecast.ready_within, forecast.beat_within, forecast.grace) == (20, 5, 3)
    assert forecast.policy.restart is Restart.TRANSIENT
    assert forecast.policy.backoff == Backoff(first=1, initial=0.2, multiplier=3, max=60, jitter=0)
    assert forecast.policy.on_quarantine == Quarantine(action="probation", probation=300)
    assert forecast.policy.success == (0, 3, "SIGTERM")
    assert forecast.policy.significant
    assert forecast.cpus == ("0-3,6", "7")
    assert (forecast.user, forecast.group, forecast.umask, forecast.nice) == ("svc", 33, 0o27, 5)
    assert forecast.cwd == f"{tmp_path}/srv"
    assert forecast.env == {"A": "1", "B": 'two "words"', "C": "$x", "MODE": "prod"}
    assert forecast.output == Output(
        to="file", file=f"{tmp_path}/log/out", max=1 << 20, keep=2, when_full="drop", rate=10
    )


def test_an_empty_file_is_a_service_without_workers(tmp_path: Path) -> None:
    """Everything has a default, and modules are found beside the config file."""
    config = read(tmp_path, "")
    assert config.workers == {}
    assert config.path == (str(tmp_path),)
    assert read(tmp_path, '[workers.a]\ntarget = "m:f"').workers["a"].ready is Ready.AUTO


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("beat_witin = 5", 'workers.a.beat_witin: unknown key; did you mean "beat_within"?'),
        ("limits = {}", "workers.a.limits: unknown key"),
        ("recycle = {}", "workers.a.recycle: unknown key"),
        ("credentials = {}", "workers.a.credentials: unknown key"),
        ("chaos = 1", "workers.a.chaos: must be true or false, not 1"),
        ("backoff = { initial = 1, max = 0.5 }", "workers.a.backoff.max: 0.5 s is below initial (1 s); "),
        (
            "backoff = { multiplier = 0.5 }",
            "workers.a.backoff.multiplier: must lie between 1 and 1000, 0.5 does not",
        ),
        ("backoff = { inital = 1 }", 'workers.a.backoff.inital: unknown key; did you mean "initial"?'),
        ("replicas = 0", "workers.a.replicas: must lie between 1 and 10000, 0 does not"),
        ("standby = 101", "workers.a.standby: must lie between 0 and 100, 101 does not"),
        ('replicas = "2"', 'workers.a.replicas: must be a whole number, not "2"; without quotes: 2'),
        ("grace = -1", "workers.a.grace: a duration lies between 0 and 3650d"),
        ('grace = "5 sec"', "workers.a.grace: '5 sec' is not a duration"),
        ("ready_within = inf", "workers.a.ready_within: a duration lies between 0 and 3650d"),
        ("beat_within = 0", "workers.a.beat_within: must be longer than 0 s"),
        ("nice = 20", "workers.a.nice: must lie between -20 and 19, 20 does not"),
        (
            "umask = 22",
            'workers.a.umask: must be octal digits in quotes, such as "027", not 22; did you mean "022"?',
        ),
        ('restart = "allways"', "workers.a.restart: must be one of"),
        ("significant = 1", "workers.a.significant: must be true or false, not 1"),
        ('ready = "nootify"', 'did you mean "notify"?'),
        (
            'ready = { http = "http://x/", tcp = "x:1" }',
            "workers.a.ready: needs exactly one of http, tcp, exec",
        ),
        ('ready = { http = "https://x/" }', "workers.a.ready.http: must be an address such as"),
        ('ready = { tcp = "x:99999" }', 'workers.a.ready.tcp: "x:99999" is no address'),
        ('on_quarantine = "exits"', 'did you mean "exit"?'),
        ("on_quarantine = {}", "workers.a.on_quarantine: is missing probation"),
        ('on_quarantine = "escalate"', "workers.a.on_quarantine: there is no group to escalate to"),
        ('success = ["TERM"]', 'workers.a.success[0]: "TERM" is no signal; did you mean "SIGTERM"?'),
        ("success = [256]", "workers.a.success[0]: must lie between 0 and 255, 256 does not"),
        ("never_restart = [0]", "workers.a.never_restart: 0 is in success, too"),
        ('cpus = "3-0"', 'workers.a.cpus: the range "3-0" runs backwards; did you mean "0-3"?'),
        ('cpus = "spraed"', "workers.a.cpus: must be a list of CPUs"),
        ('cpus = ["0", "1"]', "workers.a.cpus: has 2 entries for 1 replica"),
        ("env = { PORT = 80 }", 'workers.a.env.PORT: must be a string, not 80; quote it: "80"'),
        ('env = { NINELIVES_NAME = "x" }', "workers.a.env.NINELIVES_NAME: names that begin with NINELIVES_"),
        ('env = { A = "\\u0000" }', "workers.a.env.A: must not contain a NUL character"),
        ('env_files = ["none.env"]', "none.env cannot be read: No such file or directory"),
        ("output = { max = 5000 }", "workers.a.output: max and keep belong to a file"),
        ('output = "captured"', 'did you mean "capture"?'),
        ("args = { when = 2024-01-01 }", "workers.a.args.when: dates and times cannot be passed on"),
        ("args = { n = 0xffffffffffffffffff }", "workers.a.args.n: does not fit into 64 bits"),
        ("args = { not-a-name = 1 }", "workers.a.args.not-a-name: cannot be the name of an argument"),
        ('template = "scince"', "workers.a.template: there is no template scince"),
        ('needs = "b"', 'workers.a.needs: must be a list, not "b"; a list of one: ["b"]'),
        ('needs = ["b"]', "workers.a.needs[0]: there is no worker or group b"),
        ('needs = ["a:redy"]', 'did you mean "ready"?'),
        ('command = ["x"]', "workers.a: needs exactly one of target (a function) and command (a program)"),
        ("stable_after = 0", "workers.a.stable_after: its quarantine can never be reached"),
    ],
)
def test_a_mistake_in_a_worker_is_told_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    """One mistake, one problem: key path, sentence, suggestion."""
    found = of_worker(tmp_path, line)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[worker.a]", 'worker: unknown table; did you mean "workers"?'),
        ("[chaos]\nenable = true", "chaos.enable: unknown key"),
        ("workers = 3", "workers: must be a table of tables, not 3"),
        ("[workers]\na = 3", "workers.a: must be a table, not 3; begin it with [workers.a]"),
        ("supervisor = []", "supervisor: must be a table, not a list"),
        ('[supervisor]\nname = "a/b"', "supervisor.name: must be a name"),
        ('[workers."a b"]\ntarget = "m:f"', 'workers."a b": the name must be a name'),
        ("[templates.bare]", "templates.bare: bare is always there"),
        ("[workers.a]", "workers.a: needs exactly one of target"),
        ('[workers.a]\ntarget = "m.f"', 'did you mean "m:f"?'),
        ('[workers.a]\ncommand = "sleep 5"', 'did you mean ["sleep", "5"]?'),
        ("[workers.a]\ncommand = []", "workers.a.command: must not be empty"),
        ('[workers.a]\ncommand = ["x"]\nargs = { a = 1 }', "workers.a.args: only a target takes args"),
        ("[groups.g]", "groups.g: is missing members"),
        ("a = ", "is not TOML: Invalid value (at end of document)"),
        ("a = " + "[" * 5000, "is not TOML we can read: it nests too deep"),
        ("a" + ".a" * 100_000 + " = 1", "a key has more than 32 parts"),
        ("a = " + "9" * 5000, "is not TOML: "),
    ],
)
def test_a_mistake_elsewhere_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    """One mistake, one problem: key path, sentence, suggestion."""
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert problem in found[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One run of check is enough to mend a file."""
    found = problems(tmp_path, """
        [supervisor]
        nmae = "x"
        [workers.a]
        target = "m:f"
        replicas = 0
        backoff = { initial = "x", jitter = -1 }
        needs = ["b", "c"]
        [workers.b]
        [groups.g]
        members = ["a", "d"]
        """)  # fmt: skip
    assert [problem.split(": ")[0] for problem in found] == [
        "supervisor.nmae",
        "workers.a.replicas",
        "workers.a.backoff.initial",
        "workers.a.backoff.jitter",
        "workers.b",
        "groups.g.members[1]",
        "workers.a.needs[1]",
    ]


def test_a_mistake_in_an_env_file_names_file_and_line(tmp_path: Path) -> None:
    """Each bad line is a problem of its own."""
    (tmp_path / "a.env").write_text('A=1\nexport B=2\n\nC\nD="x\nNINELIVES_E=1\n')
    found = of_worker(tmp_path, 'env_files = ["a.env"]')
    assert [problem.split(", ")[1].split(":")[0] for problem in found] == [
        "line 2",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert found[0].endswith("leave out export")


def test_a_file_that_cannot_be_read_is_a_problem_too(tmp_path: Path) -> None:
    """Missing, a folder, a device, not UTF-8, a name no file can have."""
    (tmp_path / "latin").write_bytes(b"a = 1\n# \xe4")
    for path, what in [
        (f"{tmp_path}/none", "No such file"),
        (str(tmp_path), "Is a directory"),
        ("/dev/zero", "is not a regular file"),
        (f"{tmp_path}/latin", "is not UTF-8 (line 2)"),
        ("a\0b", "NUL"),
        ("", "No such file"),
    ]:
        config, found = check(path)
        assert config is None
        assert [what in str(problem) for problem in found] == [True]
        with pytest.raises(BadConfig) as error:
            load(path)
        assert error.value.problems == tuple(found)
