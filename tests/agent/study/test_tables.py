"""Learning curves of a study: those that stand side by side are over the same runs."""

from __future__ import annotations

import pytest

from promptclimb.agent.study.outcomes import blocks_of
from promptclimb.agent.study.tables import curves, tables
from tests.fakes.study_outcomes import (
    cells,
    document_of,
    finished,
    lines_of,
    outcome,
    study,
    without,
)

HITS = {"random": "1100", "combine": "1110"}


def test_a_point_of_a_curve_is_of_every_run_or_not_there() -> None:
    """A curve does not change over whom it averages on its way."""
    found = study(curve=[5, 10])
    runs = [
        outcome(
            one.cell, curve={5: 0.5, 10: 0.7} if one.cell.data == "one" or one.cell.seed == 1 else {5: 0.1}
        )
        for one in finished(found, HITS)
    ]
    points = {one["label"]: one["points"] for one in curves(found, blocks_of(runs))}
    assert points["random"] == [{"templates": 5, "test": pytest.approx((0.5 + 0.3) / 2)}]


def test_curves_that_stand_side_by_side_are_over_the_same_runs() -> None:
    """What one method has not finished is in no curve of the others, as in the tables; and both say so."""
    found = study(curve=[5])
    tests = {"random": {"one": 0.5, "two": 0.9}, "combine": {"one": 0.4, "two": 0.8}}
    every = [outcome(one, HITS[one.method], curve={5: tests[one.method][one.data]}) for one in cells(found)]
    whole = curves(found, blocks_of(every))
    assert [one["points"][0]["test"] for one in whole] == [pytest.approx(0.7), pytest.approx(0.6)]
    said = {**document_of(found, every), "curves": whole}
    assert lines_of(said, "Learning curves")[0] == ("", "model", "shots", "n = 5")
    runs = every
    for seed in (1, 2):
        runs = without(runs, method="combine", data="two", seed=seed)
    part = curves(found, blocks_of(runs))
    assert [one["points"][0]["test"] for one in part] == [0.5, 0.4]
    assert {(one["sets"], one["runs"]) for one in part} == {(1, 2)}
    (table,) = tables(found, blocks_of(runs))
    assert table["seeds"] == {"one": [1, 2], "two": []}
    said = {**said, "curves": part}
    assert lines_of(said, "Learning curves")[1] == ("random", "RN-pico", "16", "1 of 2", "2 of 4", "50.0")


def test_a_method_without_a_curve_takes_none_from_the_others() -> None:
    """It has none where its runs are too short, and leaves the others theirs."""
    found = study(curve=[5])
    runs = [
        outcome(one, HITS[one.method], curve={5: 0.5} if one.method == "random" else {})
        for one in cells(found)
    ]
    (curve,) = curves(found, blocks_of(runs))
    assert (curve["label"], curve["runs"], curve["of"]["runs"]) == ("random", 4, 4)


def test_a_run_whose_details_are_lost_is_in_no_curve() -> None:
    """Nor are those that stood beside it; a curve does not end for it."""
    found = study(curve=[5])
    runs = [
        outcome(one, HITS[one.method], **({"detailed": False} if lost else {"curve": {5: one.seed / 4}}))
        for one in cells(found)
        for lost in [(one.method, one.data, one.seed) == ("random", "one", 1)]
    ]
    for curve in curves(found, blocks_of(runs)):
        assert curve["points"] == [{"templates": 5, "test": pytest.approx((0.5 + 0.375) / 2)}]
        assert (curve["sets"], curve["runs"]) == (2, 3)
