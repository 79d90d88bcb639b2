"""The page about a run: self-contained, escaped, and true to the result."""

from __future__ import annotations

import html.parser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.events.types import SearchStarted
from promptclimb.agent.position import Position
from promptclimb.agent.present.page import MAX_ROWS, render
from promptclimb.agent.present.sentences import gain_of
from promptclimb.agent.results.details import Ancestor, Decisions, Details, Picture
from promptclimb.agent.results.gain import GroupOnTest
from promptclimb.agent.results.history import (
    Progress,
    Refused,
    RestartProgress,
    RunHistory,
    RunView,
    history_of_rows,
)
from promptclimb.agent.results.result import (
    UNOPENED,
    Best,
    Dataset,
    GroupAccuracies,
    Llm,
    Model,
    SearchResult,
    Sizes,
    SplitInspection,
    Usage,
    words_of,
)
from promptclimb.evaluator.scoring import ClassAccuracy, Confusion
from promptclimb.prompts.kinds import TEMPLATE
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
        "ensemble": GroupAccuracies(templates=(template,), train=None, val=None, test=None),
        "baselines": {EVIL: GroupAccuracies(templates=(template,) * 5, train=0.25, val=None, test=None)},
        "leaderboard": tuple(
            row(n, template, train=1 / n, conversation=int(n > 1), round=int(n > 1))
            for n in range(1, rows + 1)
        ),
        "rejected": {EVIL: 2},
        "notes": {"llm_fallback": EVIL, EVIL: [EVIL, "two"], "precision": {"type": EVIL}},
        "device": EVIL,
    }
    return small_result(**values | changes)


def view(found: SearchResult, config: str = "", **changes: Any) -> RunView:
    """What is known of a run with that result."""
    return RunView(
        **{
            "run_dir": Path("run"),
            "state": found.status,
            "result": found,
            "history": history_of_rows(found.leaderboard),
            "config": config,
        }
        | changes
    )


def page(found: SearchResult, config: str = "", **changes: Any) -> str:
    """The page of a result."""
    return render(view(found, config, **changes))


def evil_details() -> Details:
    """Hostile text wherever a run keeps some."""
    labels = (0, 1, 0, 1)
    return Details(
        decisions=Decisions(
            image_set="set",
            classes=(EVIL, EVIL),
            labels=labels,
            predicted={"best": labels, "default template": (1, 1, 0, 1)},
        ),
        baseline="default template",
        pictures=(Picture(true=EVIL, before="other", after=EVIL, name=EVIL, jpeg='"><script>'),),
        lineage=(
            Ancestor(
                template=EVIL, train=0.5, restart=1, conversation=1, round=1, source="llm", shown=(EVIL,),
                all_shown=1, messages=(("user", EVIL),), answer=EVIL,
            ),
        ),
    )  # fmt: skip


def test_nothing_of_the_llm_becomes_markup() -> None:
    """Every text is text, whoever wrote it: no script, no attribute of theirs, and all tags are closed."""
    classes = (ClassAccuracy(EVIL, images=2, correct=2), ClassAccuracy(EVIL, images=2, correct=2))
    look = SplitInspection(split="test", classes=classes, confusions=(Confusion(EVIL, EVIL, 1),))
    course = replace(history_of_rows([row(1, EVIL), row(2, "a {}", restart=2)]), skipped={EVIL: 2})
    refused = {EVIL: Refused(count=2, examples=(EVIL,))}
    read = Reader(
        page(
            result(inspection=look),
            f"data = {EVIL!r}",
            details=evil_details(),
            history=replace(course, refused=refused),
        )
    )
    assert not {"script", "link", "iframe", "object", "form"} & set(read.tags)
    assert not [name for name in read.attributes if name.startswith("on")]
    assert all(one.startswith("#") for one in read.attributes["href"])
    assert read.attributes["src"] == ['data:image/jpeg;base64,"><script>']
    assert read.open == []
    assert read.text.count(EVIL) >= 25


def test_the_page_needs_nothing_else() -> None:
    """No address, no import: it can be sent by mail."""
    text = page(result(template="a {}"), "")
    bare = text.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
    assert not any(part in bare for part in ("http", "@import", "url(", "src="))


def test_the_figures_are_those_of_the_result() -> None:
    """Percent with one digit, and a dash for what is absent."""
    text = Reader(page(result(template="a {}"), "shots = 1")).text
    assert "62.5" in text
    assert "no black-box search" in text
    assert "shots = 1" in text


def test_of_one_template_under_two_names_the_page_shows_no_interval() -> None:
    """Nothing was estimated there; the number of test images is in the verdict."""
    best = GroupOnTest(templates=("a {}",), test=0.5)
    gain = gain_of(best, best, {"best starting template": best}, images=54, words=words_of(TEMPLATE))
    assert gain is not None
    text = page(small_result(gain=gain), "")
    assert "the same template" in text
    assert "+0.0 to +0.0" not in text
    assert "on test (54 images): no new template beat" in text


