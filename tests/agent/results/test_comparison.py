"""Runs side by side: which differences can be told, and which are paired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from promptclimb.agent.results.comparison import Contender, rows_of, versus
from promptclimb.agent.results.details import Decisions, Details
from promptclimb.agent.results.intervals import paired, unpaired
from promptclimb.agent.results.result import Best, Dataset, Sizes
from tests.fakes.small_result import small_result

LABELS = (0, 1) * 10


def run(name: str, wrong: set[int], image_set: str | None = "set", **changes: Any) -> Contender:
    """A run whose best template decides wrongly on some of twenty test images."""
    predicted = tuple(1 - label if place in wrong else label for place, label in enumerate(LABELS))
    decisions = Decisions(
        image_set=image_set, classes=("a", "b"), labels=LABELS, predicted={"best": predicted}
    )
    values = {
        "best": Best(template="a {}", train=0.5, val=None, test=1 - len(wrong) / len(LABELS)),
        "dataset": Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=len(LABELS))),
    }
    result = small_result(**values | changes)
    return Contender(run=name, result=result, details=Details(decisions=decisions))


def test_on_the_same_images_the_interval_is_paired() -> None:
    """Only the images on which the two differ count."""
    found = versus(run("b", {0, 1}), run("a", {1, 2, 3, 4, 5})).over
    assert found is not None
    assert (found.points, found.better, found.worse, found.paired) == (15.0, 4, 1, True)
    assert found.interval == tuple(round(100 * edge, 4) for edge in paired(4, 1, 20))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (run("a", {1}, image_set="others"), "other test images"),
        (run("a", {1}, image_set=None), "the black box does not say which images they are"),
        (replace(run("a", {1}), details=None), "no decisions were kept"),
        (replace(run("a", {1}), details=run("a", {1, 2}).details), "no decisions were kept"),
    ],
)
def test_else_it_is_not_and_says_why(other: Contender, why: str) -> None:
    """Other images, a silent black box, an older run, or decisions that are not those of the result."""
    found = versus(run("b", {0, 1}), other)
    assert found.why == f"not paired: {why}"
    assert found.over is not None
    assert not found.over.paired
    assert found.over.interval == tuple(round(100 * edge, 4) for edge in unpaired(0.9, 0.95, 20, 20))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dataset": Dataset(name="e", classes=2, shots=1, seed=1, sizes=Sizes(test=9))}, "another data set"),
        ({"best": Best(template="a {}", train=0.5, val=None, test=None)}, "no test accuracy yet"),
        ({"best": Best(template="a {}", train=5.0, val=None, test=7.0)}, "scores that are no accuracies"),
    ],
)
def test_what_cannot_be_compared_has_no_difference(changes: dict[str, Any], why: str) -> None:
    """A number would be taken for one."""
    found = versus(run("b", {0}, **changes), run("a", {1}))
    assert (found.over, found.why) == (None, why)


def test_all_are_compared_with_the_first() -> None:
    """Which has nothing to be compared with itself."""
    rows = rows_of([run("a", {1}), run("b", {0}), run("c", set())])
    assert [row.over and row.over.points for row in rows] == [None, 0.0, 5.0]
