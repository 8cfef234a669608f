"""The demo's page, as HTML, as text and as JSON: what it shows of results, and what it does not let them do."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest

from supervisor.cli.demo import text
from supervisor.cli.paint import width
from supervisor.demo import catalogue, director, machine, plot, stage, work
from supervisor.demo.frame import (
    Bar,
    Bars,
    Claim,
    Figure,
    Held,
    Line,
    Lines,
    Outcome,
    Output,
    Pace,
    Report,
    Result,
    Table,
)
from supervisor.demo.page import page, summary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EVIL = '</pre><script>alert(1)</script>\x1b]0;title\x07 & "quoted"'
FIGURES: tuple[Figure, ...] = (
    Output(title="printed", lines=(EVIL, "second")),
    Bars(title="long", unit="ms", log=True, bars=(Bar(label="<a>", value=0.01), Bar(label="b", value=900.0, side="threads"))),
    Bars(title="nothing", unit="%", bars=(Bar(label="none", value=0.0),)),
    Lines(
        title="speed-up", x="workers", y="times",
        lines=(Line(label="workers", points=((1, 1), (2, 1.9))), Line(label="ideal", points=((1, 1), (2, 2)))),
    ),
    Lines(title="one point", x="workers", y="times", lines=(Line(label="workers", points=((1, 0.9),)),)),
    Table(title="who", columns=("a", "b"), rows=(("1", EVIL), ("long" * 60, "2"))),
)  # fmt: skip


def report(*helds: Held, figures: tuple[Figure, ...] = FIGURES) -> Report:
    results = tuple(
        Result(
            name=name, claim=Claim(title=name, sentence=EVIL, done="done", copy="config/x.toml"), figures=figures, took_s=1.2,
            outcome=Outcome(held=held, why=f"because {EVIL}\nand a traceback"),
        )
        for name, held in zip(catalogue.NAMES, helds, strict=False)
    )  # fmt: skip
    facts = {"processor": "P", "cpus": "2 of 2", "memory": "1 GiB", "kernel": "Linux 6", "python": "CPython 3.11"}
    return Report(
        version="1", at="2026-01-02T03:04:05+00:00", quick=False, took_s=3.0, machine=facts, experiments=results
    )


class Tags(HTMLParser):
    """Which tags there are, and which attributes ask for something from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            value or "" for name, value in attrs if name in {"src", "href", "style"} and "#" not in (value or "#")
        ]


def test_the_html_page_loads_nothing_and_runs_nothing() -> None:
    """It can be mailed; what a worker printed stays text."""
    made = page(report(*Held))
    seen = Tags()
    seen.feed(made)
    assert not {"script", "link", "img", "iframe"} & set(seen.tags)
    assert not re.search(r"url\(|@import|https?:", made)
    assert seen.tags.count("svg") == 4 * len(Held)
    assert all(load.startswith("color:") for load in seen.loads)


def test_every_plot_is_well_formed() -> None:
    """Whatever the labels are."""
    for figure in FIGURES:
        drawn = (
            plot.bars(figure)
            if isinstance(figure, Bars)
            else plot.lines(figure)
            if isinstance(figure, Lines)
            else "<svg/>"
        )
        ET.fromstring(drawn)


@pytest.mark.parametrize("columns", [40, 80, 100])
@pytest.mark.parametrize("colour", [True, False])
def test_the_text_page_fits_and_obeys_nothing(columns: int, colour: bool) -> None:
    """No line is wider than the terminal, and no control character gets through but our own colours."""
    lines = list(text(report(*Held), columns=columns, colour=colour))
    assert max(map(width, lines)) <= columns
    assert not re.search(r"[\x00-\x1f\x7f]", re.sub(r"\x1b\[[0-9;]*m" if colour else "^$", "", "".join(lines)))


def test_the_summary_counts_what_held() -> None:
    """By the words on the page."""
    assert "3 claims: 2 held, 1 did not hold." in summary(report(Held.YES, Held.NO, Held.YES))
    assert "1 claim: 1 does not apply here." in summary(report(Held.NOT_HERE))
    assert "2 claims: 2 do not apply here." in summary(report(Held.NOT_HERE, Held.NOT_HERE))


