"""Details that are kept for the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.results.details import Decisions, Details, Picture, read_details

DETAILS = Details(
    decisions=Decisions(
        image_set="h",
        classes=("ä", "b"),
        labels=(0, 1),
        predicted={"best": (0, 1), "default template": (1, 1)},
    ),
    baseline="default template",
    pictures=(Picture(true="ä", before="b", after="ä", name="1.png", jpeg="AA=="),),
)


def test_older_details_may_hold_more(tmp_path: Path) -> None:
    """All else of them is read."""
    older = DETAILS.to_json() | {"curve": [{"after": 3, "template": "one {}", "test": 0.5}], "lineage": [{}]}
    (tmp_path / "details.json").write_text(json.dumps(older))
    assert read_details(tmp_path) == DETAILS


def test_hits_are_counted_by_name() -> None:
    """None for what was not examined; a class without a name has a number."""
    assert DETAILS.decisions is not None
    assert DETAILS.decisions.hits("default template") == [False, True]
    assert DETAILS.decisions.hits("other") is None
    assert DETAILS.decisions.class_name(7) == "class 7"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"pictures": [{"true": "a"}]},
        {"decisions": {"labels": [0]}},
        {"decisions": {"image_set": None, "classes": [], "labels": [0], "predicted": {"best": []}}},
        {"decisions": {"image_set": None, "classes": [], "labels": [-1], "predicted": {}}},
        {"decisions": {"image_set": None, "classes": [], "labels": [0], "predicted": {"best": [-2]}}},
        {"decisions": [1]},
        {"decisions": {"image_set": None, "classes": [], "labels": [1e400], "predicted": {}}},
        {"baseline": ["default template"]},
        {"pictures": [DETAILS.to_json()["pictures"][0] | {"jpeg": 3}]},
    ],
)
def test_a_file_of_another_shape_is_ignored(tmp_path: Path, change: dict[str, Any]) -> None:
    """A page without it is better than no page."""
    (tmp_path / "details.json").write_text(json.dumps(DETAILS.to_json() | change))
    assert read_details(tmp_path) is None
    (tmp_path / "details.json").write_text("[" * 100_000)
    assert read_details(tmp_path) is None
