"""Configuration, secrets, and `${name}`."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.chaos.reading import Spot
from supervisor.chaos.variables import Variables, read_variables, variable
from supervisor.problems import Place

ENVIRONMENT = {
    "HOST": "db",
    "PORT": "5432",
    "RATIO": "0.5",
    "YES": "true",
    "NO": "no",
    "LIST": "[1, 2]",
    "WORD": "many",
}


def read(tree: dict[str, Any], **given: Any) -> tuple[Variables, list[str], list[str]]:
    spot = Spot(Place("x.json", "/"))
    found = read_variables(tree, spot, given=given, environment=ENVIRONMENT)
    return found, [str(one).removeprefix("x.json: ") for one in spot.errors], [one.key for one in spot.warnings]


def configured(value: Any, **given: Any) -> Any:
    found, errors, _ = read({"configuration": {"x": value}}, **given)
    assert errors == []
    return found.configuration["x"]


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("plain", "plain"), (7, 7), ([1, 2], [1, 2]), ({"a": 1}, {"a": 1}), (False, False), (None, None),
        ({"type": "env", "key": "HOST"}, "db"),
        ({"type": "env", "key": "PORT"}, "5432"),
        ({"type": "env", "key": "PORT", "env_var_type": "int"}, 5432),
        ({"type": "env", "key": "RATIO", "env_var_type": "float"}, 0.5),
        ({"type": "env", "key": "YES", "env_var_type": "bool"}, True),
        ({"type": "env", "key": "NO", "env_var_type": "bool"}, False),
        ({"type": "env", "key": "LIST", "env_var_type": "json"}, [1, 2]),
        ({"type": "env", "key": "HOST", "env_var_type": "bytes"}, b"db"),
        ({"type": "env", "key": "GONE", "default": "here"}, "here"),
        ({"type": "env", "key": "GONE", "default": 3, "env_var_type": "int"}, 3),
        ({"type": "env", "key": "HOST", "default": "here"}, "db"),
    ],
)  # fmt: skip
def test_a_value_is_what_it_says_or_comes_from_the_environment(value: Any, becomes: Any) -> None:
    """With the type it asks for; the default where there is no such variable."""
    assert configured(value) == becomes


def test_what_is_given_on_the_command_line_goes_before_the_file() -> None:
    """Whatever the file would have asked."""
    assert configured({"type": "env", "key": "GONE"}, x=5) == 5
    assert configured("plain", x={"type": "env", "key": "HOST"}) == "db"


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [(600, "15", 15), (600, "0.5", 0.5), (0.5, "15", 15.0), (True, "false", False), ("600", "15", "15"), (600, 15, 15)],
)
def test_what_is_given_as_text_is_read_as_what_it_replaces(declared: Any, text: Any, value: Any) -> None:
    """`--var lasting=15` for a number is a number; who wants another type says which."""
    found = configured(declared, x=text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("words", "pair"),
    [
        ("a=b", ("a", "b")), ("a=", ("a", "")), ("a=b=c", ("a", "b=c")), ("a:int=3", ("a", 3)), ("a:float=3", ("a", 3.0)),
        ("a:bool=false", ("a", False)), ('a:json={"b": [1]}', ("a", {"b": [1]})), ("a:bytes=x", ("a", b"x")),
        ("url=http://x:80/?a=b", ("url", "http://x:80/?a=b")),
    ],
)  # fmt: skip
def test_a_variable_on_the_command_line_has_a_name_perhaps_a_type_and_a_value(
    words: str, pair: tuple[str, Any]
) -> None:
    """The types are those of the Chaos Toolkit's --var."""
    assert variable(words) == pair


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("a", "is not of the form"), ("=b", "is not of the form"), ("a:int=x", "'x' cannot be read as int"),
        ("a:itn=3", "'itn' is no type .*did you mean \"int\""), ("a:json={", "cannot be read as json"),
    ],
)  # fmt: skip
def test_a_variable_that_is_none_is_refused(words: str, why: str) -> None:
    """With what was wrong about it."""
    with pytest.raises(ValueError, match=why):
        variable(words)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"configuration": []}, "configuration: must be an object, not a list"),
        ({"configuration": {"x": {"type": "env", "key": "GONE"}}},
         'configuration.x: there is no variable GONE in the environment; set it, or give a "default"'),
        ({"configuration": {"x": {"type": "env"}}}, "configuration.x.key: must be a string, not null"),
        ({"configuration": {"x": {"type": "env", "key": "WORD", "env_var_type": "int"}}},
         "configuration.x: 'many' cannot be read as int"),
        ({"configuration": {"x": {"type": "env", "key": "PORT", "env_var_type": "integre"}}},
         ('configuration.x.env_var_type: must be one of str, string, int, integer, float, number, bytes, bool, json, not '
         '"integre"; did you mean "integer"?')),
        ({"configuration": {"x": {"type": "env", "key": "HOST", "defalt": 1}}},
         'configuration.x.defalt: is no key of this part of an experiment; did you mean "default"?'),
        ({"secrets": {"s": {"k": {"type": "env", "key": "GONE"}}}},
         "secrets.s.k: there is no variable GONE in the environment"),
        ({"secrets": {"s": {"k": {"type": "vault", "path": "a/b"}}}},
         'secrets.s.k: a vault is not asked here; hand it over in the environment: {"type": "env", "key": …}'),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_at_its_place(tree: dict[str, Any], said: str) -> None:
    """Before the run begins: a variable that is not there would only be missed in the middle of it."""
    assert read(tree)[1] == [said]


