"""Reading an experiment: all that is wrong with it at once, each mistake at its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.chaos.providers import Providers
from tests.unit.chaos_files import acting, of_functions, probing, problems, read, trying, wrong


def rest(seconds: float = 0.0) -> None:
    """Stands for an action."""


def all_ready(worker: str = "*", *, configuration: dict[str, Any] | None = None) -> bool:
    """Stands for a probe."""
    return bool(worker or configuration)


def is_even(value: int) -> bool:
    """Stands for a tolerance's probe."""
    return value % 2 == 0


OURS = of_functions(rest, all_ready, is_even)
STEADY = probing("all_ready", True)


def warned(tree: Any) -> list[str]:
    return [str(one).removeprefix("x.json: ") for one in read(tree, OURS).warnings]


def test_an_experiment_has_its_parts_in_order() -> None:
    """The hypothesis, the method with its references, the rollbacks."""
    tree = trying(
        acting("rest", name="first", seconds=1), {"ref": "all_ready"}, {"ref": "first"}, probes=[STEADY],
        rollbacks=[acting("rest", name="last"), {"ref": "first"}],
        tags=["a"], contributions={"reliability": "high", "security": "none"},
        extensions=[{"name": "other", "data": [1]}],
        runtime={"hypothesis": {"strategy": "continuously", "frequency": 0.5, "fail_fast": True},
                 "rollbacks": {"strategy": "always"}},
    )  # fmt: skip
    found = read(tree, OURS)
    assert [one.name for one in found.hypothesis] == ["all_ready"]
    assert [(one.kind, one.name) for one in found.method] == [
        ("action", "first"), ("probe", "all_ready"), ("action", "first")
    ]  # fmt: skip
    assert [one.name for one in found.rollbacks] == ["last", "first"]
    assert (found.hypothesis_strategy, found.rollbacks_strategy) == ("continuously", "always")
    assert (found.frequency, found.fail_fast) == (0.5, True)
    assert found.warnings == ()
    assert found.tree == tree


def test_what_is_not_said_is_as_the_format_has_it() -> None:
    """Hypothesis and rollbacks by default, once a second, to the end."""
    found = read(trying(probes=[STEADY]), OURS)
    assert (found.hypothesis_strategy, found.rollbacks_strategy, found.frequency, found.fail_fast) == (
        "default", "default", 1.0, False,
    )  # fmt: skip
    assert (found.method, found.rollbacks) == ((), ())


def test_the_title_has_its_variables_filled_in_and_the_tree_stays_as_it_is() -> None:
    """People read the one, the journal has the other."""
    tree = trying(title="hurt ${who}", configuration={"who": "w-1"})
    found = read(tree, OURS, given={"who": "w-2"})
    assert found.title == "hurt w-2"
    assert found.tree["title"] == "hurt ${who}"


EVERYTHING_WRONG = trying(
    {**acting("rset", name="first"), "backgruond": True, "pauses": {"after": -1, "befor": 1}},
    acting("rest", name="second", secnods=1),
    acting("rest", module="os"),
    {"ref": "frist"},
    {"type": "acton", "name": "", "provider": {"type": "pyhton"}},
    probes=[acting("all_ready", kind="action"), probing("all_ready", {"type": "regex", "pattern": "("}), {"ref": "second"}],
    titel="x", rollbacks={}, tags=["", 1], contributions={"speed": "lots"}, extensions=[{"data": 1}],
    runtime={"hypothesis": {"strategy": "continously"}, "rollbacks": {"strategy": "deviatd"}, "hypotesis": 1},
    controls=[{"name": "c", "provider": {"type": "go"}, "scope": "during"}],
    configuration={"x": {"type": "env", "key": "GONE"}},
)  # fmt: skip
KNOWN = "acts"


