"""Every event that the code announces is in the table, with the fields the table names; the page is made from it."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from supervisor import reference
from supervisor.events import ALWAYS, ENDING, EVENTS, WORKER
from supervisor.log import Log, UndeclaredEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAYING = {"announce", "_say"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in supervisor/ that announces an event by a literal name."""
    for folder, _, files in os.walk(os.path.join(ROOT, "supervisor")):
        for name in files:
            if name.endswith(".py"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    tree = ast.parse(file.read())
                for node in ast.walk(tree):
                    if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute | ast.Name):
                        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                        first = node.args[0]
                        if called in SAYING and isinstance(first, ast.Constant) and "." in str(first.value):
                            yield f"{name}:{node.lineno}", node


def test_every_event_announced_is_declared_with_its_fields() -> None:
    """A typo in an event or a field is found here, not at 3 a.m."""
    seen = 0
    for where, call in calls():
        seen += 1
        name = call.args[0].value  # type: ignore[attr-defined]
        assert name in EVENTS, f"{where}: {name} is not in the table"
        fields = {keyword.arg for keyword in call.keywords if keyword.arg} - {"level"}
        assert fields <= set(EVENTS[name].fields), f"{where}: {name} has no {fields - set(EVENTS[name].fields)}"
    assert seen > 20


def test_names_are_dotted_noun_and_participle_and_sentences_use_declared_fields() -> None:
    """An event is called noun.past_participle, and its sentence needs nothing it cannot carry."""
    for name, event in EVENTS.items():
        noun, dot, happened = name.partition(".")
        assert dot
        assert noun.isalpha()
        assert happened.replace("_", "").isalpha()
        given: dict[str, Any] = dict.fromkeys((*event.fields, *ALWAYS), 0.0)
        assert event.message.format(**given)
        assert not set(event.fields) & (set(ALWAYS) - {"instance_id"}) - {"pid"}, name


def test_the_page_about_events_is_current() -> None:
    """docs/events.md is what the table says."""
    with open(os.path.join(ROOT, "docs", "events.md"), encoding="utf-8") as file:
        assert file.read() == reference.markdown()


def test_a_line_says_when_what_and_in_words_first() -> None:
    """A person reading raw JSON finds timestamp, level, event and msg in front."""
    lines: list[bytes] = []
    log = Log(lambda line, **_: lines.append(line))
    log.announce("worker.killed", worker="a", spawn_id="a#1", pid=7, grace_s=2.0)
    line = msgspec.json.decode(lines[0])
    assert list(line)[:4] == ["timestamp", "level", "event", "msg"]
    assert line["msg"] == "a killed after its grace of 2.0 s"
    assert line["level"] == "warning"


@pytest.mark.parametrize("fields", [{"worker": "a", "colour": "red"}, {"nonsense": 1}])
def test_an_undeclared_field_is_refused(fields: dict[str, Any]) -> None:
    """The table is the whole truth."""
    with pytest.raises(UndeclaredEvent):
        Log(lambda *_, **__: None).announce("worker.killed", **fields)


def test_shared_fields_are_where_they_belong() -> None:
    """Whatever is about a worker says which life of it."""
    for name, event in EVENTS.items():
        if name in {"worker.spawned", "worker.ready", "worker.hung", "worker.ended", "worker.orphan_swept"}:
            assert set(WORKER) <= set(event.fields)
    assert set(ENDING) <= set(EVENTS["worker.ended"].fields)
