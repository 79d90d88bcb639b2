"""The leaderboard and the templates as text: the same bytes for the same rows, safe to open."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from promptclimb.agent.results.leaderboard import about_order, leaderboard_csv, safe_cell, templates_json
from promptclimb.agent.results.result import Row


def row(rank: int, template: str, val: float | None = 0.5) -> Row:
    """A line of a leaderboard."""
    return Row(rank=rank, template=template, train=1 / 3, val=val, restart=1, conversation=0, round=0)


@pytest.mark.parametrize("text", ["=1+1 {}", "+{}", "-{}", "@sum {}", "\t={}", "\r-{}", " @{}"])
def test_no_cell_starts_a_formula(text: str) -> None:
    """What a spreadsheet would run is turned into text."""
    assert safe_cell(text)[0] == "'"
    shown = next(csv.reader(io.StringIO(leaderboard_csv([row(1, text)]).split("\n", 1)[1])))
    assert shown[1].startswith("'")


def test_the_leaderboard_reads_back() -> None:
    """Commas, quotes and absent validation accuracies survive the way through CSV."""
    rows = [replace(row(1, 'a "{}", drawn'), source="llm", views=0.25), row(2, "b {}", None)]
    read = list(csv.DictReader(io.StringIO(leaderboard_csv(rows))))
    names = ["rank", "template", "train", "val", "restart", "conversation", "round", "source", "views"]
    assert list(read[0]) == names
    assert [line["template"] for line in read] == ['a "{}", drawn', "b {}"]
    assert (read[0]["train"], read[1]["val"]) == ("0.333333", "")
    assert [line["source"] for line in read] == ["llm", ""]
    assert [line["views"] for line in read] == ["0.250000", ""]


def test_the_order_is_said_as_it_is() -> None:
    """What counts beside the training images, where there is anything; before the choice, those alone."""
    seen = replace(row(1, "a {}", None), views=0.25)
    said = {
        "counts validation images too": [row(1, "a {}")],
        "counts altered views too": [seen],
        "counts validation images and altered views too": [seen, row(2, "b {}")],
        "at the end: by training score.": [row(1, "a {}", None)],
    }
    for part, rows in said.items():
        assert part in about_order(rows, chosen=True)
        assert about_order(rows, chosen=False).startswith("Best first by training score so far;")


def test_templates_are_a_json_list() -> None:
    """The form that open_clip and CLIP_benchmark read."""
    assert json.loads(templates_json(["ein Bild: {}"])) == ["ein Bild: {}"]
