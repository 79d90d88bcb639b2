"""Details that are kept for the report, and the lineage of templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.results.details import (
    Ancestor,
    Decisions,
    Details,
    Picture,
    lineage_of,
    marked,
    read_details,
    shown_in,
    write_details,
)
from tests.fakes.small_result import row

DETAILS = Details(
    decisions=Decisions(
        image_set="h",
        classes=("ä", "b"),
        labels=(0, 1),
        predicted={"best": (0, 1), "default template": (1, 1)},
    ),
    baseline="default template",
    pictures=(Picture(true="ä", before="b", after="ä", name="1.png", jpeg="AA=="),),
    lineage=(
        Ancestor(
            template="a {}",
            train=0.5,
            restart=1,
            conversation=1,
            round=2,
            source="llm",
            shown=("one {}",),
            all_shown=1,
            messages=(("user", "better ones"),),
            answer="1. a {}",
        ),
    ),
)


def test_details_come_back_as_they_were_written(tmp_path: Path) -> None:
    """From the file, whole."""
    write_details(tmp_path, DETAILS)
    assert read_details(tmp_path) == DETAILS
    write_details(tmp_path, Details())
    assert read_details(tmp_path) == Details()


def test_older_details_may_hold_a_learning_curve(tmp_path: Path) -> None:
    """All else of them is read."""
    older = DETAILS.to_json() | {"curve": [{"after": 3, "template": "one {}", "test": 0.5}]}
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
        {"lineage": [{}]},
        {"decisions": {"labels": [0]}},
        {"decisions": {"image_set": None, "classes": [], "labels": [0], "predicted": {"best": []}}},
        {"decisions": [1]},
        {"decisions": {"image_set": None, "classes": [], "labels": [1e400], "predicted": {}}},
        {"baseline": ["default template"]},
        {"lineage": [DETAILS.to_json()["lineage"][0] | {"template": None}]},
        {"lineage": [DETAILS.to_json()["lineage"][0] | {"train": "<b>"}]},
        {"pictures": [DETAILS.to_json()["pictures"][0] | {"jpeg": 3}]},
    ],
)
def test_a_file_of_another_shape_is_ignored(tmp_path: Path, change: dict[str, Any]) -> None:
    """A page without it is better than no page."""
    (tmp_path / "details.json").write_text(json.dumps(DETAILS.to_json() | change))
    assert read_details(tmp_path) is None
    (tmp_path / "details.json").write_text("[" * 100_000)
    assert read_details(tmp_path) is None


FIRST = row(template="a photo of a {}", train=0.4)
SECOND = row(template="a bright photo of a {}", train=0.5, conversation=1, round=1)
BEST = row(template="a bright drawing of a {}", train=0.6, conversation=1, round=3)


def test_the_line_goes_back_to_an_initial_template() -> None:
    """By most words in common, in the same restart, and always backwards in time."""
    others = [
        row(template="a bright drawing of one {}", train=0.9, restart=2),
        row(template="a bright drawing of the {}", train=0.9, conversation=1, round=3),
        row(template="some {}", train=0.9),
    ]
    assert lineage_of(BEST, [FIRST, SECOND, BEST, *others]) == [BEST, SECOND, FIRST]


def test_a_template_that_is_like_no_other_has_no_ancestor() -> None:
    """Less than half of its words in common do not count."""
    assert lineage_of(BEST, [row(template="{} in ink")]) == [BEST]


def test_words_that_are_new_are_marked() -> None:
    """Against the ancestor; the first of the line has none."""
    assert [word.text for word in marked(BEST.template, SECOND.template) if word.new] == ["drawing"]
    assert not any(word.new for word in marked(FIRST.template, None))


def test_what_stood_in_a_request_is_found_best_first() -> None:
    """Templates are looked for as they are written."""
    assert shown_in(["1. a photo of a {}", f"2. {SECOND.template}: 50 %"], [FIRST, SECOND, BEST]) == [
        SECOND,
        FIRST,
    ]


def test_dropped_templates_come_last_among_the_shown_and_rank_by_estimate_in_a_line() -> None:
    """However many of their few images they got right."""
    few = row(template="a photo of {}", train=1.0, images=2, estimate=0.4)
    whole = row(template="a photo in {}", train=0.5)
    assert shown_in([few.template, whole.template], [few, whole]) == [whole, few]
    child = row(template="a photo {}", train=0.9, conversation=1, round=1)
    assert lineage_of(child, [few, whole]) == [child, whole]
