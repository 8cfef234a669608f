"""What the commands make of words and of answers, without a socket."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from supervisor import place
from supervisor.cli import parser, words
from supervisor.cli.main import COMMANDS, main
from supervisor.cli.paint import Column, cut, duration, harmless, paint, size, table, width
from supervisor.cli.status import draw, sentence

if TYPE_CHECKING:
    from pathlib import Path


def test_every_command_that_can_be_typed_has_a_module() -> None:
    """The parser and the table of commands name the same words."""
    assert set(words._commands()) == set(COMMANDS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0123, "0.012s"), (4.24, "4.2s"), (192, "3m12s"), (7500, "2h05m"), (792_000, "9d04h")],
)
def test_durations_take_two_units_at_most(seconds: float | None, text: str) -> None:
    """Short enough for a column, exact enough to compare."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (512, "512B"), (14_890_000, "14.2M"), (2**40 * 3000, "3000.0T")]
)
def test_sizes_are_binary(count: int | None, text: str) -> None:
    """1.0K is 1024 bytes."""
    assert size(count) == text


def test_a_table_fits_whatever_it_is_given() -> None:
    """Columns leave in their order, and what is still too wide is cut; colours take no room."""
    columns = [Column("NAME"), Column("N", right=True), Column("WHY", drop=1)]
    rows = [[paint("mailer", "red", on=True), "1", "a long story"], ["web", "22", "-"]]
    assert table(columns, rows, fits=80)[2] == "web     22  -"
    for fits in range(1, 40):
        assert all(width(line) <= fits for line in table(columns, rows, fits=fits))
    assert "WHY" not in table(columns, rows, fits=15)[0]


def test_a_cut_colour_is_closed() -> None:
    """What follows a cut cell is not painted by it."""
    assert cut(paint("abcdef", "red", on=True), 3).endswith("\x1b[0m")


def test_what_a_worker_wrote_cannot_drive_the_terminal() -> None:
    """Escape sequences are shown, not obeyed."""
    assert harmless("\x1b]0;title\x07") == "\\x1b]0;title\\x07"


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_status_fits_the_terminal(columns: int) -> None:
    """No line is wider than the terminal, with groups and odd values too."""
    worker: dict[str, Any] = {
        "worker": "w" * 30,
        "want": "up",
        "phase": "ready",
        "pid": 1,
        "last_ending": None,
    }
    group = {"group": "g", "phase": "ready", "streak": 0, "strategy": "one_for_all", "members": ["a"] * 40}
    state = {
        "supervisor": {"name": "n", "pid": 1, "uptime_s": 1, "resumes": 2},
        "workers": [worker],
        "groups": [group],
    }
    assert all(width(line) <= columns for line in draw(state, colour=True, columns=columns))


def test_the_sentence_counts_what_is_wanted() -> None:
    """Who is down because it was asked to be is not missing."""
    workers = [
        {"worker": "a", "want": "up", "phase": "ready"},
        {"worker": "b", "want": "up", "phase": "quarantined"},
        {"worker": "c", "want": "down", "phase": "down"},
    ]
    assert sentence(workers) == "1 of 2 ready, 1 quarantined: b"


@pytest.mark.parametrize(("result", "shown"), [("success", "completed"), ("exit-code", "failed")])
def test_down_though_wanted_says_why(result: str, shown: str) -> None:
    """A worker that is not restarted has completed or failed; it is not merely down."""
    worker = {"worker": "a", "want": "up", "phase": "down", "last_ending": {"result": result}}
    lines = draw({"supervisor": {}, "workers": [worker]}, colour=False, columns=200)
    assert lines[-1].split()[:2] == ["a", shown]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is added to the parser is completed."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_man_page_has_every_command_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    """One place for help and manual."""
    assert main(["man"]) == 0
    page = capsys.readouterr().out
    assert all(f".SS {name}" in page for name in COMMANDS)
    assert "no service answers" in page


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("10m", 600), ("1.5h", 5400), ("500ms", 0.5), ("1d", 86_400)]
)
def test_durations_are_read_with_units(text: str, value: float) -> None:
    """As people write them."""
    assert parser.seconds(text) == value


def test_the_socket_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """systemd's folder, else the session's, else the system's for root, else one of our own in /tmp."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/a:{tmp_path}/b")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert place.socket_path("x") == f"{tmp_path}/a/x.sock"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert place.socket_path("x") == "/run/user/1000/ninelives/x.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert place.socket_path("x") == "/tmp/ninelives-1000/x.sock"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert place.socket_path("x") == "/run/ninelives/x.sock"


def test_a_folder_that_others_may_write_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anybody could have put a socket there that answers for us."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    with pytest.raises(place.PlaceError, match="everybody may write"):
        place.prepare()
    assert place.services() == {} or str(folder) not in str(place.services())


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "x" * 120])
def test_a_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    """A name is one part of a path, and the path fits into a socket address."""
    with pytest.raises(place.PlaceError):
        place.socket_path(name)
