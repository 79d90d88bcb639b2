"""The page about a run: self-contained, escaped, and true to the result."""

from __future__ import annotations

import html.parser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.events import types as events
from promptclimb.agent.position import Position
from promptclimb.agent.present.page import MAX_ROWS, render
from promptclimb.agent.results.details import Decisions, Details, Picture
from promptclimb.agent.results.history import Progress, RunView
from promptclimb.agent.results.result import Best, Dataset, GroupAccuracies, Llm, Model, SearchResult, Sizes
from promptclimb.evaluator.scoring import ClassAccuracy, Confusion, Inspection
from tests.fakes.small_result import row, small_result

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
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br", "img"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def result(rows: int = 3, template: str = EVIL, **changes: Any) -> SearchResult:
    """A stopped result full of hostile text."""
    values: dict[str, Any] = {
        "status": "stopped",
        "stop_reason": EVIL,
        "dataset": Dataset(name=EVIL, classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=4)),
        "model": Model(name=EVIL, pretrained=EVIL),
        "llm": Llm(model=EVIL, base_url=None),
        "method": "pn",
        "objective": "margin",
        "best": Best(template=template, train=0.625, val=None, test=None),
        "baselines": {EVIL: GroupAccuracies(templates=(template,) * 5, train=0.25, val=None, test=None)},
        "leaderboard": tuple(
            row(n, template, train=1 / n, conversation=int(n > 1), round=int(n > 1))
            for n in range(1, rows + 1)
        ),
        "rejected": {EVIL: 2},
        "notes": {"racing": EVIL, EVIL: [EVIL, "two"], "precision": {"type": EVIL}},
        "device": EVIL,
    }
    return small_result(**values | changes)


def view(result: SearchResult, config: str = "", **changes: Any) -> RunView:
    """What is known of a run with that result."""
    known = {"run_dir": Path("run"), "state": result.status, "result": result, "config": config}
    return RunView(**{**known, **changes})


def progress_of(result: SearchResult, *later: events.Event) -> Progress:
    """What the whole log of a run says: its leaderboard was scored, and what came after."""
    progress = Progress()
    for line in result.leaderboard:
        position = Position(line.restart, line.conversation, line.round)
        scored = {"template": line.template, "train": line.train, "val": line.val, "source": "llm"}
        progress.add(events.TemplateScored(position=position, improved=False, **scored))  # type: ignore[arg-type]
    for event in later:
        progress.add(event)
    return progress


def page(result: SearchResult, config: str = "", **changes: Any) -> str:
    """The page of a result."""
    return render(view(result, config, **changes))


def evil_details() -> Details:
    """Hostile text wherever a run keeps some."""
    labels = (0, 1, 0, 1)
    return Details(
        decisions=Decisions(
            image_set="set",
            classes=(EVIL, EVIL),
            labels=labels,
            predicted={"texts": labels, "default template": (1, 1, 0, 1)},
        ),
        baseline="default template",
        pictures=(Picture(true=EVIL, before="other", after=EVIL, name=EVIL, jpeg='"><script>'),),
    )


def test_nothing_of_the_llm_becomes_markup() -> None:
    """Every text is text, whoever wrote it: no script, no attribute of theirs, and all tags are closed."""
    classes = (ClassAccuracy(EVIL, images=2, correct=2), ClassAccuracy(EVIL, images=2, correct=2))
    look = Inspection(classes=classes, confusions=(Confusion(EVIL, EVIL, 1),))
    evil = result(rows=1, inspection=look)
    first, second = Position(1, 1, 1), Position(1, 1, 2)
    progress = progress_of(
        evil,
        events.RoundFinished(position=first, best=EVIL, train=0.5),
        *[events.TemplateRefused(position=first, line=EVIL, reason=EVIL)] * 2,
        events.RoundSkipped(position=second, reason=EVIL),
    )
    read = Reader(page(evil, f"data = {EVIL!r}", details=evil_details(), progress=progress))
    assert not {"script", "link", "iframe", "object", "form"} & set(read.tags)
    assert not [name for name in read.attributes if name.startswith("on")]
    assert all(link.startswith("#") for link in read.attributes["href"])
    assert read.attributes["src"] == ['data:image/jpeg;base64,"><script>']
    assert read.open == []
    assert read.text.count(EVIL) >= 25