def test_everything_wrong_is_said_at_once_each_at_its_place() -> None:
    """A person who corrects a file does so once."""
    tree = {key: value for key, value in EVERYTHING_WRONG.items() if key != "description"}
    assert wrong(tree, OURS) == [
        'titel: is no key of this part of an experiment; did you mean "title"?',
        'configuration.x: there is no variable GONE in the environment; set it, or give a "default"',
        "description: is missing",
        "tags[0]: must not be empty",
        "tags[1]: must be a string, not 1",
        'contributions.speed: must be one of high, medium, low, none, not "lots"',
        "extensions[0].name: is missing",
        'controls[0].provider.type: must be one of python, not "go"',
        "controls[0].provider.module: is missing",
        'controls[0].scope: must be one of before, after, not "during"',
        'runtime.hypotesis: is no key of this part of an experiment; did you mean "hypothesis"?',
        ("runtime.hypothesis.strategy: must be one of default, before-method-only, after-method-only, during-method-only, "
        'continuously, skip, not "continously"; did you mean "continuously"?'),
        ('runtime.rollbacks.strategy: must be one of default, always, never, deviated, not "deviatd"; did you mean '
        '"deviated"?'),
        'steady-state-hypothesis.probes[0].type: must be one of probe, not "action"',
        "steady-state-hypothesis.probes[0].tolerance: is missing",
        ("steady-state-hypothesis.probes[1].tolerance.pattern: is no regular expression: missing ), unterminated "
        "subpattern at position 0"),
        "steady-state-hypothesis.probes[2]: is a ref: a probe of the hypothesis is declared in full, with its tolerance",
        'method[0].backgruond: is no key of this part of an experiment; did you mean "background"?',
        'method[0].provider.func: acts has no function "rset"; did you mean "rest"?',
        'method[0].pauses.befor: is no key of this part of an experiment; did you mean "before"?',
        "method[0].pauses.after: must be a number of seconds, not -1",
        'method[1].provider.arguments.secnods: rest has no such argument; did you mean "seconds"?',
        ('method[2].provider.module: "os" is not called: an experiment may come from anywhere, and only acts are known to '
        "be harmless but for what they are for; a program of your own can be a process provider (--allow-process)"),
        'method[3].ref: "frist" is the name of no activity; did you mean "first"?',
        'method[4].type: must be one of probe, action, not "acton"; did you mean "action"?',
        "method[4].name: must not be empty",
        'method[4].provider.type: must be one of python, process, http, not "pyhton"; did you mean "python"?',
        "rollbacks: must be a list, not an object",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], ["must be an object, not a list", "title: is missing", "description: is missing", ("method: is missing; it may "
              "be empty, to look at the steady state only")]),
        (trying(title=3), ["title: must be a string, not 3"]),
        (trying(title=" "), ["title: must not be empty"]),
        (trying(method=None), ["method: must be a list, not null"]),
        (trying(3), ["method[0]: must be an object, not 3"]),
        (trying({}), [f"method[0].{key}: is missing" for key in ("type", "name", "provider")]),
        (trying({**acting(), "background": "yes"}), ['method[0].background: must be true or false, not "yes"']),
        (trying({"ref": "rest", "background": True}, acting()),
         ["method[0].background: stands beside a ref, which has no other key"]),
        (trying({"ref": ""}), ["method[0].ref: must not be empty"]),
        (trying({"ref": "back"}, rollbacks=[acting(name="back")]),
         ['method[0].ref: "back" is declared in rollbacks, which cannot be referred to']),
        (trying({**acting(), "controls": {}}), ["method[0].controls: must be a list, not an object"]),
        (trying({**acting(), "controls": [{"ref": "c"}]}), ['method[0].controls[0].ref: "c" is the name of no control']),
        (trying({**acting(), "pauses": {"before": "${x}"}}, configuration={"x": "soon"}),
         ['method[0].pauses.before: must be a number of seconds, not "soon"']),
        (trying({**acting(), "pauses": {"before": "${y}"}}),
         ["method[0].pauses.before: names no configuration and no secret: ${y}; to mean it literally write $${y}"]),
        (trying(acting("rest", seconds="${y}")),
         [("method[0].provider.arguments.seconds: names no configuration and no secret: ${y}; to mean it literally write "
          "$${y}")]),
        (trying(runtime={"hypothesis": {"frequency": 0}}), ["runtime.hypothesis.frequency: must be above 0 s"]),
        (trying(probes=[probing("all_ready", "${x}")], configuration={"x": 0.5}),
         [("steady-state-hypothesis.probes[0].tolerance: is compared exactly, and a fraction hardly ever is equal; write "
          '{"type": "range", "range": [low, high]}')]),
        (trying(probes=[probing("all_ready", {"type": "regex", "pattern": "${x}"})],
                configuration={"x": probing("all_ready")}),
         [("steady-state-hypothesis.probes[0].tolerance: depends on ${x}, which a probe tells at the run: it cannot be "
          "checked before")]),
        (trying(configuration={"x": acting("rest", kind="probe") | {"name": 1}}),
         ["configuration.x.name: must be a string, not 1"]),
        (trying(probes=[probing("all_ready", probing("all_ready", name="judge"))]),
         [('steady-state-hypothesis.probes[0].tolerance.provider.arguments: all_ready takes no "value", which a '
          "tolerance's probe is given")]),
        (
            trying(acting("all_ready", configuration={})),
            ["method[0].provider.arguments.configuration: is handed over by whoever runs the experiment"],
        ),
        (trying(acting("is_even")), ["method[0].provider.arguments.value: is missing, and is_even needs it"]),
    ],
)  # fmt: skip
def test_a_mistake_is_said_at_its_place(tree: Any, said: list[str]) -> None:
    """One test case for each rule of the format."""
    assert wrong(tree, OURS) == said