def test_a_value_for_a_name_the_experiment_has_not_is_refused() -> None:
    """Else a misspelt --var would leave the file's value in force."""
    assert read({"configuration": {"worker": "a"}}, wroker="b")[1] == [
        'configuration: has no "wroker", for which a value was given; did you mean "worker"?'
    ]


def test_an_object_with_a_type_unknown_here_is_the_value_itself_and_warned_of() -> None:
    """As the Chaos Toolkit takes it; a misspelt "env" is noticed all the same."""
    found, errors, warned = read({"configuration": {"x": {"type": "evn", "key": "HOST"}}})
    assert (errors, warned) == ([], ["configuration.x.type"])
    assert found.configuration["x"] == {"type": "evn", "key": "HOST"}


FILLED = Variables(
    configuration={"n": 3, "name": "w-1", "list": [1, 2], "both": "configured"},
    secrets={"s": {"token": "hush", "both": "secret"}, "flat": "alone"},
)


@pytest.mark.parametrize(
    ("data", "becomes"),
    [
        ("${n}", 3), ("${list}", [1, 2]), ("n is ${n}", "n is 3"), ("${name}-${n}", "w-1-3"), ("${token}", "hush"),
        ("${both}", "configured"), ("$n", "3"), ("$${n}", "${n}"), ("^a$", "^a$"), ("$.a", "$.a"), (5, 5), (None, None),
        ({"a": ["${n}", {"b": "${name}"}], "${n}": 1}, {"a": [3, {"b": "w-1"}], "${n}": 1}),
    ],
)  # fmt: skip
def test_names_are_filled_in_wherever_they_stand(data: Any, becomes: Any) -> None:
    """Alone they keep their type, among other text they become text; keys stay as they are."""
    before = repr(data)
    assert FILLED.fill(data) == becomes
    assert repr(data) == before


def test_without_any_variables_nothing_is_touched() -> None:
    """As under the Chaos Toolkit: not even a doubled dollar."""
    assert Variables().fill("$${n}") == "$${n}"


def test_a_name_nobody_knows_is_refused_at_its_place() -> None:
    """Passed on as it stands, `${wroker}` would be the name of a worker."""
    spot = Spot(Place("x.json", "/", "method[0]"))
    FILLED.check({"worker": ["a", "${nmae}"], "other": "${zzz} ${n} $unbraced"}, spot)
    assert [str(one).removeprefix("x.json: ") for one in spot.errors] == [
        'method[0].worker[1]: names no configuration and no secret: ${nmae}; did you mean "name"?',
        "method[0].other: names no configuration and no secret: ${zzz}; to mean it literally write $${zzz}",
    ]


def test_a_value_a_probe_will_tell_is_known_and_awaited_until_it_is_learned() -> None:
    """It can be named at once and is there when the run has begun."""
    waiting, errors, _ = read({"configuration": {"x": {"type": "probe", "name": "ask", "provider": {}}, "y": 1}})
    assert errors == []
    assert waiting.known("x")
    assert waiting.awaited({"a": "${x}"}) == "x"
    assert waiting.awaited("${y}") is None
    told = waiting.learned("x", [4])
    assert told.fill("${x}") == [4]
    assert told.awaited("${x}") is None


def test_the_secrets_of_an_activity_are_those_it_names() -> None:
    """Together in one mapping, as the format hands them over."""
    assert FILLED.of(["s"]) == {"token": "hush", "both": "secret"}
    assert FILLED.of(["flat", "none"]) == {"flat": "alone"}