def test_the_page_needs_nothing_else() -> None:
    """No address, no import: it can be sent by mail."""
    text = page(result(template="a {}"), "")
    bare = text.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
    assert not any(part in bare for part in ("http", "@import", "url(", "src="))


@pytest.mark.parametrize(("count", "sentence"), [(4, "All 4 classes,"), (42, "30 of 42 classes,")])
def test_the_classes_are_counted(count: int, sentence: str) -> None:
    """All of a few, or some of many."""
    classes = tuple(ClassAccuracy(name=str(n), images=9, correct=n % 9) for n in range(count))
    look = Inspection(classes=classes, confusions=())
    assert sentence in Reader(page(small_result(inspection=look))).text


@pytest.mark.parametrize("count", [2, 12, 100, 1000])
def test_the_confusion_matrix_stays_readable(count: int) -> None:
    """All of a few classes, else those with the most errors and what lies outside; names stay text."""
    labels = tuple(label for label in range(count) for _ in range(4))
    taken = tuple((label + 1) % count if place % 5 == 0 else label for place, label in enumerate(labels))
    names = tuple(f"<i>{label}</i>" for label in range(count))
    decided = Decisions(image_set=None, classes=names, labels=labels, predicted={"texts": taken})
    right = [
        sum(one == two == label for one, two in zip(labels, taken, strict=True)) for label in range(count)
    ]
    classes = tuple(ClassAccuracy(name, images=4, correct=right[label]) for label, name in enumerate(names))
    result = small_result(inspection=Inspection(classes=classes, confusions=()))
    text = page(result, details=Details(decisions=decided))
    read = Reader(text)
    assert read.tags.count("i") == count  # the bars of the table, and no name
    assert text.count("--share:") == min(count, 16) ** 2
    assert ("of 1,000 classes with the most errors" in read.text) == (count == 1000)
    assert ("others" in read.text) == (count > 16)
    assert read.open == []
    assert len(text) < 1_000_000
    other = replace(decided, labels=(0,), predicted={"texts": (0,)})
    assert "Confusion matrix" not in page(result, details=Details(decisions=other))


def test_a_long_leaderboard_is_cut_and_says_so() -> None:
    """The rest is in the CSV file."""
    text = page(result(rows=MAX_ROWS + 7, template="a {}"), "")
    assert "and 7 more in leaderboard.csv" in text


@pytest.mark.parametrize(
    ("objective", "value", "heading", "cell"),
    [
        ("class_mean", 0.625, "mean over classes", "62.5"),
        ("logprob", -1.25, "log-probability", "-1.25"),
        ("accuracy", None, "", ""),
    ],
)
def test_the_leaderboard_shows_what_orders_it(
    objective: str, value: float | None, heading: str, cell: str
) -> None:
    """In a column of its own, where that is not accuracy."""
    rows = (row(1, "a {}", objective=value), row(2, "the {}", train=0.75, objective=value))
    text = page(small_result(objective=objective, leaderboard=rows))
    assert text.count(f'data-of="{heading}">{cell}</td>') == (2 if heading else 0)
    assert ("what orders the rows" in text) == bool(heading)


def test_what_no_page_may_hold_is_left_out() -> None:
    """Control characters and halves of characters, as an LLM may send them."""
    refused = events.TemplateRefused(
        position=Position(1, 1, 1), line="a\x00\x1b[31m\x9b \u202e{}\ud83d", reason="control_character"
    )
    stopped = small_result(rejected={"control_character": 1})
    text = page(stopped, progress=progress_of(stopped, refused))
    assert "a  [31m  \\u202e{}?" in text
    assert "\u202e" not in text
    assert not set(text) & {chr(number) for number in (*range(9), *range(11, 32), *range(127, 160))}


@pytest.mark.parametrize(("state", "reloads"), [("live", True), ("unfinished", False)])
def test_only_the_page_of_a_running_search_loads_itself_again(state: str, reloads: bool) -> None:
    """Else nothing about it changes."""
    page = render(RunView(run_dir=Path("r"), state=state))
    assert ('http-equiv="refresh"' in page) is reloads
