"""The result and its document: the documented fields, typed, and old documents read."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from promptclimb.agent.results.result import GroupAccuracies, SearchResult, Sizes
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.scoring import Unanswered
from tests.fakes.small_result import small_result

DOCUMENTED = (
    *("schema", "status", "stop_reason", "dataset", "model", "llm", "method", "objective", "best"),
    *("baselines", "leaderboard", "usage", "evaluated", "rejected", "wall_s"),
)


def document(**changes: Any) -> dict[str, Any]:
    """The document of a small result, as JSON gives it back."""
    written: dict[str, Any] = json.loads(small_result().dumps())
    return written | changes


def old_document() -> dict[str, Any]:
    """What the first programs of schema 1 wrote."""
    later = ("versions", "started", "device", "test_opened", "limits")
    written = {name: value for name, value in document().items() if name not in later}
    for name in ("cached_tokens", "cache_written_tokens", "reasoning_tokens", "reported_usd"):
        del written["usage"][name]
    for line in written["leaderboard"]:
        del line["source"]
    return written


def test_the_document_has_the_documented_fields_in_their_order() -> None:
    """Others come after them; of the splits, only forms and baselines have test."""
    written = document()
    assert tuple(written)[: len(DOCUMENTED)] == DOCUMENTED
    assert written["schema"] == 5
    assert written["dataset"]["sizes"] == {"train": 2, "val": 0, "test": 4}
    assert tuple(written["best"]) == ("template", "train", "val", "test")
    assert (
        tuple(written["texts"])
        == tuple(written["baselines"]["default template"])
        == ("templates", "train", "val", "test")
    )
    assert tuple(written["leaderboard"][0]) == (
        *("rank", "template", "train", "val", "restart", "conversation", "round", "source", "copies"),
        *("images", "estimate"),
    )
    assert written["versions"] == {"program": "0.1", "python": "3.11", "torch": "2.9", "open_clip": None}


def test_a_document_reads_back_equal() -> None:
    """With its types: values, tuples and mappings."""
    assert SearchResult.from_json(document()) == small_result()
    assert SearchResult.from_json(small_result().to_json()) == small_result()


def test_an_older_document_is_read() -> None:
    """What it does not say is unknown, not zero; a baseline may come without val."""
    old = old_document()
    del old["baselines"]["default template"]["val"]
    result = SearchResult.from_json(old)
    assert (result.versions, result.started, result.device, result.test_opened) == (None, None, None, None)
    assert [(line.source, line.copies) for line in result.leaderboard] == [(None, None)] * 2
    assert (result.limits, result.usage.cached_tokens, result.usage.reported_usd) == ((), 0, None)
    assert result.dataset.sizes == Sizes(train=2, test=4)
    assert result.baselines["default template"] == GroupAccuracies(
        templates=("a photo of a {}",), train=0.5, val=None, test=0.25
    )


def test_a_document_of_later_is_read_as_far_as_it_is_known() -> None:
    """Fields may be added without another schema."""
    later = document(omens={"verdict": "good"})
    later["usage"]["joules"] = 3
    assert SearchResult.from_json(later) == small_result()


@pytest.mark.parametrize(
    "foreign",
    [
        [],
        {},
        {"schema": 2},
        {"schema": 1},
        document(best=3),
        document(dataset={}),
        document(leaderboard=[{}]),
        document(budget=None),
        document(rejected=True),
        document(test_opened="<b>"),
        document(status="done"),
        document(best={"template": "a {}", "train": True, "val": None, "test": None}),
        document(
            inspection={
                "split": "test",
                "classes": [{"name": "a", "images": "3", "correct": 1}],
                "confusions": [],
            }
        ),
        document(
            recommended={
                "form": "texts",
                "test": 0.5,
                "over": {
                    "default template": {"points": None, "interval": [0, 1], "paired": True, "images": 3}
                },
            }
        ),
    ],
)
def test_what_is_no_result_is_refused(foreign: Any) -> None:
    """Foreign documents are an error with a reason."""
    with pytest.raises(ValueError, match=r"not a result|schema"):
        SearchResult.from_json(foreign)


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_what_json_has_no_word_for_is_never_written(figure: float) -> None:
    """No other program could read a document with NaN in it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(small_result(), notes={"x": figure}).dumps()


def test_a_notebook_shows_a_table_without_markup_of_others() -> None:
    """Baselines and forms, with the number of templates that do not fit."""
    refused = {"test": Unanswered(refused=0.25, unreadable=0.0)}
    best = replace(small_result().best, template="<script>{}</script>", unanswered=refused)
    html = replace(small_result(), best=best)._repr_html_()
    assert "<script>" not in html
    assert "<td>50.0<br>25.0 % refused<br>66.7 of those answered</td>" in html
    assert "<td>a {}<br>one {}</td><td>50.0</td><td>50.0</td>" in html
    assert "<td>default template</td><td>a photo of a {}</td>" in html


def test_a_printed_result_is_a_table_and_what_to_use() -> None:
    """Not the repr of everything that it holds."""
    result = small_result()
    result = replace(result, recommended=replace(result.recommended, verdict="Use it."))
    title, heads, *rows, verdict = str(result).splitlines()
    assert title == f"{result.dataset.name}: accuracy in %"
    assert heads.split()[:2] == ["train", "test"]  # no validation images
    assert [row.split("  ")[0] for row in rows] == [row.title for row in result.accuracies.rows]
    assert verdict == "Use it."


def test_the_leaderboard_is_a_frame_where_pandas_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each template; without pandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        small_result().to_frame()
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    rows: Any = small_result().to_frame()
    assert [row["template"] for row in rows] == ["a {}", "=cmd {}"]
    assert rows[0]["train"] == 0.5
