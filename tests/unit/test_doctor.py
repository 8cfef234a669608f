"""What `ninelives doctor` says of a machine, and what `ninelives systemd` makes of the shipped units."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from supervisor.cli import doctor, systemd
from supervisor.cli.doctor import Finding

if TYPE_CHECKING:
    from pathlib import Path

analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd: needs systemd-analyze")


def options(module: object, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(arguments)


@pytest.mark.parametrize("look", doctor.LOOKS, ids=lambda look: look.__name__)
def test_every_look_finds_something_and_raises_nothing(look: object) -> None:
    """A finding has a name, a grade and a fact, whatever the machine is like."""
    finding = look()  # type: ignore[operator]
    assert finding.name
    assert finding.found
    assert finding.grade in doctor.COLOURS
    assert finding.grade != "bad" or finding.follows


@pytest.mark.parametrize("look", [doctor.pidfds, doctor.brand, doctor.subreaper, doctor.proc_children])
def test_what_the_tests_of_this_project_rely_on_is_here(look: object) -> None:
    """Where these fail, the tests with real processes could not pass either."""
    assert look().grade == "ok"  # type: ignore[operator]


def test_an_old_supervisord_in_the_same_environment_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both packages are called supervisor; whichever was installed last has overwritten the other."""
    (tmp_path / "supervisor-4.2.5.dist-info").mkdir()
    (tmp_path / "supervisor-4.2.5.dist-info" / "METADATA").write_text("Name: supervisor\nVersion: 4.2.5\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert doctor.package_clash().grade == "bad"
    assert "4.2.5" in doctor.package_clash().found


def test_the_exit_code_is_one_when_something_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts can ask without reading."""
    monkeypatch.setattr(
        doctor, "LOOKS", (lambda: Finding("a", "ok", "b"), lambda: Finding("c", "note", "d", "e"))
    )
    assert doctor.main(options(doctor, "--json")) == 0
    assert json.loads(capsys.readouterr().out)[1] == {
        "name": "c",
        "grade": "note",
        "found": "d",
        "follows": "e",
    }
    monkeypatch.setattr(doctor, "LOOKS", (lambda: Finding("a", "bad", "b", "c"),))
    assert doctor.main(options(doctor)) == 1
    assert capsys.readouterr().out == "bad   a  b\n         -> c\n"


def test_colours_are_for_terminals() -> None:
    """A table in a pipe has no escape sequences."""
    findings = [Finding("a", "bad", "b")]
    assert "\033" not in doctor.table(findings, colour=False)
    assert "\033[31m" in doctor.table(findings, colour=True)


@pytest.mark.parametrize("user", [False, True])
def test_the_unit_calls_this_installation(user: bool) -> None:
    """ExecStart and ExecReload name the command that printed the unit, and nothing else was changed."""
    text = systemd.unit(user=user, command="/opt/nine/bin/ninelives")
    assert "ExecStart=/opt/nine/bin/ninelives run --name %i " in text
    assert "ExecReload=/opt/nine/bin/ninelives reload --name %i\n" in text
    assert systemd.SHIPPED_COMMAND not in text


@pytest.mark.parametrize("user", [False, True])
def test_a_refusal_is_not_tried_again(user: bool) -> None:
    """Usage, a second service of the name and a bad config would fail the same way every time."""
    assert "RestartPreventExitStatus=2 3 78\n" in systemd.unit(user=user)


def test_a_command_is_quoted_as_systemd_reads_it() -> None:
    """% and $ mean something to systemd, and spaces separate."""
    assert systemd.quoted(("/opt/100% $x/ninelives", "-m")) == '"/opt/100%% $$x/ninelives" -m'


def test_install_writes_once_and_overwrites_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same again is fine, a unit somebody changed stays, --force replaces it."""
    where = tmp_path / "systemd" / "system"
    assert systemd.install(where) == 0
    assert systemd.install(where) == 0
    (where / systemd.NAME).write_text("[Service]\n")
    assert systemd.install(where) == 3
    assert (where / systemd.NAME).read_text() == "[Service]\n"
    assert "--force" in capsys.readouterr().err
    assert systemd.install(where, force=True) == 0
    assert (where / systemd.NAME).read_text() == systemd.unit()
    assert [path.name for path in where.iterdir()] == [systemd.NAME]


def test_a_command_the_service_could_not_reach_is_named(tmp_path: Path) -> None:
    """A closed folder on the way is found before systemd says 203/EXEC."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "ninelives").touch()
    assert any("cannot enter" in line for line in systemd.hindrances(str(closed / "ninelives"), user=False))
    assert systemd.hindrances(str(closed / "ninelives"), user=True) == []


@analyze
@pytest.mark.systemd
@pytest.mark.parametrize(("hardened", "user"), [(False, False), (True, False), (False, True)])
def test_systemd_finds_no_fault_and_little_exposure(
    hardened: bool, user: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemd-analyze verify` is silent, and the exposure is at most 3.5 of 10 (2.0 when hardened)."""
    monkeypatch.setattr(systemd, "hindrances", lambda _path, user: [])  # of the machine, not of the unit
    assert systemd.check(hardened=hardened, user=user) == 0
    said = capsys.readouterr().out
    assert "verify: good" in said
    assert "inert here: nothing" in said
    if not user:
        score = re.search(r"exposure level for .*: ([0-9.]+)", said)
        assert score
        assert float(score[1]) <= (2.0 if hardened else 3.5)
