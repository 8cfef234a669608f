"""The commands as people and scripts meet them: a process, its output, its exit code, a socket behind it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real.control_world import ROOT, Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="ninelives-") as folder:
        made = Host(Path(folder, "fake.sock"))
        yield made
        made.end()


def ninelives(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor.cli.main", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["start", "web-*"], "started: web-*\nwait: true\n"),
        (["stop", "a", "b", "--no-wait"], "stopped: a, b\nwait: false\n"),
        (["restart", "--rolling", "web-0"], "restarted: web-0\nrolling: true\nwait: true\n"),
        (["release", "mailer"], "released: mailer\n"),
        (["scale", "web", "3"], "worker: web\nreplicas: 3\n"),
        (["reload"], "nothing changes\n"),
        (["reload", "--diff"], "restart web-0: args\n"),
        (["shutdown", "--no-wait"], ""),
    ],
)
def test_each_verb_asks_what_was_typed_and_ends_with_0(host: Host, words: list[str], says: str) -> None:
    """Words become one request; its result is printed."""
    host.serve()
    done = ninelives(words[0], "--socket", host.path, *words[1:])
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["start", "mialer"], 3, "ninelives start: no worker is called 'mialer': did you mean 'mailer'?\n"),
        (["start", "broken"], 1, "ninelives start: broken did not become ready\n"),
        (["upgrade"], 1, "ninelives upgrade: upgrade refused, the old code stays: it does not import\n"),
        (["status", "nobody"], 3, "ninelives status: no worker is called 'nobody'\n"),
        (["status", "no*"], 3, "ninelives status: no worker matches 'no*'\n"),
        (["status", "--watch"], 2, "ninelives status: --watch draws on a terminal; use --json in scripts\n"),
    ],
)
def test_what_is_not_done_is_a_sentence_and_a_code(
    host: Host, words: list[str], code: int, says: str
) -> None:
    """Refused 3, failed 1, usage 2; the sentence goes to stderr and nothing to stdout."""
    host.serve()
    done = ninelives(words[0], "--socket", host.path, *words[1:])
    assert (done.returncode, done.stdout, done.stderr) == (code, "", says)


@pytest.mark.parametrize("words", [[], ["dance"], ["scale", "web", "-1"], ["stop"], ["logs", "--grep", "("]])
def test_wrong_usage_is_2(words: list[str]) -> None:
    """What cannot be understood is never sent."""
    done = ninelives(*words)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_no_service_is_4(tmp_path: Path) -> None:
    """Without a socket, or with one that nobody listens on, it is told at once."""
    done = ninelives("status", "--socket", str(tmp_path / "none.sock"))
    assert (done.returncode, "no service answers" in done.stderr) == (4, True)


def test_status_json_has_the_promised_shape(host: Host) -> None:
    """Scripts rely on these keys."""
    host.serve()
    state = json.loads(ninelives("status", "--json", "--socket", host.path).stdout)
    assert {"name", "pid", "anchor_pid", "instance_id", "uptime_s", "resumes"} <= set(state["supervisor"])
    assert set(state["workers"][0]) == {
        "worker", "want", "phase", "pid", "spawn_id", "uptime_s", "restarts", "streak", "standbys",
        "beat_age_s", "rss_bytes", "cpu_s", "last_ending",
    }  # fmt: skip


def test_status_can_be_narrowed(host: Host) -> None:
    """By a name, by a glob, by several."""
    host.serve()
    for words, names in (
        (["mailer"], ["mailer"]),
        (["web-*"], ["web-0", "web-1"]),
        (["slow", "m*"], ["mailer", "slow"]),
    ):
        state = json.loads(ninelives("status", "--json", "--socket", host.path, *words).stdout)
        assert [worker["worker"] for worker in state["workers"]] == names


def test_status_for_people_begins_with_the_sentence(host: Host) -> None:
    """The first line is the whole story; without a terminal there is no colour in it."""
    host.serve()
    lines = ninelives("status", "--socket", host.path).stdout.splitlines()
    assert lines[0] == "fake: 3 of 4 ready, 1 quarantined: mailer"
    assert lines[3].split()[:4] == ["WORKER", "PHASE", "PID", "UP"]
    assert "exit-code 1 after 0.2s" in lines[4]
    assert "\x1b" not in "".join(lines)


def test_the_only_service_is_found_and_of_several_one_must_be_named(host: Host) -> None:
    """One socket that answers is the one that is meant; two are a question."""
    folder = os.path.dirname(host.path)
    env = {"RUNTIME_DIRECTORY": folder}
    host.serve()
    assert ninelives("release", "x", env=env).returncode == 0
    second = Host(Path(folder, "other.sock"))
    try:
        unclear = ninelives("release", "x", env=env)
        assert (unclear.returncode, "fake, other" in unclear.stderr) == (2, True)
        assert ninelives("release", "x", "-n", "fake", env=env).returncode == 0
    finally:
        second.end()


def test_a_request_survives_the_supervisor(host: Host) -> None:
    """The supervisor is killed in the middle of a start: the client asks its successor, and is answered."""
    host.serve()
    assert host.process is not None
    asked = subprocess.Popen(
        [sys.executable, "-m", "supervisor.cli.main", "start", "die", "--socket", host.path],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert host.process.wait(20) == -signal.SIGKILL
    host.serve()
    assert asked.communicate(timeout=20)[0].startswith("started: die")
    assert asked.returncode == 0


def test_a_restart_is_not_asked_twice(host: Host) -> None:
    """Asked again it might restart twice: the sentence says what is not known."""
    host.serve()
    done = ninelives("restart", "die", "--socket", host.path)
    assert done.returncode == 1
    assert "`ninelives status` says" in done.stderr


def test_shutdown_waits_until_nobody_answers(host: Host) -> None:
    """The command is over when the service is: here, when its listener has gone."""
    host.serve()
    assert host.process is not None
    asked = subprocess.Popen(
        [sys.executable, "-m", "supervisor.cli.main", "shutdown", "--socket", host.path], cwd=ROOT
    )
    assert host.process.wait(20) == 0
    assert asked.poll() is None
    host.listener.close()
    assert asked.wait(20) == 0


def test_logs_are_json_lines_where_no_terminal_is(host: Host) -> None:
    """Every line as the pump gave it; the options are the filter."""
    host.serve()
    done = ninelives("logs", "-w", "web-*", "--stream", "stderr", "--last", "7", "--socket", host.path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert lines[0]["filter"] == {
        "events": "worker.output", "worker": "web-*", "stream": "stderr", "last": 7,
    }  # fmt: skip


def test_events_are_the_service_s_own(host: Host) -> None:
    """What workers wrote is no event: the pump is asked to leave it out."""
    host.serve()
    done = ninelives("events", "--level", "error", "--event", "worker.*", "--socket", host.path)
    assert (done.returncode, done.stdout) == (0, "")


def test_following_goes_on_after_the_last_line_seen(host: Host) -> None:
    """The pump hangs up after each burst: the client comes back and shows nothing twice."""
    host.serve()
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor.cli.main", "logs", "-f", "--socket", host.path],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        lines = [json.loads(following.stdout.readline()) for _ in range(6)]
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 0
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert json.loads(lines[3]["msg"]) == {
        "events": "worker.output", "instance": "0123abcd", "after": 3,
    }  # fmt: skip


def test_watch_draws_on_a_terminal_and_restores_it(host: Host) -> None:
    """In the alternate screen, through the death of the supervisor, until Ctrl-C."""
    host.serve()
    outside, inside = pty.openpty()
    command = [sys.executable, "-m", "supervisor.cli.main", "status", "--watch", "--socket", host.path]
    with subprocess.Popen(command, cwd=ROOT, stdin=inside, stdout=inside, stderr=inside) as watching:
        os.close(inside)
        seen = b""
        while b"quarantined" not in seen:
            seen += os.read(outside, 4096)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    while not seen.endswith(b"\x1b[?25h\x1b[?1049l"):
        seen += os.read(outside, 4096)
    os.close(outside)
    assert seen.startswith(b"\x1b[?1049h\x1b[?25l")


def test_a_reader_that_has_seen_enough_is_no_error(host: Host) -> None:
    """`ninelives man | head -1` ends quietly."""
    done = subprocess.run(
        f"{sys.executable} -m supervisor.cli.main man | head -1",
        cwd=ROOT,
        shell=True,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""


def test_a_bad_config_is_78_from_run_and_2_from_check(tmp_path: Path) -> None:
    """All that is wrong is on stderr, and nothing is started."""
    config = tmp_path / "bad.toml"
    config.write_text('[workers.a]\ncomand = ["true"]\n[workers.b]\ntarget = 3\n', encoding="utf-8")
    run, check = ninelives("run", str(config)), ninelives("check", str(config))
    assert (run.returncode, check.returncode) == (78, 2)
    for done in (run, check):
        assert "workers.a" in done.stderr
        assert "workers.b" in done.stderr


def test_a_good_config_can_be_shown_and_shown_is_good(tmp_path: Path) -> None:
    """`check --show` prints a config that passes `check`."""
    config = tmp_path / "good.toml"
    config.write_text('[workers.a]\ncommand = ["true"]\n', encoding="utf-8")
    shown = ninelives("check", "--show", str(config))
    assert shown.returncode == 0
    config.write_text(shown.stdout, encoding="utf-8")
    assert ninelives("check", str(config)).returncode == 0


def test_the_client_imports_nothing_heavy(tmp_path: Path) -> None:
    """A script that asks for the status in a loop pays for no asyncio, msgspec, structlog or rich."""
    program = (
        "import sys; from supervisor.cli.main import main; main(sys.argv[1:]); "
        "print(sorted({'asyncio', 'msgspec', 'structlog', 'rich', 'tenacity', 'inspect'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "status", "--socket", str(tmp_path / "none")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "[]\n"