def test_all_notes_are_on_the_page() -> None:
    """Warnings and versions stand beside the figures; lists are lines, the rest is JSON."""
    text = Reader(page(small_result(), "")).text
    for part in ("split made by rule; 2 bad images left out", "packed", "torch 2.9", "cpu", "2026-08-01"):
        assert part in text
    assert '{"type"' in Reader(page(result(), "")).text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "evaluated once"),
        ({"test_opened": 2}, "evaluated 2 times"),
        ({"test_opened": None}, "evaluated once"),
        ({"status": "stopped", "stop_reason": "7 calls"}, "held out until the search"),
        ({"notes": {UNOPENED: "a torn file"}}, "resuming the run tries again"),
        ({"dataset": Dataset(name="d", classes=0, shots=1, seed=1, sizes=Sizes())}, "no test images"),
    ],
)
def test_what_became_of_the_test_split_is_said(changes: dict[str, Any], said: str) -> None:
    """A dash in its column has a reason."""
    assert said in Reader(page(small_result(**changes), "")).text


def test_what_it_took_is_said_in_words() -> None:
    """No code names, and no calls or dollars where no LLM was asked."""
    spent = Usage(calls=9, failed_calls=2, estimated_tokens=42_839, estimated_usd=0.25, cost_usd=1.5)
    rejected = {"too_many_proposals": 57, "of_their_own": 1}
    asked = Llm(model="l", base_url=None)
    text = Reader(page(small_result(usage=spent, rejected=rejected, llm=asked), "")).text
    assert "beyond the number asked for57" in text
    assert "of their own1" in text
    assert "and at most 42,839 more tokens ($0.2500) that the endpoint did not report" in text
    assert "9 (2 failed attempts, 0 retries)" in text
    cached = Reader(page(small_result(usage=replace(spent, cached_tokens=640), llm=asked), "")).text
    assert "0 in, 0 out (640 from a cache)" in cached
    free = Reader(page(small_result(), "")).text
    assert not any(word in free for word in ("retries", "cost", "$0.0000"))


@pytest.mark.parametrize(("count", "said"), [(4, "All 4 classes,"), (42, "30 of 42 classes,")])
def test_the_classes_are_counted(count: int, said: str) -> None:
    """All of a few, or some of many."""
    classes = tuple(ClassAccuracy(name=str(n), images=9, correct=n % 9) for n in range(count))
    look = SplitInspection(split="test", classes=classes, confusions=())
    assert said in Reader(page(small_result(inspection=look))).text


@pytest.mark.parametrize("count", [2, 12, 100, 1000])
def test_the_confusion_matrix_stays_readable(count: int) -> None:
    """All of a few classes, else those with the most errors and what lies outside; names stay text."""
    labels = tuple(label for label in range(count) for _ in range(4))
    taken = tuple((label + 1) % count if place % 5 == 0 else label for place, label in enumerate(labels))
    names = tuple(f"<i>{label}</i>" for label in range(count))
    decided = Decisions(image_set=None, classes=names, labels=labels, predicted={"best": taken})
    right = [
        sum(one == two == label for one, two in zip(labels, taken, strict=True)) for label in range(count)
    ]
    classes = tuple(ClassAccuracy(name, images=4, correct=right[label]) for label, name in enumerate(names))
    found = small_result(inspection=SplitInspection(split="test", classes=classes, confusions=()))
    text = page(found, details=Details(decisions=decided))
    read = Reader(text)
    assert read.tags.count("i") == count  # the bars of the table, and no name
    assert text.count("--share:") == min(count, 16) ** 2
    assert ("of 1,000 classes with the most errors" in read.text) == (count == 1000)
    assert ("others" in read.text) == (count > 16)
    assert read.open == []
    assert len(text) < 1_000_000
    other = replace(decided, labels=(0,), predicted={"best": (0,)})
    assert "Confusion matrix" not in page(found, details=Details(decisions=other))


def test_the_headline_of_a_custom_scorer_names_its_baseline() -> None:
    """Its scores as it gives them; no card without a figure, and no word of images that it has not."""
    scored = Best(template="b {}", train=39.5, val=None, test=None)
    together = GroupAccuracies(templates=("b {}",), train=None, val=None, test=None)
    nothing = Dataset(name="notes", classes=0, shots=1, seed=1, sizes=Sizes())
    found = small_result(
        best=scored, ensemble=together, dataset=nothing, leaderboard=(replace(row(1, "b {}"), train=39.5),)
    )
    seen = view(found)
    done = RestartProgress(heights={Position(1, 1, 1): 39.5})
    progress = Progress(starting=39.25, restarts={1: done})
    read = Reader(render(replace(seen, progress=progress)))
    assert (
        "The best template has 39.5, +0.25 over the best starting template. There are no test images to "
        "confirm it." in read.text
    )
    assert "over best starting template+0.25train" in read.text
    assert "ensemble-" not in read.text.partition("What was gained")[0]