def test_a_report_survives_json() -> None:
    """What `--json` prints has its types back when it is read as a Report."""
    whole = report(*Held)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Report, strict=True) == whole


def test_lengths_keep_their_order_on_both_scales() -> None:
    """The largest is 1, none is below 0, and a hundredth is still to be seen on a logarithmic scale."""
    assert plot.shares([1, 2, 4], log=False) == [0.25, 0.5, 1.0]
    low, high = plot.shares([0.01, 1.0], log=True)
    assert (0 < low < 0.5, high) == (True, 1.0)
    assert plot.shares([0.0, 0.0], log=True) == [0.0, 0.0]
    assert plot.shares([], log=False) == []
    assert plot.shares([0.0, 10.0], log=True)[0] == 0.0


@pytest.mark.parametrize("high", [0.03, 1.0, 1.9, 2.16, 7.0, 68.0, 1000.0])
def test_an_axis_has_a_few_round_numbers(high: float) -> None:
    """Enough to read a value, few enough to read at all, none above the frame."""
    marks = plot.ticks(high)
    assert 3 <= len(marks) <= 11
    assert marks[0] == 0
    assert high * 0.5 < marks[-1] <= high


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_an_experiment_says_what_it_claims_and_what_it_does(name: str) -> None:
    """And the file it recommends to copy is there, as is its own, which has under 150 lines."""
    claim = catalogue.load(name).CLAIM
    assert claim.title
    assert claim.sentence
    assert claim.done.endswith(".")
    assert not claim.copy or os.path.exists(f"{ROOT}/{claim.copy}")
    with open(f"{ROOT}/{catalogue.source(name)}", encoding="utf-8") as file:
        assert len(file.readlines()) < 150


def test_an_experiment_that_fails_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim did not hold, and the page says why, with the traceback."""

    class Broken:
        CLAIM = Claim(title="Broken", sentence="it works", done="It is tried.")

        @staticmethod
        def measure(_pace: Pace) -> None:
            raise OSError("no room")

    monkeypatch.setattr(catalogue, "load", lambda _name: Broken)
    outcome = stage.perform("process", Pace((0,))).outcome
    assert outcome.held is Held.NO
    assert outcome.why.startswith("the experiment failed: OSError: no room\nTraceback")
    assert "raise OSError" in outcome.why


@pytest.mark.parametrize(
    ("said", "why"), [(None, "not over after 40 s"), (b"", "without a result"), (b'{"name": 3}', "without")]
)
def test_a_stage_that_says_nothing_or_nonsense_shows_nothing(said: bytes | None, why: str) -> None:
    """What it left on its stderr is part of the answer."""
    outcome = director.understood("process", said, "Fatal Python error", 40).outcome
    assert outcome.held is Held.NO
    assert why in outcome.why
    assert "Fatal Python error" in outcome.why


def test_a_quick_run_does_less_but_never_too_little_for_a_median() -> None:
    """A fifth."""
    assert Pace((0,), quick=True).seconds(1.0) == 0.2
    assert Pace((0,), quick=True).times(5) == 3
    assert Pace((0,)).times(5) == 5


def test_cpus_are_listed_as_people_write_them() -> None:
    """Ranges where there are any."""
    assert machine.listed(frozenset({0, 1, 2, 3, 6})) == "0-3,6"
    assert machine.listed(frozenset({5})) == "5"
    assert machine.listed(frozenset()) == ""


def test_the_time_of_cores_is_ours_nobodys_or_somebody_elses() -> None:
    """Shares of what went by between two looks; two looks in one tick see nothing idle."""
    assert machine.Cores(300, 90).idle_since(machine.Cores(100, 40)) == 0.25
    assert machine.Cores(100, 40).idle_since(machine.Cores(100, 40)) == 0.0
    assert round(work.Spent(1.0, 0.5, 0.2).others, 9) == 0.3
    assert work.Spent(1.0, 0.9, 0.2).others == 0.0