@pytest.mark.parametrize(
    ("tree", "places"),
    [
        (trying(), ["steady-state-hypothesis"]),
        (trying(probes=[]), ["steady-state-hypothesis.probes"]),
        (trying(probes=[STEADY], version="7"), ["version"]),
        (trying(acting(), acting(), {"ref": "rest"}, probes=[STEADY]), ["method[2].ref"]),
        (trying(probes=[STEADY], dry="actions"), ["dry"]),
        (
            trying(probes=[{**STEADY, "tolerance": [200, 299], "provider": {"type": "http", "url": "http://x/"}}]),
            ["steady-state-hypothesis.probes[0].tolerance"],
        ),
        (trying(probing("all_ready", True), probes=[STEADY]), ["method[0].tolerance"]),
        (trying({**acting(), "timeout": 3}, probes=[STEADY]), ["method[0].timeout"]),
        (trying({**acting(), "secret": "s"}, probes=[STEADY]), ["method[0].secret"]),
        (trying(probes=[STEADY], rollbacks=[probing("all_ready")]), ["rollbacks[0]"]),
        (trying(probes=[STEADY], runtime={"python": {"dependencies": ["x"]}}), ["runtime.python"]),
        (trying(probes=[STEADY], controls=[{"name": "c", "provider": {"type": "python", "module": "m"}}]),
         ["controls[0]"]),
        (trying({**acting(), "controls": [{"name": "c", "provider": {"type": "python", "module": "m"}}, {"ref": "c"}]},
                probes=[STEADY]), ["method[0].controls[0]"]),
    ],
)  # fmt: skip
def test_what_the_format_has_and_is_not_done_here_is_a_warning(tree: Any, places: list[str]) -> None:
    """Nothing is passed over in silence, and nothing harmless keeps an experiment from being run."""
    assert [one.partition(":")[0] for one in warned(tree)] == places


def test_our_own_control_is_taken_for_said() -> None:
    """What it does under the Chaos Toolkit is always done here."""
    control = {"name": "measure", "provider": {"type": "python", "module": "supervisor.chaos.controls"}}
    assert warned(trying(probes=[STEADY], controls=[control])) == []


def test_a_version_that_is_missing_is_warned_of() -> None:
    """The specification demands one, and the Chaos Toolkit does not."""
    tree = trying(probes=[STEADY])
    del tree["version"]
    assert warned(tree) == ['version: is missing, and the specification wants one; "1.0.0" will do']


def test_programs_are_refused_unless_they_are_allowed_by_name_of_the_flag() -> None:
    """An experiment is a file from anywhere."""
    tree = trying({"type": "action", "name": "x", "provider": {"type": "process", "path": "true"}})
    assert wrong(tree, Providers()) == [
        "method[0].provider: runs a program of the experiment's choice; allow it with --allow-process"
    ]
    assert len(read(tree, OURS).method) == 1


def test_a_function_s_own_configuration_and_secrets_are_not_asked_of_the_file() -> None:
    """They are handed over by the runner."""
    tree = trying(probes=[STEADY], secrets={"s": {"k": "v"}})
    tree["steady-state-hypothesis"]["probes"][0]["provider"]["secrets"] = ["s", "t"]
    assert wrong(tree, OURS) == ['steady-state-hypothesis.probes[0].provider.secrets[1]: "t" is the name of no secrets']


PARTS = st.sampled_from(
    sorted({*EVERYTHING_WRONG, "type", "name", "provider", "ref", "probes", "tolerance", "pauses", "module"})
)
TREES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["python", "http", "process", "probe", "env"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=6),
    max_leaves=30,
)


@given(TREES)
def test_any_tree_is_an_experiment_or_refused(tree: Any) -> None:
    """Whatever stands in it, a reader answers with an experiment or with sentences."""
    said = problems(tree, OURS)
    assert said is None or said


@given(st.data())
def test_a_right_experiment_with_one_part_replaced_is_read_or_refused(data: st.DataObject) -> None:
    """Nearer to what people get wrong: everything is as it should be but for one value."""
    tree = trying(
        {**acting("rest"), "pauses": {"after": 1}, "background": False, "controls": []},
        {"type": "probe", "name": "web", "provider": {"type": "http", "url": "http://x/", "timeout": 1, "headers": {}}},
        {"type": "probe", "name": "run", "provider": {"type": "process", "path": "true", "arguments": ["a"]}},
        probes=[probing("all_ready", {"type": "range", "range": [1, 2]})], rollbacks=[], configuration={"a": {"type": "env"}},
        secrets={"s": {"k": "v"}}, runtime={"hypothesis": {}}, extensions=[{"name": "x"}], contributions={"a": "low"},
    )  # fmt: skip
    at: Any = tree
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not (isinstance(at[key], dict | list) and at[key]) or data.draw(st.booleans()):
            at[key] = data.draw(TREES)
            break
        at = at[key]
    said = problems(tree, OURS)
    assert said is None or said