def test_an_average_is_called_that_before_its_templates() -> None:
    """Nobody takes the number for that of further templates."""
    four = GroupAccuracies(templates=("a {}", "b {}", "c {}", "d {}"), train=0.5, val=None, test=None)
    assert "4 templates together:a {}b {}c {} …" in Reader(page(small_result(ensemble=four))).text


def test_templates_that_took_no_call_are_not_said_to_be_the_llms() -> None:
    """The page counts them, and names the way beside each; one of an older program says what it knows."""
    board = (
        row(1, source="combine", conversation=1, round=2), row(2, source="llm", conversation=1, round=1),
        row(3, source="initial"),
    )  # fmt: skip
    llm = Llm(model="local", base_url=None)
    text = Reader(page(small_result(leaderboard=board, llm=llm), "")).text
    assert "Templates proposed by local (1 of the 2 new ones, the others without an LLM), method" in text
    assert "restart 1, conversation 1, round 2, combine" in text
    for rows in ((row(1, conversation=1),), board[1:]):
        text = Reader(page(small_result(leaderboard=rows, llm=llm), "")).text
        assert "Templates proposed by local, method" in text


def test_the_leaderboard_shows_what_it_is_ordered_by() -> None:
    """Views where there are any; the course says that the choice may be another than where it ends."""
    another = "may fall on another template"
    seen = Reader(page(small_result(leaderboard=(row(1, views=0.375), row(2, "b {}"))), ""))
    assert "trainvalviewsfrom" in seen.text
    assert "50.0-37.5restart 1" in seen.text
    assert "which counts augmented copies too" in seen.text
    assert another in seen.text
    blind = Reader(page(small_result(leaderboard=(row(1),)), "")).text
    assert "trainvalfrom" in blind
    assert "final choice: by training score." in blind
    assert another not in blind


def test_a_long_leaderboard_is_cut_and_says_so() -> None:
    """The rest is in the CSV file."""
    text = page(result(rows=MAX_ROWS + 7, template="a {}"), "")
    assert "and 7 more in leaderboard.csv" in text


def test_scores_that_are_no_accuracies_are_plain_numbers() -> None:
    """A custom scorer may give any number; what it does not say of itself is not shown either."""
    unknown = Dataset(name="ads", classes=0, shots=16, seed=1, sizes=Sizes())
    low = [row(1, "a {}", train=-70.5), row(2, "one {}", train=-7000.0)]
    read = Reader(
        page(
            small_result(
                dataset=unknown,
                leaderboard=tuple(low),
                best=Best(template="a {}", train=-70.5, val=None, test=None),
                baselines={
                    "default template": GroupAccuracies(
                        templates=("a {}",), train=-7000.0, val=None, test=None
                    )
                },
            ),
            "",
        )
    )
    assert "svg" in read.tags
    for absent in ("Nothing was scored", " %", "ccurac", "0 classes", "0 training"):
        assert absent not in read.text
    for there in ("-70.5", "-7000", "higher is better", "m (p) on ads, seed 1."):
        assert there in read.text


def test_a_run_that_has_just_begun_has_a_page() -> None:
    """With nothing scored, and nothing known of what is searched."""
    text = Reader(render(RunView(run_dir=Path("run"), state="live"))).text
    assert "Templates for a run" in text
    assert "Nothing was scored yet." in text
    assert "Wait: the search is running" in text


def test_a_live_run_shows_what_is_known_so_far() -> None:
    """The best by training score, its line, the course and the leaderboard; nothing of test."""
    rows = [row(1, "a {}", train=0.5), row(2, "a new {}", train=0.75, conversation=1, round=1, source="llm")]
    started = SearchStarted(
        run_dir="run", dataset="dice", classes=6, model="m", llm="l", method="pn", restarts=1, rounds=8,
        resumed=False,
    )  # fmt: skip
    done = RestartProgress(heights={Position(1, 1, 1): 0.75})
    progress = Progress(started=started, default=0.625, restarts={1: done})
    course = RunHistory(curves={1: ((0, 0.5), (1, 0.75))}, rows=tuple(rows))
    text = Reader(render(RunView(run_dir=Path("run"), state="live", progress=progress, history=course))).text
    assert "Templates for dice" in text
    assert "the search is running after 1 of 8 rounds" in text
    assert "75.0 % on the training images, +12.5 points over the default template" in text
    assert "default template: 62.5 %" in text
    assert "restart 1, conversation 1, round 1, the LLM" in text
    assert "How to use it" not in text
    assert "restart 1: 75.0 %" in text
    assert "Best first by training score so far;" in text
    assert "may fall on another template" in text


def test_what_no_page_may_hold_is_left_out() -> None:
    """Control characters and halves of characters, as an LLM may send them."""
    refused = {"control_character": Refused(count=1, examples=("a\x00\x1b[31m\x9b \u202e{}\ud83d",))}
    text = page(small_result(rejected={"control_character": 1}), history=RunHistory(refused=refused))
    assert "a  [31m  \\u202e{}?" in text
    assert "\u202e" not in text
    assert not set(text) & {chr(number) for number in (*range(9), *range(11, 32), *range(127, 160))}
