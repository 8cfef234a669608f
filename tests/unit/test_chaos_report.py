"""Reports in every format: what they say, that they hold together as files, and what other people's texts cannot do to them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from supervisor.chaos.figures import Spread
from supervisor.chaos.findings import Activity, Findings, Probe, find, of_journal
from supervisor.chaos.invariants import State
from supervisor.chaos.record import Member, as_json
from supervisor.chaos.report import data, html, junit, lanes, markdown, plot, text, words
from supervisor.chaos.report.formats import FORMATS
from supervisor.cli.paint import width
from tests.unit.chaos_records import Story, crowd

if TYPE_CHECKING:
    from collections.abc import Sequence

EVIL = 'w</title></text><script>alert(1)</script>\x1b]0;t\x07 & "q" | `x` [y](http://z) \u202etxt\n# h\ud800'
PROBES = (
    Probe("before", "all ready", True, "True"),
    Probe("after", EVIL, False, EVIL),
    Probe("during", "slow", None, "timed out"),
)
ACTIVITIES = (
    Activity("method", "action", "kill", "succeeded", 1.25, "[]"), Activity("rollbacks", "action", EVIL, "failed", None, EVIL),
)  # fmt: skip
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Checked(HTMLParser):
    """Every tag is closed in its turn; what is on the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, found: str) -> None:
        if "style" not in self.open:
            self.text += found


def small() -> Story:
    story = Story("w-0", "w-1", "w-2", ends=20.0)
    story.kill(5, "w-0", 1, delay=0.1)
    return story


def evil() -> Findings:
    """Names, reasons and texts that want to be more than text."""
    story = Story(EVIL, "w-1")
    mine = story.hit(5, "kill", EVIL)
    story.ended(5.01, EVIL, 1, how=EVIL, chaos_id=mine)
    story.ended(9, "w-1", 1, how=EVIL)
    frozen = story.hit(20, "freeze", "w-1", 2, seconds=5, chaos_id=EVIL)
    story.undone(25, frozen, reason=EVIL, how=EVIL)
    story.say(30, "supervisor.resumed", reason=EVIL, away_s=1.0)
    return find(story.record(), title=EVIL, description=EVIL, probes=PROBES, activities=ACTIVITIES)


