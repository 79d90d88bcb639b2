"""The page about a run: self-contained, escaped, and true to the result."""

from __future__ import annotations

import html.parser
from typing import Any

from promptclimb.agent.results.chart import curves, progress_chart
from promptclimb.agent.results.page import MAX_ROWS, page
from promptclimb.agent.results.result import Best, Ensemble, Row, SearchResult, Usage

EVIL = "<script>alert('{}')</script> & \"{}\""


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def result(rows: int = 3, template: str = EVIL) -> SearchResult:
    """A result full of hostile text."""
    return SearchResult(
        status="stopped",
        stop_reason=EVIL,
        dataset={
            "name": EVIL,
            "classes": 2,
            "shots": 1,
            "seed": 1,
            "sizes": {"train": 2, "val": 0, "test": 4},
        },
        model={"name": EVIL, "pretrained": EVIL},
        llm={"model": EVIL, "base_url": None},
        method="pn",
        objective="margin",
        best=Best(template=template, train=0.5, val=None, test=0.625),
        ensemble=Ensemble(templates=(template,), train=0.5, val=None, test=None),
        baselines={EVIL: {"templates": [template] * 5, "train": 0.25, "val": None, "test": 0.25}},
        leaderboard=tuple(
            Row(
                rank=n,
                template=template,
                train=1 / n,
                val=None,
                climb=1,
                reset=int(n > 1),
                iteration=int(n > 1),
            )
            for n in range(1, rows + 1)
        ),
        usage=Usage(calls=3),
        evaluated=rows,
        rejected={EVIL: 2},
        wall_s=1.0,
        notes={"llm_fallback": EVIL},
    )


def test_nothing_of_the_llm_becomes_markup() -> None:
    """Every text is text: no script, no attribute of theirs, and all tags are closed."""
    read = Reader(page(result(), f"data = {EVIL!r}"))
    assert not {"script", "img", "a", "link", "iframe"} & set(read.tags)
    assert set(read.attributes) <= {
        *("charset", "class", "lang", "viewbox", "role", "aria-label", "fill", "stroke", "stroke-width"),
        *("points", "x", "y", "text-anchor"),
    }
    assert read.open == []
    assert read.text.count(EVIL) >= 8


def test_the_page_needs_nothing_else() -> None:
    """No address, no import: it can be sent by mail."""
    text = page(result(template="a {}"), "")
    assert not any(part in text for part in ("http", "@import", "url(", "src="))


def test_the_figures_are_those_of_the_result() -> None:
    """Percent with one digit, and a dash for what is absent."""
    text = Reader(page(result(template="a {}"), "shots = 1")).text
    assert "62.5" in text
    assert "no black-box search" in text
    assert "shots = 1" in text


def test_a_long_leaderboard_is_cut_and_says_so() -> None:
    """The rest is in the CSV file."""
    text = page(result(rows=MAX_ROWS + 7, template="a {}"), "")
    assert "and 7 more in leaderboard.csv" in text


def row(**place: Any) -> Row:
    """A line of a leaderboard."""
    return Row(**{"rank": 1, "template": "a {}", "val": None, "reset": 0, "iteration": 0, **place})


def test_curves_never_fall() -> None:
    """Best so far, over the turns of all conversations of a climb."""
    rows = [
        row(climb=1, train=0.5),
        row(climb=1, train=0.4, reset=1, iteration=1),
        row(climb=1, train=0.7, reset=1, iteration=2),
        row(climb=1, train=0.6, reset=2, iteration=1),
        row(climb=2, train=0.3),
    ]
    assert curves(rows) == {1: [0.5, 0.5, 0.7, 0.7], 2: [0.3, 0.3, 0.3, 0.3]}


def test_a_chart_of_nothing_says_so() -> None:
    """And one of a single point is drawn."""
    assert progress_chart([]) == "<p>Nothing was scored.</p>"
    assert "<polyline" in progress_chart([row(climb=1, train=0.5)])
