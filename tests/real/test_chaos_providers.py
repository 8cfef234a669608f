"""The provider `process`: programs."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.chaos import journal as journals
from supervisor.chaos.activities import Activity
from supervisor.chaos.providers import Failed, Providers
from supervisor.chaos.runner import Runner, Unconfigured
from supervisor.chaos.variables import Variables
from tests.unit.chaos_files import acting, of_functions, read, trying, wrong

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Variables()


def call(provider: dict[str, Any], variables: Variables = NOTHING, *, providers: Providers | None = None) -> Any:
    activity = Activity({"type": "probe", "name": "x", "provider": provider})
    return (providers or Providers(allow_process=True)).call(activity, variables)


def program(path: str, *arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "process", "path": path, "arguments": list(arguments), **more}


def test_a_program_answers_its_status_and_what_it_wrote() -> None:
    """Every status is an answer: a tolerance judges it."""
    assert call(program("sh", "-c", "echo out; echo err >&2; exit 3")) == {
        "status": 3,
        "stdout": "out\n",
        "stderr": "err\n",
    }


def test_no_shell_is_between_an_experiment_and_a_program() -> None:
    """An argument is an argument, whatever stands in it."""
    variables = Variables(configuration={"name": "a b; false", "n": 3})
    output = call(program("printf", "%s|", "${name}", "$(id)", "*", "${n}"), variables)
    assert output["stdout"] == "a b; false|$(id)|*|3|"


def test_arguments_as_an_object_are_names_and_values() -> None:
    """The older form; an empty value is an option without one."""
    assert (
        call({"type": "process", "path": "echo", "arguments": {"-a": "1", "--flag": ""}})["stdout"] == "-a 1 --flag\n"
    )


def test_a_program_that_is_late_is_killed_with_what_it_started() -> None:
    """Its whole process group, and the activity has failed."""
    began = time.monotonic()
    with pytest.raises(Failed, match=r"sh did not end within 0.2 s and was killed"):
        call(program("sh", "-c", "sleep 60 & sleep 60", timeout=0.2))
    assert time.monotonic() - began < 5


def test_a_run_that_is_interrupted_ends_its_programs() -> None:
    """Those without a time limit, too."""
    providers = Providers(allow_process=True)
    tree = trying({"type": "action", "name": "x", "provider": program("sh", "-c", "sleep 60 & sleep 60")})
    runner = Runner(read(tree, providers), providers)
    threading.Timer(0.3, runner.course.interrupt).start()
    began = time.monotonic()
    journal = runner.run()
    assert time.monotonic() - began < 5
    assert (journal["status"], journal["run"][0]["output"]["status"]) == ("interrupted", -9)


def test_the_same_providers_serve_one_run_after_the_other() -> None:
    """As with --repeat; in between they start nothing."""
    providers = Providers(allow_process=True)
    experiment = read(trying({"type": "action", "name": "x", "provider": program("true")}), providers)
    for _ in range(2):
        assert Runner(experiment, providers).run()["run"][0]["status"] == "succeeded"
        with pytest.raises(Failed, match="the run is over"):
            call(program("true"), providers=providers)


def test_a_program_that_is_not_there_is_refused_before_the_run(tmp_path: Path) -> None:
    """So is one that cannot be executed, and a line for a shell."""
    (tmp_path / "plain").write_text("")

    def said(provider: dict[str, Any]) -> list[str]:
        tree = trying({"type": "action", "name": "x", "provider": provider})
        return [one.removeprefix("method[0].provider.") for one in wrong(tree, Providers(allow_process=True))]

    assert said(program("no-such-program")) == ["path: there is no program no-such-program"]
    assert said(program(str(tmp_path / "plain"))) == [f"path: {tmp_path}/plain is there, but cannot be executed"]
    assert said({"type": "process", "path": "echo", "arguments": "-a 1 | sh"}) == [
        "arguments: must be a list: there is no shell here to take a line apart"
    ]
    assert said(program("echo", timeout="soon")) == ['timeout: must be a number of seconds, not "soon"']
    assert said(program("echo", timout=1)) == [
        'timout: is no key of this part of an experiment; did you mean "timeout"?'
    ]


def test_a_tolerance_s_program_accepts_by_its_status() -> None:
    """The specification: its returned status must be successful."""
    providers = of_functions()
    judge = Activity({"type": "probe", "name": "judge", "provider": program("true")})
    assert providers.judge(judge, NOTHING, 1) is None
    judge = Activity({"type": "probe", "name": "judge", "provider": program("false")})
    assert providers.judge(judge, NOTHING, 1) == "answered 1, which judge did not accept"


def test_a_value_of_the_configuration_may_be_what_a_program_prints() -> None:
    """Without the line's end; a program that fails tells nothing."""

    def echo(value: str) -> str:
        return value

    providers = of_functions(echo)
    tree = trying(acting("echo", value="${x}"), configuration={
        "x": {"type": "probe", "name": "x", "provider": program("echo", "told")}})  # fmt: skip
    assert Runner(read(tree, providers), providers).run()["run"][0]["output"] == "told"
    providers = of_functions(echo)
    tree["configuration"]["x"]["provider"] = program("sh", "-c", "echo no >&2; exit 2")
    with pytest.raises(Unconfigured, match=r"configuration.x: the program ended with 2: no"):
        Runner(read(tree, providers), providers).run()


def test_what_a_program_writes_goes_into_the_journal_as_text(tmp_path: Path) -> None:
    """Bytes that are no text included."""
    providers = Providers(allow_process=True)
    tree = trying({"type": "action", "name": "x", "provider": program("printf", "\\377")})
    path = str(tmp_path / "journal.json")
    journals.written(Runner(read(tree, providers), providers).run(), path)
    assert journals.loaded(path)["run"][0]["output"]["stdout"] == "\ufffd"
    assert os.listdir(tmp_path) == ["journal.json"]