def everything() -> Sequence[Findings]:
    return (
        find(small().record(seed=42), title="Kill one", probes=PROBES[:1]),
        find(crowd().record(seed=7), title="Many"),
        find(Story().record(before=None, after=None, samples=(), settings=None), title="Nothing"),
        evil(),
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("findings", everything(), ids=("small", "many", "nothing", "evil"))
def test_every_format_can_tell_of_every_run(name: str, findings: Findings) -> None:
    """From nothing at all to hundreds of faults; in a file that ends with its line."""
    told = FORMATS[name](findings)
    told.encode()
    assert told.endswith("\n")
    assert str(findings.verdict.word) in told.lower()


def test_text_says_what_became_of_a_fault() -> None:
    """Word by word."""
    told = text.report(find(small().record(seed=42), title="Kill one"))
    assert told.startswith(
        "Kill one\nHELD  1 fault of 1 kind on 1 of 3 workers in 20.0 s; seed 42.\nFaults: 1 recovered.\n"
    )
    assert "+5.00 s  kill of w-0 (c1): recovered after 132 ms, 100 ms of it backoff,\n" in told
    assert "  availability  99.78 %\n  least         w-0 99.34 %\n  blast radius  0 of 3 (0.0%)\n" in told
    assert len(re.findall(r"^  held     ", told, re.MULTILINE)) == 12


@pytest.mark.parametrize("findings", everything(), ids=("small", "many", "nothing", "evil"))
@pytest.mark.parametrize("colour", [False, True])
def test_text_fits_a_terminal_and_is_coloured_only_where_that_is_wanted(findings: Findings, colour: bool) -> None:
    """80 columns; every colour is put out again at the end of its line."""
    told = text.report(findings, colour=colour)
    assert max(width(line) for line in told.splitlines()) <= 80
    assert ("\x1b" in told) == colour
    for line in told.splitlines():
        assert "\x1b" not in line or line[line.rindex("\x1b") :].startswith("\x1b[0m")
    assert not re.search(r"[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e\ud800]", told)


def test_text_of_many_faults_tells_one_by_one_those_that_are_not_over() -> None:
    """And the invariants that do not hold with what was seen."""
    story = crowd(40, 60)
    story.workers.append(Member(worker="db", chaos=True))
    story.hit(200, "kill", "db", 1)
    told = text.report(find(story.record()))
    assert "Faults that were not over" in told
    assert "kill of db (c61): lost" in told
    assert "recovered after" not in told
    assert (
        "  broken   every fault that ends a life has exactly one ending\n           no ending was ever told of kill of db"
        in told
    )


def test_json_has_every_number() -> None:
    """For programs: seconds, and shares from 0 to 1."""
    found = json.loads(data.report(find(small().record(seed=42), title="Kill one", probes=PROBES[:1])))
    assert (found["verdict"], found["seed"], found["workers"], found["window_s"]) == ("held", 42, 3, 20.0)
    (fault,) = found["faults"]
    assert (fault["kind"], fault["worker"], fault["outcome"], fault["sign"]) == (
        "kill",
        "w-0",
        "recovered",
        "worker.ended",
    )
    assert round(fault["recovery_s"], 6) == 0.132
    assert round(fault["own_s"], 6) == 0.032
    assert found["total"]["recovery_s"]["n"] == found["kinds"]["kill"]["faults"] == 1
    assert found["blast_radius"] == {"count": 0, "share": 0.0, "workers": [], "hurt": []}
    assert found["availability"]["workers"]["w-1"] == 1.0
    assert {each["state"] for each in found["invariants"]} == {"held"}
    assert found["hypothesis"] == [{"when": "before", "name": "all ready", "met": True, "got": "True"}]


def test_junit_has_a_case_for_each_thing_that_can_fail() -> None:
    """Broken is failed, unknown is skipped, and the sums are right."""
    story = small()
    story.ended(9, "w-2", 1, how="SIGSEGV")
    story.hit(19, "kill", "w-1", 1)
    root = ET.fromstring(junit.report(find(story.record(), probes=PROBES)))
    cases = {case.get("name", ""): case for case in root.iter("testcase")}
    assert cases["kill of w-0 (c1)"].find("failure") is None
    assert cases["kill of w-1 (c2)"].find("skipped") is not None
    assert cases["blast_radius: nobody but the targets is hurt"].find("failure") is not None
    assert cases["verdict: deviated"].find("failure") is not None
    unknown = next(case for name, case in cases.items() if name.startswith("one_ending"))
    assert unknown.find("skipped") is not None
    assert len(cases) == int(root.get("tests", 0)) == 2 + 12 + 1 + 3 + 1
    assert int(root.get("failures", 0)) == len(root.findall(".//failure")) == 3
    assert [suite.get("name") for suite in root] == ["faults", "invariants", "hypothesis"]


@pytest.mark.parametrize("findings", everything(), ids=("small", "many", "nothing", "evil"))
def test_the_page_is_whole_and_loads_nothing(findings: Findings) -> None:
    """No script, no address, every tag closed; colours for light and for dark."""
    page = html.report(findings)
    checked = Checked(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(checked.tags)
    assert not [
        name for name, _ in checked.attributes if name.startswith("on") or name in ("href", "src", "xlink:href")
    ]
    assert not re.search(r"url\(|@import|https?://(?!z\))", page)
    assert "prefers-color-scheme: dark" in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = ET.fromstring(drawing)
        for element in root.iter():
            for key in ("x", "y", "width", "height", "x1", "x2", "y1", "y2"):
                assert 0 <= float(element.get(key, 0)) < 5000


def test_other_people_s_texts_stay_texts() -> None:
    """On the page, in XML, in Markdown: what they wrote can be read, and does nothing."""
    findings = evil()
    page = Checked(html.report(findings))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    names = [case.get("name", "") for case in ET.fromstring(junit.report(findings)).iter("testcase")]
    assert any("<script>" in name for name in names)
    told = markdown.report(findings)
    assert not re.search(r"(?<!\\)[<`]", told)
    rows = [line for line in told.splitlines() if line.startswith("|")]
    tables = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(tables) <= {4, 5, 6, 7, 9}  # as many cells as a table has titles; a name adds none
    assert not [line for line in told.splitlines() if line.startswith("# h")]


def test_a_journal_s_probes_and_activities_are_told() -> None:
    """As the Chaos Toolkit writes them; a probe that failed is not met, and the verdict has it."""
    journal: dict[str, Any] = {
        "experiment": {"title": "Kill one", "description": "One dies."}, "status": "completed", "deviated": True,
        "steady_states": {
            "before": {"steady_state_met": True, "probes": [
                {"activity": {"name": "ready"}, "status": "succeeded", "output": 1.0, "tolerance_met": True}]},
            "after": {"steady_state_met": False, "probes": [
                {"activity": {"name": "ready"}, "status": "succeeded", "output": 0.4, "tolerance_met": False}]},
            "during": [],
        },
        "run": [
            {"activity": {"type": "action", "name": "kill"}, "status": "failed", "duration": 2.5,
             "exception": ["Traceback\n", "  File\n", "Refused: not enabled\n"]}],
        "rollbacks": [{"activity": {"type": "action", "name": "halt"}, "status": "succeeded", "output": {"undone": []}}],
        "extensions": [{"name": "ninelives", "record": as_json(small().record())}],
    }  # fmt: skip
    found = of_journal(json.loads(json.dumps(journal)))
    assert (found.title, found.description) == ("Kill one", "One dies.")
    assert [(probe.when, probe.met, probe.got) for probe in found.probes] == [
        ("before", True, "1.0"),
        ("after", False, "0.4"),
    ]
    assert [(each.part, each.name, each.status, each.told) for each in found.activities] == [
        ("method", "kill", "failed", "Refused: not enabled"), ("rollbacks", "halt", "succeeded", "{'undone': []}"),
    ]  # fmt: skip
    assert found.verdict.reasons == ("the steady state did not hold after the method: ready gave 0.4",)
    assert "Refused: not enabled" in text.report(found)


@pytest.mark.parametrize(
    "junk",
    [
        {"experiment": [], "steady_states": 3, "run": {"a": 1}, "rollbacks": [None, 5]},
        {
            "experiment": None,
            "steady_states": {"before": None, "after": {"probes": "x"}, "during": [{"probes": [None]}]},
        },
        {"status": None, "deviated": None, "run": [{"activity": None, "exception": []}]},
    ],
)
def test_a_journal_of_another_shape_is_told_as_far_as_it_goes(junk: dict[str, Any]) -> None:
    """Somebody wants to know what happened, most of all when it went wrong."""
    found = of_journal({**junk, "extensions": [{"name": "ninelives", "record": as_json(small().record())}]})
    for write in FORMATS.values():
        assert write(found)


def test_a_runner_that_says_deviated_is_believed() -> None:
    """Even when no probe of the journal says why."""
    assert find(small().record(), deviated=True).verdict.reasons == ("the steady state did not hold, says the runner",)


def test_two_hundred_lanes_show_those_with_something_to_see() -> None:
    """The rest is one sentence; the service's own lane is first, and names are in the order of their numbers."""
    findings = find(crowd().record())
    chosen = lanes.choose(findings)
    workers = [row.name for row in chosen.rows[1:]]
    assert chosen.rows[0].name == lanes.SERVICE
    assert set(workers) == findings.timeline.targets
    assert workers == sorted(workers, key=lambda name: int(name[2:]))
    assert chosen.folded.startswith(f"{200 - len(workers)} workers have nothing to see")


def test_of_more_lanes_than_can_be_looked_at_those_that_went_wrong_are_shown() -> None:
    """Whoever was hurt, whoever was lost; then those with most on them."""
    story = crowd(400, 900, ends=900.0)
    story.workers += [Member(worker="a", chaos=True), Member(worker="b", chaos=True)]
    story.ended(700, "a", 1, how="SIGSEGV")
    story.hit(800, "kill", "b", 1, chaos_id="lost")
    findings = find(story.record())
    chosen = lanes.choose(findings, most=10)
    names = [row.name for row in chosen.rows if row.is_worker]
    assert len(names) == 10
    assert {"a", "b"} <= set(names)
    assert re.match(r"\d+ more workers with \d+ faults, all of them well, are not drawn\.", chosen.folded)


def test_a_kind_keeps_its_mark() -> None:
    """Forty kinds have forty marks: eight colours and five shapes, never the same two together."""
    marks = plot.signs(f"kind-{number:02}" for number in range(40))
    assert len(set(marks.values())) == 40


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "-"), (0.0, "0.0 ms"), (0.00042, "0.4 ms"), (0.0314, "31 ms"), (0.9999, "1.00 s"), (1.2549, "1.25 s"),
        (9.999, "10.0 s"), (31.23, "31.2 s"), (99.99, "1 min 40 s"), (3599.6, "1 h 0 min"), (86400.0, "24 h 0 min"),
    ],
)  # fmt: skip
def test_seconds_are_told_as_exactly_as_anybody_wants_to_know(seconds: float | None, told: str) -> None:
    """In the unit that people think in."""
    assert words.seconds(seconds) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (None, "unknown"), (1.0, "100 %"), (0.9934, "99.34 %"), (0.99997, "99.997 %"), (0.9999999, "99.9999 %"), (0.5, "50 %"),
        (0.0, "0 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_up_to_all_of_it(share: float | None, told: str) -> None:
    """A hundred per cent means all the time."""
    assert words.share(share) == told


def test_what_was_measured_but_once_fills_a_row() -> None:
    """Every point is that value."""
    assert [words.spread(Spread(1, 0.5, 0.5, 0.5, 0.5, 0.5), point) for point in words.POINTS] == ["500 ms"] * 5
    assert words.spread(None, "p50") == "-"


def test_claims_fit_their_line() -> None:
    """A terminal cuts none of them."""
    for rule in find(small().record()).invariants:
        assert len(rule.claim) <= 80 - 11
        assert rule.state is State.HELD
